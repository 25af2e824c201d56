"""Runs and their logs. Workers write them using the fencing token of the run's job.

A worker that resumes a run reads the entries logged by earlier attempts.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from ingest.storage.accounts.access import Readers, build_access_condition, build_owner_condition
from ingest.storage.accounts.keys import find_current_principal
from ingest.storage.accounts.records import SLACK_KEY_PREFIX
from ingest.storage.answers.conversations import store_answer
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.run_records import Resumption, Run, RunLogEntry, RunSpending, RunState
from ingest.storage.db.database import (
    format_json,
    iter_slices,
    lock_derived_content,
    read_clock,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import documents, jobs, run_documents, run_events, runs, slack_workspaces, versions
from ingest.storage.documents.attributes import build_metadata_conditions
from ingest.storage.documents.cards.rows import add_shown_fields, read_shown_fields
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.records import Work
from ingest.storage.documents.rows import COUNTED_TOKENS, ActiveDocument, parse_readers
from ingest.storage.documents.works import record_versions
from ingest.storage.errors import (
    KeyRevokedError,
    LeaseLostError,
    LogEntryTooLargeError,
    RunNotFoundError,
    SourceGoneError,
)
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.queue.records import Failure, Job, JobKind
from ingest.storage.quotas.records import Account, Spending
from ingest.storage.quotas.rows import add_spending, charge_run, format_day
from ingest.storage.webhooks.outbox import publish_event
from ingest.storage.webhooks.records import EventType

# Maximum size of a log entry. The largest entries are search results, and replies to sub-calls, which have at most a
# few hundred kilobytes. 200 passages of 1,000 characters take up to 800 kB, and their headings rarely take as much.
_MAX_BODY_BYTES = 4 << 20
_WEBHOOK_EVENTS = {
    RunState.COMPLETED: EventType.RUN_COMPLETED,
    RunState.PARTIAL: EventType.RUN_COMPLETED,
    RunState.FAILED: EventType.RUN_FAILED,
    RunState.CANCELLED: EventType.RUN_CANCELLED,
}


class RunLog:
    """The log of runs, read and written by the workers that hold the runs' jobs.

    Methods that take a `Job` raise `LeaseLostError` if the worker no longer holds the job because it was cancelled,
    deleted or taken over. `announce` is called with the run's id whenever something has been logged to the run.
    """

    def __init__(self, engine: Engine, *, announce: Announce = announce_to_nobody) -> None:
        self._announce = announce
        self._engine = engine

    def start_run(self, job: Job) -> Run:
        """Start or resume the run of a claimed job. The first start pins the versions in the run's scope.

        Raises `KeyRevokedError` if the key that started the run is no longer valid.
        """
        with write_transaction(self._engine) as connection:
            _require_held_job(connection, job)
            run = _refresh_readers(connection, load_run(connection, job.tenant_id, job.version_id))
            if run.started_at is None:
                _pin_versions(connection, run)
                append_log_entries(connection, run.id, [RunLogEntry("start", "start", {})], started_at=time.time())
            else:
                append_log_entries(
                    connection, run.id, [RunLogEntry(f"resume:{job.fence}", "resume", {"attempt": job.attempt})]
                )
            return replace(load_run(connection, job.tenant_id, job.version_id), readers=run.readers)

    def append_entries(
        self, job: Job, entries: Sequence[RunLogEntry], *, seconds: float, work: Work | None = None
    ) -> None:
        """Log the entries whose keys are not in the log yet.

        `seconds` is the time that workers have spent on the run so far. A logged sub-call is never repeated. It counts
        as progress and resets the job's attempts. `work` contains the versions used by the run so far. Raises
        `SourceGoneError` if one of these versions no longer exists.
        """
        with write_transaction(self._engine) as connection:
            lock_derived_content(connection, job.tenant_id)
            _require_held_job(connection, job)
            _require_existing_sources(connection, work)
            fresh = append_log_entries(connection, job.version_id, entries, seconds=seconds)
            if any(entry.kind == "call" for entry in fresh):
                _reset_attempts(connection, job)
        self._announce(job.tenant_id, {job.version_id})

    def load_entry_bodies(self, run_id: str, keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the bodies of the entries with these keys, keyed by entry key."""
        found: dict[str, Mapping[str, Any]] = {}
        with read_transaction(self._engine) as connection:
            for some in iter_slices(list(keys)):
                query = select(run_events.c.key, run_events.c.body).where(
                    run_events.c.run_id == run_id, run_events.c.key.in_(some)
                )
                found |= {row.key: row.body for row in connection.execute(query).all()}
        return found

    def load_lost_call_usage(self, run_id: str) -> dict[str, int]:
        """Sum the usage of the sub-calls logged as `lost`, keyed by usage field."""
        query = select(run_events.c.body).where(run_events.c.run_id == run_id, run_events.c.kind == "lost")
        total: Counter[str] = Counter()
        with read_transaction(self._engine) as connection:
            for body in connection.execute(query).scalars():
                total.update(body["usage"])
        return dict(total)

    def finish_run(
        self,
        job: Job,
        state: RunState,
        answer: Mapping[str, Any],
        *,
        seconds: float,
        stored_answer: StoredAnswer | None = None,
        work: Work | None = None,
    ) -> None:
        """Finish a run and store its answer together with the answer's conversation, in one commit.

        `work` contains the versions used by the run. Raises `SourceGoneError` if one of these versions no longer
        exists.
        """
        with write_transaction(self._engine) as connection:
            lock_derived_content(connection, job.tenant_id)
            ended = connection.execute(
                update(jobs)
                .where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
                .values(state="done", lease_until=None, updated_at=time.time())
            ).rowcount
            if not ended:
                raise _build_lease_lost_error(job)
            _require_existing_sources(connection, work)
            connection.execute(update(runs).where(runs.c.id == job.version_id).values(seconds=seconds))
            if stored_answer is not None:
                store_answer(connection, stored_answer)
            end_run(connection, job.version_id, state, answer=answer)
        self._announce(job.tenant_id, {job.version_id})

    def pause_run(self, job: Job, detail: str, resource: str, *, seconds: float, work: Work | None = None) -> None:
        """Pause a run that has exhausted its budget until a user decides how to continue.

        No worker holds its job in the meantime.
        """
        with write_transaction(self._engine) as connection:
            lock_derived_content(connection, job.tenant_id)
            _require_held_job(connection, job)
            _require_existing_sources(connection, work)
            connection.execute(
                update(jobs).where(jobs.c.id == job.id).values(state="paused", lease_until=None, updated_at=time.time())
            )
            body = {"paused": detail, "resource": resource}
            entry = RunLogEntry(f"paused:{job.fence}", "paused", body, progress=True)
            append_log_entries(connection, job.version_id, [entry], seconds=seconds)
            waiting = {"run": job.version_id, "state": RunState.PAUSED.value, "resource": resource}
            publish_event(connection, job.tenant_id, EventType.RUN_PAUSED, [waiting], change=f":{job.fence}")
        self._announce(job.tenant_id, {job.version_id})

    def increase_spending(self, run_id: str, spending: RunSpending) -> None:
        """Raise a run's recorded spending to `spending` if the recorded amounts are lower.

        If the run has ended, the difference is charged. A worker calls this after losing its run, because the run may
        have been cancelled or taken over while requests were in flight.
        """
        with write_transaction(self._engine) as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).first()
            if row is None:
                return
            names = ("calls", "prompt_tokens", "completion_tokens", "nanodollars")
            more = {name: max(0, getattr(spending, name) - row._mapping[name]) for name in names}
            added = {name: runs.c[name] + amount for name, amount in more.items()}
            connection.execute(update(runs).where(runs.c.id == run_id).values(**added))
            if row.ended_as is not None:
                add_spending(
                    connection,
                    Account(row.tenant_id, row.key_id),
                    format_day(read_clock(connection)),
                    None,
                    Spending(**more),
                )

    def list_pinned_documents(
        self, run_id: str, *, readers: Readers = None, after: int = 0, limit: int = 1000
    ) -> list[ActiveDocument]:
        """List the versions that were pinned when the run started, in order of arrival.

        Omits documents that were deleted since, and documents that these readers may no longer see.
        """
        query: Select[Any] = (
            select(
                documents.c.sequence,
                documents.c.id,
                versions.c.id,
                documents.c.collection,
                versions.c.name,
                case(
                    (documents.c.is_titled, documents.c.title), else_=func.coalesce(versions.c.title, versions.c.name)
                ),
                func.coalesce(versions.c.characters, 0),
                COUNTED_TOKENS,
                documents.c.attributes,
                versions.c.media_type,
            )
            .select_from(run_documents)
            .join(documents, documents.c.id == run_documents.c.document_id)
            .join(versions, versions.c.id == run_documents.c.version_id)
            .where(
                run_documents.c.run_id == run_id,
                run_documents.c.sequence > after,
                documents.c.deleted_at.is_(None),
                build_access_condition(readers),
            )
            .order_by(run_documents.c.sequence)
            .limit(limit)
        )
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query if after else add_shown_fields(query)).all()
        # Only the first documents have the fields of their cards, as in `Catalog.list_active_documents`.
        return [ActiveDocument(*[*row[:10], *(() if after else read_shown_fields(row))]) for row in rows]

    def list_hidden_versions(self, version_ids: Collection[str], readers: Readers = None) -> set[str]:
        """List the versions whose document was deleted or is not accessible to these readers.

        The text of these versions must not be shown.
        """
        query = (
            select(versions.c.id)
            .join(documents, documents.c.id == versions.c.document_id)
            .where(
                versions.c.id.in_(list(version_ids)),
                documents.c.deleted_at.is_not(None) | ~build_access_condition(readers),
            )
        )
        with read_transaction(self._engine) as connection:
            return set(connection.execute(query).scalars())


def build_run_query() -> Select[Any]:
    """Select runs with their jobs. The state of an unfinished run is the state of its job."""
    of_run = and_(jobs.c.kind == JobKind.RUN, jobs.c.version_id == runs.c.id)
    return select(runs, jobs.c.state.label("job_state"), jobs.c.attempt).outerjoin(jobs, of_run)


def load_run(connection: Connection, tenant_id: str, identifier: str, owner: str | None = None) -> Run:
    """Load a run. Raises `RunNotFoundError` if it does not exist or belongs to another tenant or owner."""
    # guard: run-owner
    query = build_run_query().where(
        runs.c.id == identifier, runs.c.tenant_id == tenant_id, build_owner_condition(runs, owner)
    )
    row = connection.execute(query).first()
    if row is None:
        raise RunNotFoundError(f"Run {identifier!r} not found.")
    return build_run(row)


def build_run(row: Row[Any]) -> Run:
    """Build a run from a row of `build_run_query`."""
    failure = row.error_code and Failure(row.error_code, row.error_detail or "", row.error_hint or "")
    values = {field.name: row._mapping[field.name] for field in fields(Run) if field.name in runs.c}
    del values["readers"]
    return Run(
        **{**values, "collections": tuple(row.collections), "documents": tuple(row.documents)},
        readers=parse_readers(row.readers),
        state=RunState(row.ended_as or row.job_state),
        attempt=row.attempt or 0,
        spent=RunSpending(row.calls, row.cached, row.prompt_tokens, row.completion_tokens, row.nanodollars),
        failure=failure or None,
    )


def append_log_entries(
    connection: Connection,
    run_id: str,
    entries: Sequence[RunLogEntry],
    **changed: Any,  # noqa: ANN401 - values of any column
) -> list[RunLogEntry]:
    """Append the entries whose keys are not in the log yet, and add their spending to the run's total.

    `changed` contains the columns of the run to update. The run's row is locked so that events are numbered without
    gaps. Returns the new entries. Raises `LogEntryTooLargeError` if an entry is too large.
    """
    locked = select(runs.c.events).where(runs.c.id == run_id).with_for_update()
    last = connection.execute(locked).scalar_one()
    fresh = _select_new_entries(connection, run_id, entries)
    created_at = time.time()
    rows = [
        {
            "run_id": run_id,
            "sequence": last + number,
            "key": entry.key,
            "kind": entry.kind,
            "body": _build_event_body(entry),
            "created_at": created_at,
        }
        for number, entry in enumerate(fresh, start=1)
    ]
    if rows:
        connection.execute(insert(run_events), rows)
        shown = [entry.body for entry in fresh if entry.progress]
        changed |= {"progress": shown[-1]} if shown else {}
    connection.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(
            events=last + len(fresh),
            calls=runs.c.calls + sum(entry.spent.calls for entry in fresh),
            cached=runs.c.cached + sum(entry.spent.cached for entry in fresh),
            prompt_tokens=runs.c.prompt_tokens + sum(entry.spent.prompt_tokens for entry in fresh),
            completion_tokens=runs.c.completion_tokens + sum(entry.spent.completion_tokens for entry in fresh),
            nanodollars=runs.c.nanodollars + sum(entry.spent.nanodollars for entry in fresh),
            **changed,
        )
    )
    return fresh


def resume_run(connection: Connection, run: Run, resumption: Resumption) -> None:
    """Requeue a paused run with its new limits."""
    body = {"added": dict(resumption.added), "budget": dict(resumption.limits), "pauses": resumption.pauses}
    append_log_entries(
        connection,
        run.id,
        [RunLogEntry(f"budget:{len(run.raised)}", "budget", body)],
        limits=dict(resumption.limits),
        pauses=resumption.pauses,
        raised=[*map(dict, run.raised), dict(run.limits)],
        progress=null(),
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.kind == JobKind.RUN, jobs.c.version_id == run.id, jobs.c.state == "paused")
        .values(
            state="queued",
            attempt=0,
            interruptions=0,
            not_before=0.0,
            away_since=None,
            fence=jobs.c.fence + 1,
            updated_at=time.time(),
        )
    )


def end_run(
    connection: Connection,
    run_id: str,
    state: RunState,
    *,
    answer: Mapping[str, Any] | None = None,
    failure: Failure | None = None,
) -> None:
    """Log the final event of a run and charge its spending. The run's job must have ended in the same transaction."""
    body: dict[str, Any] = {"state": state.value}
    if failure is not None:
        body |= {"code": failure.code, "detail": failure.detail, "hint": failure.hint}
    append_log_entries(
        connection,
        run_id,
        [RunLogEntry("end", "end", body)],
        ended_as=state.value,
        ended_at=time.time(),
        answer=answer,
        error_code=failure and failure.code,
        error_detail=failure and failure.detail,
        error_hint=failure and failure.hint,
    )
    spent = (runs.c.calls, runs.c.prompt_tokens, runs.c.completion_tokens, runs.c.nanodollars)
    row = connection.execute(select(runs.c.tenant_id, *spent).where(runs.c.id == run_id)).one()
    charge_run(connection, run_id, Spending(*row[1:]))
    code = {"code": failure.code} if failure else {}
    publish_event(connection, row.tenant_id, _WEBHOOK_EVENTS[state], [{"run": run_id, "state": state.value, **code}])


def _select_new_entries(connection: Connection, run_id: str, entries: Sequence[RunLogEntry]) -> list[RunLogEntry]:
    """Select the entries whose keys are not logged yet.

    If several entries have the same key, the first one is selected.
    """
    first = {entry.key: entry for entry in reversed(entries)}
    query = select(run_events.c.key).where(run_events.c.run_id == run_id, run_events.c.key.in_(list(first)))
    known = set(connection.execute(query).scalars())
    return [entry for key, entry in reversed(first.items()) if key not in known]


def _build_event_body(entry: RunLogEntry) -> Mapping[str, Any]:
    size = len(format_json(entry.body).encode())
    if size > _MAX_BODY_BYTES:
        raise LogEntryTooLargeError(
            f"A log entry of kind {entry.kind!r} has {size:,} bytes; the limit is {_MAX_BODY_BYTES:,}."
        )
    return entry.body


def _require_held_job(connection: Connection, job: Job) -> None:
    """Lock the job until the commit, so that no other worker can take it over.

    Raises `LeaseLostError` if this worker does not hold it.
    """
    held = select(jobs.c.id).where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
    if connection.execute(held.with_for_update()).first() is None:
        raise _build_lease_lost_error(job)


def _refresh_readers(connection: Connection, run: Run) -> Run:
    """Return the run with its readers restricted to those that its API key has now.

    Access is never widened: the result is the intersection with the readers at the time the run was created. Raises
    `KeyRevokedError` if the key is no longer valid. Runs started with a token or by an earlier release have no key.
    Runs from a Slack channel continue as long as the tenant has a workspace.
    """
    if not run.key_id:
        return run
    if run.key_id.startswith(SLACK_KEY_PREFIX):
        of_tenant = slack_workspaces.c.tenant_id == run.tenant_id
        if connection.execute(select(slack_workspaces.c.team_id).where(of_tenant).limit(1)).first() is None:
            raise KeyRevokedError(
                "The Slack workspace in which the question was asked no longer has the app installed."
            )
        return run
    principal = find_current_principal(connection, run.key_id)
    if principal is None:
        raise KeyRevokedError("The API key that started the run is no longer valid.")
    if run.readers is None:
        return replace(run, readers=principal.readers)
    return run if principal.readers is None else replace(run, readers=run.readers & principal.readers)


def _require_existing_sources(connection: Connection, work: Work | None) -> None:
    """Record the versions used by a run. Raises `SourceGoneError` if one of these versions no longer exists."""
    if work is not None and not record_versions(connection, work):
        raise SourceGoneError("A document that the run has read was deleted or replaced.")


def _reset_attempts(connection: Connection, job: Job) -> None:
    """Reset the attempt counters of a held job after it has made progress."""
    counted = (jobs.c.attempt > 1) | (jobs.c.interruptions > 0) | jobs.c.away_since.is_not(None)
    of_job = jobs.c.id == job.id
    connection.execute(update(jobs).where(of_job, counted).values(attempt=1, interruptions=0, away_since=None))


def _pin_versions(connection: Connection, run: Run) -> None:
    """Record the active versions in the run's scope, in a single statement regardless of their number."""
    in_scope = [documents.c.tenant_id == run.tenant_id, documents.c.deleted_at.is_(None)]
    if run.collections:
        in_scope.append(documents.c.collection.in_(run.collections))
    if run.documents:
        in_scope.append(documents.c.id.in_(run.documents))
    # guard: run-readers
    in_scope += [
        build_access_condition(run.readers),
        *build_metadata_conditions(run.tenant_id, parse_conditions(run.filters)),
    ]
    chosen = (
        select(literal(run.id), documents.c.sequence, documents.c.id, versions.c.id)
        .join(versions, versions.c.id == documents.c.active_version_id)
        .where(*in_scope)
    )
    names = ["run_id", "sequence", "document_id", "version_id"]
    connection.execute(insert(run_documents).from_select(names, chosen))
    sums = (
        select(func.count(), func.coalesce(func.sum(versions.c.characters), 0))
        .select_from(run_documents)
        .join(versions, versions.c.id == run_documents.c.version_id)
        .where(run_documents.c.run_id == run.id)
    )
    count, characters = connection.execute(sums).one()
    scope = {"scope_documents": count, "scope_characters": int(characters)}
    connection.execute(update(runs).where(runs.c.id == run.id).values(**scope))


def _build_lease_lost_error(job: Job) -> LeaseLostError:
    return LeaseLostError(f"This worker no longer holds job {job.id} (fencing token {job.fence}).")
