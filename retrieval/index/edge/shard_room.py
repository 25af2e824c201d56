"""Room on the disk for a shard's mapped files.

The engine sets files aside as holes, maps them, and reads and writes them as memory. If the disk has no room for a page
of a hole that is touched, the kernel ends the process with SIGBUS, which no code of ours can handle. So the holes that
may be touched are allocated in advance: about 250 MB a shard. On most file systems only a write needs room for a page
of a hole. On tmpfs a read does as well, and the engine reads every file when it opens a shard.
"""

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import structlog

from ingest.storage.ballast import NEEDED_BYTES
from ingest.storage.errors import StorageFullError
from retrieval.index.edge.shard_folder import is_written_once

log = structlog.get_logger(__name__)


class ShardRoom(Protocol):
    """Sees to the room that a shard's files need."""

    def require_room(self) -> None:
        """Raise `StorageFullError` when points must not be added, because the disk is nearly full."""

    def allocate(self, generation: Path) -> None:
        """Allocate holes of the shard's files. Raises `StorageFullError` if opening the shard would end the process."""


class UncheckedRoom:
    """Allocates nothing and refuses nothing; for tests, and for commands that use an index briefly."""

    def require_room(self) -> None:
        pass

    def allocate(self, generation: Path) -> None:
        pass


class AllocatedRoom:
    """Allocates the holes that the engine may touch, and refuses more points on a full disk."""

    def __init__(
        self,
        folder: Path,
        *,
        min_free_bytes: int,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Leave `min_free_bytes` free where holes are only written to; `folder` is one on the disk of the shards."""
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._reads_allocate = needs_room_to_read(folder)

    def require_room(self) -> None:
        free = self._free_bytes(self._folder)
        # guard: index-write-needs-room
        if free < NEEDED_BYTES:
            raise StorageFullError(f"The disk of the vector index has {free:,} bytes free.")

    def allocate(self, generation: Path) -> None:
        files = list(_iter_files_with_holes(generation, every=self._reads_allocate))
        needed = sum(hole for _, hole in files)
        free = self._free_bytes(self._folder)
        if not self._reads_allocate and free - needed < self._min_free_bytes:
            log.warning("the index's files are not allocated: the disk is nearly full", needed_bytes=needed)
            return
        # guard: index-holes-need-room
        if free < needed:
            raise StorageFullError(
                f"The vector index in {generation.parent} needs {needed:,} bytes, and its disk has {free:,} free."
            )
        for path, _ in files:
            _allocate_file(path)


def needs_room_to_read(folder: Path) -> bool:
    """True if reading a mapped hole takes room on this file system, as on tmpfs."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.ftruncate(file.fileno(), mmap.PAGESIZE)
            if not shutil.disk_usage(folder).free:
                return True  # it cannot be tried; assume what keeps the process alive
            with mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
                mapped[0]
            return os.fstat(file.fileno()).st_blocks > 0
        except OSError:
            return True


def _iter_files_with_holes(generation: Path, *, every: bool) -> Iterator[tuple[Path, int]]:
    """Yield each file with holes and the bytes that they lack; files that are never written again only with `every`."""
    for path in generation.rglob("*"):
        facts = path.lstat()
        hole = facts.st_size - facts.st_blocks * 512
        if hole > 0 and path.is_file() and (every or not is_written_once(generation, path)):
            yield path, hole


def _allocate_file(path: Path) -> None:
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise StorageFullError("The disk of the vector index is full.") from error
