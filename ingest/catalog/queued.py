"""Putting jobs into the queue: a version has one job of each kind, which is queued again when it is needed again."""

import time

from sqlalchemy import Connection, and_, case, insert, update

from ingest.catalog.tables import jobs
from ingest.documents import JobKind, Priority


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
    """Whoever holds the version's job of this kind loses it: what it does was asked for before this.

    A job that is waiting already goes on waiting for as long as it was told to.
    """
    now = time.time()
    waiting_longer = and_(jobs.c.state == "queued", jobs.c.not_before > not_before)
    later = case((waiting_longer, jobs.c.not_before), else_=not_before)
    again = connection.execute(
        update(jobs)
        .where(jobs.c.kind == kind, jobs.c.version_id == version_id)
        .values(
            state="queued",
            priority=priority,
            attempt=0,
            interruptions=0,
            fence=jobs.c.fence + 1,
            lease_until=None,
            not_before=later,
            error_code=None,
            error_detail=None,
            updated_at=now,
        )
    ).rowcount
    if not again:
        connection.execute(
            insert(jobs).values(
                kind=kind,
                tenant_id=tenant_id,
                document_id=document_id,
                version_id=version_id,
                state="queued",
                priority=priority,
                attempt=0,
                interruptions=0,
                fence=0,
                not_before=not_before,
                created_at=now,
                updated_at=now,
            )
        )
