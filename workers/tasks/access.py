"""Gives the index the readers of documents, so that its queries find for a principal what the principal may see.

The catalog decides what is shown, from the commit of a change on. The index follows at once or, if it is away, when it
is back: `Catalog.unsettled` names the documents that it is behind with.
"""

from collections.abc import Callable, Collection

import structlog

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document
from ingest.storage.errors import LeadlineError
from ingest.storage.instrumentation import reach_point
from retrieval.index.generations import Generations
from retrieval.index.port import IndexWriter

log = structlog.get_logger(__name__)


class ReaderSync:
    """Writes documents' readers into every generation of the index."""

    def __init__(self, catalog: Catalog, generations: Generations) -> None:
        self._catalog = catalog
        self._generations = generations

    def sync(self, document_id: str) -> bool:
        """Write a changed document's readers; return false if the index is away, and `settle_all` is to do it."""
        reach_point("access.committed")
        try:
            revision = write_until_current(self._catalog, document_id, self._write_readers)
        except LeadlineError as error:
            log.warning("the index has not learnt a document's readers yet", document=document_id, error=repr(error))
            return False
        return revision is None or self._catalog.record_readers_synced(document_id, revision)

    def sync_all(self) -> int:
        """Write the readers of documents that the index is behind with, of every tenant; return how many."""
        return sum(self.sync(document_id) for document_id in self._catalog.list_unsynced_readers())

    def _write_readers(self, document: Document) -> None:
        for version in {document.version.id, document.active_version_id} - {None}:
            self._generations.set_readers(document.tenant_id, str(version), document.readers)


def write_readers_of_new_points(catalog: Catalog, index: IndexWriter, versions: Collection[tuple[str, str]]) -> None:
    """Write the readers of versions, pairs of document and version, whose points were just written open to the tenant.

    Called before the versions are committed, so before anything of them is found.
    """
    live = catalog.load_live_documents([document_id for document_id, _ in versions])
    for document_id, version_id in versions:
        document = live.get(document_id)
        if document is None or (document.readers is None and not document.revision):
            continue  # a change from now on finds the points

        def write_readers(current: Document, version_id: str = version_id) -> None:
            index.set_readers(current.tenant_id, version_id, current.readers)

        # guard: new-points-readers
        write_until_current(catalog, document_id, write_readers)


def write_until_current(catalog: Catalog, document_id: str, write: Callable[[Document], None]) -> int | None:
    """Write a document until it has not changed meanwhile, and return its revision; None if it was deleted.

    Whoever writes last has looked again afterwards, so what two writers leave is current.
    """
    document = catalog.load_live_documents([document_id]).get(document_id)
    while document is not None:
        write(document)
        current = catalog.load_live_documents([document_id]).get(document_id)
        if current is None or current.revision == document.revision:
            return document.revision
        document = current
    return None
