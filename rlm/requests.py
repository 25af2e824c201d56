"""What a caller asks: a question and what was said before it, over which documents, and how the answer is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from rlm.errors import AnswerError
from rlm.llm.budgets import Limits

# About 1,000 tokens: an eighth of the smallest window served, so that passages keep the rest; searching allows more.
MAX_QUESTION_CHARS = 4_000


class StrategyName(StrEnum):
    """How an answer may be made; `auto` leaves it to the router."""

    AUTO = "auto"
    DIRECT = "direct"
    TABLE = "table"
    RECURSIVE = "recursive"


@dataclass(frozen=True)
class AnswerScope:
    """A tenant's collections and documents, all of them where none is named; an answer can cite nothing else."""

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """Something that was said earlier in the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Wanted:
    """How a caller wants an answer made.

    `confirm` says that the cost is accepted, `budget` the most it may be. With `every_record` the model reads all
    records of a large table, where else a classifier labels those that it is sure of.
    """

    strategy: StrategyName = StrategyName.AUTO
    confirm: bool = False
    budget: Limits | None = None
    every_record: bool = False

    @property
    def limits(self) -> Limits | None:
        """The budget; None where it limits nothing, which says nothing."""
        return None if self.budget == Limits() else self.budget


ANYHOW = Wanted()


@dataclass(frozen=True)
class AnswerRequest:
    """A question, what was said before it (oldest first), its scope, and how the answer is wanted."""

    question: str
    scope: AnswerScope
    history: tuple[Message, ...] = ()
    wanted: Wanted = ANYHOW


class QuestionError(AnswerError):
    """The question cannot be answered as it is; nothing was searched or read."""

    code: ClassVar[str] = "question_invalid"


class EmptyQuestionError(QuestionError):
    """The question has no letter and no digit."""

    code = "question_empty"
    default_hint = "Ask with at least one word."


class QuestionTooLongError(QuestionError):
    """The question is longer than `MAX_QUESTION_CHARS`."""

    code = "question_too_long"
    default_hint = "Shorten the question, or upload the long text as a document and ask about it."


def check_question(question: str) -> str:
    """The question without white space around it, and without what no database takes.

    Raises `EmptyQuestionError` or `QuestionTooLongError`.
    """
    if len(question) > MAX_QUESTION_CHARS:
        raise QuestionTooLongError(
            f"The question has {len(question):,} characters, and the limit is {MAX_QUESTION_CHARS:,}."
        )
    if not any(char.isalnum() for char in question):
        raise EmptyQuestionError("The question is empty.")
    return question.replace("\0", " ").strip()


def said(history: Sequence[Message]) -> str:
    """A conversation as one text, a paragraph for each message."""
    return "\n\n".join(f"{'User' if each.role == 'user' else 'Assistant'}: {each.text}" for each in history)
