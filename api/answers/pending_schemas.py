"""Wire models for answers in progress."""

from typing import Any, Self

from pydantic import Field

from api.http.wire import Instant, Wire
from ingest.storage.answers.pending_records import PendingAnswer


class PendingAnswerOut(Wire):
    """A question of a conversation whose answer is in progress, or that ended without an answer.

    `id` is the id that the answer gets. `state` is `running`, `cancelled`, `failed`, or `interrupted` if the service
    was stopped or restarted in the meantime; `completed` if a repeated request finds its answer stored.
    `problem` says why the answer failed. `options` are the members of the question that determine how it is answered.
    `usual_seconds` is the median duration of the latest answers of this installation, by strategy; strategies without
    recent answers are omitted. `seconds` is the time since the question was asked.
    """

    id: str
    conversation: str
    question: str
    state: str
    options: dict[str, Any] = Field(default_factory=dict)
    problem: dict[str, Any] | None = None
    usual_seconds: dict[str, float] = Field(default_factory=dict)
    seconds: float = 0.0
    created_at: Instant

    @classmethod
    def from_pending(cls, pending: PendingAnswer, usual_seconds: dict[str, float]) -> Self:
        return cls(
            id=pending.id,
            conversation=pending.conversation_id,
            question=pending.question,
            state=pending.state.value,
            options=dict(pending.options),
            problem=None if pending.problem is None else dict(pending.problem),
            usual_seconds=usual_seconds,
            seconds=pending.seconds,
            created_at=pending.created_at,
        )
