"""Records of questions whose answers are in progress, or that ended without an answer."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from ingest.storage.accounts.records import Asker

# Time after which an answer without a sign of life counts as interrupted. Its process writes one every second.
LAPSE_SECONDS = 20.0
# An answer during which the process was killed this many times is not started again: the question itself may be the
# cause. An orderly shutdown does not count.
MAX_ATTEMPTS = 3


class PendingState(StrEnum):
    """The states of a question without an answer. An answered question is no longer pending."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # The process that worked on the answer was stopped or restarted.


@dataclass(frozen=True)
class AnswerLease:
    """A process's permission to work on an answer. It ends when the answer ends or another process takes it up.

    `token` is unique, so that a process that lost its lease can no longer change the answer.
    """

    tenant_id: str
    answer_id: str
    token: str

    @classmethod
    def create(cls, tenant_id: str, answer_id: str) -> Self:
        return cls(tenant_id, answer_id, str(uuid.uuid4()))


@dataclass(frozen=True)
class NewPendingAnswer:
    """A question whose answer has just been started. `id` is the id that its answer gets.

    `readers` are the subjects whose documents the author may read (None: all). `options` are the members of the request
    that determine how the question is answered. Without `asker`, an interrupted answer is not taken up again.
    `request` contains the members of the request that the protocol's replies repeat.
    """

    id: str
    tenant_id: str
    conversation_id: str
    question: str
    owner: str | None = None
    readers: frozenset[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    asker: Asker | None = None
    request: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PendingAnswer(NewPendingAnswer):
    """The state of a question without an answer.

    `events` is the number of the last event. `problem` says why the answer failed. `seconds` is the time since the
    question was asked. `attempt` counts from 1, and `lease` is the token of the process that works on the answer.
    """

    state: PendingState = PendingState.RUNNING
    events: int = 0
    problem: Mapping[str, Any] | None = None
    created_at: float = 0.0
    seconds: float = 0.0
    attempt: int = 1
    lease: str | None = None

    def is_readable_by(self, readers: frozenset[str] | None) -> bool:
        """Return whether these readers may see the events: they may read everything that the author may read."""
        return readers is None or (self.readers is not None and self.readers <= readers)


@dataclass(frozen=True)
class PendingEvent:
    """An event of an answer in progress. `sequence` counts from 1."""

    sequence: int
    kind: str
    body: Mapping[str, Any]
