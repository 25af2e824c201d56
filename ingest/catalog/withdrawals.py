"""Versions that leave: their jobs end, no search shows them, and what they have left is collected."""

import time
from collections.abc import Sequence

from sqlalchemy import Connection, case, func, update

from ingest.catalog.clock import now
from ingest.catalog.database import portions
from ingest.catalog.locking import lock_documents
from ingest.catalog.queued import queue_jobs
from ingest.catalog.records import read_document
from ingest.catalog.tables import documents, jobs, versions
from ingest.documents import IN_PROGRESS, Document, JobKind, Version, VersionState
from ingest.errors import DocumentStateError

# A worker may learn a moment late that its lease is over, and its last write takes another to arrive.
_MARGIN_SECONDS = 10.0
_WORK = [kind for kind in JobKind if kind is not JobKind.COLLECT]


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
    stop(connection, [version])
    return read_document(connection, tenant_id, identifier)


def stop(connection: Connection, unfinished: Sequence[Version]) -> None:
    """Cancel the latest versions of locked documents, each of which goes back to the version that it has besides."""
    withdraw(connection, unfinished, VersionState.CANCELLED)
    active, latest = documents.c.active_version_id, documents.c.latest_version_id
    for some in portions([version.document_id for version in unfinished]):
        connection.execute(
            update(documents)
            .where(documents.c.id.in_(some))
            .values(
                active_version_id=case((active != latest, active), else_=None),
                latest_version_id=func.coalesce(active, latest),
            )
        )


def withdraw(
    connection: Connection,
    leaving: Sequence[Version],
    state: VersionState,
    *,
    wait_seconds: float = 0.0,
) -> frozenset[str]:
    """Take versions of locked documents out of use, in `state` from here on; collect them after `wait_seconds`.

    Their workers lose their leases. One that is in the middle of a write has not noticed yet, so where there is one,
    collection waits until the lease would have run out: by then it has noticed or is dead. Returns the ids of the
    versions that have such a worker.
    """
    begun = now(connection)
    leases: dict[str, float] = {}
    for some in portions([version.id for version in leaving]):
        ended = connection.execute(
            update(jobs)
            .where(
                jobs.c.version_id.in_(some),
                jobs.c.kind.in_(_WORK),
                jobs.c.state.in_(["queued", "running"]),
            )
            .values(state="cancelled", fence=jobs.c.fence + 1, updated_at=time.time())
            .returning(jobs.c.version_id, jobs.c.lease_until)
        ).all()
        leases |= {version: lease + _MARGIN_SECONDS for version, lease in ended if lease is not None}
    queue_jobs(
        connection,
        JobKind.COLLECT,
        leaving,
        not_before=[max(begun + wait_seconds, leases.get(version.id, begun)) for version in leaving],
    )
    for some in portions([version.id for version in leaving]):
        connection.execute(update(versions).where(versions.c.id.in_(some)).values(state=state, hidden=True))
    return frozenset(leases)
