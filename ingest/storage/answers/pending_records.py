"""Records of questions whose answers are in progress, or that ended without an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# Time after which an answer without a sign of life counts as interrupted. Its process writes one every second.
LAPSE_SECONDS = 20.0


class PendingState(StrEnum):
    """The states of a question without an answer. An answered question is no longer pending."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # The process that worked on the answer was stopped or restarted.


@dataclass(frozen=True)
class NewPendingAnswer:
    """A question whose answer has just been started. `id` is the id that its answer gets.

    `readers` are the subjects whose documents the author may read (None: all). `options` are the members of the request
    that determine how the question is answered.
    """

    id: str
    tenant_id: str
    conversation_id: str
    question: str
    owner: str | None = None
    readers: frozenset[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PendingAnswer(NewPendingAnswer):
    """The state of a question without an answer.

    `events` is the number of the last event. `problem` says why the answer failed. `seconds` is the time since the
    question was asked.
    """

    state: PendingState = PendingState.RUNNING
    events: int = 0
    problem: Mapping[str, Any] | None = None
    created_at: float = 0.0
    seconds: float = 0.0

    def is_readable_by(self, readers: frozenset[str] | None) -> bool:
        """Return whether these readers may see the events: they may read everything that the author may read."""
        return readers is None or (self.readers is not None and self.readers <= readers)


@dataclass(frozen=True)
class PendingEvent:
    """An event of an answer in progress. `sequence` counts from 1."""

    sequence: int
    kind: str
    body: Mapping[str, Any]
