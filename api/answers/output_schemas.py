"""Schemas of the form that a program requests for an answer, and of the answer in that form."""

from typing import Any

from pydantic import Field

from api.http.wire import Wire
from rlm.answers import OutputKind
from rlm.output_forms import OutputForm, Tool, ToolResult


class ToolIn(Wire):
    """A tool of the program. `parameters` is the JSON schema of its arguments."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    description: str = Field("", max_length=20_000)
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class ToolResultIn(Wire):
    """The result of a call of a tool. `arguments` is JSON."""

    tool: str = Field(max_length=100)
    arguments: str = Field("", max_length=20_000)
    text: str = Field(max_length=50_000)


class OutputIn(Wire):
    """The form of an answer for programs.

    `json_schema` is the schema of a JSON value. `tools` are tools that the model can call instead; with `must_call`, it
    has to call one. `instructions` describe the value in words. `results` are those of earlier calls for this question.
    """

    json_schema: dict[str, Any] | None = None
    tools: list[ToolIn] = Field(default_factory=list, max_length=128)
    must_call: bool = False
    instructions: str = Field("", max_length=50_000)
    results: list[ToolResultIn] = Field(default_factory=list, max_length=100)

    def to_form(self) -> OutputForm | None:
        """Return the form, or None if it asks for nothing."""
        if self.json_schema is None and not self.tools and not self.results:
            return None
        return OutputForm(
            self.json_schema,
            tuple(Tool(each.name, each.description, each.parameters) for each in self.tools),
            self.must_call and bool(self.tools),
            self.instructions,
            tuple(ToolResult(each.tool, each.arguments, each.text) for each in self.results),
        )


class OutputOut(Wire):
    """An answer in the requested form.

    `text` is JSON (`json`), the arguments of the called `tool` as JSON (`call`), text that the results of tools add to
    the answer (`addition`), or the reason why the answer does not have the form (`refusal`).
    """

    kind: OutputKind
    text: str
    tool: str = ""
