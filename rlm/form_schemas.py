"""Checks the schemas of a requested form, and builds the schema of the model's reply from them."""

import json
from collections.abc import Mapping
from typing import Any

from rlm.errors import LanguageModelRefusedError
from rlm.llm.profiles import ModelProfile
from rlm.llm.structured_output import build_closed_object, canonicalize_schema
from rlm.output_forms import OutputForm, OutputFormError, Tool

_NULL = {"type": "null"}
# Keywords whose values are data or maps of names, in which `$ref` and other words are not keywords.
_DATA = frozenset({"const", "default", "enum", "examples"})
_MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "properties"})


def require_possible_form(form: OutputForm, profile: ModelProfile | None) -> None:
    """Raise `OutputFormError` if a schema cannot be used, or the model cannot produce the form.

    `profile` is None if no language model is configured.
    """
    from rlm.llm.json_schemas import require_safe_schema

    if profile is None:
        raise OutputFormError(
            "No language model is configured, so answers have no other form than text.",
            hint="Omit the schema and the tools, or have an administrator set LEADLINE_LLM.",
        )
    for schema in form.iter_schemas():
        try:
            require_safe_schema(schema)
        except LanguageModelRefusedError as error:
            raise OutputFormError(error.detail) from error
    if not profile.routes and form.single_schema is None:
        work = "choose whether to call a tool" if form.tools else "use the results of tools"
        raise OutputFormError(
            f"The language model {profile.name} is too small to {work}.",
            hint="Omit `tools`, or require one of them with `tool_choice`. Administrators can set a larger model in "
            "LEADLINE_LLM.",
        )
    size = len(form.instructions) + sum(len(canonicalize_schema(each)) for each in form.iter_schemas())
    # A token of JSON has about three characters. The question, the answer and the results need the rest of the prompt.
    if size > profile.max_prompt_tokens * 3 // 2:
        raise OutputFormError(
            f"The schemas have {size:,} characters, which is too much for the language model.",
            hint="Send a smaller schema, or fewer tools.",
        )


def build_reply_schema(form: OutputForm, *, can_refuse: bool) -> Mapping[str, Any]:
    """Return the schema of the model's reply.

    With `can_refuse`, the reply is an object with a `value` or a `call` that can be null, and a `reason`. Otherwise,
    the reply is the value itself.
    """
    if not can_refuse:
        schema = form.single_schema
        assert schema is not None
        return _nest_schema(schema, "#")
    members: dict[str, object] = {}
    if form.tools:
        at = "#/properties/call/anyOf"
        calls = [_build_call_schema(tool, f"{at}/{number}") for number, tool in enumerate(form.tools)]
        members["call"] = {"anyOf": [*calls, _NULL]}
    if form.schema is not None:
        members["value"] = {"anyOf": [_nest_schema(form.schema, "#/properties/value/anyOf/0"), _NULL]}
    elif form.results and not form.must_call:
        members["addition"] = {"type": "string"}
    return build_closed_object({**members, "reason": {"type": "string"}})


def _build_call_schema(tool: Tool, pointer: str) -> dict[str, object]:
    arguments = _nest_schema(tool.parameters, f"{pointer}/properties/arguments")
    closed = build_closed_object({"name": {"type": "string", "enum": [tool.name]}, "arguments": arguments})
    return {**({"description": tool.description} if tool.description else {}), **closed}


def _nest_schema(schema: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return a schema as a part of another one, at `pointer`. References to the schema's own parts are adjusted."""
    top = {name: each for name, each in schema.items() if name not in ("$schema", "$id")}
    adjusted: dict[str, Any] = _adjust_references(top, pointer)
    return adjusted


def _adjust_references(schema: Any, pointer: str) -> Any:  # noqa: ANN401 - JSON
    if isinstance(schema, list):
        return [_adjust_references(each, pointer) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    adjusted: dict[str, Any] = {}
    for name, each in schema.items():
        if name == "$ref" and (each == "#" or str(each).startswith("#/")):
            adjusted[name] = pointer + each[1:]
        elif name in _DATA:
            adjusted[name] = each
        elif name in _MAPS and isinstance(each, Mapping):
            adjusted[name] = {key: _adjust_references(part, pointer) for key, part in each.items()}
        else:
            adjusted[name] = _adjust_references(each, pointer)
    return adjusted


def dump_json(value: object) -> str:
    """Return the value as JSON. Raises `ValueError` for numbers that JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()
