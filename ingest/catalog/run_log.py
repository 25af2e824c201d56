"""The worker's side of runs: what a run has done is logged under its job's fence, and given back when it is resumed."""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, literal, select, update

from ingest.catalog.active import COUNTED_TOKENS, ActiveDocument
from ingest.catalog.conversations import keep_answer
from ingest.catalog.database import read, write
from ingest.catalog.holding import got_further
from ingest.catalog.run_rows import end_run, log_entries, read_run
from ingest.catalog.tables import documents, jobs, run_documents, run_events, runs, versions
from ingest.conversations import KeptAnswer
from ingest.documents import Job
from ingest.errors import LeaseLostError
from ingest.feed import Announce, to_nobody
from ingest.runs import Entry, Run, RunState

_AT_ONCE = 500


class RunLog:
    """Methods that take a `Job` raise `LeaseLostError` once it is no longer held: cancelled, deleted or taken over.

    `announce` is told of every run of which something was logged, by its id.
    """

    def __init__(self, engine: Engine, *, announce: Announce = to_nobody) -> None:
        self._announce = announce
        self._engine = engine

    def begin(self, job: Job) -> Run:
        """The run of a claimed job. The first time, the versions in its scope are recorded: it is about those."""
        with write(self._engine) as connection:
            _require_held(connection, job)
            run = read_run(connection, job.tenant_id, job.version_id)
            if run.started_at is None:
                _pin(connection, run)
                log_entries(connection, run.id, [Entry("start", "start", {})], started_at=time.time())
            else:
                log_entries(connection, run.id, [Entry(f"resume:{job.fence}", "resume", {"attempt": job.attempt})])
            return read_run(connection, job.tenant_id, job.version_id)

    def append(self, job: Job, entries: Sequence[Entry], *, seconds: float) -> None:
        """Log what is new among the entries; `seconds` is how long the run has been worked at so far.

        A new sub-call is never asked again, so with it the run has got further, and its attempts count from here.
        """
        with write(self._engine) as connection:
            _require_held(connection, job)
            fresh = log_entries(connection, job.version_id, entries, seconds=seconds)
            if any(entry.kind == "call" for entry in fresh):
                got_further(connection, job)
        self._announce(job.tenant_id, {job.version_id})

    def logged(self, run_id: str, keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """The bodies of those of the keys that are logged."""
        found: dict[str, Mapping[str, Any]] = {}
        ordered = list(keys)
        with read(self._engine) as connection:
            for at in range(0, len(ordered), _AT_ONCE):
                some = ordered[at : at + _AT_ONCE]
                query = select(run_events.c.key, run_events.c.body).where(
                    run_events.c.run_id == run_id, run_events.c.key.in_(some)
                )
                found |= {row.key: row.body for row in connection.execute(query).all()}
        return found

    def lost(self, run_id: str) -> dict[str, int]:
        """What the sub-calls logged as `lost` used, in the members of their bodies' `usage`."""
        query = select(run_events.c.body).where(run_events.c.run_id == run_id, run_events.c.kind == "lost")
        total: Counter[str] = Counter()
        with read(self._engine) as connection:
            for body in connection.execute(query).scalars():
                total.update(body["usage"])
        return dict(total)

    def finish(
        self,
        job: Job,
        state: RunState,
        answer: Mapping[str, Any],
        *,
        seconds: float,
        kept: KeptAnswer | None = None,
    ) -> None:
        """End a run with its answer, and keep that with its conversation, in one commit."""
        with write(self._engine) as connection:
            ended = connection.execute(
                update(jobs)
                .where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
                .values(state="done", lease_until=None, updated_at=time.time())
            ).rowcount
            if not ended:
                raise _lost(job)
            connection.execute(update(runs).where(runs.c.id == job.version_id).values(seconds=seconds))
            if kept is not None:
                keep_answer(connection, kept)
            end_run(connection, job.version_id, state, answer=answer)
        self._announce(job.tenant_id, {job.version_id})

    def pinned(self, run_id: str, *, after: int = 0, limit: int = 1000) -> list[ActiveDocument]:
        """What a run is about, as it was then, in order of arrival; documents that were deleted since are left out."""
        query = (
            select(
                documents.c.sequence,
                documents.c.id,
                versions.c.id,
                documents.c.collection,
                versions.c.name,
                func.coalesce(versions.c.title, versions.c.name),
                func.coalesce(versions.c.characters, 0),
                COUNTED_TOKENS,
                documents.c.attributes,
            )
            .select_from(run_documents)
            .join(documents, documents.c.id == run_documents.c.document_id)
            .join(versions, versions.c.id == run_documents.c.version_id)
            .where(run_documents.c.run_id == run_id, run_documents.c.sequence > after, documents.c.deleted_at.is_(None))
            .order_by(run_documents.c.sequence)
            .limit(limit)
        )
        with read(self._engine) as connection:
            return [ActiveDocument(*row) for row in connection.execute(query).all()]

    def deleted(self, version_ids: Collection[str]) -> set[str]:
        """Those whose document was deleted: nothing of them may be read any more, from no log either."""
        query = (
            select(versions.c.id)
            .join(documents, documents.c.id == versions.c.document_id)
            .where(versions.c.id.in_(list(version_ids)), documents.c.deleted_at.is_not(None))
        )
        with read(self._engine) as connection:
            return set(connection.execute(query).scalars())


def _require_held(connection: Connection, job: Job) -> None:
    """From here to the commit nobody can take the job away, and this transaction may change its row."""
    held = select(jobs.c.id).where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
    if connection.execute(held.with_for_update()).first() is None:
        raise _lost(job)


def _pin(connection: Connection, run: Run) -> None:
    """Record the active versions in scope, by one statement however many there are."""
    in_scope = [documents.c.tenant_id == run.tenant_id, documents.c.deleted_at.is_(None)]
    if run.collections:
        in_scope.append(documents.c.collection.in_(run.collections))
    if run.documents:
        in_scope.append(documents.c.id.in_(run.documents))
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


def _lost(job: Job) -> LeaseLostError:
    return LeaseLostError(f"Job {job.id} is no longer held under fence {job.fence}.")
