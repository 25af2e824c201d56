"""Adds digests to stored texts and tables of earlier releases, a few at a time."""

import time
from collections.abc import Callable

import structlog

from ingest.storage.blobs.store import BlobStore
from ingest.storage.digests import Digest
from ingest.storage.documents.digests import ContentDigests, UndigestedVersion
from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import build_positions_key, build_text_keys

log = structlog.get_logger(__name__)

_BATCH_VERSIONS = 20
# Time after which versions without digests are looked for again once all versions have digests. A process of the
# previous release may add versions without digests.
_RECHECK_SECONDS = 3600.0


class DigestFiller:
    """Adds digests to versions without them, ordered by id. The catalog records the progress.

    Any number of processes may do this concurrently. A version whose text is missing or cannot be decrypted gets no
    digest and still counts as a version without digests.
    """

    def __init__(
        self, digests: ContentDigests, blobs: BlobStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._digests = digests
        self._blobs = blobs
        self._tables = RecordTables(blobs)
        self._clock = clock
        self._after = ""
        self._next = 0.0

    def run_step(self, max_seconds: float) -> int:
        """Add digests for about `max_seconds` seconds, and return the number of versions that got digests."""
        if self._clock() < self._next:
            return 0
        end, filled = self._clock() + max_seconds, 0
        while self._clock() < end:
            lacking = self._digests.list_undigested_versions(self._after, _BATCH_VERSIONS)
            if not lacking:
                self._after, self._next = "", self._clock() + _RECHECK_SECONDS
                self._digests.delete_orphaned_digests()
                break
            for each in lacking:
                filled += self._add_version_digests(each)
                self._after = each.version_id
                if self._clock() >= end:
                    break
        if filled:
            log.info("digests of stored texts added", versions=filled)
        return filled

    def _add_version_digests(self, undigested_version: UndigestedVersion) -> bool:
        """Add the digests of a version.

        Returns false if the version cannot be read or was ingested again in the meantime.
        """
        version, digests = undigested_version.version_id, dict[str, Digest]()
        try:
            for key in build_text_keys(version):
                digests[key] = Digest.from_blocks(self._blobs.iter_blocks(key))
            for key in (build_positions_key(version), *self._tables.list_table_keys(version)):
                if self._blobs.find_size(key) is not None:
                    digests[key] = Digest.from_blocks(self._blobs.iter_blocks(key))
        except (KeyError, ContentChangedError, ValueError) as error:
            log.warning("digest not added: stored text cannot be read", version=version, error=repr(error))
            return False
        return self._digests.add_missing_digests(undigested_version, digests)
