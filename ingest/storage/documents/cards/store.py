"""The cards of versions in the catalog."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, case, delete, func, select
from sqlalchemy.sql.selectable import Select

from ingest.storage.accounts.access import Readers, build_access_condition
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    bump_corpus_versions,
    iter_slices,
    lock_documents,
    read_transaction,
    upsert_row,
    write_transaction,
)
from ingest.storage.db.schema import card_edits, card_values, cards, documents, versions
from ingest.storage.documents.cards.descriptions import CardDescriptions
from ingest.storage.documents.cards.records import (
    CardDraft,
    CardField,
    CardFields,
    DescribeMode,
    DocumentCard,
    FacetCount,
    LackingVersion,
    StoredCard,
    join_written_values,
    merge_change,
)
from ingest.storage.documents.cards.rows import build_card, build_card_query, refresh_card_values, store_card
from ingest.storage.documents.cards.values import count_facets
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import SEARCHABLE_STATES, DocumentChange, VersionState
from ingest.storage.documents.versions import change_document
from ingest.storage.feed.feed import Announce, announce_to_nobody

_REMOVED_STATES = frozenset({VersionState.DELETED, VersionState.RETIRED, VersionState.CANCELLED})


class Cards:
    """The cards of all versions. A new version's card is recorded in the commit that makes the version searchable."""

    def __init__(self, engine: Engine, *, announce: Announce = announce_to_nobody) -> None:
        self._engine = engine
        self._announce = announce

    def build_descriptions(self, mode: DescribeMode) -> CardDescriptions:
        """Return the cards that a model may fill in."""
        return CardDescriptions(self._engine, mode, announce=self._announce)

    def load_document_cards(
        self, tenant_id: str, document_ids: Collection[str], *, readers: Readers = None
    ) -> dict[str, DocumentCard]:
        """Load the cards of documents, keyed by document id.

        Omits documents that do not exist and documents that these readers may not see.
        """
        found: dict[str, DocumentCard] = {}
        # guard: card-readers
        mine = documents.c.tenant_id == tenant_id, build_access_condition(readers)
        with read_transaction(self._engine) as connection:
            for some in iter_slices(list(document_ids)):
                query = build_card_query().where(*mine, documents.c.id.in_(some))
                found |= {row.id: build_card(row) for row in connection.execute(query).all()}
        return found

    def count_facets(
        self,
        tenant_id: str,
        filters: DocumentFilter,
        readers: Readers,
        names: Collection[CardField],
        *,
        limit: int = 50,
    ) -> dict[CardField, list[FacetCount]]:
        """Count the listed documents that have each value of the given fields. See `values.count_facets`."""
        return count_facets(self._engine, tenant_id, filters, readers, names, limit=limit)

    def change_card(
        self,
        tenant_id: str,
        document_id: str,
        change: Mapping[str, Any],
        *,
        if_match: Collection[str] | None = None,
        caller: Principal | None = None,
    ) -> DocumentCard:
        """Change the fields that people set on a document's card, with a JSON merge patch (RFC 7396).

        A field that is None gets the value that was found in the document again. The title of the card is the
        document's title. The document's tag must be one of `if_match`; None allows any tag. If `caller` is None, the
        service itself makes the change. Raises `DocumentNotFoundError` if the caller may not see the document,
        `PreconditionFailedError`, and `InputError` or `MetadataError` if a value is not valid.
        """
        changed = merge_change(CardFields(), change)
        titled = {"title"} & change.keys()
        with write_transaction(self._engine) as connection:
            # Locks the document, and increases its revision even if its title stays the same.
            retitled = DocumentChange(title=changed.title, changed=frozenset(titled))
            change_document(connection, tenant_id, document_id, retitled, if_match, caller)
            _store_edits(connection, tenant_id, document_id, change, "" if caller is None else caller.owner)
            refresh_card_values(connection, [document_id])
            names = sorted(change)
            record_action(
                connection, Action.DOCUMENT_CHANGED, f"document:{document_id}", tenant_id=tenant_id, card=names
            )
            bump_corpus_versions(connection, [tenant_id])
            card = build_card(connection.execute(build_card_query().where(documents.c.id == document_id)).one())
        self._announce(tenant_id, [document_id])
        return card

    def load_cards(self, version_ids: Collection[str], maker: str) -> dict[str, StoredCard]:
        """Load the cards made by `maker`, keyed by version id. Versions without such a card are omitted.

        Cards of other makers have terms that this process would misread. The caller must have checked that the
        principal may see these versions.
        """
        found: dict[str, StoredCard] = {}
        with read_transaction(self._engine) as connection:
            for some in iter_slices(list(version_ids)):
                query = (
                    select(
                        cards.c.version_id,
                        cards.c.language,
                        cards.c.terms,
                        card_edits.c.fields,
                        cards.c.model,
                        case((documents.c.is_titled, documents.c.title)),
                    )
                    .join(versions, versions.c.id == cards.c.version_id)
                    .join(documents, documents.c.id == versions.c.document_id)
                    .outerjoin(card_edits, card_edits.c.document_id == versions.c.document_id)
                    .where(cards.c.version_id.in_(some), cards.c.maker == maker)
                )
                found |= {
                    row[0]: StoredCard(row[1], bytes(row[2]), join_written_values(row[3], row[4], title=row[5]))
                    for row in connection.execute(query)
                }
        return found

    def list_lacking(self, maker: str, after: str, limit: int) -> list[LackingVersion]:
        """List searchable versions without a card by `maker`, sorted by id, starting after the id `after`."""
        columns = versions.c.id, versions.c.tenant_id, versions.c.document_id, versions.c.name, versions.c.media_type
        query = _restrict_to_lacking(select(*columns), maker).where(versions.c.id > after)
        with read_transaction(self._engine) as connection:
            return [LackingVersion(*row) for row in connection.execute(query.order_by(versions.c.id).limit(limit))]

    def count_lacking(self, maker: str) -> int:
        """Count the searchable versions without a card by `maker`."""
        with read_transaction(self._engine) as connection:
            return int(connection.execute(_restrict_to_lacking(select(func.count()), maker)).scalar_one())

    def add_missing(self, maker: str, drafts: Mapping[LackingVersion, CardDraft]) -> int:
        """Store cards by `maker` for versions returned by `list_lacking`, and return the number of stored cards.

        Versions that were deleted, replaced or ingested again in the meantime are skipped. The corpus version of each
        tenant with a new card increases, because search results may change.
        """
        stored: list[LackingVersion] = []
        with write_transaction(self._engine) as connection:
            # Without the lock, a deletion could commit after the query, and the card would outlive its document.
            lock_documents(connection, {each.document_id for each in drafts})
            lacking = _select_lacking(connection, [each.version_id for each in drafts], maker)
            for version, draft in drafts.items():
                # guard: cards-of-readable-versions
                if version.version_id in lacking:
                    store_card(connection, version.version_id, version.tenant_id, draft)
                    stored.append(version)
            refresh_card_values(connection, [each.document_id for each in stored])
            bump_corpus_versions(connection, {each.tenant_id for each in stored})
        return len(stored)

    def delete_orphans(self) -> int:
        """Delete the cards of versions that a process of the previous release removed. Return the number of cards."""
        # With NOT EXISTS, PostgreSQL joins the tables. With NOT IN, it may compare every card with every version.
        kept = select(versions.c.id).where(
            versions.c.id == cards.c.version_id, versions.c.state.not_in(_REMOVED_STATES)
        )
        with write_transaction(self._engine) as connection:
            deleted = select(documents.c.id).where(documents.c.deleted_at.is_not(None))
            for table in (card_edits, card_values):
                connection.execute(delete(table).where(table.c.document_id.in_(deleted)))
            return connection.execute(delete(cards).where(~kept.exists())).rowcount


def _store_edits(
    connection: Connection, tenant_id: str, document_id: str, change: Mapping[str, Any], editor: str
) -> None:
    """Apply a change to the stored edits of a locked document. The title is stored with the document instead."""
    stored = connection.execute(select(card_edits.c.fields).where(card_edits.c.document_id == document_id)).scalar()
    own = {name: value for name, value in change.items() if name != CardField.TITLE}
    edited = merge_change(CardFields.from_json(stored), own).to_json()
    if edited:
        upsert_row(
            connection,
            card_edits,
            ["document_id"],
            document_id=document_id,
            tenant_id=tenant_id,
            fields=edited,
            edited_by=editor,
            edited_at=time.time(),
        )
    else:
        connection.execute(delete(card_edits).where(card_edits.c.document_id == document_id))


def _restrict_to_readable(query: Select[Any]) -> Select[Any]:
    """Restrict a query of versions to those of live documents that have a text."""
    has_text = versions.c.state.in_(SEARCHABLE_STATES) | (documents.c.active_version_id == versions.c.id)
    return query.join(documents, documents.c.id == versions.c.document_id).where(
        documents.c.deleted_at.is_(None), has_text
    )


def _select_lacking(connection: Connection, version_ids: Sequence[str], maker: str) -> set[str]:
    query = _restrict_to_lacking(select(versions.c.id), maker)
    found: set[str] = set()
    for some in iter_slices(version_ids):
        found.update(connection.execute(query.where(versions.c.id.in_(some))).scalars())
    return found


def _restrict_to_lacking(query: Select[Any], maker: str) -> Select[Any]:
    has_card = and_(cards.c.version_id == versions.c.id, cards.c.maker == maker)
    return _restrict_to_readable(query.select_from(versions).outerjoin(cards, has_card)).where(
        cards.c.version_id.is_(None)
    )
