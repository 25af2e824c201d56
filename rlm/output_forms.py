"""The forms that a program can request for an answer: JSON that follows a schema, or a call of one of its tools."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlm.errors import AnswerError

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class OutputFormError(AnswerError):
    """The requested form of an answer is not possible. Nothing was searched or read."""

    code = "output_form"
    default_hint = "Correct the schema or the tools of the request, or omit them."


@dataclass(frozen=True)
class Tool:
    """A tool of the program: its name, its purpose, and the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """The result of a call that the program has made since the question. `arguments` is JSON."""

    tool: str
    arguments: str
    text: str


@dataclass(frozen=True)
class OutputForm:
    """The form that a program requests.

    With `schema`, the answer becomes a JSON value. The model can call one of `tools` instead; it has to with
    `must_call`. `instructions` describe the value in words, for programs that have no schema. `results` are those of
    earlier calls.
    """

    schema: Mapping[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    instructions: str = ""
    results: tuple[ToolResult, ...] = ()

    @property
    def single_schema(self) -> Mapping[str, Any] | None:
        """The only possible schema of the output, or None if the model has a choice."""
        if self.tools:
            (first, *others) = self.tools
            return first.parameters if self.must_call and not others else None
        return self.schema

    def iter_schemas(self) -> Iterator[Mapping[str, Any]]:
        """Yield the program's schemas."""
        if self.schema is not None:
            yield self.schema
        yield from (tool.parameters for tool in self.tools)
