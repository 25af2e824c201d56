"""Writes the readers and collections of documents to the index, so that searches find only chunks in their scope.

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
        """Write the readers and the collection of a changed document, and of its first entries, to the index.

        Returns false if the index is unreachable, in which case `sync_all_documents` writes them later.
        """
        reach_fault_point("access.committed")
        entries = self._catalog.list_unsynced_entries(document_id)
        return all([self._sync_one(each) for each in (document_id, *entries)])

    def _sync_one(self, document_id: str) -> bool:
        try:
            revision = write_current_permissions(self._catalog, document_id, self._write_readers)
        except LeadlineError as error:
            log.warning("readers not written to the index", document=document_id, error=repr(error))
            return False
        return revision is None or self._catalog.record_readers_synced(document_id, revision)

    def sync_all_documents(self) -> int:
        """Write all readers that are missing from the index, for every tenant. Return the number of documents."""
        return sum(self._sync_one(document_id) for document_id in self._catalog.list_unsynced_readers())

    def _write_readers(self, document: Document) -> None:
        for version in {document.version.id, document.active_version_id} - {None}:
            _write_permissions(self._generations, document, str(version))


def _write_permissions(index: IndexWriter | Generations, document: Document, version_id: str) -> None:
    """Write the readers of a version's points, and their collection if the document may have been moved."""
    index.set_readers(document.tenant_id, version_id, document.readers)
    # guard: index-learns-move
    if document.revision:
        index.set_collection(document.tenant_id, version_id, document.collection)


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
            _write_permissions(index, current, version_id)

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
