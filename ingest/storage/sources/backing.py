"""The documents behind the items of sources: which item stands behind a document, and when the document goes.

A document that a synchronization created belongs to its source: its `uploaded_by` is `source:ID`. If somebody uploads
the same bytes, the document belongs to that person, and no synchronization changes or deletes it.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from ingest.storage.accounts.access import build_access_condition
from ingest.storage.accounts.records import ADMIN_READER
from ingest.storage.db.database import iter_slices, lock_documents
from ingest.storage.db.schema import documents, source_items, versions
from ingest.storage.documents.deletions import delete_documents
from ingest.storage.documents.records import SOURCE_OWNER_PREFIX, DocumentChange
from ingest.storage.documents.rows import list_nested_documents, load_document, parse_readers
from ingest.storage.documents.versions import change_document
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.sources.records import FoundItem

_MAX_ATTRIBUTE_CHARS = 2_000


def build_sender(readers: frozenset[str] | None) -> frozenset[str]:
    """Return the subjects whose documents an item may join: the open ones, and those that its readers can see.

    Otherwise an item could disappear behind a private document with the same bytes.
    """
    return (readers or frozenset()) | {ADMIN_READER}


def build_attributes(source_id: str, item: FoundItem) -> dict[str, Any]:
    """Build the metadata of an item's document."""
    moment = item.modified_at
    found = {
        "source_id": source_id,
        "source_path": item.path[:_MAX_ATTRIBUTE_CHARS],
        "source_url": item.url[:_MAX_ATTRIBUTE_CHARS],
        "source_author": item.author[:_MAX_ATTRIBUTE_CHARS],
        "source_modified_at": None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(),
    }
    return {name: value for name, value in found.items() if value}


def build_owned_condition(document_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Build the condition that a document exists and belongs to a source."""
    known = documents.alias("owned")  # so that the condition also works in a query of documents
    live = known.c.id == document_id, known.c.deleted_at.is_(None)
    # guard: uploaded-document-stays
    owned = known.c.uploaded_by.startswith(SOURCE_OWNER_PREFIX)
    return select(known.c.id).where(*live, owned).exists()


def find_replaceable_document(
    connection: Connection,
    source_id: str,
    collection: str,
    key: str,
    content_sha256: str,
    readers: frozenset[str] | None,
) -> str | None:
    """Return the document of an item that new content may replace in place. See `SyncRounds`."""
    of_item = source_items.c.source_id == source_id, source_items.c.key == key
    found = connection.execute(
        select(source_items.c.document_id, source_items.c.tenant_id).where(
            *of_item, build_owned_condition(source_items.c.document_id)
        )
    ).first()
    if found is None:
        return None
    behind = select(func.count()).where(source_items.c.document_id == found.document_id)
    # guard: shared-document-stays
    if connection.execute(behind).scalar_one() > 1:
        return None
    same = (
        select(documents.c.id)
        .join(versions, versions.c.id == documents.c.latest_version_id)
        .where(
            versions.c.tenant_id == found.tenant_id,
            versions.c.content_sha256 == content_sha256,
            documents.c.collection == collection,
            documents.c.id != found.document_id,
            documents.c.deleted_at.is_(None),
            documents.c.container_id.is_(None),
            documents.c.file_id.is_(None),
            build_access_condition(build_sender(readers)),
        )
    )
    return None if connection.execute(same.limit(1)).first() else str(found.document_id)


def describe_document(connection: Connection, tenant_id: str, document_id: str) -> None:
    """Give a source's document the name, metadata and readers of the items behind it.

    The item that describes it now goes on to; otherwise, the first one does. Everybody who may see one of the items
    may see the document.
    """
    lock_documents(connection, [document_id])
    try:
        document = load_document(connection, tenant_id, document_id)
    except DocumentNotFoundError:
        return  # Somebody deleted it. It stays deleted until the item changes.
    query = select(source_items).where(source_items.c.document_id == document_id)
    rows = connection.execute(query.order_by(source_items.c.source_id, source_items.c.key)).all()
    if not rows or not document.uploaded_by.startswith(SOURCE_OWNER_PREFIX):
        return
    known = (document.attributes.get("source_id"), document.attributes.get("source_path", ""))
    first = next((row for row in rows if (row.source_id, row.path[:_MAX_ATTRIBUTE_CHARS]) == known), rows[0])
    described = {name: first._mapping[name] for name in ("version", "name", "path", "url", "author", "modified_at")}
    wanted = build_attributes(first.source_id, FoundItem(first.item_id, **described))
    named = {name for name in document.attributes if name.startswith("source_")} | wanted.keys()
    changed = {name: wanted.get(name) for name in named if wanted.get(name) != document.attributes.get(name)}
    lists = [parse_readers(row.readers) for row in rows]
    readers = None if None in lists else frozenset[str]().union(*(each for each in lists if each is not None))
    differing = {"name": first.name != document.name, "readers": readers != document.readers}
    if changed or any(differing.values()):
        fields = frozenset(name for name, differs in differing.items() if differs)
        change = DocumentChange(changed, readers=readers, name=first.name, changed=fields)
        change_document(connection, tenant_id, document_id, change, None, None)


def release_documents(connection: Connection, tenant_id: str, document_ids: Sequence[str]) -> None:
    """Delete the documents of sources behind which no item stands any more, and describe the others anew."""
    for some in iter_slices(document_ids):
        lock_documents(connection, some)
        behind = select(source_items.c.document_id).where(source_items.c.document_id.in_(some))
        kept = set(connection.execute(behind).scalars())
        owned = select(documents.c.id).where(documents.c.id.in_(some), build_owned_condition(documents.c.id))
        going = sorted(set(connection.execute(owned).scalars()) - kept)
        if going:
            delete_documents(connection, tenant_id, going)
        for document_id in sorted(kept):
            describe_document(connection, tenant_id, document_id)


def find_unrecorded_documents(
    connection: Connection, tenant_id: str, source_id: str, collection: str, *, limit: int
) -> list[str]:
    """Find documents of a source behind which no item stands.

    A synchronization accepted each of them, and was interrupted before it recorded the item.
    """
    behind = select(source_items.c.key).where(source_items.c.document_id == documents.c.id).exists()
    query = select(documents.c.id).where(
        documents.c.tenant_id == tenant_id,
        documents.c.collection == collection,
        documents.c.uploaded_by == f"{SOURCE_OWNER_PREFIX}{source_id}",
        documents.c.deleted_at.is_(None),
        documents.c.container_id.is_(None),  # Entries go with their container.
        ~behind,
    )
    return list(connection.execute(query.order_by(documents.c.id).limit(limit)).scalars())


def hand_over_documents(connection: Connection, document_ids: Collection[str], owner: str) -> None:
    """Let the documents of a deleted source belong to a person, unless items of other sources stand behind them."""
    for some in iter_slices(list(document_ids)):
        behind = select(source_items.c.document_id).where(source_items.c.document_id.in_(some))
        query = select(documents.c.id).where(
            documents.c.id.in_(some),
            documents.c.uploaded_by.startswith(SOURCE_OWNER_PREFIX),
            documents.c.id.not_in(behind),
        )
        handed = list(connection.execute(query).scalars())
        for these in iter_slices([*handed, *list_nested_documents(connection, handed)]):
            connection.execute(update(documents).where(documents.c.id.in_(these)).values(uploaded_by=owner))
