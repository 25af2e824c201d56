"""Documents and versions in the catalog. Each method is one transaction; the jobs' side is in `jobs.py`."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select

from ingest.catalog import active, arrivals, corpus_versions, deletions, replacements, waiting, withdrawals
from ingest.catalog.active import ActiveDocument
from ingest.catalog.batch_entries import accept_into_batch
from ingest.catalog.database import insert_new, put, read, write
from ingest.catalog.quick_question import QuickQuestion
from ingest.catalog.records import (
    Accepted,
    Arrival,
    Deleted,
    Total,
    Visible,
    document_of,
    document_query,
    read_document,
    read_version,
    version_of,
)
from ingest.catalog.run_rows import read_by_a_run
from ingest.catalog.tables import documents, facts, tenants, versions
from ingest.documents import COLLECTABLE_STATES, SEARCHABLE_STATES, Deletion, Document, Version, VersionState
from ingest.errors import VersionInUseError
from ingest.feed import Announce, to_nobody
from ingest.progress import Progress

__all__ = ["Accepted", "ActiveDocument", "Arrival", "Catalog", "Deleted", "Total", "Visible"]

_HIDDEN_LIMIT = 256
# What every search asks. Made once: making a statement takes longer than SQLite takes to answer it.
_HIDDEN = (
    select(versions.c.id)
    .where(versions.c.tenant_id == bindparam("tenant_id"), versions.c.hidden.is_(True))
    .limit(_HIDDEN_LIMIT)
)
_VISIBLE = (
    select(
        versions.c.id,
        documents.c.id,
        documents.c.collection,
        documents.c.title,
        documents.c.name,
        documents.c.attributes,
    )
    .join(documents, documents.c.id == versions.c.document_id)
    .where(
        versions.c.id.in_(bindparam("version_ids", expanding=True)),
        documents.c.active_version_id == versions.c.id,
        documents.c.tenant_id == bindparam("tenant_id"),
        documents.c.deleted_at.is_(None),
    )
)


class Catalog:
    """The documents of every tenant. Methods that take a tenant see nothing of another.

    `announce` is told of every document that was changed, once that is committed.
    """

    def __init__(self, engine: Engine, *, announce: Announce = to_nobody) -> None:
        self._engine = engine
        self._announce = announce
        self._corpus_version = QuickQuestion(engine, corpus_versions.VERSION)

    def ensure_tenant(self, tenant_id: str) -> None:
        with write(self._engine) as connection:
            insert_new(connection, tenants, id=tenant_id, created_at=time.time())

    def accept(self, arrival: Arrival) -> Accepted:
        """Record an upload and queue its ingest in one commit; the same bytes twice is one document.

        Of a document that had failed or was cancelled, the same bytes are a new version, made from the start.
        Raises `BatchNotFoundError` and `BatchStateError`.
        """
        with write(self._engine) as connection:
            accepted = accept_into_batch(connection, arrival, lambda: arrivals.accept(connection, arrival))
        self._announce(arrival.tenant_id, [accepted.document.id])
        return accepted

    def replace(self, arrival: Arrival, identifier: str, if_match: Collection[str] | None) -> Accepted:
        """Record new bytes of a document, to be searched in place of the old ones when they are ready, in one commit.

        `if_match` are the ids of versions that the caller takes for the latest; None means whichever it is. The bytes
        that the document has already change nothing. Raises `DocumentNotFoundError`, `PreconditionFailedError`,
        `BatchNotFoundError` and `BatchStateError`.
        """
        with self._finding_otherwise(arrival.tenant_id) as connection:
            replaced = partial(replacements.replace, connection, arrival, identifier, if_match)
            accepted = accept_into_batch(connection, arrival, replaced)
        self._announce(arrival.tenant_id, [identifier])
        return accepted

    def document(self, tenant_id: str, identifier: str) -> Document:
        """Raises `DocumentNotFoundError`, also for a deleted one and for another tenant's."""
        with read(self._engine) as connection:
            return read_document(connection, tenant_id, identifier)

    def version(self, identifier: str) -> Version:
        """Any tenant's version, deleted or not: for workers, which hold a job for it."""
        with read(self._engine) as connection:
            return read_version(connection, identifier)

    def versions(self, identifiers: Collection[str]) -> dict[str, Version]:
        """As `version`, for several, by id."""
        query = select(versions).where(versions.c.id.in_(list(identifiers)))
        with read(self._engine) as connection:
            return {row.id: version_of(row) for row in connection.execute(query).all()}

    def live(self, identifiers: Collection[str]) -> dict[str, Document]:
        """Those of any tenant's documents that are not deleted, by id: for workers, which hold jobs for them."""
        query = document_query().where(documents.c.id.in_(list(identifiers)))
        with read(self._engine) as connection:
            return {document.id: document for document in map(document_of, connection.execute(query).all())}

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
        query = document_query().where(documents.c.tenant_id == tenant_id, documents.c.sequence > after)
        if collection is not None:
            query = query.where(documents.c.collection == collection)
        if states:
            query = query.where(versions.c.state.in_([state.value for state in states]))
        with read(self._engine) as connection:
            rows = connection.execute(query.order_by(documents.c.sequence).limit(limit)).all()
        return [document_of(row) for row in rows]

    def active_documents(
        self,
        tenant_id: str,
        *,
        collections: Collection[str] = (),
        identifiers: Collection[str] = (),
        after: int = 0,
        limit: int = 1000,
    ) -> list[ActiveDocument]:
        """Live documents that searches find, in order of arrival, those with a `sequence` above `after`."""
        with read(self._engine) as connection:
            return active.active_documents(
                connection, tenant_id, collections=collections, identifiers=identifiers, after=after, limit=limit
            )

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
        with read(self._engine) as connection:
            # PostgreSQL sums big integers as decimals.
            return {VersionState(row[0]): Total(*map(int, row[1:])) for row in connection.execute(query).all()}

    def delete(self, tenant_id: str, identifier: str) -> Deleted:
        """Make a document unfindable and queue the collection of what it left; deleting again gives the same receipt.

        From this commit on no search shows it: `visible` and `hidden_versions` are what searches go by. When a worker
        is at it, collection waits until its lease would have run out, so that nothing written late is left behind.
        Whoever calls this removes what they can at once, and says so with `record_removal`.
        """
        with self._finding_otherwise(tenant_id) as connection:
            deleted = deletions.delete(connection, tenant_id, identifier)
        self._announce(tenant_id, [identifier])
        return deleted

    def record_removal(self, version: Version, *, chunks: int, size: int, complete: bool) -> None:
        """Add what was removed of a deleted version to the receipt; if it is `complete`, nothing remains to collect."""
        with self._finding_otherwise(version.tenant_id) as connection:
            deletions.record_removal(connection, version, chunks=chunks, size=size, complete=complete)

    def deletion(self, tenant_id: str, identifier: str) -> Deletion:
        """The receipt of a document's deletion. Raises `DocumentNotFoundError` where it was not deleted."""
        with read(self._engine) as connection:
            return deletions.read_deletion(connection, tenant_id, identifier)

    def cancel(self, tenant_id: str, identifier: str) -> Document:
        """Stop what is being made of a document's latest bytes; uploading the same again starts over.

        Raises `DocumentNotFoundError`, and `DocumentStateError` when nothing is under way.
        """
        with self._finding_otherwise(tenant_id) as connection:
            cancelled = withdrawals.cancel(connection, tenant_id, identifier)
        self._announce(tenant_id, [identifier])
        return cancelled

    def progress(self, document: Document) -> Progress:
        """How far a document's latest version is, with its place in the queue and an estimate."""
        with read(self._engine) as connection:
            return waiting.progress(connection, document)

    def hidden_versions(self, tenant_id: str) -> list[str]:
        """Versions that may have points which no search may show; at most a few hundred.

        An optimization only: what is shown is decided by `visible`.
        """
        with read(self._engine) as connection:
            return list(connection.execute(_HIDDEN, {"tenant_id": tenant_id}).scalars())

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]:
        """Those of `version_ids` that are some live document's active version, by version id."""
        if not version_ids:
            return {}
        wanted = {"tenant_id": tenant_id, "version_ids": list(version_ids)}
        with read(self._engine) as connection:
            rows = connection.execute(_VISIBLE, wanted).all()
        return {row[0]: Visible(row[0], row[1], row[2], row[3] or row[4], row[5]) for row in rows}

    def attributes(self, tenant_id: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The id and the attributes of each of a tenant's documents that searches can find."""
        query = select(documents.c.id, documents.c.attributes).where(
            documents.c.tenant_id == tenant_id,
            documents.c.active_version_id.is_not(None),
            documents.c.deleted_at.is_(None),
        )
        with read(self._engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(query).all()]

    def corpus_version(self, tenant_id: str) -> int:
        """A number that has grown when searches of the tenant may find something else than before.

        What is read before a search stands for what the search finds, or for something older: never for newer.
        """
        return self._corpus_version.ask({"tenant_id": tenant_id}) or 0

    def leaving(self, version_id: str) -> Version | None:
        """The version, if what index and blobs keep of it is to be removed; None for one that is in use.

        It is failed, cancelled, retired or deleted, and not its document's active one. None of these comes back to use.
        Raises `VersionInUseError` for one that was replaced while a run reads it.
        """
        query = (
            select(versions, read_by_a_run().label("read_by_a_run"))
            .join(documents, documents.c.id == versions.c.document_id)
            .where(
                versions.c.id == version_id,
                versions.c.state.in_(COLLECTABLE_STATES),
                documents.c.active_version_id.is_distinct_from(versions.c.id),
            )
        )
        with read(self._engine) as connection:
            row = connection.execute(query).first()
        if row is not None and row.read_by_a_run:
            raise VersionInUseError(f"A run still reads version {version_id}.")
        return None if row is None else version_of(row)

    def replaced_by(self, version_ids: Collection[str]) -> dict[str, Version]:
        """For each of these versions that is staged, the one that searches find until it is ready, by its id."""
        staged = versions.alias("staged")
        query = (
            select(staged.c.id.label("staged_id"), versions)
            .join(documents, documents.c.id == staged.c.document_id)
            .join(versions, versions.c.id == documents.c.active_version_id)
            .where(staged.c.id.in_(list(version_ids)), staged.c.id != versions.c.id)
        )
        with read(self._engine) as connection:
            return {row.staged_id: version_of(row) for row in connection.execute(query).all()}

    def indexed_versions(self) -> list[Version]:
        """Every tenant's versions that should be in the index, for comparing the two."""
        query = select(versions).where(versions.c.state.in_(SEARCHABLE_STATES))
        with read(self._engine) as connection:
            return [version_of(row) for row in connection.execute(query).all()]

    def fact(self, name: str) -> str | None:
        """A thing the whole catalog remembers, such as the fingerprint of the encoder its vectors came from."""
        with read(self._engine) as connection:
            return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()

    def remember(self, name: str, value: str) -> None:
        with write(self._engine) as connection:
            put(connection, facts, ["name"], name=name, value=value)

    @contextmanager
    def _finding_otherwise(self, tenant_id: str) -> Iterator[Connection]:
        """A transaction after which searches of the tenant may find something else."""
        with write(self._engine) as connection:
            yield connection
            corpus_versions.count_up(connection, [tenant_id])
