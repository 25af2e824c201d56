"""The job queue: jobs are queued, claimed in turn, and queued again when their worker is lost.

A version has one job of each kind, which is queued again when it is needed again.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, null, select, update

from ingest.storage.db.database import build_clock, build_upsert, upsert_row
from ingest.storage.db.schema import jobs, pauses, turns
from ingest.storage.instrumentation import get_traceparent
from ingest.storage.queue.records import ALL_LANES, Job, JobKind, JobPriority, Lane
from ingest.storage.queue.turns import build_waiting_conditions, choose_job_under_limit, choose_jobs, format_turn_name

# A job that was running so often when its process was killed is taken for the cause.
_MAX_INTERRUPTIONS = 20


def queue_job(
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
    """Queue the version's job of this kind, which exists once: a worker that holds it loses it.

    A job that waits already keeps its `not_before` if that is later.
    """
    _upsert_jobs(connection, [_build_row(kind, tenant_id, document_id, version_id, priority, not_before, lane)])


def queue_jobs(
    connection: Connection,
    kind: JobKind,
    of_versions: Sequence[tuple[str, str, str]],
    *,
    priority: int = JobPriority.BULK,
    not_before: Sequence[float] | None = None,
    lanes: Sequence[Lane] | None = None,
) -> None:
    """Queue jobs of one kind, as `queue_job` does, for many versions: the tenant, document and version of each.

    Each may have its own `not_before`, and its own lane.
    """
    count = len(of_versions)
    each = zip(of_versions, not_before or [0.0] * count, lanes or [Lane.QUICK] * count, strict=True)
    _upsert_jobs(
        connection, [_build_row(kind, *of_version, priority, instant, lane) for of_version, instant, lane in each]
    )


def _build_row(
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
    generation: int,
    limit: int,
    lease_seconds: float,
    per_tenant: int | None = None,
    total_bytes: int | None = None,
    lanes: Collection[Lane] = ALL_LANES,
) -> list[Job]:
    """Lease up to `limit` waiting jobs, with files of at most `total_bytes` together; none while the kind is paused.

    The first job is claimed whatever its size. The tenant with the fewest running jobs of the kind is served next, or
    among equals the one whose last turn is longest ago; a tenant's most urgent jobs come first. So a tenant with ten
    thousand waiting jobs delays another's single job by at most the jobs that are running. Simultaneous claims do not
    see each other, so shares are fair over many claims, not in each.

    Only quick jobs are claimed together. Equally urgent quick and large jobs of a tenant take turns. Slow jobs are
    claimed in their lane's turn, or while no other job waits. `lanes` are those from which jobs may be claimed.

    A job that has cost a worker its life or its lease is claimed alone, so that it cannot take others with it. With
    `per_tenant`, a tenant may have only that many running at once, and jobs are claimed one by one.

    The claimed jobs are to write to `generation`, the id of a generation of the vector index.
    """
    if connection.execute(select(pauses.c.kind).where(pauses.c.kind == kind)).first() is not None:
        return []
    if per_tenant is not None:
        chosen = choose_job_under_limit(connection, kind, per_tenant)
    else:
        chosen = choose_jobs(connection, kind, limit, total_bytes=total_bytes, lanes=lanes)
    return _lease_jobs(connection, chosen, kind, lease_seconds, generation) if chosen else []


def has_waiting_jobs(connection: Connection, kind: JobKind) -> bool:
    """True if jobs of the kind wait, claimable now or later."""
    return connection.execute(select(jobs.c.id).where(*build_waiting_conditions(kind)).limit(1)).first() is not None


def list_claimable_jobs(connection: Connection, kind: JobKind, limit: int) -> list[int]:
    """Ids of the oldest jobs that can be claimed now."""
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    query = select(jobs.c.id).where(
        *build_waiting_conditions(kind), jobs.c.not_before <= build_clock(connection), ~paused
    )
    # Ordered by a sum, PostgreSQL sorts the waiting jobs instead of walking the primary key past all finished ones.
    return list(connection.execute(query.order_by(jobs.c.id + 0).limit(limit)).scalars())


def find_oldest_claimable_time(connection: Connection, kind: JobKind, per_tenant: int | None) -> float | None:
    """Return since when the job has waited that waits longest of those that can be claimed now; None without one.

    A job waits since it was queued last, or since its pause ended. The chart's query for KEDA asks the same.
    """
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    since = case((jobs.c.not_before > jobs.c.updated_at, jobs.c.not_before), else_=jobs.c.updated_at)
    # guard: paused-kind-wakes-no-worker
    query = select(func.min(since)).where(
        *build_waiting_conditions(kind), jobs.c.not_before <= build_clock(connection), ~paused
    )
    if per_tenant is not None:
        busy = (
            select(jobs.c.tenant_id)
            .where(jobs.c.state == "running", jobs.c.kind == kind)
            .group_by(jobs.c.tenant_id)
            .having(func.count() >= per_tenant)
        )
        query = query.where(jobs.c.tenant_id.not_in(busy))
    return connection.execute(query).scalar()


def _lease_jobs(
    connection: Connection, chosen: Sequence[int], kind: JobKind, lease_seconds: float, generation: int
) -> list[Job]:
    now = build_clock(connection)
    rows = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(chosen))
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
    claimed = {row.id: _build_job(row, generation) for row in rows}
    for turn, tenant in sorted(
        {turn for job in claimed.values() for turn in _iter_turns_taken(job)}
    ):  # each row is locked
        upsert_row(connection, turns, ["kind", "tenant_id"], kind=turn, tenant_id=tenant, served_at=now)
    return [claimed[identifier] for identifier in chosen]


def _build_job(row: Row[Any], generation: int) -> Job:
    lane = Lane(row.lane or Lane.QUICK)
    return Job(**{**row._mapping, "kind": JobKind(row.kind), "lane": lane}, generation=generation)


def _iter_turns_taken(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the turns that a claim takes: that of its tenant, unless it is slow, and that of its lane."""
    yield format_turn_name(job.kind, job.lane), job.tenant_id
    if job.lane is Lane.LARGE:
        yield format_turn_name(job.kind, Lane.QUICK), job.tenant_id


def requeue_running_jobs(connection: Connection) -> int:
    """Queue every running job again without counting the attempt, unless it was interrupted too often."""
    given_back = (jobs.c.interruptions < _MAX_INTERRUPTIONS).cast(jobs.c.attempt.type)
    return requeue_jobs(
        connection, [row.id for row in lock_running_jobs(connection)], attempt=jobs.c.attempt - given_back
    )


def lock_running_jobs(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Lock running jobs, except rows that others have locked: those are being extended or ended at this moment."""
    query = select(jobs).where(jobs.c.state == "running", *conditions).order_by(jobs.c.id)
    return connection.execute(query.with_for_update(skip_locked=True)).all()


def requeue_jobs(connection: Connection, ids: Sequence[int], **changed: Any) -> int:  # noqa: ANN401 - columns of `jobs`
    """Queue running jobs again, with these columns changed; returns how many."""
    return connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(ids))
        .values(
            state="queued",
            lease_until=None,
            fence=jobs.c.fence + 1,
            interruptions=jobs.c.interruptions + 1,
            updated_at=time.time(),
            **changed,
        )
    ).rowcount
