"""Rows of runs: how one is read, how it is written to, and how it ends."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, insert, select, update

from ingest.catalog.database import json_text
from ingest.catalog.tables import jobs, run_documents, run_events, runs, versions
from ingest.documents import Failure, JobKind, VersionState
from ingest.errors import LogEntryTooLargeError, RunNotFoundError
from ingest.runs import Entry, Run, RunState, Spent

# A sub-call's whole reply is logged, and models write some hundred kilobytes at most. So is what a search found: of 200
# passages of 1,000 characters the texts take 800 kB at most, and their headings seldom as much.
_MAX_BODY_BYTES = 4 << 20


def run_query() -> Select[Any]:
    """Runs, each with its job: what the run's own row does not say yet, that says."""
    of_run = and_(jobs.c.kind == JobKind.RUN, jobs.c.version_id == runs.c.id)
    return select(runs, jobs.c.state.label("job_state"), jobs.c.attempt).outerjoin(jobs, of_run)


def read_run(connection: Connection, tenant_id: str, identifier: str) -> Run:
    """Raises `RunNotFoundError`."""
    query = run_query().where(runs.c.id == identifier, runs.c.tenant_id == tenant_id)
    row = connection.execute(query).first()
    if row is None:
        raise RunNotFoundError(f"There is no run {identifier!r}.")
    return run_of(row)


def run_of(row: Row[Any]) -> Run:
    """A row of `run_query`."""
    failure = row.error_code and Failure(row.error_code, row.error_detail or "", row.error_hint or "")
    return Run(
        id=row.id,
        sequence=row.sequence,
        tenant_id=row.tenant_id,
        question=row.question,
        collections=tuple(row.collections),
        documents=tuple(row.documents),
        strategy=row.strategy,
        limits=row.limits,
        every_record=row.every_record,
        history=row.history,
        conversation_id=row.conversation_id,
        state=RunState(row.ended_as or row.job_state),
        attempt=row.attempt or 0,
        events=row.events,
        spent=Spent(row.calls, row.cached, row.prompt_tokens, row.completion_tokens),
        seconds=row.seconds,
        progress=row.progress,
        scope_documents=row.scope_documents,
        scope_characters=row.scope_characters,
        answer=row.answer,
        failure=failure or None,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def log_entries(connection: Connection, identifier: str, entries: Sequence[Entry], **changed: Any) -> list[Entry]:  # noqa: ANN401
    """Append those whose key is not logged yet, and count what they spent; `changed` are columns of the run.

    The run's row is locked, so that its events are numbered without a gap. Returns those that were new. Raises
    `LogEntryTooLargeError`.
    """
    locked = select(runs.c.events).where(runs.c.id == identifier).with_for_update()
    last = connection.execute(locked).scalar_one()
    fresh = _fresh(connection, identifier, entries)
    now = time.time()
    rows = [
        {
            "run_id": identifier,
            "sequence": last + number,
            "key": entry.key,
            "kind": entry.kind,
            "body": _bounded(entry),
            "created_at": now,
        }
        for number, entry in enumerate(fresh, start=1)
    ]
    if rows:
        connection.execute(insert(run_events), rows)
        shown = [entry.body for entry in fresh if entry.progress]
        changed |= {"progress": shown[-1]} if shown else {}
    connection.execute(
        update(runs)
        .where(runs.c.id == identifier)
        .values(
            events=last + len(fresh),
            calls=runs.c.calls + sum(entry.spent.calls for entry in fresh),
            cached=runs.c.cached + sum(entry.spent.cached for entry in fresh),
            prompt_tokens=runs.c.prompt_tokens + sum(entry.spent.prompt_tokens for entry in fresh),
            completion_tokens=runs.c.completion_tokens + sum(entry.spent.completion_tokens for entry in fresh),
            **changed,
        )
    )
    return fresh


def end_run(
    connection: Connection,
    identifier: str,
    state: RunState,
    *,
    answer: Mapping[str, Any] | None = None,
    failure: Failure | None = None,
) -> None:
    """The last event of a run whose job has ended in the same transaction."""
    body: dict[str, Any] = {"state": state.value}
    if failure is not None:
        body |= {"code": failure.code, "detail": failure.detail, "hint": failure.hint}
    log_entries(
        connection,
        identifier,
        [Entry("end", "end", body)],
        ended_as=state.value,
        ended_at=time.time(),
        answer=answer,
        error_code=failure and failure.code,
        error_detail=failure and failure.detail,
        error_hint=failure and failure.hint,
    )


def read_by_a_run() -> ColumnElement[bool]:
    """Of a row of `versions`: it was replaced, and a run that has not ended began when it was active."""
    reading = (
        select(run_documents.c.run_id)
        .join(runs, runs.c.id == run_documents.c.run_id)
        .where(run_documents.c.version_id == versions.c.id, runs.c.ended_as.is_(None))
    )
    return (versions.c.state == VersionState.RETIRED) & reading.exists()


def _fresh(connection: Connection, identifier: str, entries: Sequence[Entry]) -> list[Entry]:
    """The first entry of each key that the log does not have."""
    first = {entry.key: entry for entry in reversed(entries)}
    query = select(run_events.c.key).where(run_events.c.run_id == identifier, run_events.c.key.in_(list(first)))
    known = set(connection.execute(query).scalars())
    return [entry for key, entry in reversed(first.items()) if key not in known]


def _bounded(entry: Entry) -> Mapping[str, Any]:
    size = len(json_text(entry.body).encode())
    if size > _MAX_BODY_BYTES:
        raise LogEntryTooLargeError(
            f"What was to be logged as {entry.kind!r} has {size:,} bytes, and the limit is {_MAX_BODY_BYTES:,}."
        )
    return entry.body
