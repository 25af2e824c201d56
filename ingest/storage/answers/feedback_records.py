"""Records of feedback on answers, and of links that share a conversation or run with others in the tenant."""

from dataclasses import dataclass
from enum import StrEnum

MAX_COMMENT_CHARS = 4_000


class Rating(StrEnum):
    """Thumbs up or thumbs down."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Verdict:
    """One person's feedback on an answer: a thumb, a comment, and the sentences and citations that are wrong.

    `sentences` holds numbers of the answer's sentences, in order from 1. `citations` holds numbers of its citations.
    """

    rating: Rating
    comment: str = ""
    sentences: tuple[int, ...] = ()
    citations: tuple[int, ...] = ()


@dataclass(frozen=True)
class FeedbackEntry:
    """Stored feedback with the answer that it is about. `sequence` orders a tenant's feedback."""

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
    """Conditions on feedback; None matches all.

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
    """A link to a conversation or a run (the id that is not None), created by `owner` and valid until `ends_at`."""

    id: str
    sequence: int
    tenant_id: str
    conversation_id: str | None
    run_id: str | None
    owner: str
    created_at: float
    ends_at: float
