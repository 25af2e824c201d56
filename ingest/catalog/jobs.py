"""Jobs are rows: claimed with a lease, carried under a fence, and committed only by whoever still holds them."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from ingest.catalog.arrivals import new_job
from ingest.catalog.database import read, write
from ingest.catalog.locking import lock_documents
from ingest.catalog.tables import documents, jobs, versions
from ingest.documents import Failure, Job, JobKind, VersionState
from ingest.errors import LeaseLostError

MAX_ATTEMPTS = 3
_MAX_INTERRUPTIONS = 20
_RETRY_SECONDS = (0.0, 5.0, 30.0)


class Jobs:
    """The queue of every tenant's jobs. A method that takes a `Job` raises `LeaseLostError` when its fence is old."""

    def __init__(self, engine: Engine, *, lease_seconds: float = 60.0) -> None:
        self._engine = engine
        self.lease_seconds = lease_seconds

    def claim(self, kind: JobKind, *, limit: int = 1) -> list[Job]:
        """Up to `limit` of the oldest waiting jobs of a kind, now leased to the caller."""
        now = time.time()
        with write(self._engine) as connection:
            waiting = connection.execute(
                select(jobs.c.id)
                .where(jobs.c.kind == kind, jobs.c.state == "queued", jobs.c.not_before <= now)
                .order_by(jobs.c.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            ).scalars()
            rows = connection.execute(
                update(jobs)
                .where(jobs.c.id.in_(waiting.all()))
                .values(
                    state="running",
                    attempt=jobs.c.attempt + 1,
                    fence=jobs.c.fence + 1,
                    lease_until=now + self.lease_seconds,
                    updated_at=now,
                )
                .returning(
                    jobs.c.id,
                    jobs.c.kind,
                    jobs.c.tenant_id,
                    jobs.c.document_id,
                    jobs.c.version_id,
                    jobs.c.attempt,
                    jobs.c.fence,
                )
            ).all()
        return sorted((Job(row[0], JobKind(row[1]), *row[2:]) for row in rows), key=lambda job: job.id)

    def extend(self, job: Job) -> None:
        """Keep a lease alive; long stages call it as they go."""
        with write(self._engine) as connection:
            self._hold(connection, job, lease_until=time.time() + self.lease_seconds)

    def progress(self, job: Job, state: VersionState, **counts: Any) -> None:  # noqa: ANN401 - columns of `versions`
        """Record the stage a version is in, and what is known of it so far; also extends the lease."""
        with write(self._engine) as connection:
            self._hold(connection, job, lease_until=time.time() + self.lease_seconds)
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(state=state, **counts))

    def finish_ingest(self, job: Job, *, title: str | None, pages: int | None, characters: int, chunks: int) -> None:
        """Activate the version and queue its embedding in one commit: from here on searches find it."""
        now = time.time()
        with write(self._engine) as connection:
            lock_documents(connection, [job.document_id])
            self._end(connection, job, "done")
            connection.execute(
                update(versions)
                .where(versions.c.id == job.version_id)
                .values(
                    state=VersionState.SEARCHABLE,
                    hidden=False,
                    pages=pages,
                    characters=characters,
                    chunks=chunks,
                    chunks_embedded=0,
                    tokens=0,
                    searchable_at=func.coalesce(versions.c.searchable_at, now),
                )
            )
            connection.execute(
                update(documents)
                .where(documents.c.id == job.document_id)
                .values(active_version_id=job.version_id, title=title)
            )
            _queue_again(connection, JobKind.EMBED, job)

    def finish_embed(self, finished: Sequence[tuple[Job, int]]) -> list[Job]:
        """Mark versions ready, each with its token count, in one commit; returns the jobs whose lease was lost."""
        lost: list[Job] = []
        with write(self._engine) as connection:
            lock_documents(connection, {job.document_id for job, _ in finished})
            for job, tokens in sorted(finished, key=lambda entry: entry[0].id):
                try:
                    self._end(connection, job, "done")
                except LeaseLostError:
                    lost.append(job)
                    continue
                connection.execute(
                    update(versions)
                    .where(versions.c.id == job.version_id)
                    .values(
                        state=VersionState.READY,
                        tokens=tokens,
                        chunks_embedded=versions.c.chunks,
                        ready_at=time.time(),
                    )
                )
        return lost

    def finish_collect(self, job: Job) -> None:
        """The deleted version has nothing left in the index or the blobs."""
        with write(self._engine) as connection:
            self._end(connection, job, "done")
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(hidden=False))

    def fail(self, job: Job, failure: Failure) -> None:
        """End the version as failed with its reason."""
        with write(self._engine) as connection:
            self._end(connection, job, "failed", failure)
            connection.execute(
                update(versions)
                .where(versions.c.id == job.version_id)
                .values(
                    state=VersionState.FAILED,
                    error_code=failure.code,
                    error_detail=failure.detail,
                    error_hint=failure.hint,
                )
            )

    def retry(self, job: Job, failure: Failure) -> bool:
        """Queue a job again after a pause; false when its attempts are used up, and nothing was changed."""
        if job.attempt >= MAX_ATTEMPTS:
            return False
        with write(self._engine) as connection:
            self._hold(
                connection,
                job,
                state="queued",
                lease_until=None,
                not_before=time.time() + _RETRY_SECONDS[min(job.attempt, len(_RETRY_SECONDS) - 1)],
                error_code=failure.code,
                error_detail=failure.detail,
            )
        return True

    def hand_back(self, job: Job) -> None:
        """Give up a job unharmed, as when the process is stopping: the attempt does not count."""
        with write(self._engine) as connection:
            self._hold(connection, job, state="queued", lease_until=None, attempt=job.attempt - 1)

    def recover(self, *, all_running: bool) -> int:
        """Queue again what lost its worker; returns how many.

        With `all_running`, every running job, whatever its lease: right only when no other process can hold one, as
        at the start of an embedded service. The attempt is given back, since a killed process says nothing about the
        document, but not without end.
        """
        now = time.time()
        lost = jobs.c.state == "running"
        if not all_running:
            lost &= jobs.c.lease_until < now
        with write(self._engine) as connection:
            return connection.execute(
                update(jobs)
                .where(lost)
                .values(
                    state="queued",
                    lease_until=None,
                    fence=jobs.c.fence + 1,
                    interruptions=jobs.c.interruptions + 1,
                    attempt=jobs.c.attempt - (jobs.c.interruptions < _MAX_INTERRUPTIONS).cast(jobs.c.attempt.type),
                    updated_at=now,
                )
            ).rowcount

    def reindex(self, version_id: str) -> None:
        """Queue a version's ingest again because the index lacks some of it."""
        with write(self._engine) as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.version_id == version_id, jobs.c.kind == JobKind.INGEST, jobs.c.state == "done")
                .values(state="queued", attempt=0, not_before=0.0, fence=jobs.c.fence + 1, updated_at=time.time())
            )

    def waiting(self) -> dict[JobKind, int]:
        """How many jobs of each kind are queued or running."""
        query = select(jobs.c.kind, func.count()).where(jobs.c.state.in_(["queued", "running"])).group_by(jobs.c.kind)
        with read(self._engine) as connection:
            return {JobKind(kind): count for kind, count in connection.execute(query).all()}

    def _end(self, connection: Connection, job: Job, state: str, failure: Failure | None = None) -> None:
        self._hold(
            connection,
            job,
            state=state,
            lease_until=None,
            error_code=failure and failure.code,
            error_detail=failure and failure.detail,
        )

    def _hold(self, connection: Connection, job: Job, **values: Any) -> None:  # noqa: ANN401 - columns of `jobs`
        """Change the job's row if this worker still holds it; otherwise the transaction must not commit."""
        changed = connection.execute(
            update(jobs)
            .where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
            .values(updated_at=time.time(), **values)
        ).rowcount
        if changed != 1:
            raise LeaseLostError(f"Job {job.id} is no longer held under fence {job.fence}.")


def _queue_again(connection: Connection, kind: JobKind, job: Job) -> None:
    """The next stage of a version; queued afresh when an earlier run of the stage had ended."""
    again = connection.execute(
        update(jobs)
        .where(jobs.c.kind == kind, jobs.c.version_id == job.version_id)
        .values(state="queued", attempt=0, not_before=0.0, fence=jobs.c.fence + 1, updated_at=time.time())
    ).rowcount
    if not again:
        connection.execute(insert(jobs).values(**new_job(kind, job.tenant_id, job.document_id, job.version_id)))
