"""A caller's request: the question, the preceding conversation, the scope, and options for the answer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal

from ingest.storage.documents.records import UsedVersions, generate_work_id
from rlm.errors import AnswerError
from rlm.llm.budgets import Limits
from rlm.output_forms import OutputForm

# Maximum length of a question. It is about 1,000 tokens, which is an eighth of the smallest supported context window
# and leaves the rest for passages. Queries of searches may be longer.
MAX_QUESTION_CHARS = 4_000


class StrategyName(StrEnum):
    """The ways to produce an answer. `auto` leaves the choice to the router."""

    AUTO = "auto"
    DIRECT = "direct"
    TABLE = "table"
    RECURSIVE = "recursive"


@dataclass(frozen=True)
class AnswerScope:
    """The collections and documents that an answer may use, or all of the tenant's documents if none is named.

    `filters` are conditions on documents' metadata, in the format of `ingest.storage.documents.filters`. `readers` are
    the subjects of the asking principal and restrict every search, corpus and tool. If it is None, every document of
    the tenant is visible.
    """

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    readers: frozenset[str] | None = None

    @property
    def audience(self) -> str:
        """A key shared by all users who may see the same documents.

        Cached results are not shared between audiences.
        """
        if self.readers is None:
            return ""
        return hashlib.sha256("\0".join(sorted(self.readers)).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class EarlierMessage:
    """An earlier message in the conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class AnswerOptions:
    """Options for producing an answer.

    `confirm` accepts the cost, and `budget` limits it. With `every_record` the model reads all records of a large
    table, and documents whole. Otherwise, a classifier labels the records that it is sure of, and the model reads
    passages of long documents.
    """

    strategy: StrategyName = StrategyName.AUTO
    confirm: bool = False
    budget: Limits | None = None
    every_record: bool = False

    @property
    def limits(self) -> Limits | None:
        """The budget as limits, or None if the budget limits nothing."""
        return None if self.budget == Limits() else self.budget


DEFAULT_OPTIONS = AnswerOptions()


@dataclass(frozen=True)
class AnswerRequest:
    """A question, the conversation before it (oldest message first), its scope, and options for the answer.

    `used` records the versions whose content the answer receives. It belongs to the caller, who stores these versions
    with the answer. `form` is the form that a program requests for the answer.
    """

    question: str
    scope: AnswerScope
    history: tuple[EarlierMessage, ...] = ()
    wanted: AnswerOptions = DEFAULT_OPTIONS
    used: UsedVersions = field(default_factory=lambda: UsedVersions(generate_work_id()), compare=False)
    form: OutputForm | None = None


class QuestionError(AnswerError):
    """The question is not valid. Nothing was searched or read."""

    code: ClassVar[str] = "question_invalid"


class EmptyQuestionError(QuestionError):
    """The question contains no letter and no digit."""

    code = "question_empty"
    default_hint = "Enter a question with at least one word."


class QuestionTooLongError(QuestionError):
    """The question is longer than `MAX_QUESTION_CHARS`."""

    code = "question_too_long"
    default_hint = "Shorten the question, or upload the long text as a document and ask about the document."


def normalize_question(question: str) -> str:
    """Return the question without surrounding white space and without characters that databases reject.

    Raises `EmptyQuestionError` or `QuestionTooLongError` if the question is empty or too long.
    """
    if len(question) > MAX_QUESTION_CHARS:
        raise QuestionTooLongError(
            f"The question has {len(question):,} characters, and the limit is {MAX_QUESTION_CHARS:,}."
        )
    if not any(char.isalnum() for char in question):
        raise EmptyQuestionError("The question is empty.")
    return question.replace("\0", " ").strip()
