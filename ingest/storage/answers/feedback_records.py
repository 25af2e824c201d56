"""Records of feedback on answers, and of links that share a conversation or run within the tenant."""

from dataclasses import dataclass
from enum import StrEnum

MAX_COMMENT_CHARS = 4_000


class Rating(StrEnum):
    """A rating of an answer: thumbs up or thumbs down."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Verdict:
    """One author's feedback on an answer: a rating, a comment, and the sentences and citations marked as wrong.

    `sentences` holds the numbers of the wrong sentences, counted from 1, and `citations` the numbers of the wrong
    citations.
    """

    rating: Rating
    comment: str = ""
    sentences: tuple[int, ...] = ()
    citations: tuple[int, ...] = ()


@dataclass(frozen=True)
class FeedbackEntry:
    """Stored feedback and the answer it refers to.

    `sequence` orders a tenant's feedback.
    """

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
    """Conditions on feedback. A condition that is None matches all feedback.

    `since` (inclusive) and `until` (exclusive) are seconds since the epoch.
    """

    rating: Rating | None = None
    answer_id: str | None = None
    author: str | None = None
    commented: bool | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class Share:
    """A link to a conversation or a run, created by `owner` and valid until `ends_at`.

    Exactly one of `conversation_id` and `run_id` is set.
    """

    id: str
    sequence: int
    tenant_id: str
    conversation_id: str | None
    run_id: str | None
    owner: str
    created_at: float
    ends_at: float
