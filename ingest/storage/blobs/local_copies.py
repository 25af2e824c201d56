"""Copies of stored files on the local disk, so that a text in a bucket is fetched once and not for each read.

A copy has the bytes of the stored file: a sealed file stays sealed, and its content is authenticated and compared with
its digest each time it is read. Files are copied in blocks, so a range of a long text costs one short request.
"""

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import structlog

from ingest.storage.blobs.store import require_valid_key
from ingest.storage.digests import parse_version_id
from ingest.storage.keyed_locks import KeyedLocks

log = structlog.get_logger(__name__)

# Folders whose files are copied. A version's files in these folders change only when the version is repaired.
COPIED_FOLDERS = ("text", "tables")
COPY_BLOCK_BYTES = 1 << 20
# Share of the limit that remains after a trim, and share that is written between two trims. While a trim runs, a
# process writes at most as much again, which bounds by how much the processes that share a folder exceed the limit.
_KEPT_SHARE, _TRIM_SHARE = 0.9, 0.05
# The time of the last use is recorded only this often, because recording it is a write.
_USE_SECONDS = 60.0
_UNFINISHED = ".part"
# A file occupies whole blocks of the disk.
_DISK_BLOCK_BYTES = 4096
# Time between two rounds that delete the copies of deleted documents: as often as upkeep removes unused content.
_ROUND_SECONDS = 300.0

Fetch = Callable[[int, int | None], bytes]
"""Reads up to `length` bytes of the stored file from `start`, or all remaining bytes if `length` is None."""


def start_thread(work: Callable[[], None]) -> None:
    """Run the work in a thread that does not keep the process from ending."""
    threading.Thread(target=work, name="local-copies-trim", daemon=True).start()


class LocalCopies:
    """Copies of blocks in a folder of limited size. The blocks that were not used for longest are deleted first.

    Thread-safe. Several processes may share the folder.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        *,
        min_free_bytes: int = 0,
        start: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        """Initialize the copies. `start` runs a trim, which takes seconds if there are 100,000 blocks."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._start = start
        self._trim_bytes = max_bytes * _TRIM_SHARE
        self._written = self._trim_bytes  # The first write trims, because an earlier process may have left more.
        self._trimming = threading.Lock()
        self._is_disk_failing = False
        self._fetching = KeyedLocks()
        self._stale: set[str] = set()  # Keys whose copies could not be deleted.

    def read(self, key: str, start: int, length: int | None, fetch: Fetch) -> bytes:
        """Read a range of a file from its copies. The blocks from the first that is missing on are fetched at once.

        Concurrent readers of a file wait for one that fetches blocks, and then read them.
        """
        if key in self._stale:
            return fetch(start, length)
        first = start // COPY_BLOCK_BYTES
        last = None if length is None else (start + length - 1) // COPY_BLOCK_BYTES
        pieces: list[bytes] = []
        for number in count(first):
            if last is not None and number > last:
                break
            block = self._read_block(key, number)
            if block is None:
                with self._fetching.hold(key):
                    block = self._read_block(key, number)
                    if block is None:
                        pieces.append(self._fetch_blocks(key, number, last, fetch))
                        break
            pieces.append(block)
            if len(block) < COPY_BLOCK_BYTES:  # The file ends here.
                break
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        begin = start - first * COPY_BLOCK_BYTES
        return content[begin : None if length is None else begin + length]

    def has_block(self, key: str, offset: int) -> bool:
        """Return whether there is a copy of the block that contains this byte of the stored file."""
        return self._build_path(key, offset // COPY_BLOCK_BYTES).exists()

    def discard(self, key: str) -> None:
        """Delete the copies of a file. If the disk does not delete them, they are not read any more."""
        path = self._folder / require_valid_key(key)
        try:
            for block in path.parent.glob(f"{path.name}.*"):
                block.unlink(missing_ok=True)
        except OSError as error:
            self._stale.add(key)
            self._report_disk_error(error)
        else:
            self._stale.discard(key)

    def discard_versions(self, select_gone: Callable[[Collection[str]], set[str]]) -> int:
        """Delete the copies of versions that `select_gone` selects from the ids of all versions with copies.

        Returns the number of these versions.
        """
        paths: dict[str, list[str]] = {}
        for path, _ in self._iter_blocks():
            paths.setdefault(parse_version_id(path), []).append(path)
        gone = select_gone(paths) if paths else set[str]()
        for version in gone:
            for path in paths[version]:
                Path(path).unlink(missing_ok=True)
        return len(gone)

    def _read_block(self, key: str, number: int) -> bytes | None:
        path = self._build_path(key, number)
        try:
            with path.open("rb") as file:
                used = os.fstat(file.fileno()).st_mtime
                content = file.read()
        except OSError:
            return None
        if time.time() - used > _USE_SECONDS:
            with suppress(OSError):
                os.utime(path)
        return content

    def _fetch_blocks(self, key: str, number: int, last: int | None, fetch: Fetch) -> bytes:
        length = None if last is None else (last - number + 1) * COPY_BLOCK_BYTES
        content = fetch(number * COPY_BLOCK_BYTES, length)
        for at in range(0, len(content), COPY_BLOCK_BYTES):
            self._write_block(self._build_path(key, number), content[at : at + COPY_BLOCK_BYTES])
            number += 1
        return content

    def _write_block(self, path: Path, content: bytes) -> None:
        """Write a block, or nothing if the disk does not take it: a file can be read without its copy."""
        if self._written >= self._trim_bytes and self._trimming.locked():  # The trim has not made room yet.
            return
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}{_UNFINISHED}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free - len(content) < self._min_free_bytes:
                return
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # After a power failure, a block that is too short would end the file.
            unfinished.replace(path)
        except OSError as error:
            self._report_disk_error(error)
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            return
        self._is_disk_failing = False
        self._written += _round_to_disk_blocks(len(content))
        if self._written >= self._trim_bytes and self._trimming.acquire(blocking=False):
            self._written = 0
            self._start(self._trim)

    def _report_disk_error(self, error: OSError) -> None:
        """Log the first error since the last block that was written: a disk that is read-only fails for each block."""
        if not self._is_disk_failing:
            self._is_disk_failing = True
            log.warning("local copies cannot be written or deleted", folder=str(self._folder), error=repr(error))

    def _trim(self) -> None:
        """Delete the least recently used blocks, and release `_trimming`."""
        try:
            blocks = sorted(
                ((stat.st_mtime, _round_to_disk_blocks(stat.st_size), path) for path, stat in self._iter_blocks()),
                reverse=True,
            )
            total = sum(size for _, size, _ in blocks)
            kept = self._max_bytes * _KEPT_SHARE if total > self._max_bytes else total
            while total > kept:
                _, size, path = blocks.pop()
                Path(path).unlink(missing_ok=True)
                total -= size
        except OSError as error:
            self._report_disk_error(error)
        finally:
            self._trimming.release()

    def _iter_blocks(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield paths as strings, because joining `Path`s takes longer than reading the folders."""
        for folder in COPIED_FOLDERS:
            for shard in (self._folder / folder).glob("*"):
                with os.scandir(shard) as entries:
                    for entry in entries:
                        with suppress(FileNotFoundError):
                            yield entry.path, entry.stat()

    def _build_path(self, key: str, number: int) -> Path:
        return self._folder / f"{require_valid_key(key)}.{number}"


def _round_to_disk_blocks(size: int) -> int:
    return -(-size // _DISK_BLOCK_BYTES) * _DISK_BLOCK_BYTES


@contextmanager
def discard_deleted_copies(
    copies: LocalCopies | None, select_gone: Callable[[Collection[str]], set[str]]
) -> Iterator[None]:
    """Delete the copies of deleted versions now, and then every five minutes until the block ends.

    Each process does this, because the removal of a document deletes only the copies of the process that removes it.
    """
    if copies is None:
        yield
        return
    closing = threading.Event()
    thread = threading.Thread(target=_keep_discarding, args=(copies, select_gone, closing), name="local-copies")
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


def _keep_discarding(
    copies: LocalCopies, select_gone: Callable[[Collection[str]], set[str]], closing: threading.Event
) -> None:
    while not closing.is_set():
        try:
            copies.discard_versions(select_gone)
        except Exception:  # The outermost handler of the thread, which must not end.
            log.exception("local copies of deleted documents not deleted")
        closing.wait(_ROUND_SECONDS)
