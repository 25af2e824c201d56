"""The cards of versions in the catalog."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, select
from sqlalchemy.sql.selectable import Select

from ingest.storage.db.database import (
    bump_corpus_versions,
    iter_slices,
    lock_documents,
    read_transaction,
    upsert_row,
    write_transaction,
)
from ingest.storage.db.schema import cards, documents, versions
from ingest.storage.documents.cards.records import CardDraft, LackingVersion, StoredCard
from ingest.storage.documents.records import SEARCHABLE_STATES, VersionState
from ingest.storage.queue.records import Job

_REMOVED_STATES = frozenset({VersionState.DELETED, VersionState.RETIRED, VersionState.CANCELLED})


class Cards:
    """The cards of all versions. A new version's card is recorded in the commit that makes the version searchable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load_cards(self, version_ids: Collection[str], maker: str) -> dict[str, StoredCard]:
        """Load the cards made by `maker`, keyed by version id. Versions without such a card are omitted.

        Cards of other makers have terms that this process would misread. The caller must have checked that the
        principal may see these versions.
        """
        found: dict[str, StoredCard] = {}
        with read_transaction(self._engine) as connection:
            for some in iter_slices(list(version_ids)):
                query = select(cards.c.version_id, cards.c.language, cards.c.terms).where(
                    cards.c.version_id.in_(some), cards.c.maker == maker
                )
                found |= {row[0]: StoredCard(row[1], bytes(row[2])) for row in connection.execute(query)}
        return found

    def list_lacking(self, maker: str, after: str, limit: int) -> list[LackingVersion]:
        """List searchable versions without a card by `maker`, sorted by id, starting after the id `after`."""
        columns = versions.c.id, versions.c.tenant_id, versions.c.document_id
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
                    _store_card(connection, version.version_id, version.tenant_id, draft)
                    stored.append(version)
            bump_corpus_versions(connection, {each.tenant_id for each in stored})
        return len(stored)

    def delete_orphans(self) -> int:
        """Delete the cards of versions that a process of the previous release removed. Return the number of cards."""
        # With NOT EXISTS, PostgreSQL joins the tables. With NOT IN, it may compare every card with every version.
        kept = select(versions.c.id).where(
            versions.c.id == cards.c.version_id, versions.c.state.not_in(_REMOVED_STATES)
        )
        with write_transaction(self._engine) as connection:
            return connection.execute(delete(cards).where(~kept.exists())).rowcount


def record_card(connection: Connection, job: Job, draft: CardDraft) -> None:
    """Store the card that an ingest job made for its version, replacing an earlier one."""
    _store_card(connection, job.version_id, job.tenant_id, draft)


def delete_cards(connection: Connection, version_ids: Collection[str]) -> None:
    """Delete the cards of versions."""
    for some in iter_slices(list(version_ids)):
        connection.execute(delete(cards).where(cards.c.version_id.in_(some)))


def _store_card(connection: Connection, version_id: str, tenant_id: str, draft: CardDraft) -> None:
    upsert_row(
        connection,
        cards,
        ["version_id"],
        version_id=version_id,
        tenant_id=tenant_id,
        maker=draft.maker,
        language=draft.language,
        terms=draft.terms,
    )


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
