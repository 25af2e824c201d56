"""Upkeep: removes what no document uses and nobody is on the way to remove.

A worker that was overtaken can write once more after its document was deleted, and die before it takes that back; an
API that dies between keeping bytes and recording them leaves a file. Both are rare, and both are found by comparing
with the catalog. Doing it twice, or in two places at once, removes nothing more.
"""

from dataclasses import dataclass

import structlog

from ingest.blobs import DirectoryBlobs
from ingest.catalog.deletions import Leftovers
from ingest.tables import RecordTables
from ingest.texts import Texts
from retrieval.generations import Generations

# An upload may take long; what is older than this is nobody's any more.
FORGOTTEN_SECONDS = 24 * 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Removed:
    """What one round of upkeep found."""

    orphan_chunks: int
    files: int


def upkeep(
    leftovers: Leftovers,
    generations: Generations,
    blobs: DirectoryBlobs,
    texts: Texts,
    *,
    forgotten_seconds: float = FORGOTTEN_SECONDS,
) -> Removed:
    """Remove orphaned chunks with their texts and tables, unfinished uploads, and originals that no version names."""
    chunks = 0
    with generations.indexes() as indexes:
        for index in indexes.values():
            present = index.versions()
            unused = leftovers.unused_versions({version for _, version in present})
            for tenant, version in present:
                if version in unused:
                    chunks += index.delete_version(tenant, version)
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
