"""Runs on the wire."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Self

from pydantic import Field

from api.answers.schemas import AnswerOut, CoverageOut
from api.documents.schemas import Reason
from api.http.wire import Instant, Wire
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.quotas.records import NANODOLLARS
from rlm.answers import convert_to_json

# Shown characters of a sub-call's reply; the log has all of it, for resuming.
_MAX_REPLY_CHARS = 2_000
# Members that are logged only for resuming.
_HIDDEN_MEMBERS = frozenset({"found", "at"})


class RunUsageOut(Wire):
    """Usage of finished sub-calls so far; `cached` ones cost nothing. `dollars` are 0 where no price is known."""

    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


class ScopeOut(Wire):
    """The documents that the run is about: those that were searchable when it began."""

    documents: int
    characters: int


class RunOut(Wire):
    """A run. `queue_position` counts those before it while it waits; `seconds` is the time it was worked at.

    `conversation` is the one that the answer goes into, and `history` counts the messages before the question.
    `progress` is the latest thing it said of how far it is, `events` the number of things that were logged. `attempt`
    counts from the last one in which a sub-call was finished that no earlier one had. A `paused` run has met its
    `budget` and waits: its `progress` says what was met.
    """

    id: str
    question: str
    collections: list[str]
    documents: list[str]
    filters: dict[str, Any]
    strategy: str
    budget: dict[str, Any] = Field(validation_alias="limits")
    every_record: bool
    pause_on_budget: bool = Field(validation_alias="pauses")
    conversation: str | None = Field(validation_alias="conversation_id")
    history: int
    state: RunState
    attempt: int
    queue_position: int | None = None
    progress: dict[str, Any] | None
    events: int
    usage: RunUsageOut
    scope: ScopeOut | None
    coverage: CoverageOut | None
    seconds: float
    failure: Reason | None
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None

    @classmethod
    def from_run(cls, run: Run, *, queue_position: int | None = None, withheld: bool = False) -> Self:
        """Make it from a run; one that is `withheld` does not show its progress, which names documents."""
        return cls.from_records(run, **_compute_members(run, withheld=withheld), queue_position=queue_position)


class RunWithAnswerOut(RunOut):
    """A run with its answer, when it has one."""

    answer: AnswerOut | None

    @classmethod
    def from_run(
        cls, run: Run, *, queue_position: int | None = None, deleted: Collection[str] = (), withheld: bool = False
    ) -> Self:
        """Make it from a run; `deleted` are the ids of documents that are no longer shown."""
        answer = _build_answer(run, deleted)
        return cls.from_records(
            run, **_compute_members(run, withheld=withheld), queue_position=queue_position, answer=answer
        )


# Kinds of events that say nothing of any document.
_TEXTLESS_KINDS = frozenset({"start", "resume", "paused", "budget", "raised", "end"})


class MoreIn(Wire):
    """What is added to the budget of a run that is paused: to limits that it has, and to one of them at least."""

    calls: int | None = Field(None, gt=0, examples=[200])
    prompt_tokens: int | None = Field(None, gt=0)
    completion_tokens: int | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0, description="Read and written together.")
    dollars: Decimal | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False, examples=[600])


class RunPage(Wire):
    """A page of runs, newest first; `next_cursor` is None on the last one."""

    runs: list[RunOut]
    next_cursor: str | None


class RunEventOut(Wire):
    """An event of a run. `kind` decides the members of `body`."""

    sequence: int
    kind: str
    at: Instant
    body: dict[str, Any]

    @classmethod
    def from_event(cls, event: RunEvent, *, withheld: bool = False, whole: bool = False) -> Self:
        """Make it from an event; `withheld` leaves out what may have come from documents, and says so.

        Replies of models are cut, unless the `whole` of them is wanted.
        """
        is_open = not withheld or event.kind in _TEXTLESS_KINDS
        shown = convert_to_json(_shorten_body(event.body, whole=whole)) if is_open else {"withheld": True}
        return cls(sequence=event.sequence, kind=event.kind, at=event.created_at, body=shown)


class RunEndOut(RunEventOut):
    """The last event of a run as it is followed: with the run, and its answer if there is one."""

    run: RunWithAnswerOut


class RunEventPage(Wire):
    """A page of events in the order in which they were logged; `next_cursor` is None on the last one of an ended run.

    Events may follow later while the run goes on.
    """

    events: list[RunEventOut]
    next_cursor: str | None


def _compute_members(run: Run, *, withheld: bool) -> dict[str, Any]:
    coverage = (run.answer or {}).get("coverage")
    scope = None
    if run.scope_documents is not None:
        scope = ScopeOut(documents=run.scope_documents, characters=run.scope_characters or 0)
    return {
        "history": len(run.history),
        "progress": None if withheld or not run.progress else convert_to_json(run.progress),
        "usage": RunUsageOut.from_records(run.spent, dollars=run.spent.nanodollars / NANODOLLARS),
        "scope": scope,
        "coverage": coverage and CoverageOut.model_validate(coverage, extra="ignore"),
        "seconds": round(run.seconds, 3),
    }


def _build_answer(run: Run, deleted: Collection[str]) -> AnswerOut | None:
    if run.answer is None:
        return None
    return AnswerOut.from_body(run.answer, identifier=run.id, conversation=run.conversation_id, deleted=deleted)


def _shorten_body(body: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    shown = {name: value for name, value in body.items() if name not in _HIDDEN_MEMBERS}
    text = shown.get("text")
    if not whole and isinstance(text, str) and len(text) > _MAX_REPLY_CHARS:
        shown |= {"text": text[:_MAX_REPLY_CHARS], "characters": len(text)}
    return shown
