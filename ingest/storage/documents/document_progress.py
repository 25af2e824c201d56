"""The progress of a document toward `ready`, and its position in the queue."""

from sqlalchemy import Connection, select

from ingest.storage.db.schema import jobs
from ingest.storage.documents.progress import DocumentProgress, QueuePosition, compute_progress
from ingest.storage.documents.records import IN_PROGRESS, Document
from ingest.storage.queue.records import JobKind
from ingest.storage.queue.statistics import estimate_position, load_tenant_queues


def load_document_progress(connection: Connection, document: Document) -> DocumentProgress:
    """Load the progress of a document's latest version.

    The progress includes the position in the queue and an estimate of the remaining time.
    """
    version = document.version
    if version.state not in IN_PROGRESS:
        return compute_progress(version)
    row = connection.execute(
        select(jobs.c.kind, jobs.c.attempt)
        .where(
            jobs.c.version_id == version.id,
            jobs.c.kind.in_([JobKind.INGEST, JobKind.EMBED]),
            jobs.c.state.in_(["queued", "running"]),
        )
        .order_by(jobs.c.id)
    ).first()
    if row is None:  # the job has ended in the meantime
        return compute_progress(version)
    turn = QueuePosition(JobKind(row.kind), row.attempt, estimate_position(connection, version.id))
    return compute_progress(version, turn, load_tenant_queues(connection, document.tenant_id))
