"""The order in which jobs are claimed: tenants take turns, and so do lanes.

Large jobs are claimed one at a time, alternating with their tenant's quick jobs. Jobs that are not slow are "first
tries". Slow jobs are claimed if no first try is waiting, and otherwise alternate with first tries. In that case, they
may occupy half of the workers that run a single job.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from ingest.storage.db.database import build_clock_expression
from ingest.storage.db.schema import jobs, tenants, turns, versions
from ingest.storage.queue.records import Job, JobKind, JobPriority, Lane

# Kinds of jobs that wait in lanes, and the only kind of jobs that can become slow.
_LANED_KINDS = frozenset({JobKind.INGEST, JobKind.EMBED})
_SLOW_LANE_KIND = JobKind.INGEST
# One in this many of the jobs that occupy a worker alone may be slow while first tries are waiting. At least one slow
# job is always allowed.
_SLOW_SHARE = 2


def build_waiting_conditions(kind: JobKind) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Build the conditions for the queued jobs of a kind."""
    return jobs.c.state == "queued", jobs.c.kind == kind


def format_turn_name(kind: JobKind, lane: Lane) -> str:
    """Return the key under which the `turns` table records when a lane was last served."""
    return kind.value if lane is Lane.QUICK else f"{kind.value}/{lane.value}"


def list_tenants_in_turn(connection: Connection, kind: JobKind) -> list[str]:
    """List the tenants with waiting jobs, in the order in which they will be served.

    The query steps through the index from tenant to tenant, so that its cost depends on the number of tenants rather
    than the number of jobs.
    """
    first = select(func.min(jobs.c.tenant_id)).where(*build_waiting_conditions(kind)).scalar_subquery()
    found = select(first.label("tenant_id")).cte("found", recursive=True)
    following = select(func.min(jobs.c.tenant_id)).where(
        *build_waiting_conditions(kind), jobs.c.tenant_id > found.c.tenant_id
    )
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


def lock_claimable_jobs(
    connection: Connection, kind: JobKind, limit: int, *, total_bytes: int | None, lanes: Collection[Lane]
) -> list[int]:
    """Lock the next jobs to claim, and return their ids: several quick jobs, or one large or slow job.

    See `claim_jobs` for the order.
    """
    may_be_slow = kind is _SLOW_LANE_KIND and Lane.SLOW in lanes
    if may_be_slow and _is_slow_lane_due(connection, kind) and (slow := _lock_slow_job(connection, kind)):
        return slow
    chosen = _lock_first_tries(connection, kind, limit, lanes)
    if not chosen and may_be_slow:
        return _lock_slow_job(connection, kind)
    return chosen if total_bytes is None else _limit_total_bytes(connection, chosen, total_bytes)


def lock_claimable_job_under_limit(connection: Connection, kind: JobKind, max_per_tenant: int) -> list[int]:
    """Lock the next job of a tenant that has fewer than `max_per_tenant` running jobs, and return its id.

    The list is empty if there is no such job. The tenant's row is locked, so that concurrent claims count each other's
    jobs. Tenants locked by other transactions are skipped.
    """
    for tenant in list_tenants_in_turn(connection, kind):
        of_tenant = select(tenants.c.id).where(tenants.c.id == tenant)
        if connection.execute(of_tenant.with_for_update(key_share=True, skip_locked=True)).first() is None:
            continue
        running = select(func.count()).where(jobs.c.state == "running", jobs.c.kind == kind, jobs.c.tenant_id == tenant)
        has_room = connection.execute(running).scalar_one() < max_per_tenant
        if has_room and (found := _lock_next_jobs(connection, kind, Lane.QUICK, tenant, 1, ())):
            return [found[0].id]
    return []


def find_job_to_yield_to(connection: Connection, job: Job, lane: Lane) -> int | None:
    """Return the id of the waiting job to which a running job should yield its worker, or None if it may continue.

    A slow job beyond its lane's share of the workers yields to any job that is not slow. All but one of a tenant's jobs
    yield to a tenant without running jobs. All but one of the large jobs yield to a quick job that is at least as
    urgent, unless it is from a bulk upload, because such jobs are always waiting while a folder is uploaded.
    """
    if lane is Lane.SLOW:
        return None if _is_within_slow_lane_share(connection, job) else _find_next_first_try(connection, job.kind, ())
    waiting_job = None
    if _is_youngest_first_try_of_tenant(connection, job):
        busy = select(jobs.c.tenant_id).where(jobs.c.state == "running", jobs.c.kind == job.kind).distinct()
        waiting_job = _find_next_first_try(connection, job.kind, connection.execute(busy).scalars().all())
    if waiting_job is None and lane is Lane.LARGE and _is_youngest_large_job(connection, job):
        own = select(jobs.c.priority).where(jobs.c.id == job.id).scalar_subquery()
        is_small = (_build_lane_condition(Lane.QUICK), jobs.c.priority > JobPriority.BULK, jobs.c.priority >= own)
        waiting_job = _find_next_first_try(connection, job.kind, (), *is_small)
    return waiting_job


def has_quick_job(connection: Connection, kind: JobKind) -> bool:
    """Return whether a quick job of a kind can be claimed now."""
    claimable = (
        *build_waiting_conditions(kind),
        _build_lane_condition(Lane.QUICK),
        jobs.c.not_before <= build_clock_expression(connection),
    )
    return connection.execute(select(jobs.c.id).where(*claimable).limit(1)).first() is not None


def should_yield(connection: Connection, held_jobs: Sequence[Job]) -> bool:
    """Return whether these resumable jobs of one kind should yield their worker to other jobs now.

    They yield to waiting jobs of other tenants. A large job also yields to any quick job.
    """
    kind, ours = held_jobs[0].kind, {job.tenant_id for job in held_jobs}
    claimable = (*build_waiting_conditions(kind), jobs.c.not_before <= build_clock_expression(connection))
    others = select(jobs.c.id).where(*claimable, jobs.c.tenant_id.not_in(ours)).limit(1)
    if connection.execute(others).first() is not None:
        return True
    if all(job.lane is Lane.QUICK for job in held_jobs):
        return False
    quick = select(jobs.c.id).where(*claimable, jobs.c.lane.is_(None)).limit(1)
    return connection.execute(quick).first() is not None


def _lock_first_tries(connection: Connection, kind: JobKind, limit: int, lanes: Collection[Lane]) -> list[int]:
    turn = list_tenants_in_turn(connection, kind)
    if kind not in _LANED_KINDS or Lane.LARGE not in lanes:
        return _lock_quick_jobs(connection, kind, turn, limit)
    for at, tenant in enumerate(turn):
        quick, large = (_find_next_priority(connection, kind, lane, tenant) for lane in (Lane.QUICK, Lane.LARGE))
        if large is not None and (quick is None or _is_large_job_first(connection, kind, tenant, quick, large)):
            chosen = [row.id for row in _lock_next_jobs(connection, kind, Lane.LARGE, tenant, 1, ())]
        elif quick is not None:
            chosen = _lock_quick_jobs(connection, kind, turn[at:], limit)
        else:
            continue
        if chosen:
            return chosen
    return []


def _is_large_job_first(
    connection: Connection, kind: JobKind, tenant_id: str, quick_priority: int, large_priority: int
) -> bool:
    """Return whether a tenant's next large job comes before its next quick job.

    The more urgent job comes first. Equally urgent jobs alternate.
    """
    if quick_priority != large_priority:
        return large_priority > quick_priority
    return _load_last_served_time(connection, format_turn_name(kind, Lane.LARGE), tenant_id) < _load_last_served_time(
        connection, kind.value, tenant_id
    )


def _load_last_served_time(connection: Connection, turn_name: str, tenant_id: str | None = None) -> float:
    """Load the time at which a turn was last used by a tenant, or by any tenant if `tenant_id` is None.

    Returns 0 if it was never used.
    """
    query = select(func.max(turns.c.served_at)).where(turns.c.kind == turn_name)
    if tenant_id is not None:
        query = query.where(turns.c.tenant_id == tenant_id)
    return float(connection.execute(query).scalar() or 0.0)


def _is_slow_lane_due(connection: Connection, kind: JobKind) -> bool:
    """Return whether it is the slow lane's turn.

    It is if a slow job is waiting, the last claim was not of a slow job, and slow jobs occupy less than their share of
    the workers.
    """
    claimable = (
        *build_waiting_conditions(kind),
        jobs.c.lane == Lane.SLOW,
        jobs.c.not_before <= build_clock_expression(connection),
    )
    if connection.execute(select(jobs.c.id).where(*claimable).limit(1)).first() is None:
        return False
    if _load_last_served_time(connection, format_turn_name(kind, Lane.SLOW)) >= _load_last_served_time(
        connection, kind.value
    ):
        return False
    slow, alone = _load_exclusive_jobs(connection, kind)
    return len(slow) < max(1, (alone + 1) // _SLOW_SHARE)


def _lock_slow_job(connection: Connection, kind: JobKind) -> list[int]:
    """Lock the next slow job, and return its id. The list is empty if there is none.

    Tenants with the fewest running slow jobs come first. Ties go to the tenant that was served longest ago.
    """
    running = (
        select(jobs.c.tenant_id, func.count().label("jobs"))
        .where(jobs.c.state == "running", jobs.c.kind == kind, jobs.c.lane == Lane.SLOW)
        .group_by(jobs.c.tenant_id)
        .subquery()
    )
    turn = turns.alias()
    of_slow = (turn.c.kind == format_turn_name(kind, Lane.SLOW)) & (turn.c.tenant_id == jobs.c.tenant_id)
    query = (
        select(jobs.c.tenant_id)
        .outerjoin(running, running.c.tenant_id == jobs.c.tenant_id)
        .outerjoin(turn, of_slow)
        .where(
            *build_waiting_conditions(kind),
            jobs.c.lane == Lane.SLOW,
            jobs.c.not_before <= build_clock_expression(connection),
        )
        .group_by(jobs.c.tenant_id, running.c.jobs, turn.c.served_at)
        .order_by(func.coalesce(running.c.jobs, 0), func.coalesce(turn.c.served_at, 0.0), jobs.c.tenant_id)
    )
    for tenant in connection.execute(query).scalars().all():
        if found := _lock_next_jobs(connection, kind, Lane.SLOW, tenant, 1, ()):
            return [found[0].id]
    return []


def _load_exclusive_jobs(connection: Connection, kind: JobKind) -> tuple[list[int], int]:
    """Load the ids of running slow jobs, and the number of running jobs that occupy a worker alone.

    The job that became slow first is listed first, so that it keeps its worker when other jobs become slow later. If
    the jobs were ordered by id, one tenant's backlog would repeatedly take the turn from newer documents of others.
    """
    query = select(jobs.c.id, jobs.c.lane).where(
        jobs.c.state == "running", jobs.c.kind == kind, jobs.c.lane.is_not(None)
    )
    # guard: slow-turn-is-kept
    rows = connection.execute(query.order_by(func.coalesce(jobs.c.slow_since, 0.0), jobs.c.id)).all()
    return [row.id for row in rows if row.lane == Lane.SLOW], len(rows)


def _is_within_slow_lane_share(connection: Connection, job: Job) -> bool:
    slow, alone = _load_exclusive_jobs(connection, job.kind)
    return job.id in slow[: max(1, alone // _SLOW_SHARE)]


def _is_youngest_first_try_of_tenant(connection: Connection, job: Job) -> bool:
    """Return whether this is the tenant's newest running job that is not slow, and not its only running job."""
    query = select(jobs.c.id, jobs.c.lane).where(
        jobs.c.state == "running", jobs.c.kind == job.kind, jobs.c.tenant_id == job.tenant_id
    )
    rows = connection.execute(query).all()
    first_tries = [row.id for row in rows if row.lane != Lane.SLOW]
    return len(rows) > 1 and bool(first_tries) and job.id == max(first_tries)


def _is_youngest_large_job(connection: Connection, job: Job) -> bool:
    """Return whether this is the newest running large job, and another large or slow job is running."""
    query = select(jobs.c.id, jobs.c.lane).where(
        jobs.c.state == "running", jobs.c.kind == job.kind, jobs.c.lane.is_not(None)
    )
    rows = connection.execute(query).all()
    return len(rows) > 1 and job.id == max((row.id for row in rows if row.lane == Lane.LARGE), default=None)


def _find_next_first_try(
    connection: Connection, kind: JobKind, excluded_tenants: Collection[str], *conditions: ColumnElement[bool]
) -> int | None:
    """Find the next job to claim that is not slow, and return its id.

    Jobs of tenants in `excluded_tenants` are ignored.
    """
    for tenant in list_tenants_in_turn(connection, kind):
        query = (
            select(jobs.c.id)
            .where(
                *build_waiting_conditions(kind),
                jobs.c.tenant_id == tenant,
                jobs.c.lane.is_distinct_from(Lane.SLOW),
                jobs.c.not_before <= build_clock_expression(connection),
                *conditions,
            )
            .order_by(jobs.c.priority.desc(), jobs.c.id)
            .limit(1)
        )
        found: int | None = None if tenant in excluded_tenants else connection.execute(query).scalar()
        if found is not None:
            return found
    return None


def _build_lane_condition(lane: Lane) -> ColumnElement[bool]:
    return jobs.c.lane.is_(None) if lane is Lane.QUICK else jobs.c.lane == lane


def _find_next_priority(connection: Connection, kind: JobKind, lane: Lane, tenant_id: str) -> int | None:
    """Return the priority of a tenant's next job in a lane, or None if the lane has no claimable job of the tenant."""
    query = (
        select(jobs.c.priority)
        .where(
            *build_waiting_conditions(kind),
            _build_lane_condition(lane),
            jobs.c.tenant_id == tenant_id,
            jobs.c.not_before <= build_clock_expression(connection),
        )
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(1)
    )
    found: int | None = connection.execute(query).scalar()
    return found


def _lock_quick_jobs(connection: Connection, kind: JobKind, tenant_ids: Sequence[str], limit: int) -> list[int]:
    """Lock quick jobs, and return their ids. Tenants get equal shares, and unused shares go to other tenants."""
    share = max(1, limit // max(1, len(tenant_ids)))
    chosen: list[int] = []
    seen: set[int] = set()
    while tenant_ids and len(chosen) < limit:
        more: list[str] = []
        for tenant in tenant_ids:
            wanted = min(share, limit - len(chosen))
            found = _lock_next_jobs(connection, kind, Lane.QUICK, tenant, wanted, seen) if wanted else []
            seen |= {row.id for row in found}
            if found and found[0].interruptions and not chosen:
                return [found[0].id]
            chosen += [row.id for row in found if not row.interruptions]
            if found and len(found) == wanted:
                more.append(tenant)
        tenant_ids, share = more, limit
    return chosen


def _limit_total_bytes(connection: Connection, job_ids: Sequence[int], total_bytes: int) -> list[int]:
    query = select(jobs.c.id, versions.c.size_bytes).join(versions, versions.c.id == jobs.c.version_id)
    sizes = {row.id: row.size_bytes for row in connection.execute(query.where(jobs.c.id.in_(job_ids))).all()}
    together = accumulate(sizes.get(identifier, 0) for identifier in job_ids)
    return [
        identifier
        for n, (identifier, size) in enumerate(zip(job_ids, together, strict=True))
        if not n or size <= total_bytes
    ]


def _lock_next_jobs(
    connection: Connection, kind: JobKind, lane: Lane, tenant_id: str, limit: int, excluded_ids: Collection[int]
) -> Sequence[Row[Any, Any]]:
    query = (
        select(jobs.c.id, jobs.c.interruptions)
        .where(
            *build_waiting_conditions(kind),
            _build_lane_condition(lane),
            jobs.c.tenant_id == tenant_id,
            jobs.c.not_before <= build_clock_expression(connection),
            jobs.c.id.not_in(excluded_ids),
        )
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).all()
