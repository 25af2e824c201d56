"""How far a document is on its way to `ready`, with its place in the queue."""

from sqlalchemy import Connection, select

from ingest.storage.db.schema import jobs
from ingest.storage.documents.progress import Progress, Turn, progress_of
from ingest.storage.documents.records import IN_PROGRESS, Document
from ingest.storage.queue.records import JobKind
from ingest.storage.queue.statistics import position, tenant_queues


def document_progress(connection: Connection, document: Document) -> Progress:
    """Tell how far a document's latest version is, with its place in the queue and an estimate."""
    version = document.version
    if version.state not in IN_PROGRESS:
        return progress_of(version)
    row = connection.execute(
        select(jobs.c.kind, jobs.c.attempt)
        .where(
            jobs.c.version_id == version.id,
            jobs.c.kind.in_([JobKind.INGEST, JobKind.EMBED]),
            jobs.c.state.in_(["queued", "running"]),
        )
        .order_by(jobs.c.id)
    ).first()
    if row is None:  # it has ended meanwhile
        return progress_of(version)
    turn = Turn(JobKind(row.kind), row.attempt, position(connection, version.id))
    return progress_of(version, turn, tenant_queues(connection, document.tenant_id))
