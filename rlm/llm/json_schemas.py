"""Validates JSON values against JSON schemas written by a caller or a model.

Import this module only where a schema is used, because importing jsonschema takes a second if its optional formats are
installed.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from rlm.errors import LanguageModelRefusedError

_PATTERN_SECONDS = 0.1


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


def find_violation(validator: Any, value: object) -> str | None:  # noqa: ANN401 - the library has no types
    """Return the position and the violated rule in the schema's own words, or None if the value conforms to the schema.

    Raises `LanguageModelRefusedError` if the schema refers to anything outside itself.
    """
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as error:
        raise LanguageModelRefusedError("The JSON schema refers to a schema outside itself.") from error
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


_Validator: Any = extend(Draft202012Validator, {"pattern": _check_pattern})


def _has_key(schema: object, name: str) -> bool:
    members = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return (isinstance(schema, dict) and name in schema) or any(_has_key(each, name) for each in members)
