"""A blob store that verifies the content it reads against the digests in the catalog."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
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
        self._known = _DigestCache(records, clock)

    def preload_digests(self, version_ids: Collection[str]) -> None:
        """Load the digests of these versions in one query, before the versions are read."""
        self._known.preload_digests(version_ids)

    def put(self, key: str, content: bytes) -> None:
        self._inner.put(key, content)

    def put_file(self, key: str, file: BinaryIO) -> None:
        self._inner.put_file(key, file)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        self._inner.put_all(contents)

    def delete(self, key: str) -> int:
        return self._inner.delete(key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range of a file.

        Raises `KeyError` if the file does not exist, `ContentChangedError` if it does not match its digest, and
        `TextLostError` if it is missing but has a digest.
        """
        version = parse_version_id(key)
        try:
            return self._read_checked_range(key, self._known.get_digests(version), start, length)
        except (KeyError, ContentChangedError):
            # After the digests were read, the version may have been removed, or a repair may have rewritten the
            # version's files.
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


class _DigestCache:
    """A thread-safe cache of the digests of recently read versions."""

    def __init__(self, records: DigestRecords, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._versions: OrderedDict[str, tuple[float, Mapping[str, Digest]]] = OrderedDict()
        self._lock = threading.Lock()

    def get_digests(self, version_id: str) -> Mapping[str, Digest]:
        """Return the digests of a version's files, keyed by file name. Empty if the version has no digests."""
        found = self._find_cached_digests(version_id)
        return self.load([version_id])[version_id] if found is None else found

    def preload_digests(self, version_ids: Collection[str]) -> None:
        """Load the digests of those versions that are not cached."""
        unknown = [version for version in dict.fromkeys(version_ids) if self._find_cached_digests(version) is None]
        if unknown:
            self.load(unknown)

    def load(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
        """Load the digests of these versions into the cache, replacing cached ones."""
        found = self._records.load_digests(version_ids)
        loaded = {version: found.get(version, {}) for version in version_ids}
        now = self._clock()
        with self._lock:
            for version, digests in loaded.items():
                self._versions[version] = now + (_KNOWN_SECONDS if digests else _ABSENT_SECONDS), digests
                self._versions.move_to_end(version)
            while len(self._versions) > _MAX_CACHED_VERSIONS:
                self._versions.popitem(last=False)
        return loaded

    def _find_cached_digests(self, version_id: str) -> Mapping[str, Digest] | None:
        with self._lock:
            until, digests = self._versions.get(version_id, (0.0, {}))
            return digests if self._clock() < until else None
