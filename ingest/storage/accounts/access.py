"""SQL conditions that select the documents a principal may see, and the rows that these conditions read.

Every query that reads documents on behalf of a principal uses `build_access_condition`. `readers` are the subjects of
`Principal.readers`, such as `user:ann`. If `readers` is None, every document of the tenant is visible.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, insert, null, select, true

from ingest.storage.accounts.records import ADMIN_READER
from ingest.storage.db.database import iter_slices
from ingest.storage.db.schema import collection_grants, document_listing, document_readers, documents

Readers = frozenset[str] | None


def build_access_condition(readers: Readers) -> ColumnElement[bool]:
    """Build a condition on `documents` that is true for the documents these readers may see.

    A document is visible if it has no access list or the list names a reader, and if its collection has no grants or
    grants access to a reader. An admin needs no grant on the collection.
    """
    if readers is None:
        return true()
    named = select(document_readers.c.document_id).where(
        document_readers.c.document_id == documents.c.id, document_readers.c.subject.in_(sorted(readers))
    )
    listed = documents.c.readers.is_(null()) | named.exists()
    # guard: grants-in-document-queries
    return listed if ADMIN_READER in readers else listed & ~_build_hidden_collection_condition(readers)


def build_listing_condition(tenant_id: str, readers: Readers) -> ColumnElement[bool]:
    """Build the equivalent of `build_access_condition` for the table `document_listing`.

    The subqueries of this condition run once per query instead of once per row.
    """
    if readers is None:
        return true()
    named = select(document_readers.c.document_id).where(
        document_readers.c.document_id == document_listing.c.document_id,
        document_readers.c.subject.in_(sorted(readers)),
    )
    listed = ~document_listing.c.has_readers | named.exists()
    if ADMIN_READER in readers:
        return listed
    # guard: grants-in-listings
    return listed & document_listing.c.collection.not_in(_build_hidden_collections_query(tenant_id, readers))


def list_hidden_collections(connection: Connection, tenant_id: str, readers: Readers) -> set[str]:
    """List the collections that these readers cannot see: those whose grants name none of the readers."""
    if readers is None or ADMIN_READER in readers:
        return set()
    return set(connection.execute(_build_hidden_collections_query(tenant_id, readers)).scalars())


def _build_hidden_collections_query(tenant_id: str, readers: frozenset[str]) -> Select[Any]:
    grants = collection_grants.c
    of_tenant = select(grants.collection).where(grants.tenant_id == tenant_id)
    open_ones = of_tenant.where(grants.subject.in_(sorted(readers)))
    return of_tenant.where(grants.collection.not_in(open_ones))


def _build_hidden_collection_condition(readers: frozenset[str]) -> ColumnElement[bool]:
    grants = collection_grants.c
    given = select(grants.subject).where(
        grants.tenant_id == documents.c.tenant_id, grants.collection == documents.c.collection
    )
    return given.exists() & ~given.where(grants.subject.in_(sorted(readers))).exists()


def build_owner_condition(table: Table, owner: str | None) -> ColumnElement[bool]:
    """Build a condition that selects this owner's conversations, answers or runs, and those without an owner.

    If `owner` is None, the condition selects all rows. Rows without an owner were written by releases that did not
    record one. They belong to the whole tenant, because in these releases everyone in the tenant could read every
    document.
    """
    return true() if owner is None else table.c.owner.is_(None) | (table.c.owner == owner)


def list_withheld_documents(connection: Connection, identifiers: Collection[str], readers: Readers) -> set[str]:
    """List the documents that these readers must not see: deleted documents, and documents they may not access."""
    withheld: set[str] = set()
    for some in iter_slices(sorted(identifiers)):
        hidden = documents.c.deleted_at.is_not(None) | ~build_access_condition(readers)
        withheld |= set(connection.execute(select(documents.c.id).where(documents.c.id.in_(some), hidden)).scalars())
    return withheld


def store_readers(connection: Connection, identifiers: Sequence[str], readers: Collection[str] | None) -> None:
    """Replace the access list rows of these documents. All documents get the same access list.

    The caller also writes the list to a column of each document.
    """
    for some in iter_slices(identifiers):
        connection.execute(delete(document_readers).where(document_readers.c.document_id.in_(some)))
        rows = [{"document_id": each, "subject": subject} for each in some for subject in sorted(set(readers or ()))]
        if rows:
            connection.execute(insert(document_readers), rows)
