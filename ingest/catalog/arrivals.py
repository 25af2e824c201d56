"""New bytes become a document, its version and the job that makes it searchable."""

import time

from sqlalchemy import Connection, func, insert, select, update

from ingest.catalog.locking import lock_documents, lock_tenant
from ingest.catalog.queued import queue_job
from ingest.catalog.records import Accepted, Arrival, document_of, document_query, read_document
from ingest.catalog.tables import documents, versions
from ingest.catalog.withdrawals import withdraw
from ingest.documents import Document, JobKind, VersionState, document_id, version_id

UNFINISHED_ENDS = frozenset({VersionState.FAILED, VersionState.CANCELLED})


def accept(connection: Connection, arrival: Arrival) -> Accepted:
    """A document for the arrival, or the one whose newest bytes are the same.

    Uploads of one tenant are accepted one after the other, so the same bytes twice at once are one document, and
    `sequence` grows in the order of commits: a listing that goes on after a sequence misses none.
    """
    lock_tenant(connection, arrival.tenant_id)
    known = _same_content(connection, arrival)
    if known is None:
        return Accepted(_new_document(connection, arrival), created=True)
    if known.version.state in UNFINISHED_ENDS:
        return Accepted(add_version(connection, known, arrival), created=True)
    return Accepted(known, created=False)


def add_version(connection: Connection, document: Document, arrival: Arrival) -> Document:
    """Make the arrival a locked document's latest version; a version that had failed gives way to it."""
    earlier = connection.execute(
        select(func.count()).where(
            versions.c.document_id == document.id,
            versions.c.content_sha256 == arrival.content_sha256,
            versions.c.fingerprint == arrival.fingerprint,
        )
    ).scalar_one()
    identifier = version_id(document.id, arrival.content_sha256, arrival.fingerprint, earlier)
    replaced = document.version
    if replaced.state is VersionState.FAILED and replaced.id != document.active_version_id:
        # Its worker may have been given up for lost and still be writing, but not to the new version.
        withdraw(connection, [replaced], VersionState.RETIRED)
    _queue_ingest(connection, arrival, document.id, identifier)
    _insert_version(connection, arrival, document.id, identifier)
    changed: dict[str, str | None] = {"latest_version_id": identifier}
    if document.active_version_id is None:
        changed |= {"name": arrival.name, "media_type": arrival.media_type, "title": None}
    connection.execute(update(documents).where(documents.c.id == document.id).values(**changed))
    return read_document(connection, document.tenant_id, document.id)


def _same_content(connection: Connection, arrival: Arrival) -> Document | None:
    """The oldest document whose newest bytes are these, locked, so that it is still there when this commits."""
    query = (
        document_query()
        .where(
            versions.c.tenant_id == arrival.tenant_id,
            versions.c.content_sha256 == arrival.content_sha256,
            documents.c.collection == arrival.collection,
        )
        .order_by(documents.c.sequence)
    )
    locked: set[str] = set()
    while True:
        row = connection.execute(query).first()
        if row is None:
            return None
        document = document_of(row)
        if document.id in locked:
            return document
        # It may be deleted or replaced while this waits, so it is looked for again.
        lock_documents(connection, [document.id])
        locked.add(document.id)


def _new_document(connection: Connection, arrival: Arrival) -> Document:
    of_tenant = documents.c.tenant_id == arrival.tenant_id
    generation = connection.execute(
        select(func.count()).where(
            of_tenant,
            documents.c.collection == arrival.collection,
            documents.c.content_sha256 == arrival.content_sha256,
        )
    ).scalar_one()
    last = connection.execute(select(func.max(documents.c.sequence)).where(of_tenant)).scalar()
    identifier = document_id(arrival.tenant_id, arrival.collection, arrival.content_sha256, generation)
    version = version_id(identifier, arrival.content_sha256, arrival.fingerprint)
    connection.execute(
        insert(documents).values(
            id=identifier,
            sequence=(last or 0) + 1,
            tenant_id=arrival.tenant_id,
            collection=arrival.collection,
            name=arrival.name,
            media_type=arrival.media_type,
            attributes=dict(arrival.attributes),
            content_sha256=arrival.content_sha256,
            latest_version_id=version,
            created_at=time.time(),
        )
    )
    _queue_ingest(connection, arrival, identifier, version)
    _insert_version(connection, arrival, identifier, version)
    return read_document(connection, arrival.tenant_id, identifier)


def _queue_ingest(connection: Connection, arrival: Arrival, document: str, version: str) -> None:
    queue_job(
        connection,
        JobKind.INGEST,
        tenant_id=arrival.tenant_id,
        document_id=document,
        version_id=version,
        priority=arrival.priority,
    )


def _insert_version(connection: Connection, arrival: Arrival, document: str, version: str) -> None:
    connection.execute(
        insert(versions).values(
            id=version,
            document_id=document,
            tenant_id=arrival.tenant_id,
            name=arrival.name,
            media_type=arrival.media_type,
            content_sha256=arrival.content_sha256,
            size_bytes=arrival.size_bytes,
            blob_key=arrival.blob_key,
            fingerprint=arrival.fingerprint,
            state=VersionState.ACCEPTED,
            hidden=False,
            chunks_embedded=0,
            chunks_reused=0,
            created_at=time.time(),
        )
    )
