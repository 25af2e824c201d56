"""Parses questions in OpenAI's protocols: the client's messages, and options that these protocols lack."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

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


class TurnIn(LenientModel):
    """A message. `system` and `developer` messages are ignored, because the service decides how answers are written."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer", "tool", "function"] | None = None
    content: str | list[PartIn] | None = None


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
    }
    if len(messages) == 1 or conversation is not None:
        return QuestionIn(question=messages[-1].content, conversation=conversation, **asked)
    return QuestionIn(messages=messages[-_MAX_MESSAGES:], **asked)


def reject_required_tools(tools: list[dict[str, Any]], tool_choice: object) -> None:
    """Raise `BadRequestError` if the request requires the model to call one of the client's own tools.

    Optional tools are ignored.
    """
    named = isinstance(tool_choice, dict) and tool_choice.get("type") not in ("file_search", "allowed_tools")
    required = tool_choice == "required" and not any(each.get("type") == "file_search" for each in tools)
    if required or named:
        raise BadRequestError(
            "Leadline answers from documents and does not call client tools.",
            hint="Omit `tool_choice` or send `auto`.",
            field_path="tool_choice",
        )


def reject_structured_output(text_format: Mapping[str, Any] | None) -> None:
    """Raise `BadRequestError` if the request asks for structured output."""
    if text_format and text_format.get("type", "text") != "text":
        raise BadRequestError(
            "Answers are Markdown with citations; structured output is not supported.",
            hint="Request the format `text`; the response field `leadline` contains the answer in machine-readable "
            "form.",
        )


def extract_text(message: TurnIn) -> str:
    """Return the text of a message. Raises `BadRequestError` for other parts, which would otherwise be ignored."""
    if isinstance(message.content, str) or message.content is None:
        return message.content or ""
    for part in message.content:
        # guard: non-text-part-refused
        if part.type not in (*_TEXT_PARTS, _REFUSAL):
            raise BadRequestError(
                f"A message has a part of type `{part.type[:100]}`, but only text is supported.",
                hint="Upload the file first (with POST /v1/files and a vector store, or with POST /v1/documents), then "
                "ask about it in text.",
                field_path="content",
            )
    return "\n".join(part.text for part in message.content if part.type in _TEXT_PARTS and part.text)
