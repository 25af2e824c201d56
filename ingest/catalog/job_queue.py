"""The job queue: jobs are queued, claimed in turn, and queued again or failed when their worker is lost.

A version has one job of each kind, which is queued again when it is needed again.
"""

import time
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, select, update

from ingest.catalog import generation_rows
from ingest.catalog.database import clock, now, put, upsert
from ingest.catalog.listing_rows import relist_state
from ingest.catalog.outbox import publish
from ingest.catalog.run_log import end_run
from ingest.catalog.tables import jobs, pauses, tenants, turns, versions
from ingest.documents import MAKING, Failure, Job, JobKind, Priority, VersionState
from ingest.runs import RunState
from ingest.tracing import traceparent
from ingest.webhooks import EventType

# A job that was running so often when its process was killed is taken for the cause.
_MAX_INTERRUPTIONS = 20
_DOCUMENT = ("document", "Split it or export it again and upload that")
_SUBJECTS = {JobKind.RUN: ("run", "Ask again, of fewer documents")}


def queue_job(
    connection: Connection,
    kind: JobKind,
    *,
    tenant_id: str,
    document_id: str,
    version_id: str,
    priority: int = Priority.BULK,
    not_before: float = 0.0,
) -> None:
    """Queue the version's job of this kind, which exists once: a worker that holds it loses it.

    A job that waits already keeps its `not_before` if that is later.
    """
    _upsert(connection, [_row(kind, tenant_id, document_id, version_id, priority, not_before)])


def queue_jobs(
    connection: Connection,
    kind: JobKind,
    of_versions: Sequence[tuple[str, str, str]],
    *,
    priority: int = Priority.BULK,
    not_before: Sequence[float] | None = None,
) -> None:
    """Queue jobs of one kind, as `queue_job` does, for many versions: the tenant, document and version of each.

    Each may have its own `not_before`.
    """
    instants = not_before or [0.0] * len(of_versions)
    _upsert(
        connection,
        [
            _row(kind, tenant, document, version, priority, instant)
            for (tenant, document, version), instant in zip(of_versions, instants, strict=True)
        ],
    )


def _row(
    kind: JobKind, tenant_id: str, document_id: str, version_id: str, priority: int, not_before: float
) -> dict[str, object]:
    now = time.time()
    return {
        "kind": kind,
        "tenant_id": tenant_id,
        "document_id": document_id,
        "version_id": version_id,
        "state": "queued",
        "priority": priority,
        "attempt": 0,
        "interruptions": 0,
        "fence": 0,
        "not_before": not_before,
        "created_at": now,
        "updated_at": now,
        "trace": traceparent(),
    }


def _upsert(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    if not rows:
        return
    new = upsert(connection, jobs)
    waiting_longer = and_(jobs.c.state == "queued", jobs.c.not_before > new.excluded.not_before)
    again = new.on_conflict_do_update(
        index_elements=["kind", "version_id"],
        set_={
            "state": "queued",
            "priority": new.excluded.priority,
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
    limit: int,
    lease_seconds: float,
    per_tenant: int | None = None,
    total_bytes: int | None = None,
) -> list[Job]:
    """Lease up to `limit` waiting jobs, with files of at most `total_bytes` together; none while the kind is paused.

    The first job is claimed whatever its size. The tenant with the fewest running jobs of the kind is served next, or
    among equals the one whose last turn is longest ago; a tenant's most urgent jobs come first. So a tenant with ten
    thousand waiting jobs delays another's single job by at most the jobs that are running. Simultaneous claims do not
    see each other, so shares are fair over many claims, not in each.

    A job that has cost a worker its life or its lease is claimed alone, so that it cannot take others with it. With
    `per_tenant`, a tenant may have only that many running at once, and jobs are claimed one by one.
    """
    if connection.execute(select(pauses.c.kind).where(pauses.c.kind == kind)).first() is not None:
        return []
    generation = generation_rows.written_by(connection, kind)
    if generation is None:
        return []
    chosen = _choose(connection, kind, limit) if per_tenant is None else _choose_one(connection, kind, per_tenant)
    if total_bytes is not None:
        chosen = _limit_size(connection, chosen, total_bytes)
    return _lease(connection, chosen, kind, lease_seconds, generation) if chosen else []


def any_waiting(connection: Connection, kind: JobKind) -> bool:
    """True if jobs of the kind wait, claimable now or later."""
    return connection.execute(select(jobs.c.id).where(*_waiting(kind)).limit(1)).first() is not None


def claimable_jobs(connection: Connection, kind: JobKind, limit: int) -> list[int]:
    """Ids of the oldest jobs that can be claimed now."""
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    query = select(jobs.c.id).where(*_waiting(kind), jobs.c.not_before <= clock(connection), ~paused)
    # Ordered by a sum, PostgreSQL sorts the waiting jobs instead of walking the primary key past all finished ones.
    return list(connection.execute(query.order_by(jobs.c.id + 0).limit(limit)).scalars())


def claimable_since(connection: Connection, kind: JobKind, per_tenant: int | None) -> float | None:
    """Return since when the job has waited that waits longest of those that can be claimed now; None without one.

    A job waits since it was queued last, or since its pause ended. The chart's query for KEDA asks the same.
    """
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    since = case((jobs.c.not_before > jobs.c.updated_at, jobs.c.not_before), else_=jobs.c.updated_at)
    # guard: paused-kind-wakes-no-worker
    query = select(func.min(since)).where(*_waiting(kind), jobs.c.not_before <= clock(connection), ~paused)
    if per_tenant is not None:
        busy = (
            select(jobs.c.tenant_id)
            .where(jobs.c.state == "running", jobs.c.kind == kind)
            .group_by(jobs.c.tenant_id)
            .having(func.count() >= per_tenant)
        )
        query = query.where(jobs.c.tenant_id.not_in(busy))
    return connection.execute(query).scalar()


def tenants_in_turn(connection: Connection, kind: JobKind) -> list[str]:
    """Return the tenants that have waiting jobs, in the order in which they are served next.

    The query steps from tenant to tenant through the index, so its cost grows with the tenants, not with their jobs.
    """
    first = select(func.min(jobs.c.tenant_id)).where(*_waiting(kind)).scalar_subquery()
    found = select(first.label("tenant_id")).cte("found", recursive=True)
    following = select(func.min(jobs.c.tenant_id)).where(*_waiting(kind), jobs.c.tenant_id > found.c.tenant_id)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.tenant_id.is_not(None)))
    running = (
        select(jobs.c.tenant_id, func.count().label("jobs"))
        .where(jobs.c.state == "running", jobs.c.kind == kind)
        .group_by(jobs.c.tenant_id)
        .subquery()
    )
    query = (
        select(found.c.tenant_id)
        .outerjoin(running, running.c.tenant_id == found.c.tenant_id)
        .outerjoin(turns, (turns.c.kind == kind) & (turns.c.tenant_id == found.c.tenant_id))
        .where(found.c.tenant_id.is_not(None))
        .order_by(func.coalesce(running.c.jobs, 0), func.coalesce(turns.c.served_at, 0.0), found.c.tenant_id)
    )
    return list(connection.execute(query).scalars())


def _waiting(kind: JobKind) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return jobs.c.state == "queued", jobs.c.kind == kind


def _choose(connection: Connection, kind: JobKind, limit: int) -> list[int]:
    """Lock waiting jobs: an equal share for each tenant first, then the rest for tenants that have more."""
    turn = tenants_in_turn(connection, kind)
    share = max(1, limit // max(1, len(turn)))
    chosen: list[int] = []
    seen: set[int] = set()
    while turn and len(chosen) < limit:
        more: list[str] = []
        for tenant in turn:
            wanted = min(share, limit - len(chosen))
            found = _lock_next(connection, kind, tenant, wanted, seen) if wanted else []
            seen |= {row.id for row in found}
            if found and found[0].interruptions and not chosen:
                return [found[0].id]
            chosen += [row.id for row in found if not row.interruptions]
            if found and len(found) == wanted:
                more.append(tenant)
        turn, share = more, limit
    return chosen


def _limit_size(connection: Connection, chosen: Sequence[int], total_bytes: int) -> list[int]:
    query = select(jobs.c.id, versions.c.size_bytes).join(versions, versions.c.id == jobs.c.version_id)
    sizes = {row.id: row.size_bytes for row in connection.execute(query.where(jobs.c.id.in_(chosen))).all()}
    together = accumulate(sizes.get(identifier, 0) for identifier in chosen)
    return [
        identifier
        for n, (identifier, size) in enumerate(zip(chosen, together, strict=True))
        if not n or size <= total_bytes
    ]


def _choose_one(connection: Connection, kind: JobKind, per_tenant: int) -> list[int]:
    """Lock the next job of a tenant that has fewer than `per_tenant` running, if there is one.

    The tenant's row is locked, so that simultaneous claims count each other's jobs; locked tenants are passed over.
    """
    for tenant in tenants_in_turn(connection, kind):
        of_tenant = select(tenants.c.id).where(tenants.c.id == tenant)
        if connection.execute(of_tenant.with_for_update(key_share=True, skip_locked=True)).first() is None:
            continue
        running = select(func.count()).where(jobs.c.state == "running", jobs.c.kind == kind, jobs.c.tenant_id == tenant)
        has_room = connection.execute(running).scalar_one() < per_tenant
        if has_room and (found := _lock_next(connection, kind, tenant, 1, ())):
            return [found[0].id]
    return []


def _lock_next(
    connection: Connection, kind: JobKind, tenant: str, limit: int, excluded: Collection[int]
) -> Sequence[Row[Any, Any]]:
    query = (
        select(jobs.c.id, jobs.c.interruptions)
        .where(
            *_waiting(kind),
            jobs.c.tenant_id == tenant,
            jobs.c.not_before <= clock(connection),
            jobs.c.id.not_in(excluded),
        )
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).all()


def _lease(
    connection: Connection, chosen: Sequence[int], kind: JobKind, lease_seconds: float, generation: int
) -> list[Job]:
    now = clock(connection)
    rows = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(chosen))
        .values(
            state="running",
            attempt=jobs.c.attempt + 1,
            fence=jobs.c.fence + 1,
            lease_until=now + lease_seconds,
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
        )
    ).all()
    claimed = {row.id: Job(**{**row._mapping, "kind": JobKind(row.kind)}, generation=generation) for row in rows}
    for tenant in sorted({job.tenant_id for job in claimed.values()}):  # sorted, because each row is locked
        put(connection, turns, ["kind", "tenant_id"], kind=kind, tenant_id=tenant, served_at=now)
    return [claimed[identifier] for identifier in chosen]


def requeue_running(connection: Connection) -> int:
    """Queue every running job again without counting the attempt, unless it was interrupted too often."""
    given_back = (jobs.c.interruptions < _MAX_INTERRUPTIONS).cast(jobs.c.attempt.type)
    return _requeue(connection, [row.id for row in _lock_running(connection)], attempt=jobs.c.attempt - given_back)


def requeue_lapsed(connection: Connection, *, max_attempts: int, grace_seconds: float) -> int:
    """Queue jobs again whose lease has run out, or fail them after `max_attempts`; collections are never failed."""
    lapsed = _lock_running(connection, jobs.c.lease_until < clock(connection))
    spent = [row for row in lapsed if row.attempt >= max_attempts and row.kind != JobKind.COLLECT]
    for row in spent:
        _fail_lost(connection, row, grace_seconds)
    failed = {row.id for row in spent}
    return _requeue(connection, [row.id for row in lapsed if row.id not in failed])


def _lock_running(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Lock running jobs, except rows that others have locked: those are being extended or ended at this moment."""
    query = select(jobs).where(jobs.c.state == "running", *conditions).order_by(jobs.c.id)
    return connection.execute(query.with_for_update(skip_locked=True)).all()


def _requeue(connection: Connection, ids: Sequence[int], **changed: Any) -> int:  # noqa: ANN401 - columns of `jobs`
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


def _fail_lost(connection: Connection, row: Row[Any], grace_seconds: float) -> None:
    lapses = row.interruptions + 1
    subject, hint = _SUBJECTS.get(JobKind(row.kind), _DOCUMENT)
    failure = Failure(
        "worker_lost",
        f"The {subject} ended its worker {lapses} time{'s' * (lapses > 1)} in {row.attempt} attempts.",
        f"{hint}; if others fail like this, look at the workers' log and memory.",
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            state="failed",
            lease_until=None,
            fence=jobs.c.fence + 1,
            interruptions=lapses,
            error_code=failure.code,
            error_detail=failure.detail,
            updated_at=time.time(),
        )
    )
    job = Job(row.id, JobKind(row.kind), row.tenant_id, row.document_id, row.version_id, row.attempt, row.fence)
    fail_target(connection, job, failure, grace_seconds=grace_seconds)


def fail_target(connection: Connection, job: Job, failure: Failure, *, grace_seconds: float = 0.0) -> None:
    """Fail the version or the run that an ended job was for; a collection has neither."""
    if job.kind in MAKING:
        _fail_version(connection, job, failure, grace_seconds=grace_seconds)
    elif job.kind is JobKind.RUN:
        end_run(connection, job.version_id, RunState.FAILED, failure=failure)


def _fail_version(connection: Connection, job: Job, failure: Failure, *, grace_seconds: float = 0.0) -> None:
    """Fail a version and, unless searches find it, queue the collection of its points.

    `grace_seconds` is for a worker that was given up for lost and may still be writing.
    """
    of_version = versions.c.id == job.version_id
    if connection.execute(select(versions.c.hidden).where(of_version)).scalar_one():
        queue_job(
            connection,
            JobKind.COLLECT,
            tenant_id=job.tenant_id,
            document_id=job.document_id,
            version_id=job.version_id,
            not_before=now(connection) + grace_seconds,
        )
    connection.execute(
        update(versions)
        .where(of_version)
        .values(
            state=VersionState.FAILED,
            error_code=failure.code,
            error_detail=failure.detail,
            error_hint=failure.hint,
        )
    )
    relist_state(connection, job.document_id, job.version_id, VersionState.FAILED)
    failed = {"version": job.version_id, "document": job.document_id, "code": failure.code}
    publish(connection, job.tenant_id, EventType.DOCUMENT_FAILED, [failed])
