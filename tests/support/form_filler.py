"""Stands for a model that puts an answer into a form: it fills in any JSON schema, and knows nothing else."""

import json
from collections.abc import Mapping
from typing import Any

_MAX_LEVELS = 12


def fill_schema(schema: Any, root: Any = None, level: int = 0) -> Any:  # noqa: ANN401 - JSON
    """A small value that follows the schema: null only where nothing else fits, and lists as short as allowed."""
    root = schema if root is None else root
    if schema is True or not isinstance(schema, Mapping):
        return "x"
    if "$ref" in schema:
        return fill_schema(_resolve(root, schema["$ref"]), root, level + 1)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if "enum" in schema:
        return schema["enum"][-1]
    for name in ("anyOf", "oneOf"):
        if name in schema:
            choices = schema[name] if level < _MAX_LEVELS else schema[name][::-1]
            return fill_schema(choices[0], root, level + 1)
    if schema.get("allOf"):
        first, *others = schema["allOf"]
        return fill_schema({**schema, **first, "allOf": others}, root, level + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _fill_type(kind[0] if isinstance(kind, list) else kind, schema, root, level)


def _fill_type(kind: str, schema: Mapping[str, Any], root: Any, level: int) -> Any:  # noqa: ANN401 - JSON
    match kind:
        case "object":
            wanted = schema.get("properties", {})
            names = wanted if level < _MAX_LEVELS else schema.get("required", ())
            return {name: fill_schema(wanted.get(name, True), root, level + 1) for name in names}
        case "array":
            shortest = max(schema.get("minItems", 0), 1 if level < _MAX_LEVELS else 0)
            if "prefixItems" in schema:
                return [fill_schema(each, root, level + 1) for each in schema["prefixItems"]]
            return [fill_schema(schema.get("items", True), root, level + 1) for _ in range(shortest)]
        case "integer" | "number":
            lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            return max(lowest, 1) if "maximum" not in schema else max(lowest, min(1, schema["maximum"]))
        case "boolean":
            return True
        case "null":
            return None
    forms = {"date": "1871-05-01", "date-time": "1871-05-01T10:00:00Z", "email": "ada@example.org"}
    text = forms.get(schema.get("format", ""), "Ada Brandt")
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _resolve(root: Any, reference: str) -> Any:  # noqa: ANN401 - JSON
    found = root
    for name in reference.removeprefix("#").split("/")[1:]:
        key = name.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def fill_form(request: Mapping[str, Any]) -> str:
    """The reply to a request that puts an answer into a form: a value, or a call if the form has tools.

    Once a tool has given a result, no other is called unless one has to be, which is then one without a result.
    """
    schema = request["response_format"]["json_schema"]["schema"]
    members = schema["properties"]
    reply: dict[str, Any] = dict.fromkeys(members) | {"reason": ""}
    if "addition" in members:
        return json.dumps({**reply, "addition": "The tool says so."})
    is_done = "value" in members and "BEGIN result of" in request["messages"][-1]["content"]
    name = "call" if "call" in members and not is_done else "value"
    reply[name] = fill_schema(_choose_form(members[name]["anyOf"], request["messages"][-1]["content"]), schema)
    return json.dumps(reply)


def _choose_form(forms: list[Any], prompt: str) -> Any:  # noqa: ANN401 - JSON
    """The first form, or for calls the first whose tool has no result yet."""
    for form in forms[:-1]:
        (name,) = form.get("properties", {}).get("name", {}).get("enum", ("",)) if len(forms) > 2 else ("",)
        if f"BEGIN result of {name} " not in prompt:
            return form
    return forms[0]
