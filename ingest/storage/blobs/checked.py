"""A blob store that verifies the content it reads against the digests in the catalog."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from ingest.storage.blobs.store import Blobs
from ingest.storage.digests import BLOCK_BYTES, Digest, DigestRecords, parse_file_name, parse_version_id
from ingest.storage.errors import BlobChangedError, ContentChangedError, TextLostError

_MAX_CACHED_VERSIONS = 2048
# Time for which digests, and the absence of digests, are cached. The first time is long, because a version's files
# change only when its index is repaired. The second is short, because a background task adds digests to versions from
# earlier releases.
_KNOWN_SECONDS, _ABSENT_SECONDS = 300.0, 30.0
_FILE_LABELS = {"text.txt": "text", "text.json": "map", "text.positions": "positions"}


class CheckedBlobs:
    """Wraps another store, and verifies the content that it reads against the digests in the catalog.

    Use it only for the texts and tables of document versions. Reading a range reads and hashes all blocks that overlap
    the range. If a version from an earlier release has no digests, its files are not verified. If a version has
    digests, a file without a digest is treated as missing.
    """

    def __init__(self, blobs: Blobs, records: DigestRecords, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = blobs
        self._records = records
        self._known = records if isinstance(records, CachedDigests) else CachedDigests(records, clock)

    def preload_digests(self, version_ids: Collection[str]) -> None:
        """Load the digests of these versions in one query, before the versions are read.

        Afterwards, a file without a digest is missing at once: the digests are not loaded again to find out.
        """
        self._known.preload_digests(version_ids)

    def put(self, key: str, content: bytes) -> None:
        self._inner.put(key, content)

    def put_file(self, key: str, file: BinaryIO) -> None:
        self._inner.put_file(key, file)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        self._inner.put_all(contents)

    def delete(self, key: str) -> int:
        return self._inner.delete(key)

    def discard_copies(self, key: str) -> None:
        self._inner.discard_copies(key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range of a file.

        Raises `KeyError` if the file does not exist, `ContentChangedError` if it does not match its digest, and
        `TextLostError` if it is missing but has a digest.
        """
        version = parse_version_id(key)
        known = self._known.get_digests(version)
        # guard: absence-believed-briefly
        if known and parse_file_name(key) not in known and self._known.was_just_preloaded(version):
            raise KeyError(key)
        try:
            return self._read_checked_range(key, known, start, length)
        except (KeyError, ContentChangedError):
            # After the digests were read or the file was copied, the version may have been removed, or a repair may
            # have rewritten the version's files.
            self._inner.discard_copies(key)
            self._known.load([version])
        known = self._known.get_digests(version)
        try:
            return self._read_checked_range(key, known, start, length)
        except (KeyError, ContentChangedError) as error:
            if parse_file_name(key) not in known:
                raise
            raise self._record_changed_file(key, error) from error

    def _read_checked_range(self, key: str, digests: Mapping[str, Digest], start: int, length: int | None) -> bytes:
        if not digests:
            return self._inner.read(key, start, length)
        digest = digests.get(parse_file_name(key))
        # guard: unrecorded-file-not-read
        if digest is None:
            raise KeyError(key)
        end = digest.size if length is None else min(digest.size, start + length)
        if start >= end:
            return b""
        first = start // BLOCK_BYTES
        begin, stop = first * BLOCK_BYTES, min(digest.size, -(-end // BLOCK_BYTES) * BLOCK_BYTES)
        content = self._inner.read(key, begin, stop - begin)
        # guard: content-compared-with-digest
        if len(content) != stop - begin or not digest.matches_blocks(first, content):
            raise BlobChangedError(f"{key} does not contain the bytes that were written.")
        return content[start - begin : end - begin]

    def _record_changed_file(self, key: str, error: Exception) -> ContentChangedError:
        """Record that a file is damaged or missing, and return an error that names its document."""
        document = self._records.record_changed_file(key) or f"of version {parse_version_id(key)}"
        what = f"The stored {_FILE_LABELS.get(parse_file_name(key), 'table')} of document {document}"
        if isinstance(error, KeyError):
            return TextLostError(f"{what} is missing.")
        return ContentChangedError(f"{what} was changed.")


@dataclass(frozen=True)
class _CachedVersion:
    """The digests of a version, and the times until which they are used, and until which no file is thought added."""

    digests: Mapping[str, Digest]
    until: float
    complete_until: float


class CachedDigests:
    """A thread-safe cache of the digests of recently read versions, which the readers of texts and tables can share."""

    def __init__(self, records: DigestRecords, clock: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._clock = clock
        self._versions: OrderedDict[str, _CachedVersion] = OrderedDict()
        self._lock = threading.Lock()

    def get_digests(self, version_id: str) -> Mapping[str, Digest]:
        """Return the digests of a version's files, keyed by file name. Empty if the version has no digests."""
        found = self._find_cached_version(version_id)
        return self.load([version_id])[version_id] if found is None else found.digests

    def was_just_preloaded(self, version_id: str) -> bool:
        """Return whether `preload_digests` loaded the version so recently that no files were added since."""
        found = self._find_cached_version(version_id)
        return found is not None and self._clock() < found.complete_until

    def preload_digests(self, version_ids: Collection[str]) -> None:
        """Load the digests of those versions that were not preloaded recently."""
        unknown = [version for version in dict.fromkeys(version_ids) if not self.was_just_preloaded(version)]
        if unknown:
            self.load(unknown, complete_seconds=_ABSENT_SECONDS)

    def load(
        self, version_ids: Collection[str], *, complete_seconds: float = 0.0
    ) -> Mapping[str, Mapping[str, Digest]]:
        """Load the digests of these versions into the cache, replacing cached ones."""
        found = self.load_digests(version_ids)
        loaded = {version: found.get(version, {}) for version in version_ids}
        now = self._clock()
        with self._lock:
            for version, digests in loaded.items():
                until = now + (_KNOWN_SECONDS if digests else _ABSENT_SECONDS)
                self._versions[version] = _CachedVersion(digests, until, now + complete_seconds)
                self._versions.move_to_end(version)
            while len(self._versions) > _MAX_CACHED_VERSIONS:
                self._versions.popitem(last=False)
        return loaded

    def load_digests(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
        return self._records.load_digests(version_ids)

    def select_candidate_versions(self, file_name: str, version_ids: Collection[str]) -> set[str]:
        return self._records.select_candidate_versions(file_name, version_ids)

    def record_changed_file(self, key: str) -> str | None:
        return self._records.record_changed_file(key)

    def _find_cached_version(self, version_id: str) -> _CachedVersion | None:
        with self._lock:
            found = self._versions.get(version_id)
            return found if found is not None and self._clock() < found.until else None
