"""Records of runs, which answer questions in the background, and of run logs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.queue.records import Failure
from ingest.storage.quotas.records import Account

# Extra time in which a run can replay its log and finish; see `build_finish_decision`.
_FINISHING_SECONDS = 30.0


class RunState(StrEnum):
    """The states of a run: `queued → running`, back to `queued` if its worker is lost, then one of four final states.

    A run that has exhausted its budget is `paused` until a user decides how to continue, and then `queued` again.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"  # the run's budget is exhausted; a user extends the budget or ends the run
    COMPLETED = "completed"
    PARTIAL = "partial"  # the answer is unfinished or does not cover the whole scope
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_STATES = frozenset({RunState.COMPLETED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True)
class QuotaRequest:
    """The amounts that a run requests from the quotas of its tenant and key.

    None requests everything that remains.
    """

    account: Account
    tokens: int | None
    nanodollars: int | None


@dataclass(frozen=True)
class RunRequest:
    """A question to be answered in the background.

    `limits` is the budget given by the caller; `unasked` is the default budget if the caller gave none. If
    `every_record` is true, the model must read all records. Requests of a tenant with the same `idempotency_key` create
    only one run.

    `owner` asked the question with the key `key_id` and may see the documents of `readers` (None: all). `filters` are
    conditions on the documents' metadata. `history` contains the earlier messages, each with a `role` and a `text`.
    `conversation` is the value passed by the caller, `new` or an id; `conversation_id` is the conversation in which the
    answer is stored.

    `request` contains the members of a request in another protocol that its replies repeat.

    `wanted` is the amount to reserve from quotas; None reserves nothing. If `pauses` is true, the run waits for a
    user's decision when its budget is exhausted.
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
    request: Mapping[str, Any] | None = None

    @property
    def request_sha256(self) -> str:
        """A digest of the caller's request. It does not depend on the order of collections and documents."""
        scope = sorted(set(self.collections)), sorted(set(self.documents))
        asked: list[object] = [self.question, *scope, self.strategy, self.limits, self.every_record]
        if self.filters:
            asked.append(self.filters)
        if self.conversation is not None:  # the turn in the conversation is not part of the request
            asked.append(self.conversation)
        elif self.history:
            asked.append([dict(message) for message in self.history])
        if self.pauses:
            asked.append({"pauses": True})
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class RunSpending:
    """The usage of finished sub-calls.

    `calls` counts requests sent to a model; `cached` counts replies from the cache, which cost nothing.
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
    that reports progress. If `pauses` is true, the run waits for a user's decision when its budget is exhausted.
    `raised` contains the earlier budgets, one for each increase.
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
    spent: RunSpending
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
    request: Mapping[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED_STATES


@dataclass(frozen=True)
class Resumption:
    """A user's decision on a paused run: its new `limits`, and whether it pauses again at these limits.

    `added` describes the increase for display; it is empty if the run is to finish with its results so far. `raises` is
    the number of previous budget increases. `wanted` is the amount to reserve from quotas now.
    """

    limits: Mapping[str, Any]
    raises: int
    pauses: bool
    added: Mapping[str, Any]
    wanted: QuotaRequest | None = None


def build_finish_decision(run: Run) -> Resumption:
    """Build the decision to finish a paused run with the results found so far.

    If the run has a time limit, the limit is extended, because the log is replayed before the run finishes.
    """
    limits = dict(run.limits)
    if "seconds" in limits:
        limits["seconds"] = max(float(limits["seconds"]), run.seconds) + _FINISHING_SECONDS
    return Resumption(limits, len(run.raised), pauses=False, added={})


@dataclass(frozen=True)
class RunLogEntry:
    """An event to be logged. A run has one event per `key`; logging it again after a resume changes nothing.

    If `progress` is true, the body is shown as the run's progress.
    """

    key: str
    kind: str
    body: Mapping[str, Any]
    spent: RunSpending = RunSpending()
    progress: bool = False


@dataclass(frozen=True)
class RunEvent:
    """An event in the log of a run. `sequence` counts from 1."""

    sequence: int
    kind: str
    body: Mapping[str, Any]
    created_at: float
