"""Which waiting jobs a worker gets next: a fair share for each tenant, and of a tenant's own the most urgent first.

The tenant with the fewest running jobs of the kind is served next, among equals the one whose last turn is longest
ago. So a tenant with ten thousand waiting jobs delays another's single one by at most the jobs that are running. What
others claim at the same moment is not seen, so shares are fair over many claims, not in each.
"""

import time
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, update

from ingest.catalog import standing
from ingest.catalog.clock import clock
from ingest.catalog.database import put
from ingest.catalog.tables import jobs, pauses, tenants, turns, versions
from ingest.documents import Job, JobKind


def claim(
    connection: Connection,
    kind: JobKind,
    *,
    limit: int,
    lease_seconds: float,
    per_tenant: int | None = None,
    total_bytes: int | None = None,
) -> list[Job]:
    """Up to `limit` waiting jobs, leased; nothing while the kind is paused.

    Of those, the first whose files have no more than `total_bytes` together, and always the very first.

    A job that has cost a worker its life, or its lease, is given out alone, so that it cannot take others with it.
    Where a tenant may have only so many running at once (`per_tenant`), jobs are given out one by one.
    """
    if connection.execute(select(pauses.c.kind).where(pauses.c.kind == kind)).first() is not None:
        return []
    generation = standing.written_by(connection, kind)
    if generation is None:
        return []
    chosen = _choose(connection, kind, limit) if per_tenant is None else _choose_one(connection, kind, per_tenant)
    if total_bytes is not None:
        chosen = _no_larger(connection, chosen, total_bytes)
    return _lease(connection, chosen, kind, lease_seconds, generation) if chosen else []


def any_waiting(connection: Connection, kind: JobKind) -> bool:
    """Whether a claim may find anything."""
    return connection.execute(select(jobs.c.id).where(*_waiting(kind)).limit(1)).first() is not None


def claimable(connection: Connection, kind: JobKind, limit: int) -> list[int]:
    """The oldest jobs that `claim` would give out now."""
    paused = select(pauses.c.kind).where(pauses.c.kind == kind).exists()
    query = select(jobs.c.id).where(*_waiting(kind), jobs.c.not_before <= clock(connection), ~paused)
    # A sum, so that PostgreSQL sorts the waiting ones and does not walk the primary key through all that are done.
    return list(connection.execute(query.order_by(jobs.c.id + 0).limit(limit)).scalars())


def tenants_in_turn(connection: Connection, kind: JobKind) -> list[str]:
    """The tenants that have waiting jobs, in the order in which they are served.

    It steps from tenant to tenant through the index, so its cost grows with the tenants and not with their jobs.
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
    """Ids of waiting jobs, locked: an equal share for each tenant first, then what is left for those that have more."""
    turn = tenants_in_turn(connection, kind)
    share = max(1, limit // max(1, len(turn)))
    chosen: list[int] = []
    seen: set[int] = set()
    while turn and len(chosen) < limit:
        more: list[str] = []
        for tenant in turn:
            wanted = min(share, limit - len(chosen))
            found = _next(connection, kind, tenant, wanted, seen) if wanted else []
            seen |= {row.id for row in found}
            if found and found[0].interruptions and not chosen:
                return [found[0].id]
            chosen += [row.id for row in found if not row.interruptions]
            if found and len(found) == wanted:
                more.append(tenant)
        turn, share = more, limit
    return chosen


def _no_larger(connection: Connection, chosen: Sequence[int], total_bytes: int) -> list[int]:
    query = select(jobs.c.id, versions.c.size_bytes).join(versions, versions.c.id == jobs.c.version_id)
    sizes = {row.id: row.size_bytes for row in connection.execute(query.where(jobs.c.id.in_(chosen))).all()}
    together = accumulate(sizes.get(identifier, 0) for identifier in chosen)
    return [
        identifier
        for n, (identifier, size) in enumerate(zip(chosen, together, strict=True))
        if not n or size <= total_bytes
    ]


def _choose_one(connection: Connection, kind: JobKind, per_tenant: int) -> list[int]:
    """The next job of a tenant that has fewer than `per_tenant` running, or nothing.

    The tenant is locked, so that two claims at once count each other's; one that is locked already is passed over.
    """
    for tenant in tenants_in_turn(connection, kind):
        of_tenant = select(tenants.c.id).where(tenants.c.id == tenant)
        if connection.execute(of_tenant.with_for_update(key_share=True, skip_locked=True)).first() is None:
            continue
        running = select(func.count()).where(jobs.c.state == "running", jobs.c.kind == kind, jobs.c.tenant_id == tenant)
        if connection.execute(running).scalar_one() < per_tenant and (found := _next(connection, kind, tenant, 1, ())):
            return [found[0].id]
    return []


def _next(
    connection: Connection, kind: JobKind, tenant: str, limit: int, besides: Collection[int]
) -> Sequence[Row[Any, Any]]:
    query = (
        select(jobs.c.id, jobs.c.interruptions)
        .where(
            *_waiting(kind),
            jobs.c.tenant_id == tenant,
            jobs.c.not_before <= clock(connection),
            jobs.c.id.not_in(besides),
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
        )
    ).all()
    claimed = {row.id: Job(**{**row._mapping, "kind": JobKind(row.kind)}, generation=generation) for row in rows}
    for tenant in sorted({job.tenant_id for job in claimed.values()}):  # in one order, since each is locked
        put(connection, turns, ["kind", "tenant_id"], kind=kind, tenant_id=tenant, served_at=now)
    return [claimed[identifier] for identifier in chosen]
