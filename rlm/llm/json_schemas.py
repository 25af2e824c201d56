"""Validates JSON values against JSON schemas written by a caller or a model.

Import this module only where a schema is used, because importing jsonschema takes a second if its optional formats are
installed.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from rlm.errors import LanguageModelRefusedError

# Maximum time for one pattern, and for one validation. Schemas that refer to themselves several times can multiply the
# work with each level of a value, although schema and value are short.
_PATTERN_SECONDS, _VALIDATION_SECONDS = 0.1, 2.0
# Maximum size of a program's schema, which fits beside an answer in most models' prompts, and the maximum number of
# references that lead to one another.
_MAX_CHARS, _MAX_REFERENCES = 64_000, 64
_ends_at: ContextVar[float] = ContextVar("_ends_at", default=float("inf"))


@lru_cache(maxsize=64)
def compile_schema(schema: str) -> Any:  # noqa: ANN401 - the library has no types
    """Return a validator for a schema. Raises `LanguageModelRefusedError` if the schema cannot be used."""
    read = json.loads(schema)
    try:
        Draft202012Validator.check_schema(read)
    except SchemaError as error:
        where = "/".join(map(str, error.path)) or "its top"
        raise LanguageModelRefusedError(f"The JSON schema cannot be used: {where} is invalid.") from error
    if _has_key(read, "patternProperties"):
        raise LanguageModelRefusedError("The JSON schema cannot be used: patternProperties are not supported.")
    # The registry is empty because the schema may come from model-generated code, and must not trigger a download.
    # guard: schema-fetches-nothing
    return _Validator(read, registry=Registry())


def require_safe_schema(schema: Mapping[str, Any]) -> None:
    """Raise `LanguageModelRefusedError` for a schema that is invalid or too large, or that refers elsewhere.

    Nothing is fetched: every reference must lead to a part of the schema, and not back to itself. The depth of JSON is
    limited where requests are read.
    """
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if len(text) > _MAX_CHARS:
        raise LanguageModelRefusedError(
            f"The JSON schema has {len(text):,} characters, and the limit is {_MAX_CHARS:,}."
        )
    compile_schema(text)
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    done: set[int] = set()
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            _require_finite_references(part, resolver, (), done)
            pending += part.values()
        elif isinstance(part, list):
            pending += part


def _require_finite_references(
    part: Any,  # noqa: ANN401 - JSON
    resolver: Any,  # noqa: ANN401 - the library's type
    above: tuple[int, ...],
    done: set[int],
) -> None:
    """Follow the keywords that apply to the same value. They must end somewhere, or no value could be checked."""
    if not isinstance(part, dict) or id(part) in done:
        return
    # guard: schema-refers-to-itself
    if id(part) in above or len(above) > _MAX_REFERENCES:
        raise LanguageModelRefusedError("The JSON schema refers to itself without end.")
    for name in ("$id", "$dynamicRef", "$recursiveRef"):
        if isinstance(part.get(name), str) and (above or name != "$id"):
            raise LanguageModelRefusedError(f"The JSON schema cannot be used: {name} is not supported.")
    for each in _iter_parts_in_place(part, resolver):
        _require_finite_references(each, resolver, (*above, id(part)), done)
    done.add(id(part))


def _iter_parts_in_place(part: dict[str, Any], resolver: Any) -> Iterator[Any]:  # noqa: ANN401 - the library's type
    reference = part.get("$ref")
    if isinstance(reference, str):
        if not reference.startswith("#"):
            raise LanguageModelRefusedError("The JSON schema refers to a schema outside itself.")
        try:
            yield resolver.lookup(reference).contents
        except Unresolvable as error:
            raise LanguageModelRefusedError(
                f"The JSON schema refers to {reference[:100]}, which it does not contain."
            ) from error
    for name in ("anyOf", "oneOf", "allOf"):
        yield from part[name] if isinstance(part.get(name), list) else ()
    yield from (part[name] for name in ("not", "if", "then", "else") if name in part)


def find_violation(validator: Any, value: object) -> str | None:  # noqa: ANN401 - the library has no types
    """Return the position and the violated rule in the schema's own words, or None if the value conforms to the schema.

    Raises `LanguageModelRefusedError` if the schema refers to anything outside itself, or takes too long to check.
    """
    token = _ends_at.set(time.monotonic() + _VALIDATION_SECONDS)
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as error:
        raise LanguageModelRefusedError("The JSON schema refers to a schema outside itself.") from error
    except RecursionError as error:
        raise LanguageModelRefusedError("The JSON schema refers to itself without end.") from error
    finally:
        _ends_at.reset(token)
    if error is None:
        return None
    where = "/".join(map(str, error.absolute_path))[:200]
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{where or 'it'} lacks {', '.join(missing)}"
    rule = "/".join(map(str, error.schema_path))[:200]
    return f"{rule} is violated"


def _check_pattern(_: object, pattern: str, value: object, schema: object) -> Iterator[ValidationError]:
    """Check the `pattern` keyword with a time limit.

    The library's own search may run forever and block all other threads.
    """
    try:
        if isinstance(value, str) and not regex.search(pattern, value, timeout=_PATTERN_SECONDS):
            yield ValidationError("the text does not match the pattern")
    except (regex.error, TimeoutError) as error:
        raise LanguageModelRefusedError(
            "A pattern in the JSON schema is invalid or takes too long to match."
        ) from error


def _limit_time(check: Callable[..., Any]) -> Callable[..., Any]:
    """Return a keyword's check that raises `LanguageModelRefusedError` once the validation has used up its time."""

    def check_in_time(*arguments: object) -> Iterator[ValidationError]:
        # guard: schema-validation-time
        if time.monotonic() > _ends_at.get():
            raise LanguageModelRefusedError("The JSON schema takes too long to check.")
        yield from check(*arguments) or ()

    return check_in_time


_KEYWORDS: dict[str, Callable[..., Any]] = {**Draft202012Validator.VALIDATORS, "pattern": _check_pattern}
_Validator: Any = extend(Draft202012Validator, {name: _limit_time(check) for name, check in _KEYWORDS.items()})


def _has_key(schema: object, name: str) -> bool:
    members = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return (isinstance(schema, dict) and name in schema) or any(_has_key(each, name) for each in members)
