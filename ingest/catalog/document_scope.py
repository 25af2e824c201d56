"""The documents that a principal may see and that filters leave, as conditions in SQL, and the rows those read.

Every query on documents for a principal goes through `open_to`. `readers` are the subjects of `Principal.readers`, such
as `user:ann`; None sees every document of the tenant.
"""

import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, delete, insert, null, or_, select, true

from ingest.catalog.database import portions
from ingest.catalog.tables import (
    collection_grants,
    document_attributes,
    document_listing,
    document_readers,
    documents,
)
from ingest.filters import AnyOf, Condition, Conditions, attribute_name, attribute_values
from ingest.identity import EVERY_COLLECTION

Readers = frozenset[str] | None
_COMPARE: Mapping[str, Callable[..., ColumnElement[bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def open_to(readers: Readers) -> ColumnElement[bool]:
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
    return listed if EVERY_COLLECTION in readers else listed & ~_in_closed_collection(readers)


def listed_for(tenant_id: str, readers: Readers) -> ColumnElement[bool]:
    """Return the condition of `open_to` on `document_listing`, whose subqueries are asked once and not for each row."""
    if readers is None:
        return true()
    named = select(document_readers.c.document_id).where(
        document_readers.c.document_id == document_listing.c.document_id,
        document_readers.c.subject.in_(sorted(readers)),
    )
    listed = ~document_listing.c.has_readers | named.exists()
    if EVERY_COLLECTION in readers:
        return listed
    # guard: grants-in-listings
    return listed & document_listing.c.collection.not_in(_closed_collections(tenant_id, readers))


def closed_collections(connection: Connection, tenant_id: str, readers: Readers) -> set[str]:
    """Return the collections of which these readers may see nothing: those with grants, and with none for them."""
    if readers is None or EVERY_COLLECTION in readers:
        return set()
    return set(connection.execute(_closed_collections(tenant_id, readers)).scalars())


def _closed_collections(tenant_id: str, readers: frozenset[str]) -> Select[Any]:
    grants = collection_grants.c
    of_tenant = select(grants.collection).where(grants.tenant_id == tenant_id)
    open_ones = of_tenant.where(grants.subject.in_(sorted(readers)))
    return of_tenant.where(grants.collection.not_in(open_ones))


def _in_closed_collection(readers: frozenset[str]) -> ColumnElement[bool]:
    grants = collection_grants.c
    given = select(grants.subject).where(
        grants.tenant_id == documents.c.tenant_id, grants.collection == documents.c.collection
    )
    return given.exists() & ~given.where(grants.subject.in_(sorted(readers))).exists()


def owned_by(table: Table, owner: str | None) -> ColumnElement[bool]:
    """Return a condition on conversations, answers or runs: this owner's, or without one; None is anybody's.

    Rows of releases without owners belong to the whole tenant, which was free to read every document then.
    """
    return true() if owner is None else table.c.owner.is_(None) | (table.c.owner == owner)


def withheld_documents(connection: Connection, identifiers: Collection[str], readers: Readers) -> set[str]:
    """Return the documents of which nothing may be shown to these readers: deleted ones, and those closed to them."""
    withheld: set[str] = set()
    for some in portions(sorted(identifiers)):
        hidden = documents.c.deleted_at.is_not(None) | ~open_to(readers)
        withheld |= set(connection.execute(select(documents.c.id).where(documents.c.id.in_(some), hidden)).scalars())
    return withheld


def meets(tenant_id: str, conditions: Conditions, *, by_document: bool = False) -> Iterator[ColumnElement[bool]]:
    """Yield conditions on `documents`: the tenant's documents whose metadata meets each of `conditions`.

    Each is a subquery over an index, so its cost grows with the values that it finds; with `by_document` it is asked
    of each document, which is quicker for a few documents.
    """
    for condition in conditions:
        if isinstance(condition, AnyOf):
            some = (and_(*meets(tenant_id, each, by_document=by_document)) for each in condition.alternatives)
            yield or_(*some)
        else:
            yield from _meets(tenant_id, condition, by_document)


def _meets(tenant_id: str, condition: Condition, by_document: bool) -> Iterator[ColumnElement[bool]]:
    column = document_attributes.c

    def having(values: Select[tuple[str]]) -> ColumnElement[bool]:
        return (
            values.where(column.document_id == documents.c.id).exists() if by_document else documents.c.id.in_(values)
        )

    values = select(column.document_id).where(column.name == attribute_name(condition.attribute))
    if not by_document:  # with the tenant, SQLite would walk the tenant's values for each document
        values = values.where(column.tenant_id == tenant_id)
    if condition.none_of:
        yield ~having(values.where(column.value_key.in_(condition.none_of)))
    if condition.one_of is not None or condition.bounds:
        found = values if condition.one_of is None else values.where(column.value_key.in_(condition.one_of))
        for comparison, bound, is_instant in condition.bounds:
            compared = column.instant if is_instant else column.number
            found = found.where(_COMPARE[comparison](compared, bound))
        yield having(found)


def write_readers(connection: Connection, identifiers: Sequence[str], readers: Collection[str] | None) -> None:
    """Write the rows that `open_to` reads, the same for these documents; the list itself is a column of each."""
    for some in portions(identifiers):
        connection.execute(delete(document_readers).where(document_readers.c.document_id.in_(some)))
        rows = [{"document_id": each, "subject": subject} for each in some for subject in sorted(set(readers or ()))]
        if rows:
            connection.execute(insert(document_readers), rows)


def write_attributes(
    connection: Connection, tenant_id: str, identifiers: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    """Write the rows that `meets` reads, the same for these documents."""
    values = list(attribute_values(attributes))
    for some in portions(identifiers):
        connection.execute(delete(document_attributes).where(document_attributes.c.document_id.in_(some)))
        rows = [
            {
                "tenant_id": tenant_id,
                "document_id": identifier,
                "name": value.name,
                "value_key": value.key,
                "number": value.number,
                "instant": value.instant,
            }
            for identifier in some
            for value in values
        ]
        if rows:
            connection.execute(insert(document_attributes), rows)
