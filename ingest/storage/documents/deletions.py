"""Deletion of documents, and the receipts of deletions."""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from ingest.storage.accounts.access import Readers, build_access_condition
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import iter_slices, lock_documents, lock_jobs
from ingest.storage.db.schema import deletions, document_attributes, documents, jobs, metadata, versions
from ingest.storage.documents.cards.rows import delete_cards, delete_document_cards
from ingest.storage.documents.listing import refresh_listing
from ingest.storage.documents.records import Deletion, Version, VersionState, derive_deletion_id
from ingest.storage.documents.rows import DeletedDocument, build_version, list_nested_documents, load_document
from ingest.storage.documents.versions import withdraw_versions
from ingest.storage.documents.works import list_names, mark_versions_gone
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.queue.records import JobKind
from ingest.storage.quotas.rows import subtract_stored_amounts
from ingest.storage.webhooks.outbox import publish_event
from ingest.storage.webhooks.records import EventType

# Delay after which a job removes any content that remains of a deleted document. The process that deletes a document
# removes the document's content immediately.
_REMOVAL_SECONDS = 10.0
_COLLECTED_STATES = frozenset({VersionState.CANCELLED, VersionState.RETIRED})
# Columns in other tables to clear when a document is deleted, each paired with the column that holds the document's id.
_ERASED = tuple(
    (column, table.c[column.info["erased_with"]])
    for table in metadata.tables.values()
    for column in table.c
    if "erased_with" in column.info
)


def delete_document(
    connection: Connection, tenant_id: str, identifier: str, readers: Readers = None
) -> DeletedDocument:
    """Withdraw every version of a document and erase its names, title and attributes. See `Catalog.delete`.

    The entries of a container are deleted with it, even if these readers may not see them.
    """
    lock_documents(connection, [identifier, *list_nested_documents(connection, [identifier])])
    if (known := _find_deletion(connection, tenant_id, identifier, readers)) is not None:
        return DeletedDocument(known, (), frozenset())
    # Raises `DocumentNotFoundError` if the document does not exist.
    load_document(connection, tenant_id, identifier, readers)
    entries = list_nested_documents(connection, [identifier])
    lock_jobs(connection, [identifier, *entries])
    leaving, worked_on, ids = _erase_documents(
        connection, tenant_id, {identifier: len(entries)}, wait_seconds=_REMOVAL_SECONDS
    )
    _erase_documents(connection, tenant_id, dict.fromkeys(entries, 0))
    record_action(
        connection,
        Action.DOCUMENT_DELETED,
        f"document:{identifier}",
        tenant_id=tenant_id,
        versions=ids,
        entries=len(entries),
    )
    return DeletedDocument(load_deletion(connection, tenant_id, identifier), leaving, worked_on)


def delete_documents(
    connection: Connection, tenant_id: str, identifiers: Sequence[str], *, collection_deletion: str | None = None
) -> None:
    """Delete documents with their entries, without checking readers. Workers remove their content.

    If the whole collection is deleted, `collection_deletion` is the id of the collection's receipt.
    """
    lock_documents(connection, [*identifiers, *list_nested_documents(connection, identifiers)])
    entries = {each: list_nested_documents(connection, [each]) for each in identifiers}
    counts = {each: len(within) for each, within in entries.items()}
    counts |= dict.fromkeys((each for within in entries.values() for each in within), 0)
    if not counts:
        return
    _erase_documents(connection, tenant_id, counts, collection_deletion=collection_deletion)
    for each in identifiers:
        record_action(
            connection, Action.DOCUMENT_DELETED, f"document:{each}", tenant_id=tenant_id, entries=len(entries[each])
        )


def delete_entries(connection: Connection, tenant_id: str, container_id: str, identifiers: Collection[str]) -> None:
    """Delete locked entries of a container, including their own entries. Workers remove their content."""
    ids = list(dict.fromkeys([*identifiers, *list_nested_documents(connection, identifiers)]))
    if ids:
        lock_jobs(connection, ids)
        _erase_documents(connection, tenant_id, dict.fromkeys(ids, 0))
        record_action(
            connection, Action.ENTRIES_DELETED, f"document:{container_id}", tenant_id=tenant_id, documents=ids
        )


def delete_orphaned_entries(connection: Connection, tenant_id: str, identifiers: Sequence[str]) -> None:
    """Delete the entries of these documents if their document no longer has an active version."""
    forsaken: list[str] = []
    for some in iter_slices(identifiers):
        query = select(documents.c.id).where(documents.c.id.in_(some), documents.c.active_version_id.is_(None))
        forsaken += connection.execute(query).scalars()
    lock_documents(connection, list_nested_documents(connection, forsaken))
    for container in forsaken:
        delete_entries(connection, tenant_id, container, list_nested_documents(connection, [container]))


def _erase_documents(
    connection: Connection,
    tenant_id: str,
    entry_counts: Mapping[str, int],
    *,
    wait_seconds: float = 0.0,
    collection_deletion: str | None = None,
) -> tuple[tuple[Version, ...], frozenset[str], list[str]]:
    """Erase documents that are locked together with their jobs.

    `entry_counts` maps the id of each document to its number of entries, for the receipt. Returns the versions that
    have content, the ids of versions that a worker may still be writing to, and the ids of all versions.
    """
    leaving: list[Version] = []
    ids: list[str] = []
    names: dict[str, frozenset[str]] = {}  # of versions that a later redaction erases them with
    for some in iter_slices(list(entry_counts)):
        of_documents = versions.c.document_id.in_(some)
        rows = connection.execute(select(versions).where(of_documents).order_by(versions.c.id)).all()
        left = [row for row in rows if row.hidden or row.state not in _COLLECTED_STATES]
        leaving += map(build_version, left)
        titled = select(documents.c.id, documents.c.title, documents.c.name).where(documents.c.id.in_(some))
        named = {row.id: list_names(row.title, row.name) for row in connection.execute(titled)}
        names |= {row.id: named[row.document_id] | list_names(row.title, row.name) for row in left}
        counts = Counter(row.document_id for row in rows)
        ids += (row.id for row in rows)
        keys = connection.execute(select(documents.c.key_id).where(documents.c.id.in_(some))).scalars()
        given = {key: (count, 0) for key, count in Counter(keys).items()}
        erased = {"name": "", "title": None, "error_detail": None, "error_remarks": None}
        connection.execute(update(versions).where(of_documents).values(erased))
        connection.execute(update(jobs).where(jobs.c.document_id.in_(some)).values(error_detail=None))
        for column, document in _ERASED:
            connection.execute(update(column.table).where(document.in_(some)).values({column: ""}))
        connection.execute(
            update(documents)
            .where(documents.c.id.in_(some))
            .values(deleted_at=time.time(), active_version_id=None, name="", title=None, attributes={}, entry_path=None)
        )
        connection.execute(delete(document_attributes).where(document_attributes.c.document_id.in_(some)))
        # guard: card-deleted-with-document
        delete_cards(connection, [row.id for row in rows])
        # guard: card-edits-deleted-with-document
        delete_document_cards(connection, some)
        connection.execute(
            insert(deletions),
            [
                {
                    "id": derive_deletion_id(identifier),
                    "document_id": identifier,
                    "tenant_id": tenant_id,
                    "versions": counts[identifier],
                    "entries": entry_counts[identifier],
                    "chunks_removed": 0,
                    "bytes_removed": 0,
                    "collection_deletion_id": collection_deletion,
                    "deleted_at": time.time(),
                }
                for identifier in some
            ],
        )
        subtract_stored_amounts(connection, tenant_id, given)
    worked_on = withdraw_versions(connection, leaving, VersionState.DELETED, wait_seconds=wait_seconds)
    publish_event(
        connection, tenant_id, EventType.DOCUMENT_DELETED, [{"document": identifier} for identifier in entry_counts]
    )
    mark_versions_gone(connection, ids, names)
    refresh_listing(connection, list(entry_counts))
    return tuple(leaving), worked_on, ids


def load_deletion(connection: Connection, tenant_id: str, identifier: str, readers: Readers = None) -> Deletion:
    """Load the receipt of a deletion.

    Raises `DocumentNotFoundError` if there is no receipt or these readers could not see the document.
    """
    found = _find_deletion(connection, tenant_id, identifier, readers)
    if found is None:
        raise DocumentNotFoundError(f"No deletion receipt found for document {identifier!r}.")
    return found


def record_removal(
    connection: Connection, version: Version, *, chunk_count: int, size_bytes: int, is_complete: bool
) -> None:
    """Add removed content of one version to the receipt.

    `is_complete` means that all content has been removed.
    """
    if is_complete:
        ended = connection.execute(
            update(jobs)
            .where(jobs.c.kind == JobKind.COLLECT, jobs.c.version_id == version.id, jobs.c.state == "queued")
            .values(state="done", fence=jobs.c.fence + 1, updated_at=time.time())
        ).rowcount
        if ended:
            connection.execute(update(versions).where(versions.c.id == version.id).values(hidden=False))
    add_removed_counts(connection, version.document_id, chunk_count=chunk_count, size_bytes=size_bytes)


def add_removed_counts(connection: Connection, document_id: str, *, chunk_count: int, size_bytes: int) -> None:
    """Add removed chunks and bytes to the receipt of a document, if it has one."""
    connection.execute(
        update(deletions)
        .where(deletions.c.document_id == document_id)
        .values(
            chunks_removed=deletions.c.chunks_removed + chunk_count,
            bytes_removed=deletions.c.bytes_removed + size_bytes,
        )
    )


def _find_deletion(connection: Connection, tenant_id: str, identifier: str, readers: Readers) -> Deletion | None:
    left = select(func.count()).where(versions.c.document_id == identifier, versions.c.hidden.is_(True))
    query = (
        select(deletions, left.scalar_subquery().label("left"))
        .join(documents, documents.c.id == deletions.c.document_id)
        .where(
            deletions.c.document_id == identifier, deletions.c.tenant_id == tenant_id, build_access_condition(readers)
        )
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return Deletion(
        id=row.id,
        document_id=row.document_id,
        versions=row.versions,
        entries=row.entries,
        chunks_removed=row.chunks_removed,
        bytes_removed=row.bytes_removed,
        deleted_at=row.deleted_at,
        collected=not row.left,
        answers_redacted=row.answers_redacted,
        runs_redacted=row.runs_redacted,
        replies_removed=row.replies_removed,
    )
