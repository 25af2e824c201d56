"""The catalog of documents and versions. Each method is one transaction. Jobs are in `ingest.storage.jobs`."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, null, select, update

from ingest.storage.accounts.access import Readers, build_access_condition, list_hidden_collections
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    CORPUS_VERSION,
    FrequentQuery,
    bump_corpus_versions,
    insert_row_if_absent,
    iter_slices,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import documents, tenants, versions
from ingest.storage.digests import Digest
from ingest.storage.documents import deletions
from ingest.storage.documents.attributes import build_metadata_conditions
from ingest.storage.documents.batch_records import Batch
from ingest.storage.documents.batches import add_accepted_file, lock_batch, require_open_batch
from ingest.storage.documents.cards.rows import add_shown_fields, delete_cards, read_shown_fields
from ingest.storage.documents.digests import delete_digests, record_digests, select_digested_versions
from ingest.storage.documents.document_progress import load_document_progress
from ingest.storage.documents.entries import count_nesting, delete_staged_entries, list_failed_entries, list_staged_keys
from ingest.storage.documents.filters import Conditions
from ingest.storage.documents.listing import EVERYTHING, DocumentFilter, DocumentListing, ListingCursor
from ingest.storage.documents.progress import DocumentProgress
from ingest.storage.documents.records import (
    COLLECTABLE_STATES,
    SEARCHABLE_STATES,
    Deletion,
    Document,
    DocumentChange,
    Version,
    VersionState,
)
from ingest.storage.documents.rows import (
    COUNTED_TOKENS,
    AcceptedUpload,
    ActiveDocument,
    Arrival,
    DeletedDocument,
    StateTotal,
    VisibleVersion,
    build_document,
    build_document_query,
    build_version,
    list_nested_documents,
    load_document,
    load_version,
    parse_readers,
)
from ingest.storage.documents.versions import accept_document, cancel_latest_version, change_document, replace_document
from ingest.storage.documents.works import build_version_in_use_condition
from ingest.storage.errors import VersionInUseError
from ingest.storage.feed.feed import Announce, announce_to_nobody
from ingest.storage.queue.records import Job
from ingest.storage.quotas.records import Account
from ingest.storage.quotas.store import UNLIMITED, QuotaRules

__all__ = ["AcceptedUpload", "ActiveDocument", "Arrival", "Catalog", "DeletedDocument", "StateTotal", "VisibleVersion"]

_HIDDEN_LIMIT = 256
# Queries that every search runs. They are built once, because building a query takes longer than running it on SQLite.
_HIDDEN_QUERY = (
    select(versions.c.id)
    .where(versions.c.tenant_id == bindparam("tenant_id"), versions.c.hidden.is_(True))
    .limit(_HIDDEN_LIMIT)
)
_VISIBLE_QUERY = (
    select(
        versions.c.id,
        documents.c.id,
        documents.c.collection,
        documents.c.title,
        documents.c.name,
        documents.c.attributes,
        documents.c.readers,
        versions.c.name,
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
    """The documents of all tenants. A method that takes a tenant reads or changes only that tenant.

    `readers` are the subjects of a principal. A document whose access list names none of these readers is treated as if
    it did not exist. The default, None, is for workers and admins, who see every document.

    `announce` is called with every changed document, after the commit.
    """

    def __init__(
        self, engine: Engine, *, announce: Announce = announce_to_nobody, quotas: QuotaRules = UNLIMITED
    ) -> None:
        self._engine = engine
        self._announce = announce
        self._quotas = quotas
        self.listing = DocumentListing(engine)
        self._corpus_version = FrequentQuery(engine, CORPUS_VERSION)

    def ensure_tenant(self, tenant_id: str) -> None:
        with write_transaction(self._engine) as connection:
            if insert_row_if_absent(connection, tenants, id=tenant_id, name=tenant_id, created_at=time.time()):
                record_action(connection, Action.TENANT_CREATED, f"tenant:{tenant_id}", tenant_id=tenant_id)

    def accept_upload(self, arrival: Arrival) -> AcceptedUpload:
        """Record an upload and queue its ingest in one commit. The same bytes sent twice create only one document.

        If that document failed or was cancelled, the bytes become a new version of it. Raises `BatchNotFoundError` or
        `BatchStateError` if the upload's batch does not exist or accepts no more files, and `StorageQuotaExceededError`
        if a quota is reached.
        """
        with write_transaction(self._engine) as connection:
            batch = _lock_open_batch(connection, arrival)
            accepted = accept_document(connection, arrival)
            self._count_stored_bytes(connection, arrival, accepted)
            if batch is not None:
                add_accepted_file(connection, batch, arrival.name, accepted)
            _record_arrival(connection, Action.DOCUMENT_UPLOADED, arrival, accepted)
        self._announce(arrival.tenant_id, [accepted.document.id])
        return accepted

    def replace_document(self, arrival: Arrival, identifier: str, if_match: Collection[str] | None) -> AcceptedUpload:
        """Record new content of a document in one commit. Searches find the old content until the new content is ready.

        The document's tag must be one of `if_match`; None allows any tag. If the document already has this content,
        nothing changes. Raises `DocumentNotFoundError`, `PreconditionFailedError` if the tag does not match,
        `BatchNotFoundError` or `BatchStateError` if the upload's batch does not exist or accepts no more files, and
        `StorageQuotaExceededError` if a quota is reached.
        """
        with self._search_transaction(arrival.tenant_id) as connection:
            batch = _lock_open_batch(connection, arrival)
            accepted = replace_document(connection, arrival, identifier, if_match)
            self._count_stored_bytes(connection, arrival, accepted)
            if batch is not None:
                add_accepted_file(connection, batch, arrival.name, accepted)
            _record_arrival(connection, Action.DOCUMENT_REPLACED, arrival, accepted)
        self._announce(arrival.tenant_id, [identifier])
        return accepted

    def change_document(
        self,
        tenant_id: str,
        identifier: str,
        change: DocumentChange,
        if_match: Collection[str] | None,
        *,
        caller: Principal | None = None,
    ) -> Document:
        """Change a document's metadata, title, readers or collection in one commit. Queries use the new values at once.

        If `caller` is None, the service itself makes the change, and no permission is needed. The entries of a
        container get its readers and collection. `list_unsynced_readers` lists the document until its new readers and
        collection are in the index. Raises `DocumentNotFoundError`, `PreconditionFailedError` if the tag does not
        match, `MetadataError` if a value is invalid, `NotUploaderError` if the caller may not change the readers,
        `CollectionNotFoundError` and `RoleMissingError` if the caller may not write in both collections, and
        `DocumentStateError` if an entry would be moved without its container.
        """
        # guard: readers-change-corpus
        with self._search_transaction(tenant_id) as connection:
            known, changed = change_document(connection, tenant_id, identifier, change, if_match, caller)
            access = _describe_access_change(known, changed)
            record_action(connection, Action.DOCUMENT_CHANGED, f"document:{identifier}", tenant_id=tenant_id, **access)
        self._announce(tenant_id, [identifier])
        return changed

    def load_document(self, tenant_id: str, identifier: str, *, readers: Readers = None) -> Document:
        """Load a document. The omissions include the document's failed entries.

        Raises `DocumentNotFoundError` if it does not exist, was deleted, or belongs to another tenant.
        """
        with read_transaction(self._engine) as connection:
            document = load_document(connection, tenant_id, identifier, readers)
            failed = list_failed_entries(connection, identifier, readers)
        version = replace(document.version, omissions=(*document.version.omissions, *failed))
        return replace(document, version=version) if failed else document

    def list_unsynced_readers(self, *, limit: int = 100) -> list[str]:
        """List documents of all tenants whose current readers may be missing from the index."""
        behind = documents.c.index_revision < documents.c.revision, documents.c.deleted_at.is_(None)
        with read_transaction(self._engine) as connection:
            return list(connection.execute(select(documents.c.id).where(*behind).limit(limit)).scalars())

    def list_unsynced_entries(self, identifier: str, *, limit: int = 100) -> list[str]:
        """List entries of a container, at any depth, whose readers or collection may be missing from the index."""
        with read_transaction(self._engine) as connection:
            query = select(documents.c.id).where(
                documents.c.id.in_(list_nested_documents(connection, [identifier])[:limit]),
                documents.c.index_revision < documents.c.revision,
            )
            return list(connection.execute(query).scalars())

    def mark_readers_unsynced(self) -> None:
        """Mark all documents' readers as unsynced, because a crash may have removed some readers from the index."""
        changed = documents.c.readers.is_not(null()) | (documents.c.revision > 0)
        with write_transaction(self._engine) as connection:
            connection.execute(update(documents).where(changed).values(index_revision=-1))

    def record_readers_synced(self, identifier: str, revision: int) -> bool:
        """Record that the index contains the readers and the collection of this revision.

        Searches may now find more, so the tenant's corpus version increases. Returns false if the document has changed
        since.
        """
        current = documents.c.id == identifier, documents.c.revision == revision
        with write_transaction(self._engine) as connection:
            settled = update(documents).where(*current).values(index_revision=revision)
            changed = connection.execute(settled.returning(documents.c.tenant_id)).scalars().all()
            # guard: synced-index-changes-corpus
            bump_corpus_versions(connection, changed)
            return bool(changed)

    def load_version(self, identifier: str) -> Version:
        """Load a version of any tenant, even a deleted one, for a worker that holds a job for it."""
        with read_transaction(self._engine) as connection:
            return load_version(connection, identifier)

    def load_versions(self, identifiers: Collection[str]) -> dict[str, Version]:
        """Load several versions of any tenant by id. See `load_version`."""
        query = select(versions).where(versions.c.id.in_(list(identifiers)))
        with read_transaction(self._engine) as connection:
            return {row.id: build_version(row) for row in connection.execute(query).all()}

    def load_live_documents(self, identifiers: Collection[str]) -> dict[str, Document]:
        """Load live documents of any tenant by id, for a worker that holds jobs for them."""
        query = build_document_query().where(documents.c.id.in_(list(identifiers)))
        with read_transaction(self._engine) as connection:
            return {document.id: document for document in map(build_document, connection.execute(query).all())}

    def list_documents(
        self,
        tenant_id: str,
        filters: DocumentFilter = EVERYTHING,
        *,
        after: int = 0,
        limit: int = 50,
        readers: Readers = None,
    ) -> list[Document]:
        """List documents in order of arrival, starting after sequence number `after`."""
        page = self.listing.list_page(tenant_id, filters, readers, after=ListingCursor(after), limit=limit)
        return [document for document, _ in page]

    def list_versions(self, tenant_id: str, identifier: str, *, readers: Readers = None) -> list[Version]:
        """List a document's versions, newest first. Raises `DocumentNotFoundError` if there is no such document."""
        with read_transaction(self._engine) as connection:
            document = load_document(connection, tenant_id, identifier, readers)
            of_document = select(versions).where(versions.c.document_id == document.id)
            rows = connection.execute(of_document.order_by(versions.c.created_at.desc(), versions.c.id)).all()
        return [build_version(row) for row in rows]

    def list_active_documents(
        self,
        tenant_id: str,
        *,
        collections: Collection[str] = (),
        identifiers: Collection[str] = (),
        conditions: Conditions = (),
        readers: Readers = None,
        after: int = 0,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> list[ActiveDocument]:
        """List the documents that searches find, in order of arrival, starting after sequence number `after`.

        With `newest_first`, the order is reversed. Empty collections, identifiers and conditions match all documents.
        """
        query = (
            select(
                documents.c.sequence,
                documents.c.id,
                versions.c.id,
                documents.c.collection,
                documents.c.name,
                documents.c.title,
                versions.c.characters,
                COUNTED_TOKENS,
                documents.c.attributes,
                versions.c.media_type,
            )
            .join(versions, versions.c.id == documents.c.active_version_id)
            .where(
                documents.c.tenant_id == tenant_id,
                versions.c.tenant_id == tenant_id,
                documents.c.deleted_at.is_(None),
                documents.c.sequence > after,
                build_access_condition(readers),
                *build_metadata_conditions(tenant_id, conditions),
            )
            .order_by(documents.c.sequence.desc() if newest_first else documents.c.sequence)
            .limit(limit)
        )
        if collections:
            query = query.where(documents.c.collection.in_(list(collections)))
        if identifiers:
            query = query.where(documents.c.id.in_(list(identifiers)))
        # Prompts name some documents with these fields. Those of a large scope would take longer to read than the rest.
        has_fields = after == 0
        with read_transaction(self._engine) as connection:
            return [
                ActiveDocument(
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    row[4],
                    row[5] or row[4],
                    row[6] or 0,
                    row[7] or None,
                    row[8],
                    row[9],
                    *(read_shown_fields(row) if has_fields else ()),
                )
                for row in connection.execute(add_shown_fields(query) if has_fields else query).all()
            ]

    def measure_scope(
        self,
        tenant_id: str,
        *,
        collections: Collection[str] = (),
        identifiers: Collection[str] = (),
        conditions: Conditions = (),
        readers: Readers = None,
    ) -> tuple[int, int, int]:
        """Count the documents listed by `list_active_documents`, their characters, and their known tokens."""
        query = (
            select(
                func.count(),
                func.coalesce(func.sum(versions.c.characters), 0),
                func.coalesce(func.sum(COUNTED_TOKENS), 0),
            )
            .select_from(documents)
            .join(versions, versions.c.id == documents.c.active_version_id)
            .where(
                documents.c.tenant_id == tenant_id,
                documents.c.deleted_at.is_(None),
                build_access_condition(readers),
                *build_metadata_conditions(tenant_id, conditions),
            )
        )
        if collections:
            query = query.where(documents.c.collection.in_(list(collections)))
        if identifiers:
            query = query.where(documents.c.id.in_(list(identifiers)))
        with read_transaction(self._engine) as connection:
            count, characters, tokens = connection.execute(query).one()
        return count, int(characters), int(tokens)

    def compute_state_totals(
        self, tenant_id: str, collection: str | None = None, *, readers: Readers = None
    ) -> dict[VersionState, StateTotal]:
        """Count a tenant's live documents by state, and sum their chunks and tokens."""
        query = (
            select(
                versions.c.state,
                func.count(),
                func.coalesce(func.sum(versions.c.chunks), 0),
                func.coalesce(func.sum(versions.c.chunks_embedded), 0),
                func.coalesce(func.sum(versions.c.tokens), 0),
            )
            .join(documents, documents.c.latest_version_id == versions.c.id)
            .where(
                documents.c.tenant_id == tenant_id, documents.c.deleted_at.is_(None), build_access_condition(readers)
            )
            .group_by(versions.c.state)
        )
        if collection is not None:
            query = query.where(documents.c.collection == collection)
        with read_transaction(self._engine) as connection:
            # PostgreSQL returns sums of big integers as decimals.
            return {VersionState(row[0]): StateTotal(*map(int, row[1:])) for row in connection.execute(query).all()}

    def delete_document(self, tenant_id: str, identifier: str, *, readers: Readers = None) -> DeletedDocument:
        """Delete a document and queue the removal of its content. Deleting it again returns the same receipt.

        After this commit, searches no longer show the document, because they check `find_visible` and
        `list_hidden_versions`. If a worker holds a job for it, the removal waits until the lease would have expired, so
        that late writes are removed as well. The caller removes as much content as possible immediately and reports it
        with `record_removal`.
        """
        # guard: deletion-changes-corpus
        with self._search_transaction(tenant_id) as connection:
            deleted = deletions.delete_document(connection, tenant_id, identifier, readers)
        self._announce(tenant_id, [identifier])
        return deleted

    def record_removal(self, version: Version, *, chunk_count: int, size_bytes: int, is_complete: bool) -> None:
        """Add removed content of a deleted version to the receipt.

        `is_complete` means that all content has been removed.
        """
        with self._search_transaction(version.tenant_id) as connection:
            deletions.record_removal(
                connection, version, chunk_count=chunk_count, size_bytes=size_bytes, is_complete=is_complete
            )

    def load_deletion(self, tenant_id: str, identifier: str, *, readers: Readers = None) -> Deletion:
        """Load the receipt of a document's deletion. Raises `DocumentNotFoundError` if the document was not deleted."""
        with read_transaction(self._engine) as connection:
            return deletions.load_deletion(connection, tenant_id, identifier, readers)

    def count_nesting(self, identifier: str) -> tuple[int, int]:
        """Return the nesting depth of a document, and the number of documents in its outermost container.

        The document itself and its entries are not counted, because its entries are about to change.
        """
        with read_transaction(self._engine) as connection:
            return count_nesting(connection, identifier)

    def list_staged_keys(self, version_id: str) -> list[str]:
        """List the blob keys of the staged entries of a version that never became active."""
        with read_transaction(self._engine) as connection:
            return list_staged_keys(connection, version_id)

    def replace_version_digests(self, job_digests: Mapping[Job, Mapping[str, Digest]]) -> None:
        """Record new digests for versions whose files were rewritten by a repeated ingest.

        `job_digests` maps each job to digests, keyed by file key. A version without recorded digests is skipped,
        because it gets its digests when it becomes searchable.
        """
        with read_transaction(self._engine) as connection:
            known = select_digested_versions(connection, [job.version_id for job in job_digests])
        if known:
            with write_transaction(self._engine) as connection:
                for job, digests in job_digests.items():
                    if job.version_id in known:
                        record_digests(connection, job, digests)

    def delete_derived_records(self, version_id: str) -> None:
        """Delete the digests and the card of a version before its text and tables are removed."""
        with write_transaction(self._engine) as connection:
            delete_digests(connection, version_id)
            # guard: card-deleted-with-version
            delete_cards(connection, [version_id])

    def delete_staged_entries(self, version_id: str) -> None:
        """Delete the staged entries of a version whose blobs have been removed."""
        with write_transaction(self._engine) as connection:
            delete_staged_entries(connection, version_id)

    def cancel_latest_version(self, tenant_id: str, identifier: str, *, readers: Readers = None) -> Document:
        """Cancel a document's latest version. Uploading the same bytes again restarts it.

        The entries of a container that had no earlier version are deleted. Raises `DocumentNotFoundError` if there is
        no such document, and `DocumentStateError` if the version is not in progress.
        """
        with self._search_transaction(tenant_id) as connection:
            cancelled = cancel_latest_version(connection, tenant_id, identifier, readers)
            deletions.delete_orphaned_entries(connection, tenant_id, [identifier])
            record_action(connection, Action.DOCUMENT_CANCELLED, f"document:{identifier}", tenant_id=tenant_id)
        self._announce(tenant_id, [identifier])
        return cancelled

    def load_progress(self, document: Document) -> DocumentProgress:
        """Load the progress of a document's latest version.

        The progress includes the position in the queue and an estimate of the remaining time.
        """
        with read_transaction(self._engine) as connection:
            return load_document_progress(connection, document)

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        """List up to a few hundred versions that may have points in the index but must not be shown.

        Searches use this list to save work; `find_visible` decides which versions are shown.
        """
        with read_transaction(self._engine) as connection:
            return list(connection.execute(_HIDDEN_QUERY, {"tenant_id": tenant_id}).scalars())

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        """Select the versions that are the active version of a live document, keyed by version id.

        The result does not depend on readers.
        """
        if not version_ids:
            return {}
        wanted = {"tenant_id": tenant_id, "version_ids": list(version_ids)}
        with read_transaction(self._engine) as connection:
            rows = connection.execute(_VISIBLE_QUERY, wanted).all()
        return {
            row[0]: VisibleVersion(row[0], row[1], row[2], row[3] or row[4], row[5], parse_readers(row[6]), row[7])
            for row in rows
        }

    def has_access_lists(self, tenant_id: str) -> bool:
        """Return whether the tenant has documents that are not visible to the whole tenant."""
        closed = (
            documents.c.tenant_id == tenant_id,
            documents.c.readers.is_not(null()),
            documents.c.deleted_at.is_(None),
        )
        with read_transaction(self._engine) as connection:
            return connection.execute(select(documents.c.id).where(*closed).limit(1)).first() is not None

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        """List the collections whose grants name none of these readers. Collections without grants are omitted."""
        with read_transaction(self._engine) as connection:
            return list_hidden_collections(connection, tenant_id, readers)

    def list_hidden_documents(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        """List the documents that these readers may not see."""
        closed = documents.c.tenant_id == tenant_id, ~build_access_condition(readers)
        with read_transaction(self._engine) as connection:
            return set(connection.execute(select(documents.c.id).where(*closed)).scalars())

    def list_matching_documents(
        self,
        tenant_id: str,
        conditions: Conditions,
        *,
        document_ids: Collection[str] = (),
        limit: int | None = None,
    ) -> list[str]:
        """List the ids of up to `limit` searchable documents whose metadata meets the conditions.

        If `document_ids` is given, only these ids are considered, and the cost of the query does not grow with the
        number of documents in the tenant.
        """
        query = select(documents.c.id).where(
            documents.c.tenant_id == tenant_id,
            documents.c.active_version_id.is_not(None),
            documents.c.deleted_at.is_(None),
            *build_metadata_conditions(tenant_id, conditions, by_document=bool(document_ids)),
        )
        with read_transaction(self._engine) as connection:
            if not document_ids:
                return list(connection.execute(query.limit(limit)).scalars())
            return [
                identifier
                for some in iter_slices(list(document_ids))
                for identifier in connection.execute(query.where(documents.c.id.in_(some))).scalars()
            ]

    def load_corpus_version(self, tenant_id: str) -> int:
        """Load the tenant's corpus version, which increases with every commit that may change its search results.

        If the corpus version is read before a search, the search sees that version of the corpus or a newer one, never
        an older one.
        """
        return self._corpus_version.load_value({"tenant_id": tenant_id}) or 0

    def find_removable_version(self, version_id: str) -> Version | None:
        """Return the version if its content should be removed from the index and blobs, or None if it is in use.

        A version is removable if it is failed, cancelled, retired or deleted, is not its document's active version, and
        never becomes active again. Raises `VersionInUseError` if it was replaced but a run still reads it.
        """
        query = (
            select(versions, build_version_in_use_condition().label("read_by_a_run"))
            .join(documents, documents.c.id == versions.c.document_id)
            .where(
                versions.c.id == version_id,
                versions.c.state.in_(COLLECTABLE_STATES),
                documents.c.active_version_id.is_distinct_from(versions.c.id),
            )
        )
        with read_transaction(self._engine) as connection:
            row = connection.execute(query).first()
        if row is not None and row.read_by_a_run:
            raise VersionInUseError(f"Version {version_id} is still being read by a run.")
        return None if row is None else build_version(row)

    def load_replaced_versions(self, version_ids: Collection[str]) -> dict[str, Version]:
        """Return the active versions that staged versions will replace, keyed by staged version.

        Searches find the active version until the staged version is ready.
        """
        staged = versions.alias("staged")
        query = (
            select(staged.c.id.label("staged_id"), versions)
            .join(documents, documents.c.id == staged.c.document_id)
            .join(versions, versions.c.id == documents.c.active_version_id)
            .where(staged.c.id.in_(list(version_ids)), staged.c.id != versions.c.id)
        )
        with read_transaction(self._engine) as connection:
            return {row.staged_id: build_version(row) for row in connection.execute(query).all()}

    def list_indexed_versions(self) -> list[Version]:
        """List the versions of all tenants that should be in the index, for comparing the index with the catalog."""
        query = select(versions).where(versions.c.state.in_(SEARCHABLE_STATES))
        with read_transaction(self._engine) as connection:
            return [build_version(row) for row in connection.execute(query).all()]

    def _count_stored_bytes(self, connection: Connection, arrival: Arrival, upload: AcceptedUpload) -> None:
        """Charge the content of an upload to the storage quotas before it is stored.

        Raises `StorageQuotaExceededError` if a quota is exceeded, which rolls back the transaction.
        """
        if upload.created:
            account = Account(arrival.tenant_id, arrival.key_id)
            self._quotas.add_stored_amounts(
                connection, account, documents=int(upload.is_first), size=arrival.size_bytes
            )

    @contextmanager
    def _search_transaction(self, tenant_id: str) -> Iterator[Connection]:
        """Open a transaction that changes the tenant's search results and increases the tenant's corpus version."""
        with write_transaction(self._engine) as connection:
            yield connection
            bump_corpus_versions(connection, [tenant_id])


def _record_arrival(connection: Connection, action: Action, arrival: Arrival, upload: AcceptedUpload) -> None:
    if not upload.created:
        return
    record_action(
        connection,
        action,
        f"document:{upload.document.id}",
        tenant_id=arrival.tenant_id,
        version=upload.document.version.id,
        collection=arrival.collection,
        size_bytes=arrival.size_bytes,
        batch=arrival.batch_id,
    )


def _describe_access_change(old_document: Document, new_document: Document) -> dict[str, Any]:
    """Return a document's readers and collection before and after a change, if they changed, for the audit log."""
    changes: dict[str, Any] = {}
    if old_document.readers != new_document.readers:
        old, new = (None if each.readers is None else sorted(each.readers) for each in (old_document, new_document))
        changes["readers"] = {"before": old, "after": new}
    if old_document.collection != new_document.collection:
        changes["collection"] = {"before": old_document.collection, "after": new_document.collection}
    return changes


def _lock_open_batch(connection: Connection, arrival: Arrival) -> Batch | None:
    """Lock the batch in which the upload was sent, if any.

    Raises `BatchNotFoundError` if there is no such batch, and `BatchStateError` if it accepts no more files.
    """
    if arrival.batch_id is None:
        return None
    batch = lock_batch(connection, arrival.tenant_id, arrival.batch_id)
    require_open_batch(batch)
    return batch
