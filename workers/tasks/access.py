"""Writes the readers of documents to the index, so that searches find only chunks that the principal may see.

The catalog decides what is visible as soon as a change is committed. The index is updated immediately or, if it is
unreachable, once it is available again. Until then, `Catalog.list_unsynced_readers` lists the document.
"""

from collections.abc import Callable, Collection

import structlog

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document
from ingest.storage.errors import LeadlineError
from ingest.storage.instrumentation import reach_fault_point
from retrieval.index.generations import Generations
from retrieval.index.port import IndexWriter

log = structlog.get_logger(__name__)


class ReaderSync:
    """Writes documents' readers to every generation of the index."""

    def __init__(self, catalog: Catalog, generations: Generations) -> None:
        self._catalog = catalog
        self._generations = generations

    def sync_document(self, document_id: str) -> bool:
        """Write a changed document's readers to the index.

        Returns false if the index is unreachable, in which case `sync_all_documents` writes the readers later.
        """
        reach_fault_point("access.committed")
        try:
            revision = write_current_permissions(self._catalog, document_id, self._write_readers)
        except LeadlineError as error:
            log.warning("readers not written to the index", document=document_id, error=repr(error))
            return False
        return revision is None or self._catalog.record_readers_synced(document_id, revision)

    def sync_all_documents(self) -> int:
        """Write all readers that are missing from the index, for every tenant. Return the number of documents."""
        return sum(self.sync_document(document_id) for document_id in self._catalog.list_unsynced_readers())

    def _write_readers(self, document: Document) -> None:
        for version in {document.version.id, document.active_version_id} - {None}:
            self._generations.set_readers(document.tenant_id, str(version), document.readers)


def write_permissions_of_new_points(
    catalog: Catalog, index: IndexWriter, versions: Collection[tuple[str, str]]
) -> None:
    """Write the readers of versions whose points were just written without access restrictions.

    `versions` contains pairs of document and version ids. Call this before the versions are committed, and therefore
    before searches can find any of the points.
    """
    live = catalog.load_live_documents([document_id for document_id, _ in versions])
    for document_id, version_id in versions:
        document = live.get(document_id)
        if document is None or (document.readers is None and not document.revision):
            continue  # a later change of the document's readers will find these points

        def update_point_permissions(current: Document, version_id: str = version_id) -> None:
            index.set_readers(current.tenant_id, version_id, current.readers)

        # guard: new-points-readers
        write_current_permissions(catalog, document_id, update_point_permissions)


def write_current_permissions(
    catalog: Catalog, document_id: str, write_permissions: Callable[[Document], None]
) -> int | None:
    """Write a document's readers, and write them again if they changed in the meantime.

    Returns the revision of the readers, or None if the document was deleted. The last writer reads the document again
    after writing, so after two concurrent writes the index contains the current readers.
    """
    document = catalog.load_live_documents([document_id]).get(document_id)
    while document is not None:
        write_permissions(document)
        current = catalog.load_live_documents([document_id]).get(document_id)
        if current is None or current.revision == document.revision:
            return document.revision
        document = current
    return None
