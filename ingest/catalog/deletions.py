"""Deleted documents with their receipts."""

import time

from sqlalchemy import Connection, func, insert, select, update

from ingest.audit import Action
from ingest.catalog.audit import record
from ingest.catalog.database import lock_documents
from ingest.catalog.document_scope import Readers, open_to, write_attributes
from ingest.catalog.quota_rows import give_back_stored
from ingest.catalog.records import Deleted, read_document, version_of
from ingest.catalog.tables import batch_entries, deletions, documents, jobs, versions
from ingest.catalog.versions import withdraw
from ingest.catalog.works import mark_gone
from ingest.documents import Deletion, JobKind, Version, VersionState, deletion_id
from ingest.errors import DocumentNotFoundError

# Whoever deletes a document removes its content at once; a later collection is for what they could not remove.
_REMOVAL_SECONDS = 10.0
_COLLECTED = frozenset({VersionState.CANCELLED, VersionState.RETIRED})


def delete_document(connection: Connection, tenant_id: str, identifier: str, readers: Readers = None) -> Deleted:
    """Withdraw every version of a document and erase its names, title and attributes. See `Catalog.delete`."""
    lock_documents(connection, [identifier])
    if (known := _find(connection, tenant_id, identifier, readers)) is not None:
        return Deleted(known, (), frozenset())
    document = read_document(connection, tenant_id, identifier, readers)  # raises `DocumentNotFoundError`
    of_document = versions.c.document_id == identifier
    rows = connection.execute(select(versions).where(of_document).order_by(versions.c.id)).all()
    leaving = tuple(version_of(row) for row in rows if row.hidden or row.state not in _COLLECTED)
    worked_on = withdraw(connection, leaving, VersionState.DELETED, wait_seconds=_REMOVAL_SECONDS)
    give_back_stored(connection, tenant_id, {document.key_id: (1, 0)})
    connection.execute(update(versions).where(of_document).values(name="", title=None, error_detail=None))
    connection.execute(update(jobs).where(jobs.c.document_id == identifier).values(error_detail=None))
    mark_gone(connection, [row.id for row in rows])
    connection.execute(update(batch_entries).where(batch_entries.c.document_id == identifier).values(name=""))
    connection.execute(
        update(documents)
        .where(documents.c.id == identifier)
        .values(deleted_at=time.time(), active_version_id=None, name="", title=None, attributes={})
    )
    write_attributes(connection, tenant_id, identifier, {})
    connection.execute(
        insert(deletions).values(
            id=deletion_id(identifier),
            document_id=identifier,
            tenant_id=tenant_id,
            versions=len(rows),
            chunks_removed=0,
            bytes_removed=0,
            deleted_at=time.time(),
        )
    )
    record(
        connection,
        Action.DOCUMENT_DELETED,
        f"document:{identifier}",
        tenant_id=tenant_id,
        versions=[r.id for r in rows],
    )
    return Deleted(read_deletion(connection, tenant_id, identifier), leaving, worked_on)


def read_deletion(connection: Connection, tenant_id: str, identifier: str, readers: Readers = None) -> Deletion:
    """Read a receipt. Raises `DocumentNotFoundError` unless it was deleted, and these readers could see it."""
    found = _find(connection, tenant_id, identifier, readers)
    if found is None:
        raise DocumentNotFoundError(f"No document {identifier!r} was deleted.")
    return found


def record_removal(connection: Connection, version: Version, *, chunks: int, size: int, complete: bool) -> None:
    """Add what was removed of one version to the receipt; `complete` says that nothing is left to collect."""
    if complete:
        ended = connection.execute(
            update(jobs)
            .where(jobs.c.kind == JobKind.COLLECT, jobs.c.version_id == version.id, jobs.c.state == "queued")
            .values(state="done", fence=jobs.c.fence + 1, updated_at=time.time())
        ).rowcount
        if ended:
            connection.execute(update(versions).where(versions.c.id == version.id).values(hidden=False))
    add_removed(connection, version.document_id, chunks=chunks, size=size)


def add_removed(connection: Connection, document: str, *, chunks: int, size: int) -> None:
    """Add to the receipt of a document, if it has one."""
    connection.execute(
        update(deletions)
        .where(deletions.c.document_id == document)
        .values(
            chunks_removed=deletions.c.chunks_removed + chunks,
            bytes_removed=deletions.c.bytes_removed + size,
        )
    )


def _find(connection: Connection, tenant_id: str, identifier: str, readers: Readers) -> Deletion | None:
    left = select(func.count()).where(versions.c.document_id == identifier, versions.c.hidden.is_(True))
    query = (
        select(deletions, left.scalar_subquery().label("left"))
        .join(documents, documents.c.id == deletions.c.document_id)
        .where(deletions.c.document_id == identifier, deletions.c.tenant_id == tenant_id, open_to(readers))
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return Deletion(
        id=row.id,
        document_id=row.document_id,
        versions=row.versions,
        chunks_removed=row.chunks_removed,
        bytes_removed=row.bytes_removed,
        deleted_at=row.deleted_at,
        collected=not row.left,
        answers_redacted=row.answers_redacted,
        runs_redacted=row.runs_redacted,
        replies_removed=row.replies_removed,
    )
