"""Removes versions from the index and the blobs: immediately when a document is deleted, otherwise in a job."""

import structlog

from ingest.storage.accounts.access import Readers
from ingest.storage.answers.redaction import Redaction
from ingest.storage.blobs.store import Blobs
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Deletion, Version, VersionState
from ingest.storage.errors import LeadlineError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Job
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from retrieval.index.generations import Generations
from workers.deps import WorkerDeps

log = structlog.get_logger(__name__)


class Deleter:
    """Removes versions from every store that contains their content."""

    def __init__(
        self, catalog: Catalog, redaction: Redaction, generations: Generations, texts: Texts, blobs: Blobs
    ) -> None:
        self._catalog = catalog
        self._redaction = redaction
        self._generations = generations
        self._texts = texts
        self._blobs = blobs
        self._tables = RecordTables(blobs)

    def remove_version(self, version: Version) -> tuple[int, int]:
        """Remove a version unless it is in use. Return the number of removed chunks and of freed bytes.

        The version is removed from all generations of the index, and content derived from the version is redacted:
        answers, run logs and cached replies. The original of a failed version remains available for inspection until
        its document is replaced or deleted. Repeating this is safe.
        """
        removable = self._catalog.find_removable_version(version.id)
        if removable is None:
            return 0, 0
        chunks = self._generations.delete_version(removable.tenant_id, removable.id)
        reach_fault_point("delete.points_removed")
        # Digests are deleted first, so that the missing text is not reported as lost.
        self._catalog.delete_digests(removable.id)
        size = self._texts.delete(removable.id) + self._tables.delete(removable.id)
        if removable.state is not VersionState.FAILED:
            size += self._blobs.delete(removable.blob_key)
        if staged := self._catalog.list_staged_keys(removable.id):
            size += sum(self._blobs.delete(key) for key in staged)
            self._catalog.delete_staged_entries(removable.id)
        reach_fault_point("delete.blobs_removed")
        # guard: redact-with-version
        self._redaction.redact_version(removable.tenant_id, removable.id)
        return chunks, size

    def delete_document(self, tenant_id: str, document_id: str, readers: Readers = None) -> Deletion:
        """Delete a document and remove as much of its content as possible now. The receipt counts the removed content.

        From the first commit on, searches no longer find the document. Content that cannot be removed now, because the
        index is unreachable or a worker is still writing it, is removed later by a queued job. Raises
        `DocumentNotFoundError` if the document does not exist or these readers may not see it.
        """
        deleted = self._catalog.delete_document(tenant_id, document_id, readers=readers)
        reach_fault_point("delete.committed")
        for version in deleted.leaving:
            try:
                chunks, size = self.remove_version(version)
            except LeadlineError as error:
                log.warning(
                    "version not removed yet; its queued job will remove it", version=version.id, error=repr(error)
                )
                continue
            complete = version.id not in deleted.worked_on
            self._catalog.record_removal(version, chunk_count=chunks, size_bytes=size, is_complete=complete)
        return self._catalog.load_deletion(tenant_id, document_id)


class CollectTask:
    """Removes the remaining content of a withdrawn or failed version from the index and the blobs."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps
        self._deleter = Deleter(deps.catalog, deps.redaction, deps.generations, deps.texts, deps.blobs)

    def run(self, job: Job) -> None:
        """Remove the version of a job. Raises `LeaseLostError` if another worker has taken over the job."""
        self._deps.jobs.require_lease(job)
        chunks, size = self._deleter.remove_version(self._deps.catalog.load_version(job.version_id))
        self._deps.jobs.finish_collect(job, chunks=chunks, size=size)
