"""New bytes become a document, its first version and the job that makes it searchable."""

import time
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from ingest.catalog.locking import lock_documents, lock_tenant
from ingest.catalog.records import Accepted, Arrival, document_of, document_query, read_document
from ingest.catalog.tables import documents, jobs, versions
from ingest.documents import Document, JobKind, VersionState, document_id, version_id


def accept(connection: Connection, arrival: Arrival) -> Accepted:
    """A document for the arrival, or the one that has the same bytes already.

    Uploads of one tenant are accepted one after the other, so the same bytes twice at once are one document, and
    `sequence` grows in the order of commits: a listing that goes on after a sequence misses none.
    """
    lock_tenant(connection, arrival.tenant_id)
    known = _same_content(connection, arrival)
    if known is not None:
        if known.version.state is VersionState.FAILED:
            _requeue_failed(connection, known)
            known = read_document(connection, arrival.tenant_id, known.id)
        return Accepted(known, created=False)
    identifier = _insert(connection, arrival)
    return Accepted(read_document(connection, arrival.tenant_id, identifier), created=True)


def new_job(kind: JobKind, tenant_id: str, document: str, version: str) -> dict[str, Any]:
    """The row of a job that has not been claimed yet."""
    now = time.time()
    return {
        "kind": kind,
        "tenant_id": tenant_id,
        "document_id": document,
        "version_id": version,
        "state": "queued",
        "attempt": 0,
        "interruptions": 0,
        "fence": 0,
        "not_before": 0.0,
        "created_at": now,
        "updated_at": now,
    }


def _same_content(connection: Connection, arrival: Arrival) -> Document | None:
    """The document with these bytes, locked, so that it is still there when this commits."""
    query = document_query().where(
        documents.c.tenant_id == arrival.tenant_id,
        documents.c.collection == arrival.collection,
        documents.c.content_sha256 == arrival.content_sha256,
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    lock_documents(connection, [document_of(row).id])
    row = connection.execute(query).first()  # it may have been deleted while this waited
    return None if row is None else document_of(row)


def _insert(connection: Connection, arrival: Arrival) -> str:
    now = time.time()
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
            created_at=now,
        )
    )
    connection.execute(
        insert(versions).values(
            id=version,
            document_id=identifier,
            tenant_id=arrival.tenant_id,
            content_sha256=arrival.content_sha256,
            size_bytes=arrival.size_bytes,
            blob_key=arrival.blob_key,
            fingerprint=arrival.fingerprint,
            state=VersionState.ACCEPTED,
            hidden=True,
            chunks_embedded=0,
            created_at=now,
        )
    )
    connection.execute(insert(jobs).values(**new_job(JobKind.INGEST, arrival.tenant_id, identifier, version)))
    return identifier


def _requeue_failed(connection: Connection, document: Document) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.version_id == document.version.id, jobs.c.state == "failed")
        .values(state="queued", attempt=0, interruptions=0, not_before=0.0, updated_at=time.time())
    )
    connection.execute(
        update(versions)
        .where(versions.c.id == document.version.id)
        .values(state=VersionState.ACCEPTED, error_code=None, error_detail=None, error_hint=None)
    )
