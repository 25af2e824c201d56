"""The documents that a question may be about: live ones, with the version that searches find."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, select

from ingest.catalog.tables import documents, versions

# While vectors are being made, a version's tokens are those of the chunks that have one.
COUNTED_TOKENS = case((versions.c.ready_at.is_not(None), versions.c.tokens))


@dataclass(frozen=True)
class ActiveDocument:
    """A live document's active version. `tokens` is None until all of its vectors were made."""

    sequence: int
    document_id: str
    version_id: str
    collection: str
    name: str
    title: str
    characters: int
    tokens: int | None
    attributes: Mapping[str, Any]


def active_documents(
    connection: Connection,
    tenant_id: str,
    *,
    collections: Collection[str],
    identifiers: Collection[str],
    after: int,
    limit: int,
) -> list[ActiveDocument]:
    """In order of arrival, those with a `sequence` above `after`; empty filters take all."""
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
        )
        .join(versions, versions.c.id == documents.c.active_version_id)
        .where(
            documents.c.tenant_id == tenant_id,
            versions.c.tenant_id == tenant_id,
            documents.c.deleted_at.is_(None),
            documents.c.sequence > after,
        )
        .order_by(documents.c.sequence)
        .limit(limit)
    )
    if collections:
        query = query.where(documents.c.collection.in_(list(collections)))
    if identifiers:
        query = query.where(documents.c.id.in_(list(identifiers)))
    return [
        ActiveDocument(row[0], row[1], row[2], row[3], row[4], row[5] or row[4], row[6] or 0, row[7] or None, row[8])
        for row in connection.execute(query).all()
    ]
