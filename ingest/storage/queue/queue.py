"""The job queue: jobs are queued, claimed in turn, and requeued when their worker is lost.

A version has at most one job of each kind. Its row is reused whenever the work has to be done again.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, null, select, update

from ingest.storage.db.database import build_clock_expression, build_upsert, upsert_row
from ingest.storage.db.schema import jobs, pauses, turns
from ingest.storage.instrumentation import get_traceparent
from ingest.storage.queue.records import ALL_LANES, Job, JobKind, JobPriority, Lane
from ingest.storage.queue.turns import (
    build_waiting_conditions,
    format_turn_name,
    lock_claimable_job_under_limit,
    lock_claimable_jobs,
)

# If a job was running this many times when a worker process was killed, the job is assumed to be the cause. All further
# interruptions use up the job's attempts.
_MAX_INTERRUPTIONS = 20


def enqueue_job(
    connection: Connection,
    kind: JobKind,
    *,
    tenant_id: str,
    document_id: str,
    version_id: str,
    priority: int = JobPriority.BULK,
    not_before: float = 0.0,
    lane: Lane = Lane.QUICK,
) -> None:
    """Queue a version's only job of this kind. If a worker holds the job, it loses its lease.

    If the job is already waiting and has a later `not_before`, that time is kept.
    """
    _upsert_jobs(connection, [_build_job_row(kind, tenant_id, document_id, version_id, priority, not_before, lane)])


def enqueue_jobs(
    connection: Connection,
    kind: JobKind,
    version_keys: Sequence[tuple[str, str, str]],
    *,
    priority: int = JobPriority.BULK,
    not_before: Sequence[float] | None = None,
    lanes: Sequence[Lane] | None = None,
) -> None:
    """Queue jobs of one kind for several versions, each given as its tenant, document and version id.

    `not_before` and `lanes` have one value per version. See `enqueue_job`.
    """
    count = len(version_keys)
    each = zip(version_keys, not_before or [0.0] * count, lanes or [Lane.QUICK] * count, strict=True)
    _upsert_jobs(
        connection, [_build_job_row(kind, *of_version, priority, instant, lane) for of_version, instant, lane in each]
    )


def _build_job_row(
    kind: JobKind,
    tenant_id: str,
    document_id: str,
    version_id: str,
    priority: int,
    not_before: float,
    lane: Lane,
) -> dict[str, object]:
    now = time.time()
    return {
        "kind": kind,
        "tenant_id": tenant_id,
        "document_id": document_id,
        "version_id": version_id,
        "state": "queued",
        "priority": priority,
        "lane": None if lane is Lane.QUICK else lane,
        "attempt": 0,
        "interruptions": 0,
        "fence": 0,
        "not_before": not_before,
        "created_at": now,
        "updated_at": now,
        "trace": get_traceparent(),
    }


def _upsert_jobs(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    if not rows:
        return
    new = build_upsert(connection, jobs)
    waiting_longer = and_(jobs.c.state == "queued", jobs.c.not_before > new.excluded.not_before)
    again = new.on_conflict_do_update(
        index_elements=["kind", "version_id"],
        set_={
            "state": "queued",
            "priority": new.excluded.priority,
            "lane": new.excluded.lane,
            "attempt": 0,
            "interruptions": 0,
            "fence": jobs.c.fence + 1,
            "lease_until": None,
            "not_before": case((waiting_longer, jobs.c.not_before), else_=new.excluded.not_before),
            "away_since": None,
            "error_code": None,
            "error_detail": None,
            "updated_at": new.excluded.updated_at,
            "trace": new.excluded.trace,
        },
    )
    connection.execute(again, list(rows))


def claim_jobs(
    connection: Connection,
    kind: JobKind,
    *,
    generation_id: int,
    limit: int,
    lease_seconds: float,
    max_per_tenant: int | None = None,
    total_bytes: int | None = None,
    lanes: Collection[Lane] = ALL_LANES,
) -> list[Job]:
    """Lease up to `limit` waiting jobs, with files of at most `total_bytes` in total; none while the kind is paused.

    The first job is claimed regardless of its size. The tenant with the fewest running jobs of the kind is served next;
    ties go to the tenant that was served longest ago. Within a tenant, the most urgent jobs come first. Therefore, even
    if a tenant has ten thousand waiting jobs, another tenant's single job waits only for the running jobs. Concurrent
    claims do not see each other, so the distribution is fair over many claims rather than in each one.

    Only quick jobs are claimed together. Equally urgent quick and large jobs of a tenant alternate. Slow jobs are
    claimed when it is their lane's turn, or when no other job is waiting. Only jobs in `lanes` are claimed.

    A job that was interrupted before is claimed alone, so that other jobs are not interrupted with it. If
    `max_per_tenant` is given, a tenant may run only this many jobs concurrently, and jobs are claimed one at a time.

    The claimed jobs will write to `generation_id`, the id of a generation of the vector index.
    """
    if connection.execute(select(pauses.c.kind).where(pauses.c.kind == kind)).first() is not None:
        return []
    if max_per_tenant is not None:
        chosen = lock_claimable_job_under_limit(connection, kind, max_per_tenant)
    else:
        chosen = lock_claimable_jobs(connection, kind, limit, total_bytes=total_bytes, lanes=lanes)
    return _lease_jobs(connection, chosen, kind, lease_seconds, generation_id) if chosen else []


def has_waiting_jobs(connection: Connection, kind: JobKind) -> bool:
    """Return whether jobs of this kind are waiting, including jobs that cannot be claimed yet."""
    return connection.execute(select(jobs.c.id).where(*build_waiting_conditions(kind)).limit(1)).first() is not None


def list_claimable_job_ids(connection: Connection, kind: JobKind, limit: int) -> list[int]:
    """List the ids of the oldest jobs that can be claimed now."""
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    query = select(jobs.c.id).where(
        *build_waiting_conditions(kind), jobs.c.not_before <= build_clock_expression(connection), ~paused
    )
    # The sort key is an expression so that PostgreSQL sorts the few waiting jobs. Otherwise PostgreSQL would scan the
    # primary key past all finished jobs.
    return list(connection.execute(query.order_by(jobs.c.id + 0).limit(limit)).scalars())


def find_oldest_claimable_time(connection: Connection, kind: JobKind, max_per_tenant: int | None) -> float | None:
    """Return the time at which the longest-waiting claimable job began to wait, or None if no job can be claimed.

    A job begins to wait when it is queued or when its retry delay ends. The Helm chart's KEDA query computes the same
    value.
    """
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    since = case((jobs.c.not_before > jobs.c.updated_at, jobs.c.not_before), else_=jobs.c.updated_at)
    # guard: paused-kind-wakes-no-worker
    query = select(func.min(since)).where(
        *build_waiting_conditions(kind), jobs.c.not_before <= build_clock_expression(connection), ~paused
    )
    if max_per_tenant is not None:
        busy = (
            select(jobs.c.tenant_id)
            .where(jobs.c.state == "running", jobs.c.kind == kind)
            .group_by(jobs.c.tenant_id)
            .having(func.count() >= max_per_tenant)
        )
        query = query.where(jobs.c.tenant_id.not_in(busy))
    return connection.execute(query).scalar()


def _lease_jobs(
    connection: Connection, job_ids: Sequence[int], kind: JobKind, lease_seconds: float, generation_id: int
) -> list[Job]:
    now = build_clock_expression(connection)
    rows = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids))
        .values(
            state="running",
            attempt=jobs.c.attempt + 1,
            fence=jobs.c.fence + 1,
            lease_until=now + lease_seconds,
            slow_since=case((jobs.c.lane == Lane.SLOW, now), else_=null()),
            updated_at=time.time(),
        )
        .returning(
            jobs.c.id,
            jobs.c.kind,
            jobs.c.tenant_id,
            jobs.c.document_id,
            jobs.c.version_id,
            jobs.c.attempt,
            jobs.c.fence,
            jobs.c.trace,
            jobs.c.lane,
        )
    ).all()
    claimed = {row.id: _build_job(row, generation_id) for row in rows}
    for turn, tenant in sorted(
        {turn for job in claimed.values() for turn in _iter_used_turns(job)}
    ):  # All rows are locked, in sorted order to avoid deadlocks.
        upsert_row(connection, turns, ["kind", "tenant_id"], kind=turn, tenant_id=tenant, served_at=now)
    return [claimed[identifier] for identifier in job_ids]


def _build_job(row: Row[Any], generation_id: int) -> Job:
    lane = Lane(row.lane or Lane.QUICK)
    return Job(**{**row._mapping, "kind": JobKind(row.kind), "lane": lane}, generation=generation_id)


def _iter_used_turns(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the turns that a claim uses up. A large job also uses up its tenant's turn among quick jobs."""
    yield format_turn_name(job.kind, job.lane), job.tenant_id
    if job.lane is Lane.LARGE:
        yield format_turn_name(job.kind, Lane.QUICK), job.tenant_id


def requeue_running_jobs(connection: Connection) -> int:
    """Requeue every running job and return their number. An attempt is used up only by jobs interrupted too often."""
    given_back = (jobs.c.interruptions < _MAX_INTERRUPTIONS).cast(jobs.c.attempt.type)
    return requeue_jobs(
        connection, [row.id for row in lock_running_jobs(connection)], attempt=jobs.c.attempt - given_back
    )


def lock_running_jobs(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Lock the running jobs that meet the conditions.

    Jobs locked by another transaction are skipped, because it is extending or finishing them.
    """
    query = select(jobs).where(jobs.c.state == "running", *conditions).order_by(jobs.c.id)
    return connection.execute(query.with_for_update(skip_locked=True)).all()


def requeue_jobs(connection: Connection, job_ids: Sequence[int], **values: Any) -> int:  # noqa: ANN401 - columns of `jobs`
    """Requeue running jobs, set the given columns, and return the number of jobs."""
    return connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids))
        .values(
            state="queued",
            lease_until=None,
            fence=jobs.c.fence + 1,
            interruptions=jobs.c.interruptions + 1,
            updated_at=time.time(),
            **values,
        )
    ).rowcount
