"""Versions that leave: their jobs end, no search shows them, and what they have left is collected."""

import time
from collections.abc import Sequence

from sqlalchemy import Connection, update

from ingest.catalog.locking import lock_documents
from ingest.catalog.queued import queue_job
from ingest.catalog.records import read_document
from ingest.catalog.tables import documents, jobs, versions
from ingest.documents import IN_PROGRESS, Document, JobKind, Version, VersionState
from ingest.errors import DocumentStateError

# A worker's clock may be behind ours, and its last write takes a moment to arrive.
_MARGIN_SECONDS = 10.0


def cancel(connection: Connection, tenant_id: str, identifier: str) -> Document:
    """Stop what is being made of a document's latest bytes.

    A document that had another version before keeps that one, as if the replacement had never been sent. Otherwise
    nothing of it is found any more. Raises `DocumentNotFoundError`, and `DocumentStateError` when nothing is under way.
    """
    lock_documents(connection, [identifier])
    document = read_document(connection, tenant_id, identifier)
    version = document.version
    if version.state not in IN_PROGRESS:
        raise DocumentStateError(
            f"The document is {version.state}: there is nothing to cancel.", hint="Delete it if you don't want it."
        )
    withdraw(connection, document, [version], VersionState.CANCELLED)
    before = document.active_version_id if document.active_version_id != version.id else None
    connection.execute(
        update(documents)
        .where(documents.c.id == identifier)
        .values(active_version_id=before, latest_version_id=before or version.id)
    )
    return read_document(connection, tenant_id, identifier)


def withdraw(
    connection: Connection,
    document: Document,
    leaving: Sequence[Version],
    state: VersionState,
    *,
    wait_seconds: float = 0.0,
) -> frozenset[str]:
    """Take versions of a locked document out of use, in `state` from here on; collect them after `wait_seconds`.

    Their workers lose their leases. One that is in the middle of a write has not noticed yet, so where there is one,
    collection waits until the lease would have run out: by then it has noticed or is dead. Returns the ids of the
    versions that have such a worker.
    """
    now = time.time()
    ids = [version.id for version in leaving]
    ended = connection.execute(
        update(jobs)
        .where(
            jobs.c.document_id == document.id,
            jobs.c.version_id.in_(ids),
            jobs.c.kind != JobKind.COLLECT,
            jobs.c.state.in_(["queued", "running"]),
        )
        .values(state="cancelled", fence=jobs.c.fence + 1, updated_at=now)
        .returning(jobs.c.version_id, jobs.c.lease_until)
    ).all()
    leases = {version: lease_until + _MARGIN_SECONDS for version, lease_until in ended if lease_until is not None}
    for version in leaving:
        queue_job(
            connection,
            JobKind.COLLECT,
            tenant_id=document.tenant_id,
            document_id=document.id,
            version_id=version.id,
            not_before=max(now + wait_seconds, leases.get(version.id, now)),
        )
    connection.execute(update(versions).where(versions.c.id.in_(ids)).values(state=state, hidden=True))
    return frozenset(leases)
