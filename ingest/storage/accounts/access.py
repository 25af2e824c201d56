"""The documents that a principal may see, as conditions in SQL, and the rows those read.

Every query on documents for a principal goes through `open_to`. `readers` are the subjects of `Principal.readers`, such
as `user:ann`; None sees every document of the tenant.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, insert, null, select, true

from ingest.storage.accounts.records import ADMIN_READER
from ingest.storage.db.database import iter_slices
from ingest.storage.db.schema import collection_grants, document_listing, document_readers, documents

Readers = frozenset[str] | None


def build_access_condition(readers: Readers) -> ColumnElement[bool]:
    """Return a condition on `documents`: it has no access list, or one that names a reader, and so has its collection.

    A collection without grants has no list, and an admin needs none.
    """
    if readers is None:
        return true()
    named = select(document_readers.c.document_id).where(
        document_readers.c.document_id == documents.c.id, document_readers.c.subject.in_(sorted(readers))
    )
    listed = documents.c.readers.is_(null()) | named.exists()
    # guard: grants-in-document-queries
    return listed if ADMIN_READER in readers else listed & ~_build_closed_condition(readers)


def build_listing_condition(tenant_id: str, readers: Readers) -> ColumnElement[bool]:
    """Return the condition of `open_to` on `document_listing`, whose subqueries are asked once and not for each row."""
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
    return listed & document_listing.c.collection.not_in(_build_closed_query(tenant_id, readers))


def list_closed_collections(connection: Connection, tenant_id: str, readers: Readers) -> set[str]:
    """Return the collections of which these readers may see nothing: those with grants, and with none for them."""
    if readers is None or ADMIN_READER in readers:
        return set()
    return set(connection.execute(_build_closed_query(tenant_id, readers)).scalars())


def _build_closed_query(tenant_id: str, readers: frozenset[str]) -> Select[Any]:
    grants = collection_grants.c
    of_tenant = select(grants.collection).where(grants.tenant_id == tenant_id)
    open_ones = of_tenant.where(grants.subject.in_(sorted(readers)))
    return of_tenant.where(grants.collection.not_in(open_ones))


def _build_closed_condition(readers: frozenset[str]) -> ColumnElement[bool]:
    grants = collection_grants.c
    given = select(grants.subject).where(
        grants.tenant_id == documents.c.tenant_id, grants.collection == documents.c.collection
    )
    return given.exists() & ~given.where(grants.subject.in_(sorted(readers))).exists()


def build_owner_condition(table: Table, owner: str | None) -> ColumnElement[bool]:
    """Return a condition on conversations, answers or runs: this owner's, or without one; None is anybody's.

    Rows of releases without owners belong to the whole tenant, which was free to read every document then.
    """
    return true() if owner is None else table.c.owner.is_(None) | (table.c.owner == owner)


def list_withheld_documents(connection: Connection, identifiers: Collection[str], readers: Readers) -> set[str]:
    """Return the documents of which nothing may be shown to these readers: deleted ones, and those closed to them."""
    withheld: set[str] = set()
    for some in iter_slices(sorted(identifiers)):
        hidden = documents.c.deleted_at.is_not(None) | ~build_access_condition(readers)
        withheld |= set(connection.execute(select(documents.c.id).where(documents.c.id.in_(some), hidden)).scalars())
    return withheld


def store_readers(connection: Connection, identifiers: Sequence[str], readers: Collection[str] | None) -> None:
    """Write the rows that `open_to` reads, the same for these documents; the list itself is a column of each."""
    for some in iter_slices(identifiers):
        connection.execute(delete(document_readers).where(document_readers.c.document_id.in_(some)))
        rows = [{"document_id": each, "subject": subject} for each in some for subject in sorted(set(readers or ()))]
        if rows:
            connection.execute(insert(document_readers), rows)
