"""Periodic repairs: jobs without a worker, chunks that the index lost, and content that no document uses.

Each may run twice, or in two places at once, without harm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from ingest.blobs import DirectoryBlobs
from ingest.catalog.catalog import Catalog
from ingest.catalog.deletions import Leftovers
from ingest.catalog.jobs import Jobs
from ingest.documents import JobKind, VersionState
from ingest.faultpoints import reach
from ingest.tables import RecordTables
from ingest.texts import Texts
from retrieval.generations import Generations
from retrieval.index import IndexWriter

# The most rings that a sweep leaves waiting for a kind; more would only pile up while workers are busy.
_RINGS = 32
# Builders of another generation look for their jobs without being rung for.
_RUNG_FOR = (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT, JobKind.RUN)
# An upload may take long, but an unfinished one that is older than this was given up.
FORGOTTEN_SECONDS = 24 * 3600.0

log = structlog.get_logger(__name__)


def sweep(jobs: Jobs, *, unanswered: Mapping[JobKind, int], ring: Callable[[JobKind, int], None]) -> int:
    """Queue jobs again that lost their worker, and ring for claimable jobs; returns the number of rings.

    Queueing a lost job again is one transaction under its fence, and a ring too many costs a look. `unanswered` counts
    the rings of each kind that still wait for a worker.
    """
    recovered = jobs.recover(all_running=False)
    if recovered:
        log.warning("jobs queued again after their lease ran out", jobs=recovered)
    reach("sweep.recovered")
    rung = 0
    for kind in _RUNG_FOR:
        room = _RINGS - unanswered.get(kind, 0)
        for job_id in jobs.claimable(kind, limit=room) if room > 0 else ():
            ring(kind, job_id)
            rung += 1
    return rung


def reconcile(catalog: Catalog, jobs: Jobs, index: IndexWriter) -> list[str]:
    """Queue the ingest of versions again whose chunks or vectors are not all in the index; returns their ids.

    It is called after a crash: the catalog's commits are fsynced one by one and the index's are not, so a power cut can
    leave the index behind.
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


@dataclass(frozen=True)
class Removed:
    """Counts of what `remove_orphans` removed."""

    orphan_chunks: int
    files: int


def remove_orphans(
    leftovers: Leftovers,
    generations: Generations,
    blobs: DirectoryBlobs,
    texts: Texts,
    *,
    forgotten_seconds: float = FORGOTTEN_SECONDS,
) -> Removed:
    """Remove orphaned chunks with their texts and tables, unfinished uploads, and originals that no version names.

    A worker that was overtaken can write once more after its document was deleted, and die before it takes that back;
    an API that dies between storing bytes and recording them leaves a file. Both are rare and found by comparing with
    the catalog.
    """
    chunks = 0
    with generations.indexes() as indexes:
        for index in indexes.values():
            for version in leftovers.unused_versions(set(index.versions())):
                chunks += sum(index.delete_version(tenant, version) for tenant in index.tenants_of(version))
                texts.delete(version)
                RecordTables(blobs).delete(version)
    generations.tidy()
    files = blobs.discard_unfinished(older_than_seconds=forgotten_seconds)
    originals = set(blobs.keys("original", older_than_seconds=forgotten_seconds))
    for key in leftovers.unknown_blobs(originals):
        files += blobs.delete(key) > 0
    if chunks or files:
        log.warning("removed what no document uses", orphan_chunks=chunks, files=files)
    return Removed(chunks, files)
