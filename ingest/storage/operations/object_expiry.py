"""Deletes files and collections whose time has come, with their documents."""

import time
from collections.abc import Callable

import structlog
from sqlalchemy import Engine, func, select

from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import collections, files
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collections import Collections
from ingest.storage.errors import CollectionNotFoundError, StoredFileNotFoundError
from ingest.storage.uploads.files import FileRemoval, Files

log = structlog.get_logger(__name__)

_DAY_SECONDS = 24 * 3600.0
_BATCH = 100
_OWNER = "expiry"  # Recorded as the owner of the receipts.


class ObjectExpiry:
    """Deletes expired files and collections of all tenants. Concurrent calls are safe."""

    def __init__(
        self,
        engine: Engine,
        stored_files: Files,
        file_removal: FileRemoval,
        stored_collections: Collections,
        catalog: Catalog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._files = stored_files
        self._file_removal = file_removal
        self._collections = stored_collections
        self._catalog = catalog
        self._clock = clock

    def delete_expired_objects(self) -> int:
        """Delete expired files and collections with their documents, and return the number of files and collections."""
        deleted = self._delete_files() + self._delete_collections()
        if deleted:
            self._file_removal.remove_deleted_files()
            log.info("expired files and collections deleted", objects=deleted)
        return deleted

    def _delete_files(self) -> int:
        over = files.c.deleted_at.is_(None), files.c.expires_at <= self._clock()
        deleted = 0
        while True:
            with read_transaction(self._engine) as connection:
                rows = connection.execute(select(files.c.tenant_id, files.c.id).where(*over).limit(_BATCH)).all()
            for tenant_id, file_id in rows:
                try:
                    self._files.delete(tenant_id, file_id)
                except StoredFileNotFoundError:  # A concurrent call deleted it.
                    continue
                for document, _ in self._files.list_documents(tenant_id, file_id):
                    self._catalog.delete_document(tenant_id, document)
                deleted += 1
            if len(rows) < _BATCH:
                return deleted

    def _delete_collections(self) -> int:
        used_at = func.coalesce(collections.c.last_active_at, collections.c.created_at)
        over = (
            collections.c.expires_days.is_not(None),
            used_at + collections.c.expires_days * _DAY_SECONDS <= self._clock(),
        )
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(collections.c.tenant_id, collections.c.name).where(*over)).all()
        deleted = 0
        for tenant_id, name in rows:
            try:
                self._collections.delete(tenant_id, name, owner=_OWNER)
            except CollectionNotFoundError:  # A concurrent call deleted it.
                continue
            deleted += 1
        return deleted
