"""Jobs as workers see them: claimed with a lease, run under a fence, and committed only by whoever still holds them."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, tuple_, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    build_clock,
    bump_corpus_versions,
    insert_if_absent,
    lock_documents,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import documents, jobs, pauses, versions
from ingest.storage.documents.deletions import add_removed_counts
from ingest.storage.documents.entries import (
    AdoptedEntries,
    adopt_entries,
    lock_containers,
    select_containers,
    stage_entries,
)
from ingest.storage.documents.listing import refresh_listing_state
from ingest.storage.documents.records import SEARCHABLE_STATES, EmbedReport, IngestReport, VersionState
from ingest.storage.documents.versions import make_ready, make_searchable
from ingest.storage.errors import LeaseLostError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.generations import rows as generation_rows
from ingest.storage.jobs.failures import fail_target, requeue_lapsed_jobs
from ingest.storage.queue.queue import (
    claim_jobs,
    find_oldest_claimable_time,
    has_waiting_jobs,
    list_claimable_jobs,
    queue_job,
    requeue_running_jobs,
)
from ingest.storage.queue.records import ALL_LANES, Failure, Job, JobKind, Lane, choose_embed_lane
from ingest.storage.queue.statistics import (
    count_unembedded_chunks,
    count_waiting_by_tenant,
    estimate_position,
    load_paused_kinds,
    record_pace,
)
from ingest.storage.queue.turns import find_job_to_yield_to, has_quick_job, should_yield
from ingest.storage.quotas.store import UNLIMITED, QuotaRules

MAX_ATTEMPTS = 3
# Runs of a tenant at once; each may have many requests in flight at the language model.
RUNS_PER_TENANT = 4
_RETRY_SECONDS = (0.0, 5.0, 30.0)
_COLLECT_PAUSE_SECONDS = 600.0
# Pauses while something that a job needs is away.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 120.0
_UNFINISHED_STATES = ("queued", "running")
_DONE_VALUES = {"state": "done", "lease_until": None, "error_code": None, "error_detail": None}


class Jobs:
    """The jobs of every tenant. A method that takes a `Job` raises `LeaseLostError` when its fence is old.

    `announce` is called with the documents of every changed job, after the commit.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_seconds: float = 60.0,
        runs_per_tenant: int = RUNS_PER_TENANT,
        announce: Announce = announce_to_nobody,
        quotas: QuotaRules = UNLIMITED,
    ) -> None:
        self._engine = engine
        self._quotas = quotas
        self.lease_seconds = lease_seconds
        self._announce = announce
        self._per_tenant = {JobKind.RUN: runs_per_tenant}

    def claim(
        self,
        kind: JobKind,
        *,
        limit: int = 1,
        total_bytes: int | None = None,
        lanes: Collection[Lane] = ALL_LANES,
    ) -> list[Job]:
        """Lease up to `limit` waiting jobs of a kind, with files of at most `total_bytes` together; see `claim_jobs`.

        At least one job is claimed, whatever its size, if any waits that may be claimed.
        """
        with read_transaction(self._engine) as connection:  # most calls find nothing, and a read blocks nobody
            if not has_waiting_jobs(connection, kind):
                return []
        with write_transaction(self._engine) as connection:
            generation = generation_rows.find_written_id(connection, kind)
            if generation is None:
                return []
            claimed = claim_jobs(
                connection,
                kind,
                generation=generation,
                limit=limit,
                lease_seconds=self.lease_seconds,
                per_tenant=self._per_tenant.get(kind),
                total_bytes=total_bytes,
                lanes=lanes,
            )
        self._announce_documents(claimed)
        return claimed

    def list_claimable(self, kind: JobKind, limit: int) -> list[int]:
        """Ids of the oldest jobs that could be claimed now, each worth ringing a worker for."""
        with read_transaction(self._engine) as connection:
            return list_claimable_jobs(connection, kind, limit)

    def find_oldest_claimable_time(self, kind: JobKind) -> float | None:
        """Return since when the job has waited that waits longest of those that can be claimed now; None without one.

        Where it grows, workers are too few: those that wait for their pause or their tenant's turn do not count.
        """
        with read_transaction(self._engine) as connection:
            return find_oldest_claimable_time(connection, kind, self._per_tenant.get(kind))

    def pause(self, kind: JobKind) -> None:
        """Stop claims of a kind; running jobs go on."""
        with write_transaction(self._engine) as connection:
            if insert_if_absent(connection, pauses, kind=kind, since=time.time()):
                record_action(connection, Action.QUEUE_PAUSED, f"queue:{kind}", tenant_id=None)

    def resume(self, kind: JobKind) -> None:
        with write_transaction(self._engine) as connection:
            if connection.execute(delete(pauses).where(pauses.c.kind == kind)).rowcount:
                record_action(connection, Action.QUEUE_RESUMED, f"queue:{kind}", tenant_id=None)

    def load_paused_kinds(self) -> dict[JobKind, float]:
        """Return the paused kinds, each with the instant its pause began."""
        with read_transaction(self._engine) as connection:
            return load_paused_kinds(connection)

    def require_held(self, job: Job) -> None:
        """Raise `LeaseLostError` if the job is no longer held; workers call it before each write to the index."""
        if not self.select_held([job]):
            raise _build_lost_error(job)

    def select_held(self, claimed: Sequence[Job]) -> set[int]:
        """Return the ids of the jobs that are still held."""
        with read_transaction(self._engine) as connection:
            return set(connection.execute(select(jobs.c.id).where(_build_held_condition(claimed))).scalars())

    def extend_lease(self, job: Job) -> None:
        """Extend a job's lease."""
        with write_transaction(self._engine) as connection:
            _update_held(connection, job, lease_until=build_clock(connection) + self.lease_seconds)

    def extend_leases(self, held: Sequence[Job]) -> None:
        """Extend the leases of several jobs in one statement, except those that were lost."""
        with write_transaction(self._engine) as connection:
            _lock_jobs_in_order(connection, held)
            lease_until = build_clock(connection) + self.lease_seconds
            connection.execute(
                update(jobs).where(_build_held_condition(held)).values(lease_until=lease_until, updated_at=time.time())
            )

    def record_progress(self, job: Job, state: VersionState, **counts: Any) -> None:  # noqa: ANN401 - columns of `versions`
        """Record the stage of a version with its counts so far, and extend the lease."""
        if self.record_batch_progress(state, {job: counts}):
            raise _build_lost_error(job)

    def record_batch_progress(self, state: VersionState, counts: Mapping[Job, Mapping[str, Any]]) -> list[Job]:
        """Record progress, as `progress` does, for jobs that were claimed together; returns the jobs that were lost."""
        embedded = any("chunks_embedded" in changed for changed in counts.values())
        lost: list[Job] = []
        with self._transaction(*counts, changes_search=embedded) as connection:
            for job in _lock_jobs_in_order(connection, counts):
                if _update_if_held(connection, job, lease_until=build_clock(connection) + self.lease_seconds) is None:
                    lost.append(job)
                else:
                    _record_progress(connection, job, state, counts[job])
        return lost

    def finish_ingest(self, finished: Sequence[IngestReport], *, unused: Callable[[str], object] = str) -> list[Job]:
        """Queue the embedding of versions, activate those that replace no other and take their entries, in one commit.

        Returns the jobs that were lost, for which nothing is done. `unused` is called, after the commit, with the keys
        of entries' blobs that no document has.
        """
        reports = {report.job: report for report in finished}
        lost: list[Job] = []
        taken: list[AdoptedEntries] = []
        with self._transaction(*reports, changes_search=True) as connection:
            lock_containers(connection, [job for job, report in reports.items() if report.entries])
            _lock_written_rows(connection, reports)
            for job in _lock_jobs_in_order(connection, reports):
                priority = _update_if_held(connection, job, **_DONE_VALUES)
                if priority is None:
                    lost.append(job)
                    continue
                queue_job(
                    connection,
                    JobKind.EMBED,
                    tenant_id=job.tenant_id,
                    document_id=job.document_id,
                    version_id=job.version_id,
                    priority=priority,
                    lane=choose_embed_lane(reports[job].chunks),
                )
                make_searchable(connection, reports[job])
                if reports[job].entries:
                    stage_entries(connection, job, reports[job].entries)
                    taken.append(adopt_entries(connection, job, self._quotas, priority))
            record_pace(connection, {job: report.chunks for job, report in reports.items() if job not in lost})
        self._announce_taken_entries(reports, taken, unused)
        return lost

    def finish_embed(self, finished: Sequence[EmbedReport], *, unused: Callable[[str], object] = str) -> list[Job]:
        """Mark versions ready, in the place of those they replace, in one commit; returns the jobs that were lost.

        Entries of a container that is replaced change with it; `unused` is called as by `finish_ingest`. Raises
        `IncompleteVersionError`, and then changes nothing.
        """
        reports = {report.job: report for report in finished}
        lost: list[Job] = []
        taken: list[AdoptedEntries] = []
        with self._transaction(*reports, changes_search=True) as connection:
            containers = select_containers(connection, reports)
            lock_containers(connection, containers)
            _lock_written_rows(connection, reports)
            left = count_unembedded_chunks(connection, [job.version_id for job in reports])
            for job in _lock_jobs_in_order(connection, reports):
                priority = _update_if_held(connection, job, **_DONE_VALUES)
                if priority is None:
                    lost.append(job)
                    continue
                make_ready(connection, reports[job])
                if job in containers:
                    taken.append(adopt_entries(connection, job, self._quotas, priority))
            record_pace(connection, {job: left[job.version_id] for job in reports if job not in lost})
        self._announce_taken_entries(reports, taken, unused)
        return lost

    def _announce_taken_entries(
        self, finished: Collection[Job], taken: Sequence[AdoptedEntries], unused: Callable[[str], object]
    ) -> None:
        if any(each.documents for each in taken):
            for tenant in {job.tenant_id for job in finished}:
                self._announce(tenant, None)
        for each in taken:
            for key in sorted(each.unused):
                unused(key)

    def finish_collect(self, job: Job, *, chunks: int = 0, size: int = 0) -> None:
        """Record that a withdrawn version is removed from index and blobs; the counts go on its document's receipt."""
        with write_transaction(self._engine) as connection:
            _update_held(connection, job, **_DONE_VALUES)
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(hidden=False))
            add_removed_counts(connection, job.document_id, chunks=chunks, size=size)
            bump_corpus_versions(connection, [job.tenant_id])

    def finish_reembed(self, job: Job) -> None:
        """Record that the generation being built has all of a version."""
        with write_transaction(self._engine) as connection:
            generation_rows.require_still_written(connection, job)
            _update_held(connection, job, **_DONE_VALUES)

    def fail(self, job: Job, failure: Failure) -> None:
        """Fail a job with its reason, and with it the version or the run that it was for."""
        with self._transaction(job) as connection:
            _update_held(
                connection,
                job,
                state="failed",
                lease_until=None,
                error_code=failure.code,
                error_detail=failure.detail,
            )
            fail_target(connection, job, failure)

    def retry(self, job: Job, failure: Failure) -> bool:
        """Queue a job again after a pause; false, with nothing changed, when its attempts are used up.

        A collection has no last attempt: what it removes must go, however long the index is away.
        """
        attempt = self._load_current_attempt(job)
        if job.kind is not JobKind.COLLECT and attempt >= MAX_ATTEMPTS:
            return False
        pause = _RETRY_SECONDS[-1] * 2 ** min(attempt - len(_RETRY_SECONDS) + 1, 10)
        if attempt < len(_RETRY_SECONDS):
            pause = _RETRY_SECONDS[attempt]
        with self._transaction(job) as connection:
            _update_held(
                connection,
                job,
                state="queued",
                lease_until=None,
                not_before=build_clock(connection) + min(pause, _COLLECT_PAUSE_SECONDS),
                away_since=None,
                error_code=failure.code,
                error_detail=failure.detail,
            )
        return True

    def postpone(self, job: Job, failure: Failure) -> None:
        """Queue a job again after a pause because something it needs is away; the attempt does not count.

        The pauses of a run grow as long as every attempt ends this way without progress.
        """
        with self._transaction(job) as connection:
            now, pause = build_clock(connection), compute_pause_seconds(job, _load_away_seconds(connection, job))
            _update_held(
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

    def load_away_seconds(self, job: Job) -> float:
        """Seconds since the first of the attempts that have all ended with `postpone` and no progress; 0.0 if none."""
        with read_transaction(self._engine) as connection:
            return _load_away_seconds(connection, job)

    def hand_back(self, job: Job) -> None:
        """Queue a job again because the process is stopping; the attempt does not count."""
        with self._transaction(job) as connection:
            _update_held(connection, job, state="queued", lease_until=None, attempt=jobs.c.attempt - 1)

    def requeue_in_lane(self, job: Job, lane: Lane) -> None:
        """Queue an ingest again in another lane, because it took longer than its try; the attempt does not count."""
        with self._transaction(job) as connection:
            _update_held(connection, job, state="queued", lease_until=None, attempt=jobs.c.attempt - 1, lane=lane)
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(pages_done=None))

    def mark_slow(self, job: Job) -> None:
        """Move a running job to the slow lane, because its first try took too long."""
        with write_transaction(self._engine) as connection:
            _update_held(connection, job, lane=Lane.SLOW, slow_since=build_clock(connection))

    def find_job_to_yield_to(self, job: Job, lane: Lane) -> int | None:
        """Return the first try that a running job in this lane should give its worker to; None while it may keep it."""
        with read_transaction(self._engine) as connection:
            return find_job_to_yield_to(connection, job, lane)

    def has_quick_job(self, kind: JobKind) -> bool:
        """Tell whether a quick job of a kind can be claimed now."""
        with read_transaction(self._engine) as connection:
            return has_quick_job(connection, kind)

    def should_yield(self, held: Sequence[Job]) -> bool:
        """Tell whether jobs of a kind that can be continued later should let others have a turn now."""
        with read_transaction(self._engine) as connection:
            return should_yield(connection, held)

    def recover(self, *, all_running: bool) -> int:
        """Queue jobs again that lost their worker, in one transaction; returns how many.

        With `all_running`, these are all running jobs, whatever their leases: right only when no other process can hold
        one, as at the start of an embedded service. The attempt does not count, since a killed process says nothing
        about the document, unless the job was interrupted too often. Otherwise, these are the jobs whose lease has run
        out, as in a cluster. That counts as an attempt, and a document whose last attempt ends this way fails with
        `worker_lost`, so that it does not end worker after worker.
        """
        with write_transaction(self._engine) as connection:
            if all_running:
                return requeue_running_jobs(connection)
            return requeue_lapsed_jobs(connection, max_attempts=MAX_ATTEMPTS, grace_seconds=self.lease_seconds)

    def requeue_ingest(self, version_id: str) -> None:
        """Queue a version's ingest again because the index lacks some of it."""
        with write_transaction(self._engine) as connection:
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

    def count_unfinished(self) -> dict[JobKind, int]:
        """Count the jobs of each kind that are queued or running."""
        query = select(jobs.c.kind, func.count()).where(jobs.c.state.in_(_UNFINISHED_STATES)).group_by(jobs.c.kind)
        with read_transaction(self._engine) as connection:
            return {JobKind(kind): count for kind, count in connection.execute(query).all()}

    def find_oldest_unfinished_time(self, kind: JobKind) -> float | None:
        """When the oldest queued or running job of a kind was made, in seconds of the epoch; None without one.

        Slow jobs are left out.
        """
        is_slow = jobs.c.lane.is_not_distinct_from(Lane.SLOW)
        query = select(func.min(jobs.c.created_at)).where(
            jobs.c.state.in_(_UNFINISHED_STATES), jobs.c.kind == kind, ~is_slow
        )
        with read_transaction(self._engine) as connection:
            return connection.execute(query).scalar()

    def count_waiting_by_tenant(self, kind: JobKind) -> dict[str, int]:
        """Count the queued jobs of a kind for each tenant that has any."""
        with read_transaction(self._engine) as connection:
            return count_waiting_by_tenant(connection, kind)

    def count_backlog(self, tenant_id: str) -> int:
        """Count a tenant's documents that wait to become searchable; uploads are refused by this number."""
        query = select(func.count()).where(
            jobs.c.state == "queued", jobs.c.kind == JobKind.INGEST, jobs.c.tenant_id == tenant_id
        )
        with read_transaction(self._engine) as connection:
            return connection.execute(query).scalar_one()

    def estimate_position(self, version_id: str) -> int | None:
        """Estimate how many jobs come before the one this version waits for; None when it waits for none."""
        with read_transaction(self._engine) as connection:
            return estimate_position(connection, version_id)

    @contextmanager
    def _transaction(self, *changed: Job, changes_search: bool = False) -> Iterator[Connection]:
        """Open a transaction about these jobs, whose documents are announced after the commit.

        `changes_search` says that searches may find something else after it.
        """
        with write_transaction(self._engine) as connection:
            yield connection
            if changes_search:
                bump_corpus_versions(connection, [job.tenant_id for job in changed])
        self._announce_documents(changed)

    def _announce_documents(self, changed: Collection[Job]) -> None:
        for tenant in {job.tenant_id for job in changed}:
            self._announce(tenant, {job.document_id for job in changed if job.tenant_id == tenant})

    def _load_current_attempt(self, job: Job) -> int:
        """Read the attempt from the job's row, since progress of a run resets it. Raises `LeaseLostError`."""
        query = select(jobs.c.attempt).where(_build_held_condition([job]))
        with read_transaction(self._engine) as connection:
            attempt: int | None = connection.execute(query).scalar()
        if attempt is None:
            raise _build_lost_error(job)
        return attempt


def compute_pause_seconds(job: Job, away: float) -> float:
    """Return a job's next pause after `away` seconds of waiting: 5 s, and for a run 5, 10, 20, … 120 s.

    Each attempt at a run repeats and logs all its earlier steps, so its pauses grow; documents are retried one by one.
    """
    return min(_FIRST_PAUSE_SECONDS + away, _LONGEST_PAUSE_SECONDS) if job.kind is JobKind.RUN else _FIRST_PAUSE_SECONDS


def _build_held_condition(claimed: Collection[Job]) -> ColumnElement[bool]:
    return tuple_(jobs.c.id, jobs.c.fence).in_([(job.id, job.fence) for job in claimed]) & (jobs.c.state == "running")


def _lock_jobs_in_order(connection: Connection, claimed: Collection[Job]) -> list[Job]:
    """Lock the rows of several jobs, sorted by id: two transactions that want the same rows wait in turn."""
    of_these = jobs.c.id.in_([job.id for job in claimed])
    connection.execute(select(jobs.c.id).where(of_these).order_by(jobs.c.id).with_for_update()).all()
    return sorted(claimed, key=lambda job: job.id)


def _lock_written_rows(connection: Connection, claimed: Collection[Job]) -> None:
    """Lock the generation that jobs claimed together wrote to, and their documents. Raises `GenerationChangedError`."""
    if claimed:
        generation_rows.require_still_written(connection, next(iter(claimed)))
    lock_documents(connection, {job.document_id for job in claimed})


def _update_if_held(connection: Connection, job: Job, **values: Any) -> int | None:  # noqa: ANN401 - columns of `jobs`
    """Update the job's row and return its priority; None if the job was lost: then nothing of it may be committed."""
    priority: int | None = connection.execute(
        update(jobs)
        # guard: job-fence
        .where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
        .values(updated_at=time.time(), **values)
        .returning(jobs.c.priority)
    ).scalar()
    return priority


def _update_held(connection: Connection, job: Job, **values: Any) -> None:  # noqa: ANN401 - columns of `jobs`
    """Update the job's row. Raises `LeaseLostError`."""
    if _update_if_held(connection, job, **values) is None:
        raise _build_lost_error(job)


def _record_progress(connection: Connection, job: Job, state: VersionState, counts: Mapping[str, Any]) -> None:
    of_version = versions.c.id == job.version_id
    changed: dict[str, Any] = {"state": state, **counts}
    if state is VersionState.INDEXING:  # the index may have points of it from now on; only an active version may show
        active = documents.c.active_version_id == job.version_id
        changed["hidden"] = ~select(documents.c.id).where(documents.c.id == job.document_id, active).exists()
    refresh_listing_state(connection, job.document_id, job.version_id, state)
    if "chunks_embedded" not in counts:
        connection.execute(update(versions).where(of_version).values(**changed))
        return
    left = count_unembedded_chunks(connection, [job.version_id])[job.version_id]
    connection.execute(update(versions).where(of_version).values(**changed))
    done = left - count_unembedded_chunks(connection, [job.version_id])[job.version_id]
    record_pace(connection, {job: done}, ended=False)


def _load_away_seconds(connection: Connection, job: Job) -> float:
    query = select(build_clock(connection) - jobs.c.away_since).where(jobs.c.id == job.id)
    return max(0.0, connection.execute(query).scalar() or 0.0)


def _build_lost_error(job: Job) -> LeaseLostError:
    return LeaseLostError(f"Job {job.id} is no longer held under fence {job.fence}.")
