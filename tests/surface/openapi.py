"""Describes operations and schemas of an OpenAPI document, one line for each member.

Together the lines depend on everything in the document: what a line does not show is in the digest above it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import responses as phrases
from typing import Any

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# Members of a schema that are part of its written type, or only for people.
_WRITTEN = frozenset(
    {"type", "$ref", "anyOf", "oneOf", "allOf", "items", "additionalProperties", "properties", "required", "enum"}
) | {"const", "default", "title", "description", "examples", "format", "$defs", "discriminator"}


def describe_routes(document: Mapping[str, Any], others: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Describe each operation, those of `others` that OpenAPI does not list, and the rest of the document."""
    lines = [
        _operation(f"{path} {method.upper()}", operations[method])
        for path, operations in document["paths"].items()
        for method in _METHODS
        if method in operations
    ]
    lines += [[f"{path} {method} (not in OpenAPI)"] for method, path in others]
    return [*_rest(document), *(line for block in sorted(lines) for line in block)]


def describe_schemas(document: Mapping[str, Any]) -> list[str]:
    """Describe each named schema with its members."""
    named: Mapping[str, Mapping[str, Any]] = document["components"]["schemas"]
    return [line for name in sorted(named) for line in describe_schema(name, named[name])]


def describe_schema(name: str, schema: Mapping[str, Any]) -> list[str]:
    """Describe one schema: its members with their types, `?` after those that may be left out."""
    lines = [f"{name}: {written_type(schema)}  # {digest(schema)}"]
    required = schema.get("required", ())
    for member, shape in sorted(schema.get("properties", {}).items()):
        lines.append(f"    {member}{'' if member in required else '?'}: {_with_default(shape)}")
    return lines


def written_type(schema: Mapping[str, Any]) -> str:
    """Write a schema's type on one line, with its bounds."""
    bounds = {name: value for name, value in schema.items() if name not in _WRITTEN}
    written = _plain_type(schema)
    return f"{written} {json.dumps(bounds, sort_keys=True)}" if bounds else written


def digest(value: object) -> str:
    """Return 12 characters that change with any part of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _plain_type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return (" & " if union == "allOf" else " | ").join(map(written_type, schema[union]))
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"[{written_type(schema.get('items', {}))}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"{{{written_type(values)}}}" if isinstance(values, Mapping) else str(schema.get("title", "object"))
    return f"{kind}({schema['format']})" if "format" in schema else str(kind)


def _with_default(schema: Mapping[str, Any]) -> str:
    default = f" = {json.dumps(schema['default'], sort_keys=True)}" if "default" in schema else ""
    return written_type(schema) + default


def _operation(title: str, operation: Mapping[str, Any]) -> list[str]:
    operation = _without_phrases(operation)
    return [f"{title}  # {digest(operation)}", *_taken(operation), *_given(operation["responses"])]


def _taken(operation: Mapping[str, Any]) -> Iterator[str]:
    for each in sorted(operation.get("parameters", ()), key=lambda each: (each["in"], each["name"])):
        optional = "" if each.get("required") else "?"
        yield f"    {each['in']} {each['name']}{optional}: {_with_default(each.get('schema', {}))}"
    body = operation.get("requestBody", {})
    for media, content in sorted(body.get("content", {}).items()):
        optional = "" if body.get("required") else "?"
        yield f"    body{optional} {media}: {written_type(content.get('schema', {}))}"


def _given(responses: Mapping[str, Any]) -> Iterator[str]:
    """Describe what succeeds, and name the statuses of what does not."""
    for status, response in sorted(responses.items()):
        if status < "4":
            contents = sorted(response.get("content", {}).items()) or [("nothing", {})]
            for media, content in contents:
                yield f"    {status} {media}: {written_type(content.get('schema', {}))}"
    failures: Sequence[str] = sorted(status for status in responses if status >= "4")
    if failures:
        yield f"    problems: {' '.join(failures)}"


def _without_phrases(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the standard phrases of statuses, where a response has no other text: 3.13 has new ones for some."""
    plain = {
        status: {
            name: value
            for name, value in response.items()
            if not (name == "description" and status.isdecimal() and value == phrases.get(int(status)))
        }
        for status, response in operation["responses"].items()
    }
    return {**operation, "responses": plain}


def _rest(document: Mapping[str, Any]) -> Iterator[str]:
    """Describe everything beside operations and named schemas by digests."""
    for name, value in sorted(document.items()):
        if name == "components":
            for kind, members in sorted(value.items()):
                if kind != "schemas":
                    yield from (f"{kind} {each}  # {digest(members[each])}" for each in sorted(members))
        elif name == "paths":
            for path, item in sorted(value.items()):
                rest = {member: each for member, each in item.items() if member not in _METHODS}
                if rest:
                    yield f"{path}  # {digest(rest)}"
        else:
            yield f"{name}  # {digest(value)}"
