"""The jobs of workers. A job is claimed with a lease, and its results are committed only while the lease is held."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, select, tuple_, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    build_clock_expression,
    bump_corpus_versions,
    insert_row_if_absent,
    lock_documents,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import documents, jobs, pauses, versions
from ingest.storage.documents.deletions import add_removed_counts
from ingest.storage.documents.entries import (
    AdoptedEntries,
    adopt_entries,
    find_and_lock_containers,
    lock_containers,
    stage_entries,
)
from ingest.storage.documents.listing import refresh_listing_state
from ingest.storage.documents.records import SEARCHABLE_STATES, EmbedReport, IngestReport, VersionState
from ingest.storage.documents.versions import mark_version_searchable, mark_versions_ready
from ingest.storage.errors import LeaseLostError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.generations import rows as generation_rows
from ingest.storage.jobs.failures import fail_target, requeue_lapsed_jobs
from ingest.storage.queue.queue import (
    claim_jobs,
    enqueue_job,
    find_oldest_claimable_time,
    has_waiting_jobs,
    list_claimable_job_ids,
    requeue_running_jobs,
)
from ingest.storage.queue.records import ALL_LANES, Failure, Job, JobKind, Lane, choose_embed_lane
from ingest.storage.queue.statistics import (
    count_unembedded_chunks,
    count_waiting_by_tenant,
    estimate_position,
    load_paused_kinds,
    record_throughput,
)
from ingest.storage.queue.turns import find_job_to_yield_to, has_quick_job, should_yield
from ingest.storage.quotas.store import UNLIMITED, QuotaRules

MAX_ATTEMPTS = 3
# Maximum number of concurrent runs per tenant. A run may send many concurrent requests to the language model.
RUNS_PER_TENANT = 4
# Retry delays, indexed by the number of attempts so far (reset to 0 when a run makes progress). Later delays double
# each time.
_RETRY_SECONDS = (0.0, 5.0, 30.0)
# Maximum retry delay. Only `collect` jobs reach this delay, because they are retried without limit.
_COLLECT_PAUSE_SECONDS = 600.0
# Minimum and maximum retry delay while a dependency is unreachable.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 120.0
_UNFINISHED_STATES = ("queued", "running")
_DONE_VALUES = {"state": "done", "lease_until": None, "error_code": None, "error_detail": None}


class Jobs:
    """The jobs of all tenants. Methods that change a `Job` raise `LeaseLostError` if its fencing token is outdated.

    After each commit, `announce` is called with the documents of the changed jobs.
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
        """Lease up to `limit` waiting jobs of a kind, with files of at most `total_bytes` in total. See `claim_jobs`.

        The first job is claimed regardless of its size.
        """
        # Most calls find no job, and a read transaction blocks no writer.
        with read_transaction(self._engine) as connection:
            if not has_waiting_jobs(connection, kind):
                return []
        with write_transaction(self._engine) as connection:
            generation = generation_rows.find_target_generation_id(connection, kind)
            if generation is None:
                return []
            claimed = claim_jobs(
                connection,
                kind,
                generation_id=generation,
                limit=limit,
                lease_seconds=self.lease_seconds,
                max_per_tenant=self._per_tenant.get(kind),
                total_bytes=total_bytes,
                lanes=lanes,
            )
        self._announce_documents(claimed)
        return claimed

    def list_claimable_ids(self, kind: JobKind, limit: int) -> list[int]:
        """List the ids of the oldest jobs that can be claimed now, so that a worker can be notified of each."""
        with read_transaction(self._engine) as connection:
            return list_claimable_job_ids(connection, kind, limit)

    def find_oldest_claimable_time(self, kind: JobKind) -> float | None:
        """Return the time at which the longest-waiting claimable job began to wait, or None if no job can be claimed.

        If this wait keeps growing, there are too few workers. Jobs held back by a retry delay or by their tenant's
        concurrency limit do not count.
        """
        with read_transaction(self._engine) as connection:
            return find_oldest_claimable_time(connection, kind, self._per_tenant.get(kind))

    def pause_kind(self, kind: JobKind) -> None:
        """Stop claiming jobs of a kind. Running jobs continue."""
        with write_transaction(self._engine) as connection:
            if insert_row_if_absent(connection, pauses, kind=kind, since=time.time()):
                record_action(connection, Action.QUEUE_PAUSED, f"queue:{kind}", tenant_id=None)

    def resume_kind(self, kind: JobKind) -> None:
        with write_transaction(self._engine) as connection:
            if connection.execute(delete(pauses).where(pauses.c.kind == kind)).rowcount:
                record_action(connection, Action.QUEUE_RESUMED, f"queue:{kind}", tenant_id=None)

    def load_paused_kinds(self) -> dict[JobKind, float]:
        """Load the time at which each paused kind was paused, keyed by kind."""
        with read_transaction(self._engine) as connection:
            return load_paused_kinds(connection)

    def require_lease(self, job: Job) -> None:
        """Raise `LeaseLostError` if the job's lease was lost. Workers call this before each write to the index."""
        if not self.select_held_ids([job]):
            raise _build_lost_error(job)

    def select_held_ids(self, claimed_jobs: Sequence[Job]) -> set[int]:
        """Return the ids of those jobs whose lease is still held."""
        with read_transaction(self._engine) as connection:
            return set(connection.execute(select(jobs.c.id).where(_build_held_condition(claimed_jobs))).scalars())

    def extend_lease(self, job: Job) -> None:
        """Extend a job's lease."""
        with write_transaction(self._engine) as connection:
            _update_held_job(connection, job, lease_until=build_clock_expression(connection) + self.lease_seconds)

    def extend_leases(self, held_jobs: Sequence[Job]) -> None:
        """Extend the leases of several jobs in one statement. Jobs whose lease was lost are skipped."""
        with write_transaction(self._engine) as connection:
            _lock_jobs_in_order(connection, held_jobs)
            lease_until = build_clock_expression(connection) + self.lease_seconds
            connection.execute(
                update(jobs)
                .where(_build_held_condition(held_jobs))
                .values(lease_until=lease_until, updated_at=time.time())
            )

    def record_progress(self, job: Job, state: VersionState, **counts: Any) -> None:  # noqa: ANN401 - columns of `versions`
        """Record a version's current state and counts, and extend the job's lease."""
        if self.record_batch_progress(state, {job: counts}):
            raise _build_lost_error(job)

    def record_batch_progress(self, state: VersionState, counts: Mapping[Job, Mapping[str, Any]]) -> list[Job]:
        """Record the progress of jobs that were claimed together, and return the jobs whose lease was lost.

        See `record_progress`.
        """
        embedded = any("chunks_embedded" in changed for changed in counts.values())
        lost: list[Job] = []
        with self._open_transaction(*counts, changes_search=embedded) as connection:
            for job in _lock_jobs_in_order(connection, counts):
                if (
                    _update_job_if_held(
                        connection, job, lease_until=build_clock_expression(connection) + self.lease_seconds
                    )
                    is None
                ):
                    lost.append(job)
                else:
                    _record_progress(connection, job, state, counts[job])
        return lost

    def finish_ingest(
        self, ingest_reports: Sequence[IngestReport], *, on_unused_blob: Callable[[str], object] = str
    ) -> list[Job]:
        """Queue the embedding of versions, activate first versions and adopt their entries, all in one commit.

        A version that replaces another one is activated later, by `finish_embed`. Returns the jobs whose lease was
        lost; their results are not committed. After the commit, `on_unused_blob` is called with the key of each entry's
        blob that no document uses.
        """
        reports = {report.job: report for report in ingest_reports}
        lost: list[Job] = []
        taken: list[AdoptedEntries] = []
        with self._open_transaction(*reports, changes_search=True) as connection:
            lock_containers(connection, [job for job, report in reports.items() if report.entries])
            generation_rows.lock_target_generation(connection, reports)
            for job in _lock_jobs_in_order(connection, reports):
                priority = _update_job_if_held(connection, job, **_DONE_VALUES)
                if priority is None:
                    lost.append(job)
                    continue
                enqueue_job(
                    connection,
                    JobKind.EMBED,
                    tenant_id=job.tenant_id,
                    document_id=job.document_id,
                    version_id=job.version_id,
                    priority=priority,
                    lane=choose_embed_lane(reports[job].chunks),
                )
                mark_version_searchable(connection, reports[job])
                if reports[job].entries:
                    stage_entries(connection, job, reports[job].entries)
                    taken.append(adopt_entries(connection, job, self._quotas, priority))
            record_throughput(connection, {job: report.chunks for job, report in reports.items() if job not in lost})
        self._announce_adopted_entries(reports, taken, on_unused_blob)
        return lost

    def finish_embed(
        self, embed_reports: Sequence[EmbedReport], *, on_unused_blob: Callable[[str], object] = str
    ) -> list[Job]:
        """Mark versions as ready, and replace earlier versions with them, all in one commit.

        When a container is replaced, its entries are updated; see `finish_ingest` for `on_unused_blob`. Returns the
        jobs whose lease was lost. Raises `IncompleteVersionError`, without changing anything, if the index lacks chunks
        of a replacement.
        """
        reports = {report.job: report for report in embed_reports}
        with self._open_transaction(*reports, changes_search=True) as connection:
            containers = find_and_lock_containers(connection, reports)
            generation_rows.lock_target_generation(connection, reports)
            held: dict[Job, int] = {}
            for job in _lock_jobs_in_order(connection, reports):
                priority = _update_job_if_held(connection, job, **_DONE_VALUES)
                if priority is not None:
                    held[job] = priority
            last_chunks = mark_versions_ready(connection, [reports[job] for job in held])
            taken = [adopt_entries(connection, job, self._quotas, held[job]) for job in containers if job in held]
            record_throughput(connection, last_chunks)
        self._announce_adopted_entries(reports, taken, on_unused_blob)
        return [job for job in reports if job not in held]

    def _announce_adopted_entries(
        self,
        finished_jobs: Collection[Job],
        adopted_entries: Sequence[AdoptedEntries],
        on_unused_blob: Callable[[str], object],
    ) -> None:
        if any(each.documents for each in adopted_entries):
            for tenant in {job.tenant_id for job in finished_jobs}:
                self._announce(tenant, None)
        for each in adopted_entries:
            for key in sorted(each.unused):
                on_unused_blob(key)

    def finish_collect(self, job: Job, *, chunks: int = 0, size: int = 0) -> None:
        """Record that the content of a withdrawn version was removed from the index and the blobs.

        The counts are added to the deletion receipt of the version's document.
        """
        with write_transaction(self._engine) as connection:
            _update_held_job(connection, job, **_DONE_VALUES)
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(hidden=False))
            add_removed_counts(connection, job.document_id, chunk_count=chunks, size_bytes=size)
            bump_corpus_versions(connection, [job.tenant_id])

    def finish_reembed(self, job: Job) -> None:
        """Record that a version is complete in the generation being built."""
        with write_transaction(self._engine) as connection:
            generation_rows.lock_unchanged_target(connection, job)
            _update_held_job(connection, job, **_DONE_VALUES)

    def fail(self, job: Job, failure: Failure) -> None:
        """Fail a job, and its version or run, for the given reason."""
        with self._open_transaction(job) as connection:
            _update_held_job(
                connection,
                job,
                state="failed",
                lease_until=None,
                error_code=failure.code,
                error_detail=failure.detail,
            )
            fail_target(connection, job, failure)

    def retry(self, job: Job, failure: Failure) -> bool:
        """Requeue a job after a retry delay. Return false, without changing anything, if no attempts remain.

        `collect` jobs are retried without limit, because deleted content must be removed no matter how long the index
        is unreachable.
        """
        attempt = self._load_current_attempt(job)
        if job.kind is not JobKind.COLLECT and attempt >= MAX_ATTEMPTS:
            return False
        pause = _RETRY_SECONDS[-1] * 2 ** min(attempt - len(_RETRY_SECONDS) + 1, 10)
        if attempt < len(_RETRY_SECONDS):
            pause = _RETRY_SECONDS[attempt]
        with self._open_transaction(job) as connection:
            _update_held_job(
                connection,
                job,
                state="queued",
                lease_until=None,
                not_before=build_clock_expression(connection) + min(pause, _COLLECT_PAUSE_SECONDS),
                away_since=None,
                error_code=failure.code,
                error_detail=failure.detail,
            )
        return True

    def postpone(self, job: Job, failure: Failure) -> None:
        """Requeue a job after a retry delay because a dependency is unreachable. This does not use up an attempt.

        The delays of a run grow as long as every attempt ends this way without progress.
        """
        with self._open_transaction(job) as connection:
            now, pause = (
                build_clock_expression(connection),
                compute_retry_delay_seconds(job, _load_outage_seconds(connection, job)),
            )
            _update_held_job(
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

    def load_outage_seconds(self, job: Job) -> float:
        """Return for how many seconds the job's attempts have all ended in `postpone` without progress.

        The time is measured from the end of the first of these attempts. It is 0.0 if the last attempt ended
        differently.
        """
        with read_transaction(self._engine) as connection:
            return _load_outage_seconds(connection, job)

    def release_job(self, job: Job) -> None:
        """Requeue a job because the process is stopping. This does not use up an attempt."""
        with self._open_transaction(job) as connection:
            _update_held_job(connection, job, state="queued", lease_until=None, attempt=jobs.c.attempt - 1)

    def requeue_in_lane(self, job: Job, lane: Lane) -> None:
        """Requeue an ingest job in another lane because its first try took too long. This uses up no attempt."""
        with self._open_transaction(job) as connection:
            _update_held_job(connection, job, state="queued", lease_until=None, attempt=jobs.c.attempt - 1, lane=lane)
            connection.execute(update(versions).where(versions.c.id == job.version_id).values(pages_done=None))

    def mark_slow(self, job: Job) -> None:
        """Move a running job to the slow lane because its first try took too long."""
        with write_transaction(self._engine) as connection:
            _update_held_job(connection, job, lane=Lane.SLOW, slow_since=build_clock_expression(connection))

    def find_job_to_yield_to(self, job: Job, lane: Lane) -> int | None:
        """Return the id of the waiting job to which a running job in this lane should yield, or None."""
        with read_transaction(self._engine) as connection:
            return find_job_to_yield_to(connection, job, lane)

    def has_quick_job(self, kind: JobKind) -> bool:
        """Return whether a quick job of a kind can be claimed now."""
        with read_transaction(self._engine) as connection:
            return has_quick_job(connection, kind)

    def should_yield(self, held_jobs: Sequence[Job]) -> bool:
        """Return whether these resumable jobs of one kind should yield their worker to other jobs now."""
        with read_transaction(self._engine) as connection:
            return should_yield(connection, held_jobs)

    def requeue_lost_jobs(self, *, include_all_running: bool) -> int:
        """Requeue jobs that lost their worker, in one transaction, and return their number.

        If `include_all_running` is true, every running job is requeued regardless of its lease. This is correct only if
        no other process can hold a job, as when an embedded service starts. It uses up an attempt only if the job was
        interrupted too often, because a killed process does not mean that the document caused it.

        Otherwise, as in a cluster, only jobs with an expired lease are requeued, which uses up an attempt. If it was
        the last attempt, the document fails with `worker_lost`, so that it cannot crash one worker after another.
        """
        with write_transaction(self._engine) as connection:
            if include_all_running:
                return requeue_running_jobs(connection)
            return requeue_lapsed_jobs(connection, max_attempts=MAX_ATTEMPTS, grace_seconds=self.lease_seconds)

    def requeue_ingest(self, version_id: str) -> None:
        """Requeue a version's ingest job because some of its chunks are missing from the index."""
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

    def count_unfinished_jobs(self) -> dict[JobKind, int]:
        """Count the queued and running jobs of each kind."""
        query = select(jobs.c.kind, func.count()).where(jobs.c.state.in_(_UNFINISHED_STATES)).group_by(jobs.c.kind)
        with read_transaction(self._engine) as connection:
            return {JobKind(kind): count for kind, count in connection.execute(query).all()}

    def find_oldest_unfinished_time(self, kind: JobKind) -> float | None:
        """Return the creation time of the oldest queued or running job of a kind, or None if there is none.

        The time is in seconds since the epoch. Jobs in the slow lane are excluded.
        """
        is_slow = jobs.c.lane.is_not_distinct_from(Lane.SLOW)
        query = select(func.min(jobs.c.created_at)).where(
            jobs.c.state.in_(_UNFINISHED_STATES), jobs.c.kind == kind, ~is_slow
        )
        with read_transaction(self._engine) as connection:
            return connection.execute(query).scalar()

    def count_waiting_by_tenant(self, kind: JobKind) -> dict[str, int]:
        """Count the queued jobs of a kind, keyed by tenant. Tenants without queued jobs are omitted."""
        with read_transaction(self._engine) as connection:
            return count_waiting_by_tenant(connection, kind)

    def count_backlog(self, tenant_id: str) -> int:
        """Count a tenant's documents that are waiting to become searchable. Above a limit, uploads are rejected."""
        query = select(func.count()).where(
            jobs.c.state == "queued", jobs.c.kind == JobKind.INGEST, jobs.c.tenant_id == tenant_id
        )
        with read_transaction(self._engine) as connection:
            return connection.execute(query).scalar_one()

    def estimate_position(self, version_id: str) -> int | None:
        """Estimate the number of jobs ahead of a version's waiting job. Returns None if it has no waiting job."""
        with read_transaction(self._engine) as connection:
            return estimate_position(connection, version_id)

    @contextmanager
    def _open_transaction(self, *changed_jobs: Job, changes_search: bool = False) -> Iterator[Connection]:
        """Open a transaction that changes these jobs, and announce their documents after the commit.

        Set `changes_search` if search results may differ after the commit.
        """
        tenants = [job.tenant_id for job in changed_jobs] if changes_search else []
        with write_transaction(self._engine, changed_tenant_ids=tenants) as connection:
            yield connection
        self._announce_documents(changed_jobs)

    def _announce_documents(self, changed_jobs: Collection[Job]) -> None:
        for tenant in {job.tenant_id for job in changed_jobs}:
            self._announce(tenant, {job.document_id for job in changed_jobs if job.tenant_id == tenant})

    def _load_current_attempt(self, job: Job) -> int:
        """Reload the attempt number from the job's row, because progress of a run resets it.

        Raises `LeaseLostError` if the lease was lost.
        """
        query = select(jobs.c.attempt).where(_build_held_condition([job]))
        with read_transaction(self._engine) as connection:
            attempt: int | None = connection.execute(query).scalar()
        if attempt is None:
            raise _build_lost_error(job)
        return attempt


def compute_retry_delay_seconds(job: Job, outage_seconds: float) -> float:
    """Compute a job's next retry delay, after its dependency has been unreachable for `outage_seconds` seconds.

    The delay is 5 s for documents, and 5, 10, 20, … 120 s for runs. The delays of a run grow because each attempt
    replays and logs all its earlier steps.
    """
    return (
        min(_FIRST_PAUSE_SECONDS + outage_seconds, _LONGEST_PAUSE_SECONDS)
        if job.kind is JobKind.RUN
        else _FIRST_PAUSE_SECONDS
    )


def _build_held_condition(claimed_jobs: Collection[Job]) -> ColumnElement[bool]:
    return tuple_(jobs.c.id, jobs.c.fence).in_([(job.id, job.fence) for job in claimed_jobs]) & (
        jobs.c.state == "running"
    )


def _lock_jobs_in_order(connection: Connection, claimed_jobs: Collection[Job]) -> list[Job]:
    """Lock the rows of several jobs in the order of their ids, to avoid deadlocks. Return the jobs in this order."""
    of_these = jobs.c.id.in_([job.id for job in claimed_jobs])
    connection.execute(select(jobs.c.id).where(of_these).order_by(jobs.c.id).with_for_update()).all()
    return sorted(claimed_jobs, key=lambda job: job.id)


def _update_job_if_held(connection: Connection, job: Job, **values: Any) -> int | None:  # noqa: ANN401 - columns of `jobs`
    """Update a job's row and return its priority, or None if the lease was lost.

    If the lease was lost, the job's results must not be committed.
    """
    priority: int | None = connection.execute(
        update(jobs)
        # guard: job-fence
        .where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")
        .values(updated_at=time.time(), **values)
        .returning(jobs.c.priority)
    ).scalar()
    return priority


def _update_held_job(connection: Connection, job: Job, **values: Any) -> None:  # noqa: ANN401 - columns of `jobs`
    """Update a job's row. Raises `LeaseLostError` if the lease was lost."""
    if _update_job_if_held(connection, job, **values) is None:
        raise _build_lost_error(job)


def _record_progress(connection: Connection, job: Job, state: VersionState, counts: Mapping[str, Any]) -> None:
    of_version = versions.c.id == job.version_id
    changed: dict[str, Any] = {"state": state, **counts}
    # From now on, the index may contain points of this version, but searches may find only an active version.
    if state is VersionState.INDEXING:
        active = documents.c.active_version_id == job.version_id
        changed["hidden"] = ~select(documents.c.id).where(documents.c.id == job.document_id, active).exists()
    refresh_listing_state(connection, job.document_id, job.version_id, state)
    if "chunks_embedded" not in counts:
        connection.execute(update(versions).where(of_version).values(**changed))
        return
    left = count_unembedded_chunks(connection, [job.version_id])[job.version_id]
    connection.execute(update(versions).where(of_version).values(**changed))
    done = left - count_unembedded_chunks(connection, [job.version_id])[job.version_id]
    record_throughput(connection, {job: done}, has_ended=False)


def _load_outage_seconds(connection: Connection, job: Job) -> float:
    query = select(build_clock_expression(connection) - jobs.c.away_since).where(jobs.c.id == job.id)
    return max(0.0, connection.execute(query).scalar() or 0.0)


def _build_lost_error(job: Job) -> LeaseLostError:
    return LeaseLostError(f"The lease of job {job.id} with fencing token {job.fence} was lost.")
