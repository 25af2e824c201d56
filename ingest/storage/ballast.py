"""A file that reserves disk space in the data folder, to be released when the disk is full.

A deletion needs some space before it frees any, and so does a start of the service. Each of them releases only as much
of the ballast as it needs, so that the ballast lasts for several deletions or starts while another program keeps
filling the disk.
"""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

# Space needed to delete documents on a full disk. Measured: deleting a document of 16 MB added less than 2 MB to
# SQLite's write-ahead log. Deleting a collection of many documents adds more.
NEEDED_BYTES = 16 * 1024**2
_FILE_NAME = "ballast"

log = structlog.get_logger(__name__)


class Ballast:
    """The ballast of one data folder. Thread-safe; only one process may use it at a time.

    ballast = Ballast(home, size_bytes=64 << 20)
    ballast.refill()
    ballast.shrink()  # before a deletion
    """

    def __init__(
        self,
        folder: Path,
        size_bytes: int = 0,
        *,
        min_free_bytes: int = 0,
        get_free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Initialize without changing the disk.

        `refill` allocates `size_bytes`, provided that `min_free_bytes` remain free afterwards.
        """
        self._folder = folder
        self._path = folder / _FILE_NAME
        self._size_bytes = size_bytes
        self._min_free_bytes = min_free_bytes
        self._free_bytes = get_free_bytes
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """The disk space that the file currently occupies."""
        try:
            return self._path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    @property
    def is_full_size(self) -> bool:
        return self.held_bytes >= self._size_bytes

    def shrink(self, needed_bytes: int = NEEDED_BYTES, *, keep_half: bool = False) -> None:
        """Shorten the file until `needed_bytes` are free or the file is empty.

        If `keep_half` is true, at least half of its full size remains.
        """
        if self._free_bytes(self._folder) >= needed_bytes:  # this is the usual case, and the check needs no lock
            return
        with self._lock:
            missing = needed_bytes - self._free_bytes(self._folder)
            if missing <= 0 or not (held := self.held_bytes):
                return
            left = max(0, held - missing)
            if keep_half:
                left = min(held, max(left, self._size_bytes // 2))
            # guard: ballast-gives-way
            os.truncate(self._path, left)
        log.warning("disk full, ballast shrunk", given_bytes=held - left, left_bytes=left)

    def refill(self) -> None:
        """Allocate the whole file again if there is enough free space; otherwise leave the file unchanged."""
        with self._lock:
            missing = self._size_bytes - self.held_bytes
            # guard: ballast-leaves-room
            if missing <= 0 or self._free_bytes(self._folder) < missing + max(self._min_free_bytes, NEEDED_BYTES):
                return
            before = self._path.stat().st_size if self._path.exists() else 0
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            except OSError as error:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                log.warning("ballast not refilled", error=str(error))
            finally:
                os.close(descriptor)
