"""Documents and versions in the catalog. Each method is one transaction; the jobs' side is in `jobs.py`."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, func, insert, select, update

from ingest.catalog.database import write
from ingest.catalog.tables import documents, facts, jobs, tenants, versions
from ingest.documents import (
    Document,
    Failure,
    JobKind,
    Version,
    VersionState,
    document_id,
    version_id,
)
from ingest.errors import DocumentNotFoundError

_HIDDEN_LIMIT = 256


@dataclass(frozen=True)
class Arrival:
    """An upload whose bytes are safe on disk, about to be accepted. `fingerprint` names the parser and the chunker."""

    tenant_id: str
    collection: str
    name: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    fingerprint: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Accepted:
    """`created` is false when the same bytes were already there; then `document` is that one."""

    document: Document
    created: bool


@dataclass(frozen=True)
class Visible:
    """What a search may show of a version: it is the active one of a document that is not deleted."""

    version_id: str
    document_id: str
    collection: str
    title: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Total:
    """Sums over documents; chunks and tokens count what is known so far."""

    documents: int = 0
    chunks: int = 0
    chunks_embedded: int = 0
    tokens: int = 0


class Catalog:
    """The documents of every tenant. Methods that take a tenant see nothing of another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ensure_tenant(self, tenant_id: str) -> None:
        with write(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                connection.execute(insert(tenants).values(id=tenant_id, created_at=time.time()))

    def accept(self, arrival: Arrival) -> Accepted:
        """Record an upload and queue its ingest in one commit; the same bytes twice is one document.

        A version that had failed is queued again.
        """
        with write(self._engine) as connection:
            known = self._same_content(connection, arrival)
            if known is not None:
                if known.version.state is VersionState.FAILED:
                    _requeue_failed(connection, known)
                    known = _read_document(connection, arrival.tenant_id, known.id)
                return Accepted(known, created=False)
            identifier = self._insert(connection, arrival)
            return Accepted(_read_document(connection, arrival.tenant_id, identifier), created=True)

    def document(self, tenant_id: str, identifier: str) -> Document:
        """Raises `DocumentNotFoundError`, also for a deleted one and for another tenant's."""
        with self._engine.connect() as connection:
            return _read_document(connection, tenant_id, identifier)

    def version(self, identifier: str) -> Version:
        """Any tenant's version, deleted or not: for workers, which hold a job for it."""
        with self._engine.connect() as connection:
            row = connection.execute(select(versions).where(versions.c.id == identifier)).first()
        if row is None:
            raise DocumentNotFoundError(f"There is no version {identifier!r}.")
        return _version(row)

    def documents(
        self,
        tenant_id: str,
        *,
        collection: str | None = None,
        states: Collection[VersionState] = (),
        after: int = 0,
        limit: int = 50,
    ) -> list[Document]:
        """In order of arrival, those with a `sequence` above `after`."""
        query = _document_query().where(documents.c.tenant_id == tenant_id, documents.c.sequence > after)
        if collection is not None:
            query = query.where(documents.c.collection == collection)
        if states:
            query = query.where(versions.c.state.in_([state.value for state in states]))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(documents.c.sequence).limit(limit)).all()
        return [_document(row) for row in rows]

    def totals(self, tenant_id: str, collection: str | None = None) -> dict[VersionState, Total]:
        """What a tenant has in each state, without its deleted documents."""
        query = (
            select(
                versions.c.state,
                func.count(),
                func.coalesce(func.sum(versions.c.chunks), 0),
                func.coalesce(func.sum(versions.c.chunks_embedded), 0),
                func.coalesce(func.sum(versions.c.tokens), 0),
            )
            .join(documents, documents.c.latest_version_id == versions.c.id)
            .where(documents.c.tenant_id == tenant_id, documents.c.deleted_at.is_(None))
            .group_by(versions.c.state)
        )
        if collection is not None:
            query = query.where(documents.c.collection == collection)
        with self._engine.connect() as connection:
            return {VersionState(row[0]): Total(*row[1:]) for row in connection.execute(query).all()}

    def delete(self, tenant_id: str, identifier: str, *, grace_seconds: float) -> list[Version]:
        """Make a document unfindable and queue the collection of what it left; returns its versions.

        From this commit on no search shows it: `visible` and `hidden_versions` are what searches go by. When a worker
        is at it, collection waits `grace_seconds` (a lease), so that nothing written late is left behind.
        """
        now = time.time()
        with write(self._engine) as connection:
            document = _read_document(connection, tenant_id, identifier)
            of_document = versions.c.document_id == document.id
            found = [_version(row) for row in connection.execute(select(versions).where(of_document)).all()]
            connection.execute(
                update(documents).where(documents.c.id == document.id).values(deleted_at=now, active_version_id=None)
            )
            connection.execute(update(versions).where(of_document).values(state=VersionState.DELETED, hidden=True))
            running = select(func.count()).where(jobs.c.document_id == document.id, jobs.c.state == "running")
            not_before = now + grace_seconds if connection.execute(running).scalar_one() else now
            connection.execute(
                update(jobs)
                .where(jobs.c.document_id == document.id, jobs.c.state.in_(["queued", "running"]))
                .values(state="cancelled", fence=jobs.c.fence + 1, updated_at=now)
            )
            for version in found:
                job = new_job(JobKind.COLLECT, tenant_id, document.id, version.id)
                connection.execute(insert(jobs).values(**{**job, "not_before": not_before}))
        return found

    def hidden_versions(self, tenant_id: str) -> list[str]:
        """Versions that may have points which no search may show; at most a few hundred.

        An optimization only: what is shown is decided by `visible`.
        """
        query = (
            select(versions.c.id)
            .where(
                versions.c.tenant_id == tenant_id,
                versions.c.hidden.is_(True),
                versions.c.state.in_([VersionState.INDEXING, VersionState.DELETED]),
            )
            .limit(_HIDDEN_LIMIT)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]:
        """Those of `version_ids` that are some live document's active version, by version id."""
        if not version_ids:
            return {}
        query = select(
            documents.c.active_version_id,
            documents.c.id,
            documents.c.collection,
            documents.c.title,
            documents.c.name,
            documents.c.attributes,
        ).where(
            documents.c.tenant_id == tenant_id,
            documents.c.deleted_at.is_(None),
            documents.c.active_version_id.in_(list(version_ids)),
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {row[0]: Visible(row[0], row[1], row[2], row[3] or row[4], row[5]) for row in rows}

    def indexed_versions(self) -> list[Version]:
        """Every tenant's versions that should be in the index, for comparing the two."""
        query = select(versions).where(
            versions.c.state.in_([VersionState.SEARCHABLE, VersionState.EMBEDDING, VersionState.READY])
        )
        with self._engine.connect() as connection:
            return [_version(row) for row in connection.execute(query).all()]

    def fact(self, name: str) -> str | None:
        """A thing the whole catalog remembers, such as the fingerprint of the encoder its vectors came from."""
        with self._engine.connect() as connection:
            return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()

    def remember(self, name: str, value: str) -> None:
        with write(self._engine) as connection:
            connection.execute(facts.delete().where(facts.c.name == name))
            connection.execute(insert(facts).values(name=name, value=value))

    def _same_content(self, connection: Connection, arrival: Arrival) -> Document | None:
        row = connection.execute(
            _document_query().where(
                documents.c.tenant_id == arrival.tenant_id,
                documents.c.collection == arrival.collection,
                documents.c.content_sha256 == arrival.content_sha256,
            )
        ).first()
        return None if row is None else _document(row)

    def _insert(self, connection: Connection, arrival: Arrival) -> str:
        now = time.time()
        same = and_(
            documents.c.tenant_id == arrival.tenant_id,
            documents.c.collection == arrival.collection,
            documents.c.content_sha256 == arrival.content_sha256,
        )
        generation = connection.execute(select(func.count()).where(same)).scalar_one()
        sequence = (connection.execute(select(func.max(documents.c.sequence))).scalar() or 0) + 1
        identifier = document_id(arrival.tenant_id, arrival.collection, arrival.content_sha256, generation)
        version = version_id(identifier, arrival.content_sha256, arrival.fingerprint)
        connection.execute(
            insert(documents).values(
                id=identifier,
                sequence=sequence,
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


def _requeue_failed(connection: Connection, document: Document) -> None:
    connection.execute(
        update(versions)
        .where(versions.c.id == document.version.id)
        .values(state=VersionState.ACCEPTED, error_code=None, error_detail=None, error_hint=None)
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.version_id == document.version.id, jobs.c.state == "failed")
        .values(state="queued", attempt=0, interruptions=0, not_before=0.0, updated_at=time.time())
    )


def _document_query() -> Select[Any]:
    return (
        select(documents, versions)
        .join(versions, versions.c.id == documents.c.latest_version_id)
        .where(documents.c.deleted_at.is_(None))
    )


def _read_document(connection: Connection, tenant_id: str, identifier: str) -> Document:
    row = connection.execute(
        _document_query().where(documents.c.tenant_id == tenant_id, documents.c.id == identifier)
    ).first()
    if row is None:
        raise DocumentNotFoundError(f"There is no document {identifier!r}.")
    return _document(row)


def _document(row: Row[Any]) -> Document:
    values = row._mapping
    return Document(
        id=values[documents.c.id],
        sequence=values[documents.c.sequence],
        tenant_id=values[documents.c.tenant_id],
        collection=values[documents.c.collection],
        name=values[documents.c.name],
        title=values[documents.c.title],
        media_type=values[documents.c.media_type],
        version=_version(row),
        active_version_id=values[documents.c.active_version_id],
        created_at=values[documents.c.created_at],
        attributes=values[documents.c.attributes],
    )


def _version(row: Row[Any]) -> Version:
    values = row._mapping
    code = values[versions.c.error_code]
    return Version(
        id=values[versions.c.id],
        document_id=values[versions.c.document_id],
        tenant_id=values[versions.c.tenant_id],
        content_sha256=values[versions.c.content_sha256],
        size_bytes=values[versions.c.size_bytes],
        blob_key=values[versions.c.blob_key],
        state=VersionState(values[versions.c.state]),
        pages=values[versions.c.pages],
        characters=values[versions.c.characters],
        tokens=values[versions.c.tokens],
        chunks=values[versions.c.chunks],
        chunks_embedded=values[versions.c.chunks_embedded],
        failure=code and Failure(code, values[versions.c.error_detail] or "", values[versions.c.error_hint] or ""),
        created_at=values[versions.c.created_at],
        searchable_at=values[versions.c.searchable_at],
        ready_at=values[versions.c.ready_at],
    )
