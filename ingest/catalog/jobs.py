"""Jobs are rows: claimed with a lease, carried under a fence, and committed only by whoever still holds them."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update

from ingest.catalog import away, claims, corpus_versions, paces, standing, waiting
from ingest.catalog.clock import clock
from ingest.catalog.database import insert_new, read, write
from ingest.catalog.deletions import add_removed
from ingest.catalog.failures import fail_subject
from ingest.catalog.holding import each_held, lock_jobs, lock_written, record_progress, still_held
from ingest.catalog.locking import lock_documents
from ingest.catalog.queued import queue_job
from ingest.catalog.recovery import recover_killed, recover_lapsed
from ingest.catalog.replacements import make_ready, make_searchable
from ingest.catalog.tables import jobs, pauses, versions
from ingest.documents import SEARCHABLE_STATES, EmbedReport, Failure, IngestReport, Job, JobKind, VersionState
from ingest.errors import LeaseLostError
from ingest.feed import Announce, to_nobody

MAX_ATTEMPTS = 3
# Runs of a tenant at once; each may have many requests in flight at the language model.
RUNS_PER_TENANT = 4
_RETRY_SECONDS = (0.0, 5.0, 30.0)
_COLLECT_PAUSE_SECONDS = 600.0


class Jobs:
    """The queue of every tenant's jobs. A method that takes a `Job` raises `LeaseLostError` when its fence is old.

    `announce` is told of the documents of every job that was changed, once that is committed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_seconds: float = 60.0,
        runs_per_tenant: int = RUNS_PER_TENANT,
        announce: Announce = to_nobody,
    ) -> None:
        self._engine = engine
        self.lease_seconds = lease_seconds
        self._announce = announce
        self._per_tenant = {JobKind.RUN: runs_per_tenant}

    def claim(self, kind: JobKind, *, limit: int = 1, total_bytes: int | None = None) -> list[Job]:
        """Up to `limit` waiting jobs of a kind, now leased to the caller: see `ingest.catalog.claims` for whose.

        With `total_bytes` only so many that their files are no larger together; always one, if any waits.
        """
        with read(self._engine) as connection:  # most rings find nothing, and a question holds nobody up
            if not claims.any_waiting(connection, kind):
                return []
        with write(self._engine) as connection:
            claimed = claims.claim(
                connection,
                kind,
                limit=limit,
                lease_seconds=self.lease_seconds,
                per_tenant=self._per_tenant.get(kind),
                total_bytes=total_bytes,
            )
        self._tell(claimed)
        return claimed

    def claimable(self, kind: JobKind, limit: int) -> list[int]:
        """Ids of the oldest jobs that could be claimed now: as many bells are worth ringing."""
        with read(self._engine) as connection:
            return claims.claimable(connection, kind, limit)

    def pause(self, kind: JobKind) -> None:
        """Let nobody claim jobs of a kind; those that run go on."""
        with write(self._engine) as connection:
            insert_new(connection, pauses, kind=kind, since=time.time())

    def resume(self, kind: JobKind) -> None:
        with write(self._engine) as connection:
            connection.execute(delete(pauses).where(pauses.c.kind == kind))

    def paused(self) -> dict[JobKind, float]:
        """Kinds that are paused, each with the instant since when."""
        with read(self._engine) as connection:
            return waiting.paused(connection)

    def check(self, job: Job) -> None:
        """Raises `LeaseLostError` when the job is no longer held: to be asked before each write to the index."""
        if not self.held([job]):
            raise _lost(job)

    def held(self, claimed: Sequence[Job]) -> set[int]:
        """The ids of those jobs that are still held."""
        with read(self._engine) as connection:
            return set(connection.execute(select(jobs.c.id).where(still_held(claimed))).scalars())

    def extend(self, job: Job) -> None:
        """Keep a lease alive; long stages call it as they go."""
        with write(self._engine) as connection:
            self._hold(connection, job, lease_until=clock(connection) + self.lease_seconds)

    def extend_all(self, held: Sequence[Job]) -> None:
        """Keep the leases of several jobs alive in one statement; those that were lost stay so."""
        with write(self._engine) as connection:
            lock_jobs(connection, held)
            lease_until = clock(connection) + self.lease_seconds
            connection.execute(
                update(jobs).where(still_held(held)).values(lease_until=lease_until, updated_at=time.time())
            )

    def progress(self, job: Job, state: VersionState, **counts: Any) -> None:  # noqa: ANN401 - columns of `versions`
        """Record the stage a version is in, and what is known of it so far; also extends the lease."""
        if self.progress_together(state, {job: counts}):
            raise _lost(job)

    def progress_together(self, state: VersionState, counts: Mapping[Job, Mapping[str, Any]]) -> list[Job]:
        """As `progress`, for jobs that were claimed together, in one commit; returns those that were lost."""

        def record(connection: Connection, job: Job) -> None:
            self._hold(connection, job, lease_until=clock(connection) + self.lease_seconds)
            record_progress(connection, job, state, counts[job])

        embedded = any("chunks_embedded" in changed for changed in counts.values())
        with self._changing(*counts, finding_otherwise=embedded) as connection:
            return each_held(connection, counts, record)

    def finish_ingest(self, finished: Sequence[IngestReport]) -> list[Job]:
        """Queue the embedding of versions and activate those that replace no other, in one commit.

        Returns the jobs that were lost, of which nothing is done.
        """
        reports = {report.job: report for report in finished}

        def finish(connection: Connection, job: Job) -> None:
            priority = self._end(connection, job, "done")
            queue_job(
                connection,
                JobKind.EMBED,
                tenant_id=job.tenant_id,
                document_id=job.document_id,
                version_id=job.version_id,
                priority=priority,
            )
            make_searchable(connection, reports[job])

        with self._changing(*reports, finding_otherwise=True) as connection:
            lock_written(connection, reports)
            lost = each_held(connection, reports, finish)
            paces.record(connection, {job: report.chunks for job, report in reports.items() if job not in lost})
        return lost

    def finish_embed(self, finished: Sequence[EmbedReport]) -> list[Job]:
        """Mark versions ready, each in the place of the one it replaces, in one commit; returns the jobs it lost.

        Raises `IncompleteVersionError`, and then nothing of it is done.
        """
        reports = {report.job: report for report in finished}

        def finish(connection: Connection, job: Job) -> None:
            self._end(connection, job, "done")
            make_ready(connection, reports[job])

        with self._changing(*reports, finding_otherwise=True) as connection:
            lock_written(connection, reports)
            left = paces.unembedded(connection, [job.version_id for job in reports])
            lost = each_held(connection, reports, finish)
            paces.record(connection, {job: left[job.version_id] for job in reports if job not in lost})
        return lost

    def finish_collect(self, job: Job, *, chunks: int = 0, size: int = 0) -> None:
        """The withdrawn version has nothing left in the index or the blobs; what was removed counts for its receipt."""
        with write(self._engine) as connection:
            self._end(connection, job, "done")
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(hidden=False))
            add_removed(connection, job.document_id, chunks=chunks, size=size)
            corpus_versions.count_up(connection, [job.tenant_id])

    def finish_reembed(self, job: Job) -> None:
        """All of the version is in the generation that is being built."""
        with write(self._engine) as connection:
            standing.require_still_written(connection, job)
            self._end(connection, job, "done")

    def fail(self, job: Job, failure: Failure) -> None:
        """End the job with its reason, and with it the version or the run that it was for."""
        with self._changing(job) as connection:
            self._end(connection, job, "failed", failure)
            fail_subject(connection, job, failure)

    def retry(self, job: Job, failure: Failure) -> bool:
        """Queue a job again after a pause; false when its attempts are used up, and nothing was changed.

        A collection has no last attempt: what it removes must go, however long the index is away.
        """
        attempt = self._attempt(job)
        if job.kind is not JobKind.COLLECT and attempt >= MAX_ATTEMPTS:
            return False
        pause = _RETRY_SECONDS[-1] * 2 ** min(attempt - len(_RETRY_SECONDS) + 1, 10)
        if attempt < len(_RETRY_SECONDS):
            pause = _RETRY_SECONDS[attempt]
        with self._changing(job) as connection:
            self._hold(
                connection,
                job,
                state="queued",
                lease_until=None,
                not_before=clock(connection) + min(pause, _COLLECT_PAUSE_SECONDS),
                away_since=None,
                error_code=failure.code,
                error_detail=failure.detail,
            )
        return True

    def postpone(self, job: Job, failure: Failure) -> None:
        """Queue a job again after a pause because something it needs is away; its attempt does not count.

        The pauses of a run grow for as long as each of its attempts ends so and it gets no further.
        """
        with self._changing(job) as connection:
            now, pause = clock(connection), away.pause_seconds(job, away.away_seconds(connection, job))
            self._hold(
                connection,
                job,
                state="queued",
                lease_until=None,
                attempt=jobs.c.attempt - 1,
                not_before=now + pause,
                away_since=func.coalesce(jobs.c.away_since, now),
                error_code=failure.code,
                error_detail=failure.detail,
            )

    def away_seconds(self, job: Job) -> float:
        """For how long every attempt has ended with `postpone` and got no further, up to now; 0.0 before the first."""
        with read(self._engine) as connection:
            return away.away_seconds(connection, job)

    def hand_back(self, job: Job) -> None:
        """Give up a job unharmed, as when the process is stopping: the attempt does not count."""
        with self._changing(job) as connection:
            self._hold(connection, job, state="queued", lease_until=None, attempt=jobs.c.attempt - 1)

    def recover(self, *, all_running: bool) -> int:
        """Queue again what lost its worker, in one transaction; returns how many.

        With `all_running`, every running job, whatever its lease: right only when no other process can hold one, as
        at the start of an embedded service. The attempt is given back, since a killed process says nothing about the
        document, but not without end. Otherwise the jobs whose lease has run out: in a cluster that counts as an
        attempt, and a document whose last one ends so fails with `worker_lost`, lest it ends worker after worker.
        """
        with write(self._engine) as connection:
            if all_running:
                return recover_killed(connection)
            return recover_lapsed(connection, max_attempts=MAX_ATTEMPTS, grace_seconds=self.lease_seconds)

    def reindex(self, version_id: str) -> None:
        """Queue a version's ingest again because the index lacks some of it."""
        with write(self._engine) as connection:
            of_version = versions.c.id == version_id
            document = connection.execute(select(versions.c.document_id).where(of_version)).scalar_one()
            lock_documents(connection, [document])
            state = connection.execute(select(versions.c.state).where(of_version)).scalar_one()
            if state not in SEARCHABLE_STATES:
                return
            connection.execute(
                update(jobs)
                .where(jobs.c.version_id == version_id, jobs.c.kind == JobKind.INGEST, jobs.c.state == "done")
                .values(state="queued", attempt=0, not_before=0.0, fence=jobs.c.fence + 1, updated_at=time.time())
            )

    def waiting(self) -> dict[JobKind, int]:
        """How many jobs of each kind are queued or running."""
        with read(self._engine) as connection:
            return waiting.unfinished(connection)

    def waiting_since(self, kind: JobKind) -> float | None:
        """When the oldest queued or running job of a kind was made, in seconds of the epoch; None without one."""
        with read(self._engine) as connection:
            return waiting.unfinished_since(connection, kind)

    def waiting_by_tenant(self, kind: JobKind) -> dict[str, int]:
        """How many jobs of a kind are queued, of each tenant that has any."""
        with read(self._engine) as connection:
            return waiting.waiting_by_tenant(connection, kind)

    def backlog(self, tenant_id: str) -> int:
        """How many of a tenant's documents wait to become searchable: a figure to refuse more by."""
        with read(self._engine) as connection:
            return waiting.backlog(connection, tenant_id)

    def position(self, version_id: str) -> int | None:
        """About how many jobs come before the one this version waits for; None when it waits for none."""
        with read(self._engine) as connection:
            return waiting.position(connection, version_id)

    @contextmanager
    def _changing(self, *changed: Job, finding_otherwise: bool = False) -> Iterator[Connection]:
        """A transaction about these jobs, whose documents are announced once it is committed.

        `finding_otherwise` is whether searches may find something else after it.
        """
        with write(self._engine) as connection:
            yield connection
            if finding_otherwise:
                corpus_versions.count_up(connection, [job.tenant_id for job in changed])
        self._tell(changed)

    def _tell(self, changed: Collection[Job]) -> None:
        for tenant in {job.tenant_id for job in changed}:
            self._announce(tenant, {job.document_id for job in changed if job.tenant_id == tenant})

    def _end(self, connection: Connection, job: Job, state: str, failure: Failure | None = None) -> int:
        """The job's priority, for the next stage."""
        return self._hold(
            connection,
            job,
            state=state,
            lease_until=None,
            error_code=failure and failure.code,
            error_detail=failure and failure.detail,
        )

    def _attempt(self, job: Job) -> int:
        """Of a job that is held: how many its row counts by now, which a run that gets further begins anew."""
        query = select(jobs.c.attempt).where(still_held([job]))
        with read(self._engine) as connection:
            attempt: int | None = connection.execute(query).scalar()
        if attempt is None:
            raise _lost(job)
        return attempt

    def _hold(self, connection: Connection, job: Job, **values: Any) -> int:  # noqa: ANN401 - columns of `jobs`
        """Change the job's row if this worker still holds it; otherwise nothing of the job may be committed.

        Returns its priority.
        """
        changed = connection.execute(
            update(jobs)
            .where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
            .values(updated_at=time.time(), **values)
            .returning(jobs.c.priority)
        ).first()
        if changed is None:
            raise _lost(job)
        priority: int = changed.priority
        return priority


def _lost(job: Job) -> LeaseLostError:
    return LeaseLostError(f"Job {job.id} is no longer held under fence {job.fence}.")
