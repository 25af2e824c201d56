"""The rows of cards: layers of versions, people's edits of documents, and the values of active versions."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, time
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from ingest.storage.db.database import iter_slices, upsert_row
from ingest.storage.db.schema import card_edits, card_values, cards, documents, versions
from ingest.storage.documents.cards.records import (
    CardDraft,
    CardField,
    CardFields,
    CardLayer,
    DocumentCard,
    iter_card_values,
    merge_layers,
)
from ingest.storage.documents.filters import build_value_key
from ingest.storage.queue.records import Job


def record_card(connection: Connection, job: Job, draft: CardDraft) -> None:
    """Store the card that an ingest job made for its version, replacing an earlier one."""
    store_card(connection, job.version_id, job.tenant_id, draft)


def store_card(connection: Connection, version_id: str, tenant_id: str, draft: CardDraft) -> None:
    """Store the card of a version, without changing the model's fields of an earlier one."""
    upsert_row(
        connection,
        cards,
        ["version_id"],
        version_id=version_id,
        tenant_id=tenant_id,
        maker=draft.maker,
        language=draft.language,
        terms=draft.terms,
        source=draft.source.to_json(),
        rules=draft.rules.to_json(),
    )


def delete_cards(connection: Connection, version_ids: Collection[str]) -> None:
    """Delete the cards of versions."""
    for some in iter_slices(list(version_ids)):
        connection.execute(delete(cards).where(cards.c.version_id.in_(some)))


def delete_document_cards(connection: Connection, document_ids: Collection[str]) -> None:
    """Delete what people set on the cards of documents, and the values for facets and filters."""
    for some in iter_slices(list(document_ids)):
        for table in (card_edits, card_values):
            connection.execute(delete(table).where(table.c.document_id.in_(some)))


def build_card_query() -> Select[Any]:
    """Select the layers of the cards of live documents, for `build_card`."""
    shown = func.coalesce(documents.c.active_version_id, documents.c.latest_version_id)
    return (
        select(
            documents.c.id,
            documents.c.active_version_id,
            documents.c.latest_version_id,
            documents.c.revision,
            documents.c.title,
            documents.c.is_titled,
            versions.c.title.label("content_title"),
            card_edits.c.fields,
            cards.c.model,
            cards.c.rules,
            cards.c.source,
        )
        .join(versions, versions.c.id == shown)
        .outerjoin(cards, cards.c.version_id == shown)
        .outerjoin(card_edits, card_edits.c.document_id == documents.c.id)
        .where(documents.c.deleted_at.is_(None))
    )


def build_card(row: Row[Any]) -> DocumentCard:
    """Build a card from a row of `build_card_query`. The titles are those of the document and its version."""
    own = {CardField.TITLE.value: row.title} if row.is_titled else {}
    content = {CardField.TITLE.value: row.content_title} if row.content_title else {}
    layers = {
        CardLayer.PERSON: CardFields.from_json({**(row.fields or {}), **own}),
        CardLayer.MODEL: CardFields.from_json(row.model),
        CardLayer.RULES: CardFields.from_json(row.rules),
        CardLayer.SOURCE: CardFields.from_json({**(row.source or {}), **content}),
    }
    fields, origins = merge_layers(layers)
    tag = f"{row.latest_version_id}.{row.revision}" if row.revision else row.latest_version_id
    version = row.active_version_id or row.latest_version_id
    return DocumentCard(row.id, version, fields, origins, layers, row.revision, tag)


# The fields that prompts show, in each layer of a card, with the most trusted layer first.
_SHOWN_FIELDS = (CardField.PERIODS, CardField.DATES, CardField.SUBJECTS)
_LAYERS = (card_edits.c.fields, cards.c.model, cards.c.rules, cards.c.source)


def add_shown_fields(query: Select[Any]) -> Select[Any]:
    """Add the periods, dates and subjects of the cards to a query of documents and versions."""
    return (
        query.add_columns(*(layer[field.value] for field in _SHOWN_FIELDS for layer in _LAYERS))
        .outerjoin(cards, cards.c.version_id == versions.c.id)
        .outerjoin(card_edits, card_edits.c.document_id == documents.c.id)
    )


def read_shown_fields(row: Row[Any]) -> list[tuple[str, ...]]:
    """Return the effective periods, dates and subjects in a row of `add_shown_fields`."""
    columns = row[-len(_SHOWN_FIELDS) * len(_LAYERS) :]
    layers = (columns[at : at + len(_LAYERS)] for at in range(0, len(columns), len(_LAYERS)))
    return [next((tuple(each) for each in values if each is not None), ()) for values in layers]


def refresh_card_values(connection: Connection, document_ids: Sequence[str]) -> None:
    """Store the values on the cards of locked documents. Only documents with an active version have values."""
    for some in iter_slices(document_ids):
        connection.execute(delete(card_values).where(card_values.c.document_id.in_(some)))
        active = documents.c.id.in_(some), documents.c.active_version_id.is_not(None)
        query = build_card_query().add_columns(documents.c.tenant_id).where(*active)
        rows = [
            {
                "document_id": row.id,
                "name": each.name,
                "value_key": build_value_key(each.value),
                "tenant_id": row.tenant_id,
                "value": each.value,
                "number": each.number,
                "instant": each.instant and datetime.combine(each.instant, time(), UTC).timestamp(),
            }
            for row in connection.execute(query).all()
            for each in iter_card_values(build_card(row).fields)
        ]
        if rows:
            connection.execute(insert(card_values), rows)
