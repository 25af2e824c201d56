"""Records of runs, which answer questions in the background, and of their logs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.queue.records import Failure
from ingest.storage.quotas.records import Account

# Time for a run to replay its log and finish; see `build_finish_decision`.
_FINISHING_SECONDS = 30.0


class RunState(StrEnum):
    """The states of a run: `queued → running`, back to `queued` if its worker is lost, then one of four final states.

    A run whose budget is used up is `paused` while it waits for a user's decision, and `queued` again afterwards.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"  # its budget is used up: a user extends it or ends the run
    COMPLETED = "completed"
    PARTIAL = "partial"  # the answer is unfinished or does not cover the whole scope
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_STATES = frozenset({RunState.COMPLETED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True)
class QuotaRequest:
    """The amounts that a run requests from the quotas of a tenant and key; None requests everything that remains."""

    account: Account
    tokens: int | None
    nanodollars: int | None


@dataclass(frozen=True)
class RunRequest:
    """A question to be answered in the background.

    `limits` is the budget that the caller gave; `unasked` is the default budget of a run for which the caller gave
    none. With `every_record`, the model must read all records. Requests of a tenant with the same `idempotency_key`
    create only one run. `owner` asked the question using the key `key_id` and may see the documents of `readers` (None:
    all). `filters` are conditions on documents' metadata. `history` contains the earlier messages, each with a `role`
    and a `text`. `conversation` is what the caller passed, `new` or an id; `conversation_id` is the conversation that
    the answer is stored in. `wanted` is the amount to reserve from quotas; None reserves nothing. With `pauses`, the
    run waits for a user's decision when its budget is used up.
    """

    tenant_id: str
    question: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    strategy: str = "auto"
    limits: Mapping[str, Any] | None = None
    every_record: bool = False
    idempotency_key: str | None = None
    unasked: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, str]] = ()
    conversation: str | None = None
    conversation_id: str | None = None
    wanted: QuotaRequest | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None
    key_id: str | None = None
    readers: frozenset[str] | None = None
    pauses: bool = False

    @property
    def asked_sha256(self) -> str:
        """A digest of the caller's request. The order of collections and documents does not affect it."""
        scope = sorted(set(self.collections)), sorted(set(self.documents))
        asked: list[object] = [self.question, *scope, self.strategy, self.limits, self.every_record]
        if self.filters:
            asked.append(self.filters)
        if self.conversation is not None:  # its turn is not part of the request
            asked.append(self.conversation)
        elif self.history:
            asked.append([dict(message) for message in self.history])
        if self.pauses:
            asked.append({"pauses": True})
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Spent:
    """The usage of finished sub-calls.

    `calls` counts calls that were sent to a model; `cached` counts replies that cost nothing.
    """

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanodollars: int = 0


@dataclass(frozen=True)
class Run:
    """The state of a run. `sequence` orders a tenant's runs; `events` is the number of the last event.

    `scope_documents` and `scope_characters` measure the scope at the start of the run; they are None until then.
    `seconds` is the time that workers have spent on it. `answer` is JSON; `progress` is the body of the latest event
    that reports progress. If `pauses` is true, the run waits for a user's decision when its budget is used up. `raised`
    contains the earlier budgets, one for each time that the budget was raised.
    """

    id: str
    sequence: int
    tenant_id: str
    question: str
    collections: tuple[str, ...]
    documents: tuple[str, ...]
    strategy: str
    limits: Mapping[str, Any]
    every_record: bool
    history: Sequence[Mapping[str, str]]
    conversation_id: str | None
    state: RunState
    attempt: int
    events: int
    spent: Spent
    seconds: float
    progress: Mapping[str, Any] | None
    scope_documents: int | None
    scope_characters: int | None
    answer: Mapping[str, Any] | None
    failure: Failure | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    filters: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None
    key_id: str | None = None
    readers: frozenset[str] | None = None
    pauses: bool = False
    raised: Sequence[Mapping[str, Any]] = ()

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STATES


@dataclass(frozen=True)
class Resumption:
    """A user's decision on a paused run: its new `limits`, and whether it pauses again when they are reached.

    `added` describes the increase for display; it is empty for a run that is to finish with what it has. `raises` is
    the number of times that the budget was raised before. `wanted` is the amount to reserve from quotas now.
    """

    limits: Mapping[str, Any]
    raises: int
    pauses: bool
    added: Mapping[str, Any]
    wanted: QuotaRequest | None = None


def build_finish_decision(run: Run) -> Resumption:
    """Build the decision to finish a paused run with what it has found so far.

    If the run's time is limited, it gets some more, because the work so far is replayed from the log before it
    finishes.
    """
    limits = dict(run.limits)
    if "seconds" in limits:
        limits["seconds"] = max(float(limits["seconds"]), run.seconds) + _FINISHING_SECONDS
    return Resumption(limits, len(run.raised), pauses=False, added={})


@dataclass(frozen=True)
class RunLogEntry:
    """An event to be logged. A run has one event per `key`; logging it again after a resume changes nothing.

    With `progress`, the body becomes the progress that is shown for the run.
    """

    key: str
    kind: str
    body: Mapping[str, Any]
    spent: Spent = Spent()
    progress: bool = False


@dataclass(frozen=True)
class RunEvent:
    """An event in the log of a run. `sequence` counts from 1."""

    sequence: int
    kind: str
    body: Mapping[str, Any]
    created_at: float
