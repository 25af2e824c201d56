"""The cards that a model fills in: which are waiting, and what became of each attempt."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, false, func, null, select, true, update

from ingest.storage.db.database import (
    bump_corpus_versions,
    lock_documents,
    read_clock,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import cards, collection_grants, collections, documents, tenants, versions
from ingest.storage.documents.cards.records import (
    CardFields,
    CardLayer,
    DescribeMode,
    UndescribedVersion,
    merge_layers,
)
from ingest.storage.documents.cards.rows import refresh_card_values
from ingest.storage.feed.feed import Announce, announce_to_nobody


class CardDescriptions:
    """The active versions that a model should describe, in collections that ask for it. `mode` is the permission."""

    def __init__(self, engine: Engine, mode: DescribeMode, *, announce: Announce = announce_to_nobody) -> None:
        self._engine = engine
        self._mode = mode
        self._announce = announce

    def claim_next(
        self, after: str, *, seconds: float, without_tenants: Collection[str] = ()
    ) -> UndescribedVersion | None:
        """Claim the next waiting version, sorted by id and starting after the id `after`, or return None.

        No other process gets the version for `seconds`, so that one that is killed only delays it.
        """
        columns = cards.c.version_id, cards.c.tenant_id, documents.c.id, versions.c.name, cards.c.source, cards.c.rules
        with read_transaction(self._engine) as connection:  # Usually, no collection asks for descriptions.
            if connection.execute(select(collections.c.name).where(collections.c.describe).limit(1)).first() is None:
                return None
        with write_transaction(self._engine) as connection:
            now = read_clock(connection)
            is_due = func.coalesce(cards.c.describe_after, 0.0) <= now
            query = self._select_waiting(*columns, versions.c.title, cards.c.describe_failures).where(
                is_due, cards.c.version_id > after, cards.c.tenant_id.not_in(sorted(without_tenants))
            )
            while (row := connection.execute(query.order_by(cards.c.version_id).limit(1)).first()) is not None:
                claim = update(cards).where(cards.c.version_id == row.version_id, is_due)
                # Another process may have claimed the version since the query.
                if connection.execute(claim.values(describe_after=now + seconds)).rowcount:
                    own = {"title": row.title} if row.title else {}
                    source = CardFields.from_json({**(row.source or {}), **own})
                    fields, _ = merge_layers(
                        {CardLayer.RULES: CardFields.from_json(row.rules), CardLayer.SOURCE: source}
                    )
                    found = row.version_id, row.tenant_id, row.id, row.name
                    return UndescribedVersion(*found, fields, row.describe_failures)
        return None

    def store_fields(self, version: UndescribedVersion, fields: CardFields) -> bool:
        """Store the fields found by the model. Return false if the version should no longer be described.

        It may have been deleted, replaced or closed in the meantime. The corpus version of its tenant increases.
        """
        with write_transaction(self._engine) as connection:
            # Without the lock, a deletion could commit after the query, and the values would outlive their document.
            lock_documents(connection, [version.document_id])
            # guard: describe-not-closed
            if not self._is_waiting(connection, version.version_id):
                return False
            self._update(
                connection,
                version,
                model=fields.to_json(),
                describe_after=None,
                describe_failure=None,
                describe_failures=0,
            )
            refresh_card_values(connection, [version.document_id])
            bump_corpus_versions(connection, [version.tenant_id])
        self._announce(version.tenant_id, [version.document_id])
        return True

    def postpone(self, version: UndescribedVersion, seconds: float, *, reason: str | None, failures: int) -> None:
        """Release a claimed version, and let it wait for `seconds`. `reason` is the code of an error."""
        with write_transaction(self._engine) as connection:
            later = read_clock(connection) + seconds
            self._update(connection, version, describe_after=later, describe_failure=reason, describe_failures=failures)

    def count_waiting(self) -> Mapping[str, int]:
        """Count the waiting versions by the code of their last failure, which is empty if there was none."""
        reason = func.coalesce(cards.c.describe_failure, "")
        with read_transaction(self._engine) as connection:
            query = self._select_waiting(reason, func.count()).group_by(reason).order_by(reason)
            return {row[0]: row[1] for row in connection.execute(query)}

    def _update(self, connection: Connection, version: UndescribedVersion, **values: Any) -> None:  # noqa: ANN401 - columns
        connection.execute(update(cards).where(cards.c.version_id == version.version_id).values(**values))

    def _is_waiting(self, connection: Connection, version_id: str) -> bool:
        query = self._select_waiting(cards.c.version_id).where(cards.c.version_id == version_id)
        return connection.execute(query).first() is not None

    def _select_waiting(self, *columns: Any) -> Select[Any]:  # noqa: ANN401 - columns
        """Select the cards without fields by a model, of active versions that may be described."""
        of_collection = (collections.c.tenant_id == documents.c.tenant_id) & (
            collections.c.name == documents.c.collection
        )
        suspended = select(tenants.c.id).where(tenants.c.suspended_at.is_not(null()))
        return (
            select(*columns)
            .select_from(cards)
            .join(versions, versions.c.id == cards.c.version_id)
            .join(documents, documents.c.active_version_id == cards.c.version_id)
            .join(collections, of_collection)
            .where(
                cards.c.model.is_(null()),
                documents.c.deleted_at.is_(null()),
                collections.c.describe,
                cards.c.tenant_id.not_in(suspended),
                self._build_permission(),
            )
        )

    def _build_permission(self) -> ColumnElement[bool]:
        """Build the condition on `documents` and `collections` that the setting sets."""
        if self._mode is not DescribeMode.OPEN:
            return true() if self._mode is DescribeMode.ALL else false()
        granted = select(collection_grants.c.subject).where(
            collection_grants.c.tenant_id == collections.c.tenant_id,
            collection_grants.c.collection == collections.c.name,
        )
        # guard: describe-open-only
        return documents.c.readers.is_(null()) & ~granted.exists()
