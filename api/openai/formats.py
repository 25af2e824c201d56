"""Reads which form a client of OpenAI's protocols requests for an answer: JSON by a schema, or a call of a tool."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from pydantic import ValidationError

from api.answers.output_schemas import OutputIn, ToolIn, ToolResultIn
from api.http.problems import BadRequestError
from api.openai.asked import TurnIn, extract_text
from rlm.output_forms import ANY_OBJECT

_INSTRUCTING_ROLES = ("system", "developer")
# The service's own tool. The documents are always searched, so requiring it changes nothing.
_SEARCH = "file_search"


class FieldNames(NamedTuple):
    """The names that a protocol gives to fields of its requests, for error messages."""

    messages: str
    format: str


CHAT_FIELDS = FieldNames("messages", "response_format")
RESPONSES_FIELDS = FieldNames("input", "text.format")


def build_output(
    turns: Sequence[TurnIn],
    tools: Sequence[Mapping[str, Any]],
    tool_choice: str | Mapping[str, Any] | None,
    text_format: Mapping[str, Any] | None,
    instructions: str = "",
    *,
    names: FieldNames,
) -> OutputIn | None:
    """Return the requested form of the answer, or None for text.

    A schema in the client's instructions counts if the request names no other, because some clients write it only
    there. Raises `BadRequestError` for a tool, a choice or a format that is not supported.
    """
    functions, must_call = _select_tools(_parse_tools(tools), tools, tool_choice)
    said = "\n\n".join(filter(None, [instructions, *_iter_instructions(turns)]))
    schema = _parse_format(text_format, names)
    results = _list_results(turns, names)
    if schema == ANY_OBJECT or (schema is None and not functions and not results):
        schema = _find_schema(said) or schema
    if schema is None and not functions and not results:
        return None
    try:
        return OutputIn(
            json_schema=schema,
            tools=functions,
            must_call=must_call,
            instructions=said if schema == ANY_OBJECT else "",
            results=results,
        )
    except ValidationError as error:
        _reject_invalid(error, names.messages)


def _parse_tools(tools: Sequence[Mapping[str, Any]]) -> list[ToolIn]:
    """Return the functions among the tools. Chat completions nest a function in a member; responses do not."""
    functions = []
    for tool in tools:
        if tool.get("type") == _SEARCH:
            continue
        # guard: tools-never-ignored
        if tool.get("type") != "function":
            raise BadRequestError(
                f"Tools of the type `{str(tool.get('type'))[:100]}` are not supported.",
                hint="Send `file_search`, or tools of the type `function`.",
                field_path="tools",
            )
        nested = tool.get("function")
        described = nested if isinstance(nested, Mapping) else tool
        given = {name: described[name] for name in ToolIn.model_fields if described.get(name) is not None}
        try:
            functions.append(ToolIn.model_validate(given))
        except ValidationError as error:
            _reject_invalid(error, "tools")
    return functions


def _select_tools(
    functions: list[ToolIn], tools: Sequence[Mapping[str, Any]], choice: str | Mapping[str, Any] | None
) -> tuple[list[ToolIn], bool]:
    """Return the functions that the model may call, and whether it has to call one."""
    if choice is None or choice == "auto":
        return functions, False
    if choice == "none":
        return [], False
    if choice == "required":
        return functions, not any(each.get("type") == _SEARCH for each in tools)
    if isinstance(choice, Mapping) and choice.get("type") == _SEARCH:
        return [], False
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        named = [_get_name(each) for each in allowed.get("tools") or () if each.get("type") != _SEARCH]
        return _find_functions(functions, named), allowed.get("mode") == "required" and bool(named)
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        return _find_functions(functions, [_get_name(choice)]), True
    raise BadRequestError(
        "This `tool_choice` is not supported.",
        hint="Send `auto`, `none`, `required`, `allowed_tools`, or the name of a function.",
        field_path="tool_choice",
    )


def _get_name(reference: Mapping[str, Any]) -> str:
    nested = reference.get("function")
    return str((nested if isinstance(nested, Mapping) else reference).get("name"))


def _find_functions(functions: list[ToolIn], names: list[str]) -> list[ToolIn]:
    known = {each.name: each for each in functions}
    for name in names:
        if name not in known:
            raise BadRequestError(
                f"`tool_choice` names the function `{name[:100]}`, which is not one of `tools`.",
                hint="Add the function to `tools`, or correct its name.",
                field_path="tool_choice",
            )
    return [known[name] for name in names]


def _parse_format(text_format: Mapping[str, Any] | None, names: FieldNames) -> Mapping[str, Any] | None:
    """Return the schema of a format. Chat completions nest the schema in a member; responses do not.

    In Open Responses, a format of type `json_schema` needs no schema. It is then the same as `json_object`.
    """
    kind = (text_format or {}).get("type", "text")
    if kind == "text" or text_format is None:
        return None
    if kind == "json_object":
        return ANY_OBJECT
    nested = text_format.get("json_schema")
    described = nested if isinstance(nested, Mapping) else text_format
    schema = described.get("schema")
    if kind == "json_schema" and schema is None and names == RESPONSES_FIELDS:
        return ANY_OBJECT
    if kind != "json_schema" or not isinstance(schema, Mapping):
        raise BadRequestError(
            "This format is not supported.",
            hint="Send `text`, `json_object`, or `json_schema` with its `schema`.",
            field_path=names.format,
        )
    description = described.get("description")
    return {"description": description, **schema} if description else schema


def _iter_instructions(turns: Sequence[TurnIn]) -> Iterator[str]:
    yield from (extract_text(turn) for turn in turns if turn.role in _INSTRUCTING_ROLES)


def _find_schema(instructions: str) -> Mapping[str, Any] | None:
    """Return the JSON schema of an object if it is the only JSON object in the instructions, or else None.

    Instructions of agents have the schemas of tools, too, but with an example of a call.
    """
    found = list(iter_json_objects(instructions))
    return found[0] if len(found) == 1 and _is_object_schema(found[0]) else None


def _is_object_schema(value: Mapping[str, Any]) -> bool:
    is_object = value.get("type") == "object" and isinstance(value.get("properties"), dict)
    return is_object or (isinstance(value.get("$defs"), dict) and "$ref" in value)


def iter_json_objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in a text. Objects in other objects are left out."""
    at = text.find("{")
    for _ in range(_MAX_STARTS):
        if at < 0:
            return
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


# Maximum number of places at which an object is looked for. Each costs a pass over the rest of the text.
_MAX_STARTS = 100


def _list_results(turns: Sequence[TurnIn], names: FieldNames) -> list[ToolResultIn]:
    """Return the results of the tools that the client has called since the last user message."""
    calls: dict[str, tuple[str, str]] = {}
    results: list[ToolResultIn] = []
    try:
        for turn in turns:
            if turn.role == "user" and turn.type == "message":
                results.clear()
            for call in turn.tool_calls or ():
                calls[call.id] = (call.function.name, call.function.arguments)
            if turn.type == "function_call":
                calls[turn.call_id or ""] = (turn.name or "", turn.arguments or "")
            elif turn.type == "function_call_output" or turn.role in ("tool", "function"):
                name, arguments = calls.get(turn.call_id or turn.tool_call_id or "", (turn.name or "tool", ""))
                results.append(ToolResultIn(tool=name, arguments=arguments, text=extract_text(turn)))
    except ValidationError as error:
        _reject_invalid(error, names.messages)
    return results


def _reject_invalid(error: ValidationError, field: str) -> NoReturn:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(each) for each in first["loc"])
    raise BadRequestError(f"{where or field}: {first['msg']}.", field_path=field) from error
