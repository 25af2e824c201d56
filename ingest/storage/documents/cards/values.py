"""Facets over the values on the cards of active versions."""

from collections.abc import Collection

from sqlalchemy import Engine, func

from ingest.storage.accounts.access import Readers
from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import card_values, document_listing
from ingest.storage.documents.cards.records import CardField, FacetCount
from ingest.storage.documents.listing import DocumentFilter, build_listed_query


def count_facets(
    engine: Engine,
    tenant_id: str,
    filters: DocumentFilter,
    readers: Readers,
    names: Collection[CardField],
    *,
    limit: int = 50,
) -> dict[CardField, list[FacetCount]]:
    """Count the listed documents that have each value of the given fields, the most frequent values first.

    The listed documents are those that `DocumentListing` lists for this filter and these readers. Returns up to `limit`
    values of each field. Ties are sorted by value.
    """
    found: dict[CardField, list[FacetCount]] = {}
    value, count = card_values.c.value, func.count()
    with read_transaction(engine) as connection:
        for name in names:
            # With a condition on the tenant of the values, SQLite would scan the listing once for each value.
            of_listed = (card_values.c.document_id == document_listing.c.document_id) & (card_values.c.name == name)
            query = build_listed_query(tenant_id, filters, readers, value, count).join(card_values, of_listed)
            query = query.group_by(value).order_by(count.desc(), value).limit(limit)
            found[name] = [FacetCount(row[0], row[1]) for row in connection.execute(query).all()]
    return found
