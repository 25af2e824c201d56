"""Wire models for runs."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Self

from pydantic import Field

from api.answers.schemas import AnswerOut, CoverageOut
from api.documents.schemas import Reason
from api.http.wire import Instant, Wire
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.quotas.records import NANODOLLARS
from rlm.answers import convert_to_json_value

# Maximum length of a sub-call's reply in a response. The log stores replies in full, so that a run can be resumed.
_MAX_REPLY_CHARS = 2_000
# Names of event fields that are logged only to resume a run, and are not shown.
_HIDDEN_MEMBERS = frozenset({"found", "at"})


class RunUsageOut(Wire):
    """Usage of the run's finished sub-calls. `cached` calls cost nothing. `dollars` is 0 if no price is known."""

    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


class ScopeOut(Wire):
    """The size of the run's scope: the documents that were searchable when the run started."""

    documents: int
    characters: int


class RunOut(Wire):
    """A run. `queue_position` is the number of jobs ahead of the run; `seconds` is its working time.

    `conversation` is the conversation that the answer belongs to; `history` counts the messages before the question.
    `progress` is the latest progress report, and `events` is the number of logged events. `attempt` counts the attempts
    since one last finished a new sub-call. A `paused` run has reached its `budget` and waits for a user. Its `progress`
    says which limit was reached.
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
    def from_run(cls, run: Run, *, queue_position: int | None = None, is_withheld: bool = False) -> Self:
        """Build the model from a run. If `is_withheld` is true, omit the run's progress, because it names documents."""
        return cls.from_records(run, **_build_run_fields(run, is_withheld=is_withheld), queue_position=queue_position)


class RunWithAnswerOut(RunOut):
    """A run with its answer, which is null until there is one."""

    answer: AnswerOut | None

    @classmethod
    def from_run(
        cls,
        run: Run,
        *,
        queue_position: int | None = None,
        deleted_documents: Collection[str] = (),
        is_withheld: bool = False,
    ) -> Self:
        """Build the model from a run. `deleted_documents` lists the documents that must not be shown."""
        answer = _build_answer(run, deleted_documents)
        return cls.from_records(
            run, **_build_run_fields(run, is_withheld=is_withheld), queue_position=queue_position, answer=answer
        )


# Event kinds without text from documents.
_TEXTLESS_KINDS = frozenset({"start", "resume", "paused", "budget", "raised", "end"})


class MoreIn(Wire):
    """Amounts to add to a paused run's budget. At least one is required; only existing limits can be increased."""

    calls: int | None = Field(None, gt=0, examples=[200])
    prompt_tokens: int | None = Field(None, gt=0)
    completion_tokens: int | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0, description="Prompt and completion tokens combined.")
    dollars: Decimal | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False, examples=[600])


class RunPage(Wire):
    """A page of runs, newest first; `next_cursor` is null on the last page."""

    runs: list[RunOut]
    next_cursor: str | None


class RunEventOut(Wire):
    """An event of a run. `kind` determines the fields of `body`."""

    sequence: int
    kind: str
    at: Instant
    body: dict[str, Any]

    @classmethod
    def from_event(cls, event: RunEvent, *, is_withheld: bool = False, with_full_replies: bool = False) -> Self:
        """Build the model from an event. If `is_withheld` is true, omit bodies that may contain text from documents.

        Model replies are truncated unless `with_full_replies` is set.
        """
        is_open = not is_withheld or event.kind in _TEXTLESS_KINDS
        shown = (
            convert_to_json_value(_truncate_body(event.body, with_full_replies=with_full_replies))
            if is_open
            else {"withheld": True}
        )
        return cls(sequence=event.sequence, kind=event.kind, at=event.created_at, body=shown)


class RunEndOut(RunEventOut):
    """The last event of a run's stream, with the run and its answer."""

    run: RunWithAnswerOut


class RunEventPage(Wire):
    """A page of events in log order; `next_cursor` is null on the last page of a finished run.

    More events may follow while the run is in progress.
    """

    events: list[RunEventOut]
    next_cursor: str | None


def _build_run_fields(run: Run, *, is_withheld: bool) -> dict[str, Any]:
    coverage = (run.answer or {}).get("coverage")
    scope = None
    if run.scope_documents is not None:
        scope = ScopeOut(documents=run.scope_documents, characters=run.scope_characters or 0)
    return {
        "history": len(run.history),
        "progress": None if is_withheld or not run.progress else convert_to_json_value(run.progress),
        "usage": RunUsageOut.from_records(run.spent, dollars=run.spent.nanodollars / NANODOLLARS),
        "scope": scope,
        "coverage": coverage and CoverageOut.model_validate(coverage, extra="ignore"),
        "seconds": round(run.seconds, 3),
    }


def _build_answer(run: Run, deleted_documents: Collection[str]) -> AnswerOut | None:
    if run.answer is None:
        return None
    return AnswerOut.from_body(
        run.answer, identifier=run.id, conversation=run.conversation_id, deleted_documents=deleted_documents
    )


def _truncate_body(body: Mapping[str, Any], *, with_full_replies: bool) -> dict[str, Any]:
    shown = {name: value for name, value in body.items() if name not in _HIDDEN_MEMBERS}
    text = shown.get("text")
    if not with_full_replies and isinstance(text, str) and len(text) > _MAX_REPLY_CHARS:
        shown |= {"text": text[:_MAX_REPLY_CHARS], "characters": len(text)}
    return shown
