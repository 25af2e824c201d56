"""Reads questions of OpenAI's protocols: a client's messages, and options that these protocols have no place for."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.answers.schemas import BudgetIn, MessageIn, QuestionIn
from api.http.problems import BadRequestError
from api.http.wire import Wire
from api.openai.models import ChosenModel
from rlm.requests import StrategyName, check_question

_MAX_MESSAGES = 1_000
_TEXT_PARTS = ("text", "input_text", "output_text")
_REFUSAL = "refusal"  # what other models answered instead of a text


class Lenient(BaseModel):
    """The base of requests: members that are not known here are for other servers, and are left aside."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class PartIn(Lenient):
    """A part of a message: text, since all other kinds are refused."""

    type: str = "text"
    text: str | None = None


class TurnIn(Lenient):
    """A message. Of those by `system` and `developer` nothing is taken: what an answer must be like is ours to say."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer", "tool", "function"] | None = None
    content: str | list[PartIn] | None = None


class OptionsIn(Wire):
    """Options of a question that OpenAI's protocols have no place for, as in `POST /v1/answers`."""

    collections: list[str] = Field(default_factory=list, max_length=100)
    documents: list[str] = Field(default_factory=list, max_length=1000)
    filters: dict[str, Any] = Field(default_factory=dict)
    budget: BudgetIn | None = None
    confirm: bool = False
    every_record: bool = False


def build_question(
    turns: list[TurnIn], model: ChosenModel, options: OptionsIn | None, *, conversation: str | None = None
) -> QuestionIn:
    """Make a question of the messages, of which the last by the user is asked.

    Raises `BadRequestError`, and `EmptyQuestionError` if that one has no text.
    """
    options = options or OptionsIn()
    spoken = [turn for turn in turns if turn.role in ("user", "assistant") and turn.type == "message"]
    while spoken and spoken[-1].role != "user":
        spoken.pop()
    if not spoken:
        raise BadRequestError("There is no message by the user.", hint="Send one whose `role` is `user`, with text.")
    check_question(_extract_text(spoken[-1]))
    said = [MessageIn(role=turn.role, content=text) for turn in spoken if (text := _extract_text(turn)).strip()]
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
    if len(said) == 1 or conversation is not None:
        return QuestionIn(question=said[-1].content, conversation=conversation, **asked)
    return QuestionIn(messages=said[-_MAX_MESSAGES:], **asked)


def refuse_tools(tools: list[dict[str, Any]], choice: object) -> None:
    """Refuse what only a client's own tools could answer; tools that may be left alone are left alone.

    Raises `BadRequestError`.
    """
    named = isinstance(choice, dict) and choice.get("type") not in ("file_search", "allowed_tools")
    required = choice == "required" and not any(each.get("type") == "file_search" for each in tools)
    if required or named:
        raise BadRequestError(
            "Leadline answers from documents and calls no tools of the client.",
            hint="Leave `tool_choice` out or send `auto`.",
            at="tool_choice",
        )


def refuse_form(form: Mapping[str, Any] | None) -> None:
    """Refuse an answer in a form that a client's schema gives. Raises `BadRequestError`."""
    if form and form.get("type", "text") != "text":
        raise BadRequestError(
            "Answers are Markdown with citations, and are not written by a schema.",
            hint="Ask for text; the member `leadline` of the reply has the answer for programs.",
        )


def _extract_text(turn: TurnIn) -> str:
    """Return what a message says. Raises `BadRequestError` for a part that is no text, which would go unread."""
    if isinstance(turn.content, str) or turn.content is None:
        return turn.content or ""
    for part in turn.content:
        # guard: non-text-part-refused
        if part.type not in (*_TEXT_PARTS, _REFUSAL):
            raise BadRequestError(
                f"A message has a part `{part.type[:100]}`, and of messages text alone is read.",
                hint="Upload the file first, with POST /v1/files and into a vector store or with POST /v1/documents, "
                "and ask about it in text.",
                at="content",
            )
    return "\n".join(part.text for part in turn.content if part.type in _TEXT_PARTS and part.text)
