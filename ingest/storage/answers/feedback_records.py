"""What people say of answers, and links by which they show them to others of their tenant."""

from dataclasses import dataclass
from enum import StrEnum

MAX_COMMENT_CHARS = 4_000


class Rating(StrEnum):
    """A thumb."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Verdict:
    """What one person says of an answer: a thumb, a comment, and what is wrong.

    `sentences` are numbers of the answer's sentences, from 1 in their order; `citations` are numbers of its citations.
    """

    rating: Rating
    comment: str = ""
    sentences: tuple[int, ...] = ()
    citations: tuple[int, ...] = ()


@dataclass(frozen=True)
class FeedbackEntry:
    """Feedback as it is kept, with what it is about. `sequence` orders a tenant's feedback."""

    id: str
    sequence: int
    answer_id: str
    conversation_id: str | None
    author: str
    verdict: Verdict
    question: str
    strategy: str
    model: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class FeedbackFilter:
    """Conditions on feedback; None is any. `since` is included and `until` is not, both seconds since the epoch."""

    rating: Rating | None = None
    answer_id: str | None = None
    author: str | None = None
    commented: bool | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class Share:
    """A link to a conversation or to a run, whichever is not None, until `ends_at`; `owner` made it."""

    id: str
    sequence: int
    tenant_id: str
    conversation_id: str | None
    run_id: str | None
    owner: str
    created_at: float
    ends_at: float
