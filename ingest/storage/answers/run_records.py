"""Runs: questions that are answered in the background, and their logs, as the catalog stores them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.storage.queue.records import Failure
from ingest.storage.quotas.records import Account

_FINISHING_SECONDS = 30.0


class RunState(StrEnum):
    """The life of a run: `queued → running`, back again when its worker is lost, and one of the four ends.

    One that waits when its budget is met is `paused` then, and `queued` once a person said what to do.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"  # its budget is met, and a person adds to it or ends it
    COMPLETED = "completed"
    PARTIAL = "partial"  # the answer was not finished, or covers less than the scope
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_STATES = frozenset({RunState.COMPLETED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True)
class QuotaRequest:
    """What a run wants of the quotas of a tenant and a key: None for all that is left."""

    account: Account
    tokens: int | None
    nanodollars: int | None


@dataclass(frozen=True)
class RunRequest:
    """A question to be answered in the background.

    `limits` is the budget that the caller gave, and `unasked` the budget of a run without one. With `every_record` the
    model has to read all records. Requests of a tenant with the same `idempotency_key` make one run. `owner` asked with
    the key `key_id`, and may see the documents of `readers` (None: all); `filters` are conditions on documents'
    metadata. `history` is what was said before, messages of a `role` and a `text`. `conversation` is what the caller
    named, `new` or an id, and `conversation_id` the one that the answer goes into. `wanted` is what it counts on whose
    quotas; None counts on none. With `pauses` the run waits for a person when its budget is met.
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
        """A digest of everything that the caller asked for, whatever the order of collections and documents."""
        scope = sorted(set(self.collections)), sorted(set(self.documents))
        asked: list[object] = [self.question, *scope, self.strategy, self.limits, self.every_record]
        if self.filters:
            asked.append(self.filters)
        if self.conversation is not None:  # its turns are not what the caller sent, and more of them may come
            asked.append(self.conversation)
        elif self.history:
            asked.append([dict(message) for message in self.history])
        if self.pauses:
            asked.append({"pauses": True})
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Spent:
    """Usage of finished sub-calls. `calls` were sent to a model; `cached` ones cost nothing."""

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanodollars: int = 0


@dataclass(frozen=True)
class Run:
    """A run as it stands. `sequence` orders a tenant's runs; `events` is the number of the last event.

    `scope_documents` and `scope_characters` count the scope when the run began; None before. `seconds` is the time that
    workers have spent on it. `answer` is JSON, `progress` the body of the latest event that reports progress. `pauses`
    says that it waits for a person when its budget is met, and `raised` has the budgets before each that was raised.
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
    """What a person decides on a paused run: its `limits` from now on, and whether it waits again at their end.

    `added` says for people what was added, empty for a run that is to end with what it has. `raises` is how often its
    budget was raised before. `wanted` is what it counts on whose quotas now.
    """

    limits: Mapping[str, Any]
    raises: int
    pauses: bool
    added: Mapping[str, Any]
    wanted: QuotaRequest | None = None


def build_finish_decision(run: Run) -> Resumption:
    """Return the decision that a paused run ends with what it has.

    Where its time is limited it gets some more, because its work so far is gone through again before it ends.
    """
    limits = dict(run.limits)
    if "seconds" in limits:
        limits["seconds"] = max(float(limits["seconds"]), run.seconds) + _FINISHING_SECONDS
    return Resumption(limits, len(run.raised), pauses=False, added={})


@dataclass(frozen=True)
class RunLogEntry:
    """An event to be logged. A run has one event for each `key`: logging it again, after a resume, changes nothing.

    With `progress`, the body becomes the progress that the run shows.
    """

    key: str
    kind: str
    body: Mapping[str, Any]
    spent: Spent = Spent()
    progress: bool = False


@dataclass(frozen=True)
class RunEvent:
    """An event in the log of a run; `sequence` counts from 1."""

    sequence: int
    kind: str
    body: Mapping[str, Any]
    created_at: float
