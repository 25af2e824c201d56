"""Provide disk space for a shard's mapped files.

The engine reserves its files as holes, maps them, and reads and writes them as memory. If the disk has no space for a
page of a hole that is accessed, the kernel kills the process with SIGBUS, which Python code cannot handle. Therefore,
the holes that may be accessed are allocated in advance: about 250 MB per shard. On most file systems, only a write to a
hole needs space. On tmpfs, a read does too, and the engine reads every file when it opens a shard. The pages that were
only read count as allocated there, but the kernel may free them again, so all files are allocated on tmpfs.
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


class ShardDiskSpace(Protocol):
    """Provides the disk space that a shard's files need."""

    def require_free_space(self) -> None:
        """Raise `StorageFullError` if the disk is too full to add points."""

    def allocate_files(self, generation: Path) -> None:
        """Allocate the holes in a shard's files. Raises `StorageFullError` if opening the shard would be unsafe."""


class UncheckedDiskSpace:
    """A `ShardDiskSpace` without checks, for tests and for commands that open an index only briefly."""

    def require_free_space(self) -> None:
        pass

    def allocate_files(self, generation: Path) -> None:
        pass


class AllocatedDiskSpace:
    """A `ShardDiskSpace` that allocates the holes that the engine may access, and rejects new points on a full disk."""

    def __init__(
        self,
        folder: Path,
        *,
        min_free_bytes: int,
        get_free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Check the disk that contains `folder`, the folder of the shards.

        If only writes need disk space, `min_free_bytes` are kept free.
        """
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._free_bytes = get_free_bytes
        self._reads_allocate = needs_space_to_read(folder)

    def require_free_space(self) -> None:
        free = self._free_bytes(self._folder)
        # guard: index-write-needs-room
        if free < NEEDED_BYTES:
            raise StorageFullError(f"The disk of the vector index has only {free:,} bytes free.")

    def allocate_files(self, generation: Path) -> None:
        files = list(_iter_files_to_allocate(generation, include_all=self._reads_allocate))
        needed = sum(hole for _, hole in files)
        free = self._free_bytes(self._folder)
        if not self._reads_allocate and free - needed < self._min_free_bytes:
            log.warning("index files not allocated: the disk is nearly full", needed_bytes=needed)
            return
        # guard: index-holes-need-room
        if free < needed:
            raise StorageFullError(
                f"The vector index in {generation.parent} requires {needed:,} bytes, but only {free:,} are free on "
                "its disk."
            )
        for path, _ in files:
            _allocate_file(path)


def needs_space_to_read(folder: Path) -> bool:
    """Return whether reading a mapped hole uses disk space on this file system, as it does on tmpfs."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.ftruncate(file.fileno(), mmap.PAGESIZE)
            if not shutil.disk_usage(folder).free:
                return True  # The disk is too full for this test, so assume that reading needs space.
            with mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
                mapped[0]
            return os.fstat(file.fileno()).st_blocks > 0
        except OSError:
            return True


def _iter_files_to_allocate(generation: Path, *, include_all: bool) -> Iterator[tuple[Path, int]]:
    """Yield each file to allocate, and the size of its holes in bytes.

    Unless `include_all` is true, files without holes and files that are never written again are skipped.
    """
    for path in generation.rglob("*"):
        facts = path.lstat()
        hole = max(0, facts.st_size - facts.st_blocks * 512)
        if not facts.st_size or not path.is_file():
            continue
        if include_all or (hole and not is_written_once(generation, path)):
            yield path, hole


def _allocate_file(path: Path) -> None:
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise StorageFullError("The disk of the vector index is full.") from error
