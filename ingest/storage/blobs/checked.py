"""Blobs that are compared, as they are read, with the digests that the catalog has of them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import BinaryIO

from ingest.storage.blobs.store import Blobs
from ingest.storage.digests import BLOCK_BYTES, Digest, DigestRecords, parse_file_name, parse_version_id
from ingest.storage.errors import BlobChangedError, ContentChangedError, TextLostError

_MAX_CACHED_VERSIONS = 2048
# A version is made again at most when its index is repaired. Upkeep adds digests to versions of earlier releases.
_KNOWN_SECONDS, _ABSENT_SECONDS = 300.0, 30.0
_FILE_LABELS = {"text.txt": "text", "text.json": "map", "text.positions": "positions"}


class CheckedBlobs:
    """Compares what another store reads with the digests in the catalog; for texts and tables of versions alone.

    A range costs a read and a hash of the blocks that it touches. A version without digests, from an earlier release,
    is read as it is; of one with digests, a file that nobody recorded does not exist.
    """

    def __init__(self, inner: Blobs, records: DigestRecords, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._records = records
        self._known = _DigestCache(records, clock)

    def preload_digests(self, version_ids: Collection[str]) -> None:
        """Ask the catalog once for the digests of all versions that will be read."""
        self._known.preload(version_ids)

    def put(self, key: str, content: bytes) -> None:
        self._inner.put(key, content)

    def put_file(self, key: str, file: BinaryIO) -> None:
        self._inner.put_file(key, file)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        self._inner.put_all(contents)

    def delete(self, key: str) -> int:
        return self._inner.delete(key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range. Raises `KeyError` for a file that there is not, `ContentChangedError` and `TextLostError`."""
        version = parse_version_id(key)
        try:
            return self._read_checked(key, self._known.get(version), start, length)
        except (KeyError, ContentChangedError):
            self._known.load([version])  # it may have been removed or made again
        known = self._known.get(version)
        try:
            return self._read_checked(key, known, start, length)
        except (KeyError, ContentChangedError) as error:
            if parse_file_name(key) not in known:
                raise
            raise self._record_changed(key, error) from error

    def _read_checked(self, key: str, known: Mapping[str, Digest], start: int, length: int | None) -> bytes:
        if not known:
            return self._inner.read(key, start, length)
        digest = known.get(parse_file_name(key))
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
            raise BlobChangedError(f"{key} has other bytes than were written.")
        return content[start - begin : end - begin]

    def _record_changed(self, key: str, error: Exception) -> ContentChangedError:
        """Have a file noted that is not as it was written; return the error that names its document."""
        document = self._records.record_changed_file(key) or f"of version {parse_version_id(key)}"
        what = f"The stored {_FILE_LABELS.get(parse_file_name(key), 'table')} of document {document}"
        if isinstance(error, KeyError):
            return TextLostError(f"{what} is missing.")
        return ContentChangedError(f"{what} was changed.")


class _DigestCache:
    """The digests of the versions that were read last; safe to use from any thread."""

    def __init__(self, records: DigestRecords, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._versions: OrderedDict[str, tuple[float, Mapping[str, Digest]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, version: str) -> Mapping[str, Digest]:
        """Return the digests of a version's files by the files' names; none for one without digests."""
        found = self._find_cached(version)
        return self.load([version])[version] if found is None else found

    def preload(self, version_ids: Collection[str]) -> None:
        """Load the digests of those versions whose digests are not known."""
        unknown = [version for version in dict.fromkeys(version_ids) if self._find_cached(version) is None]
        if unknown:
            self.load(unknown)

    def load(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
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

    def _find_cached(self, version: str) -> Mapping[str, Digest] | None:
        with self._lock:
            until, digests = self._versions.get(version, (0.0, {}))
            return digests if self._clock() < until else None
