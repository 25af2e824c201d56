"""Parses questions in OpenAI's protocols: the client's messages, and options that these protocols lack."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.answers.output_schemas import OutputIn
from api.answers.schemas import BudgetIn, MessageIn, QuestionIn
from api.http.problems import BadRequestError
from api.http.wire import Wire
from api.openai.models import ChosenModel
from rlm.requests import QuestionError, StrategyName, normalize_question

_MAX_MESSAGES = 1_000
_TEXT_PARTS = ("text", "input_text", "output_text")
_REFUSAL = "refusal"  # Type of a part with another model's refusal, which replaces the text.


class NullableModel(BaseModel):
    """The base class of models whose optional members may be null, which means the same as omitting them.

    OpenAI's schema declares most optional members as nullable, and many clients send null for everything that is not
    set.
    """

    @model_validator(mode="before")
    @classmethod
    def _omit_null_members(cls, value: Any) -> Any:  # noqa: ANN401 - not validated yet
        if not isinstance(value, Mapping):
            return value
        omitted = {
            name
            for name, field in cls.model_fields.items()
            if value.get(name, ...) is None and not field.is_required() and NoneType not in get_args(field.annotation)
        }
        return {name: member for name, member in value.items() if name not in omitted}


class LenientModel(NullableModel):
    """The base class of requests in OpenAI's protocols. Unknown fields are ignored, as other servers do."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class PartIn(LenientModel):
    """A part of a message. Only text is supported; parts of other kinds are rejected."""

    type: str = "text"
    text: str | None = None


class CalledFunctionIn(LenientModel):
    """A function that the model called. `arguments` is JSON."""

    name: str = Field(max_length=200)
    arguments: str = ""


class ToolCallIn(LenientModel):
    """A call of a tool in a message of the assistant."""

    id: str = Field(max_length=200)
    function: CalledFunctionIn


class TurnIn(LenientModel):
    """A message, or in responses also a call of a tool (`function_call`) or its result (`function_call_output`).

    `system` and `developer` messages do not change how answers are written.
    """

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer", "tool", "function"] | None = None
    content: str | list[PartIn] | None = None
    tool_calls: list[ToolCallIn] | None = Field(None, max_length=100)
    tool_call_id: str | None = Field(None, max_length=200)
    call_id: str | None = Field(None, max_length=200)
    name: str | None = Field(None, max_length=200)
    arguments: str | None = None
    output: str | list[PartIn] | None = None


class OptionsIn(NullableModel, Wire):
    """Options that OpenAI's protocols lack. They have the same meaning as in `POST /v1/answers`."""

    collections: list[str] = Field(default_factory=list, max_length=100)
    documents: list[str] = Field(default_factory=list, max_length=1000)
    filters: dict[str, Any] = Field(default_factory=dict)
    budget: BudgetIn | None = None
    confirm: bool = False
    every_record: bool = False


def build_question(
    input_messages: list[TurnIn],
    model: ChosenModel,
    options: OptionsIn | None,
    *,
    field: str,
    conversation: str | None = None,
    output: OutputIn | None = None,
) -> QuestionIn:
    """Build a question from the messages in the request's `field`. The last user message is the question.

    Raises `BadRequestError` if there is no user message or a part of a message is not text, and `EmptyQuestionError` if
    the last user message has no text.
    """
    options = options or OptionsIn()
    spoken = [turn for turn in input_messages if turn.role in ("user", "assistant") and turn.type == "message"]
    while spoken and spoken[-1].role != "user":
        spoken.pop()
    if not spoken:
        raise BadRequestError(
            "The request has no user message.",
            hint="Send a message that has the role `user` and contains text.",
            field_path=field,
        )
    try:
        normalize_question(extract_text(spoken[-1]))
    except QuestionError as error:
        error.at = field
        raise
    messages = [MessageIn(role=turn.role, content=text) for turn in spoken if (text := extract_text(turn)).strip()]
    collections = [model.collection] if model.collection else options.collections
    asked: dict[str, Any] = {
        "collections": collections,
        "documents": options.documents,
        "filters": options.filters,
        **({} if model.strategy is StrategyName.AUTO else {"strategy": model.strategy}),
        "budget": options.budget,
        "confirm": options.confirm,
        "every_record": options.every_record,
        "output": output,
    }
    if len(messages) == 1 or conversation is not None:
        return QuestionIn(question=messages[-1].content, conversation=conversation, **asked)
    return QuestionIn(messages=messages[-_MAX_MESSAGES:], **asked)


def extract_text(message: TurnIn) -> str:
    """Return the text of a message or of a tool's result.

    Raises `BadRequestError` for other parts, which would otherwise be ignored.
    """
    content = message.content if message.output is None else message.output
    if isinstance(content, str) or content is None:
        return content or ""
    for part in content:
        # guard: non-text-part-refused
        if part.type not in (*_TEXT_PARTS, _REFUSAL):
            raise BadRequestError(
                f"A message has a part of type `{part.type[:100]}`, but only text is supported.",
                hint="Upload the file first (with POST /v1/files and a vector store, or with POST /v1/documents), then "
                "ask about it in text.",
                field_path="content",
            )
    return "\n".join(part.text for part in content if part.type in _TEXT_PARTS and part.text)
