"""At which pace a tenant's jobs are done: counted in the same commit as the work, in slots of a few seconds.

A tenant's own pace, not the deployment's: beside others it gets its share, and that is what its estimates go by.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from ingest.catalog.tables import paces, versions
from ingest.documents import Job, JobKind
from ingest.progress import Pace

_SLOT_SECONDS = 5
_WINDOW_SECONDS = 120
# Longer silences are no work, but the lack of it.
_GAP_SECONDS = 30
_KEPT_SECONDS = 600


def unembedded(connection: Connection, version_ids: Sequence[str]) -> dict[str, int]:
    """How many chunks of each version have no vector yet."""
    left = func.coalesce(versions.c.chunks, 0) - versions.c.chunks_embedded
    query = select(versions.c.id, left).where(versions.c.id.in_(version_ids))
    return {version: count for version, count in connection.execute(query).all()}


def record(connection: Connection, done: Mapping[Job, int], *, ended: bool = True) -> None:
    """Add the chunks that were done for each job, and the jobs themselves if they have `ended`.

    The last statements of a transaction, since others wait for the rows; tenants in one order, since each is locked.
    """
    for tenant, kind in sorted({(job.tenant_id, job.kind) for job in done}):
        of_tenant = [chunks for job, chunks in done.items() if (job.tenant_id, job.kind) == (tenant, kind)]
        _add(connection, tenant, kind, jobs=len(of_tenant) if ended else 0, chunks=max(0, sum(of_tenant)))


def pace(connection: Connection, tenant_id: str, kind: JobKind) -> Pace | None:
    """That of the latest time in which work went on; None without any in the last minutes, or with too little."""
    oldest = (int(time.time()) - _KEPT_SECONDS) // _SLOT_SECONDS
    query = (
        select(paces.c.slot, paces.c.jobs, paces.c.chunks)
        .where(paces.c.tenant_id == tenant_id, paces.c.kind == kind, paces.c.slot >= oldest)
        .order_by(paces.c.slot.desc())
    )
    return pace_of((slot, jobs, chunks) for slot, jobs, chunks in connection.execute(query).all())


def pace_of(slots: Iterable[tuple[int, int, int]]) -> Pace | None:
    """From `(slot, jobs, chunks)`, latest first: what was done after the first slot of the latest unbroken work.

    What the first slot counts was begun before it, nobody knows when.
    """
    run: list[tuple[int, int, int]] = []
    for entry in slots:
        if run and (
            (run[-1][0] - entry[0]) * _SLOT_SECONDS > _GAP_SECONDS
            or (run[0][0] - entry[0]) * _SLOT_SECONDS > _WINDOW_SECONDS
        ):
            break
        run.append(entry)
    if len(run) < 2:
        return None
    seconds = (run[0][0] - run[-1][0]) * _SLOT_SECONDS
    return Pace(sum(jobs for _, jobs, _ in run[:-1]) / seconds, sum(chunks for _, _, chunks in run[:-1]) / seconds)


def _add(connection: Connection, tenant_id: str, kind: JobKind, *, jobs: int, chunks: int) -> None:
    slot = int(time.time()) // _SLOT_SECONDS
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(paces).values(tenant_id=tenant_id, kind=kind, slot=slot, jobs=jobs, chunks=chunks)
    added = {"jobs": paces.c.jobs + new.excluded.jobs, "chunks": paces.c.chunks + new.excluded.chunks}
    connection.execute(new.on_conflict_do_update(index_elements=["tenant_id", "kind", "slot"], set_=added))
    of_kind = (paces.c.tenant_id == tenant_id) & (paces.c.kind == kind)
    connection.execute(delete(paces).where(of_kind, paces.c.slot < slot - _KEPT_SECONDS // _SLOT_SECONDS))
