"""Queue lengths, queue positions and throughput, for progress displays, backpressure and operators.

Completed work is counted in time slots of a few seconds, in the same commit as the work itself. Estimates use the
tenant's throughput rather than the installation's, because a tenant gets only a share of the workers.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, case, delete, func, select, tuple_

from ingest.storage.db.database import build_upsert
from ingest.storage.db.schema import jobs, paces, pauses, versions
from ingest.storage.queue.records import Job, JobKind, Lane, TenantQueue, Throughput
from ingest.storage.queue.turns import list_tenants_in_turn

_SLOT_SECONDS = 5
# Maximum period of recent work over which throughput is measured.
_WINDOW_SECONDS = 120
# Maximum gap between two time slots with work. A longer gap means that there was no work to do.
_MAX_GAP_SECONDS = 30
# Time after which time slots are deleted.
_KEPT_SECONDS = 600


def count_waiting_by_tenant(connection: Connection, kind: JobKind) -> dict[str, int]:
    """Count the queued jobs of a kind, keyed by tenant. Tenants without queued jobs are omitted."""
    query = select(jobs.c.tenant_id, func.count()).where(_build_queued_condition(kind)).group_by(jobs.c.tenant_id)
    return {tenant: count for tenant, count in connection.execute(query).all()}


def estimate_position(connection: Connection, version_id: str) -> int | None:
    """Estimate how many jobs will be claimed before a version's waiting job. Returns None if it has no waiting job.

    Tenants are served in rounds: before a tenant's n-th job (counted from 0), every other tenant gets n turns, plus one
    if it is ahead in the round. The estimate assumes that all jobs take equally long and that no new jobs arrive.
    """
    own = connection.execute(
        select(jobs.c.id, jobs.c.kind, jobs.c.tenant_id, jobs.c.priority, jobs.c.lane)
        .where(
            jobs.c.kind.in_([JobKind.INGEST, JobKind.EMBED, JobKind.RUN]),
            jobs.c.version_id == version_id,
            jobs.c.state == "queued",
        )
        .order_by(jobs.c.id)
    ).first()
    if own is None:
        return None
    kind = JobKind(own.kind)
    first = _build_earlier_jobs_condition(own.priority, own.lane, own.id)
    query = select(func.count()).where(_build_queued_condition(kind), jobs.c.tenant_id == own.tenant_id, first)
    before = connection.execute(query).scalar_one()
    order = list_tenants_in_turn(connection, kind)
    ahead = set(order[: order.index(own.tenant_id)]) if own.tenant_id in order else set()
    others = count_waiting_by_tenant(connection, kind)
    others.pop(own.tenant_id, None)
    return before + sum(min(count, before + (tenant in ahead)) for tenant, count in others.items())


def _build_earlier_jobs_condition(priority: int, lane: str | None, job_id: int) -> ColumnElement[bool]:
    """Build the condition that selects the jobs of a tenant that are claimed before a given job.

    Quick jobs come before large jobs of the same priority. Slow jobs come last.
    """
    is_slow, is_large = (case((jobs.c.lane == each, 1), else_=0) for each in (Lane.SLOW, Lane.LARGE))
    own = tuple_(int(lane == Lane.SLOW), -priority, int(lane == Lane.LARGE), job_id)
    return tuple_(is_slow, -jobs.c.priority, is_large, jobs.c.id) < own


def load_tenant_queues(connection: Connection, tenant_id: str) -> dict[JobKind, TenantQueue]:
    """Load a tenant's ingest and embed queues, each with its recent throughput."""
    kinds = (JobKind.INGEST, JobKind.EMBED)
    query = (
        select(jobs.c.kind, jobs.c.state, func.count())
        .where(jobs.c.state.in_(["queued", "running"]), jobs.c.kind.in_(kinds), jobs.c.tenant_id == tenant_id)
        .group_by(jobs.c.kind, jobs.c.state)
    )
    counts = {(kind, state): count for kind, state, count in connection.execute(query).all()}
    held = load_paused_kinds(connection)
    return {
        kind: TenantQueue(
            queued=counts.get((kind.value, "queued"), 0),
            running=counts.get((kind.value, "running"), 0),
            pace=measure_throughput(connection, tenant_id, kind),
            paused=kind in held,
        )
        for kind in kinds
    }


def load_paused_kinds(connection: Connection) -> dict[JobKind, float]:
    """Load the time at which each paused kind was paused, keyed by kind."""
    return {JobKind(kind): since for kind, since in connection.execute(select(pauses.c.kind, pauses.c.since)).all()}


def count_unembedded_chunks(connection: Connection, version_ids: Sequence[str]) -> dict[str, int]:
    """Count the chunks that have no vector yet, keyed by version id."""
    left = func.coalesce(versions.c.chunks, 0) - versions.c.chunks_embedded
    query = select(versions.c.id, left).where(versions.c.id.in_(version_ids))
    return {version: count for version, count in connection.execute(query).all()}


def record_throughput(connection: Connection, chunk_counts: Mapping[Job, int], *, has_ended: bool = True) -> None:
    """Record the number of chunks done for each job. If `has_ended` is true, also count the jobs as finished.

    Call this at the end of a transaction, because other transactions wait for the rows that it locks. The rows are
    locked in sorted order to avoid deadlocks.
    """
    for tenant, kind in sorted({(job.tenant_id, job.kind) for job in chunk_counts}):
        of_tenant = [chunks for job, chunks in chunk_counts.items() if (job.tenant_id, job.kind) == (tenant, kind)]
        _add_to_time_slot(
            connection, tenant, kind, job_count=len(of_tenant) if has_ended else 0, chunk_count=max(0, sum(of_tenant))
        )


def measure_throughput(connection: Connection, tenant_id: str, kind: JobKind) -> Throughput | None:
    """Measure the throughput of a tenant's latest uninterrupted work. Returns None if it was too little."""
    oldest = (int(time.time()) - _KEPT_SECONDS) // _SLOT_SECONDS
    query = (
        select(paces.c.slot, paces.c.jobs, paces.c.chunks)
        .where(paces.c.tenant_id == tenant_id, paces.c.kind == kind, paces.c.slot >= oldest)
        .order_by(paces.c.slot.desc())
    )
    return compute_throughput((row.slot, row.jobs, row.chunks) for row in connection.execute(query).all())


def compute_throughput(slots: Iterable[tuple[int, int, int]]) -> Throughput | None:
    """Compute the throughput of the latest uninterrupted work.

    The slots are triples `(slot, jobs, chunks)`, latest first. Work counted in the earliest slot is excluded, because
    it began at an unknown time before this slot. Returns None if there are fewer than two slots.
    """
    unbroken: list[tuple[int, int, int]] = []
    for entry in slots:
        if unbroken and (
            (unbroken[-1][0] - entry[0]) * _SLOT_SECONDS > _MAX_GAP_SECONDS
            or (unbroken[0][0] - entry[0]) * _SLOT_SECONDS > _WINDOW_SECONDS
        ):
            break
        unbroken.append(entry)
    if len(unbroken) < 2:
        return None
    seconds = (unbroken[0][0] - unbroken[-1][0]) * _SLOT_SECONDS
    finished, chunks = (sum(slot[column] for slot in unbroken[:-1]) for column in (1, 2))
    return Throughput(finished / seconds, chunks / seconds)


def _add_to_time_slot(
    connection: Connection, tenant_id: str, kind: JobKind, *, job_count: int, chunk_count: int
) -> None:
    slot = int(time.time()) // _SLOT_SECONDS
    new = build_upsert(connection, paces).values(
        tenant_id=tenant_id, kind=kind, slot=slot, jobs=job_count, chunks=chunk_count
    )
    added = {"jobs": paces.c.jobs + new.excluded.jobs, "chunks": paces.c.chunks + new.excluded.chunks}
    connection.execute(new.on_conflict_do_update(index_elements=["tenant_id", "kind", "slot"], set_=added))
    of_kind = (paces.c.tenant_id == tenant_id) & (paces.c.kind == kind)
    connection.execute(delete(paces).where(of_kind, paces.c.slot < slot - _KEPT_SECONDS // _SLOT_SECONDS))


def _build_queued_condition(kind: JobKind) -> ColumnElement[bool]:
    return (jobs.c.state == "queued") & (jobs.c.kind == kind)
