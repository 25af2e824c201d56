"""Putting jobs into the queue: a version has one job of each kind, which is queued again when it is needed again."""

import time
from collections.abc import Sequence

from sqlalchemy import Connection, and_, case
from sqlalchemy.dialects import postgresql, sqlite

from ingest.catalog.tables import jobs
from ingest.documents import JobKind, Priority, Version


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
    _queue(connection, [_row(kind, tenant_id, document_id, version_id, priority, not_before)])


def queue_jobs(connection: Connection, kind: JobKind, of: Sequence[Version], *, not_before: Sequence[float]) -> None:
    """As `queue_job`, for many versions at once, each with an instant of its own."""
    _queue(
        connection,
        [
            _row(kind, version.tenant_id, version.document_id, version.id, Priority.BULK, instant)
            for version, instant in zip(of, not_before, strict=True)
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
    }


def _queue(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(jobs)
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
        },
    )
    connection.execute(again, list(rows))
