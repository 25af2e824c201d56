"""Removing what a version has left in the index and the blobs: at once when a document is deleted, otherwise later."""

import structlog

from ingest.blobs import Blobs
from ingest.catalog.catalog import Catalog
from ingest.documents import Deletion, Version, VersionState
from ingest.errors import LeadlineError
from ingest.faultpoints import reach
from ingest.tables import RecordTables
from ingest.texts import Texts
from retrieval.generations import Generations

log = structlog.get_logger(__name__)


class Collector:
    """Everything that keeps something of a version, so that it is forgotten in all of them."""

    def __init__(self, catalog: Catalog, generations: Generations, texts: Texts, blobs: Blobs) -> None:
        self._catalog = catalog
        self._generations = generations
        self._texts = texts
        self._blobs = blobs
        self._tables = RecordTables(blobs)

    def remove(self, version: Version) -> tuple[int, int]:
        """Chunks removed from the index, and bytes freed; nothing of a version that is in use, and nothing again.

        Whatever generations of the index there are, it is gone from all of them. The original of a failed version
        stays, to be looked at, until its document is replaced or deleted.
        """
        leaving = self._catalog.removable(version.id)
        if leaving is None:
            return 0, 0
        chunks = self._generations.delete_version(leaving.tenant_id, leaving.id)
        reach("delete.points_removed")
        size = self._texts.delete(leaving.id) + self._tables.delete(leaving.id)
        if leaving.state is not VersionState.FAILED:
            size += self._blobs.delete(leaving.blob_key)
        return chunks, size

    def delete(self, tenant_id: str, document_id: str) -> Deletion:
        """Delete a document and remove what it has, as far as that can be done now; the receipt says what was removed.

        Nothing of it can be found from the first commit on. What cannot be removed at this moment, because the index is
        away or a worker is still at it, is removed by the collection that is queued. Raises `DocumentNotFoundError`.
        """
        deleted = self._catalog.delete(tenant_id, document_id)
        reach("delete.committed")
        for version in deleted.leaving:
            try:
                chunks, size = self.remove(version)
            except LeadlineError as error:
                log.warning("left to be collected", version=version.id, error=repr(error))
                continue
            complete = version.id not in deleted.worked_on
            self._catalog.record_removal(version, chunks=chunks, size=size, complete=complete)
        return self._catalog.deletion(tenant_id, document_id)
