"""Places of text in an OpenAPI description: every parameter and every string of every body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 8


@dataclass(frozen=True)
class TextPlace:
    """Where an operation takes text: `where` is path, query, header or body, and `name` the steps that lead there."""

    method: str
    path: str
    where: str
    name: tuple[str | int, ...]

    @property
    def id(self) -> str:
        return f"{self.method} {self.path} {self.where}:{'.'.join(map(str, self.name))}"

    def body(self, text: str) -> Any:  # noqa: ANN401 - JSON
        """The smallest body that has the text in this place, and nothing else."""
        value: Any = text
        for step in reversed(self.name):
            value = [value] if isinstance(step, int) else {step: value}
        return value


def text_places(description: Mapping[str, Any]) -> list[TextPlace]:
    """Every place of the description in which a request carries text."""
    found: dict[TextPlace, None] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if method not in _METHODS:
                continue
            for parameter in operation.get("parameters", ()):
                if list(_strings(parameter["schema"], description, 0)) and parameter["in"] != "cookie":
                    found[TextPlace(method.upper(), path, parameter["in"], (parameter["name"],))] = None
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                if media_type == "application/json":
                    for steps in _strings(body["schema"], description, 0):
                        found[TextPlace(method.upper(), path, "body", steps)] = None
    return list(found)


def _strings(schema: Mapping[str, Any], description: Mapping[str, Any], depth: int) -> Iterator[tuple[str | int, ...]]:
    """The steps to each string of a schema; any value may be text, too."""
    if depth > _DEEPEST:
        return
    if "$ref" in schema:
        resolved: Any = description
        for part in schema["$ref"].removeprefix("#/").split("/"):
            resolved = resolved[part]
        yield from _strings(resolved, description, depth + 1)
        return
    for union in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(union, ()):
            yield from _strings(each, description, depth + 1)
    kind = schema.get("type")
    if kind == "string" or "enum" in schema or not schema or (kind is None and set(schema) <= {"title", "description"}):
        yield ()
    for name, member in schema.get("properties", {}).items():
        yield from ((name, *steps) for steps in _strings(member, description, depth + 1))
    if "items" in schema:
        yield from ((0, *steps) for steps in _strings(schema["items"], description, depth + 1))
    more = schema.get("additionalProperties")
    if more:
        yield from (
            ("any", *steps) for steps in _strings(more if isinstance(more, dict) else {}, description, depth + 1)
        )
