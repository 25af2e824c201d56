"""After a crash: compare the index with the catalog, and queue again what the index lost."""

from ingest.catalog.catalog import Catalog
from ingest.catalog.jobs import Jobs
from ingest.documents import VersionState
from retrieval.index import IndexWriter


def reconcile(catalog: Catalog, jobs: Jobs, index: IndexWriter) -> list[str]:
    """The ids of versions whose chunks or vectors are not all in the index; their ingest is queued again.

    The catalog's commits are fsynced one by one and the index's are not, so a power cut can leave the index behind.
    """
    behind: list[str] = []
    for version in catalog.indexed_versions():
        present = index.count(version.tenant_id, version.id)
        embedded = index.count(version.tenant_id, version.id, embedded_only=True)
        expected = version.chunks if version.state is VersionState.READY else version.chunks_embedded
        if present != version.chunks or embedded < (expected or 0):
            jobs.reindex(version.id)
            behind.append(version.id)
    return behind
