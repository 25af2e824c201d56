"""Finds unused content in the index and blobs: content that the catalog has abandoned or does not contain."""

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import Engine, Select, delete, select

from ingest.storage.db.database import insert_row_if_absent, iter_slices, read_transaction, write_transaction
from ingest.storage.db.schema import documents, files, staged_entries, unknown_versions, versions
from ingest.storage.documents.records import COLLECTABLE_STATES
from ingest.storage.documents.works import build_version_in_use_condition

_BATCH_IDS = 10_000


class UnusedContent:
    """Finds unused content by checking many ids in a few queries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def select_abandoned_versions(self, version_ids: Collection[str]) -> set[str]:
        """Select the versions that are failed, cancelled, retired or deleted, and not in use.

        A document's active version is in use regardless of its state. A replaced version is in use while a run reads
        it.
        """
        query = (
            select(versions.c.id)
            .join(documents, documents.c.id == versions.c.document_id)
            .where(
                versions.c.state.in_(COLLECTABLE_STATES),
                documents.c.active_version_id.is_distinct_from(versions.c.id),
                ~build_version_in_use_condition(),
            )
        )
        return self._select_matching_versions(query, version_ids)

    def select_unknown_versions(self, version_ids: Collection[str]) -> set[str]:
        """Select the versions that are not in the catalog, for example because it was restored from an old backup."""
        return set(version_ids) - self._select_matching_versions(select(versions.c.id), version_ids)

    def select_gone_versions(self, version_ids: Collection[str]) -> set[str]:
        """Select the versions whose content is no longer needed: those that are abandoned or unknown."""
        return self.select_abandoned_versions(version_ids) | self.select_unknown_versions(version_ids)

    def select_unknown_originals(self, keys: Collection[str]) -> set[str]:
        """Select the keys of originals that belong to no version, no file and no staged entry."""
        left = set(keys)
        if left:
            with read_transaction(self._engine) as connection:  # Blob keys have no index, so all rows are read once.
                # guard: staged-entries-known
                # guard: file-bytes-not-leftovers
                for table in (versions, staged_entries, files):
                    for known in connection.execute(select(table.c.blob_key)).yield_per(_BATCH_IDS).scalars():
                        left.discard(known)
        return left

    def load_first_seen_times(self) -> dict[str, float]:
        """Load when each unknown version was first seen, for those that had chunks in the index in the last round."""
        with read_transaction(self._engine) as connection:
            return {row.version_id: row.since for row in connection.execute(select(unknown_versions)).all()}

    def record_unknown_versions(self, version_ids: Collection[str]) -> None:
        """Record the unknown versions that have chunks in the index. All other versions are removed from the record."""
        known, now = set(self.load_first_seen_times()), time.time()
        if known == set(version_ids):
            return
        with write_transaction(self._engine) as connection:
            for some in iter_slices(sorted(known - set(version_ids))):
                connection.execute(delete(unknown_versions).where(unknown_versions.c.version_id.in_(some)))
            for version in sorted(set(version_ids) - known):
                insert_row_if_absent(connection, unknown_versions, version_id=version, since=now)

    def _select_matching_versions(self, query: Select[Any], version_ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        with read_transaction(self._engine) as connection:
            for some in iter_slices(sorted(version_ids)):
                found |= set(connection.execute(query.where(versions.c.id.in_(some))).scalars())
        return found
