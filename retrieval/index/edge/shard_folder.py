"""The folder of the index's shard: its generations, and a file that names the current generation.

    index/CURRENT       the name of the current generation, replaced atomically
    index/gen-000007/   that generation, which is a shard
    index/gen-000008/   a generation in progress, or left by a killed process
    index/lock          locked while the index is open

In an index that an earlier release created, `index/` itself is a shard, which is the current generation until the first
compaction.
"""

import fcntl
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from ingest.storage.blobs.store import fsync_path
from ingest.storage.folder_files import iter_file_stats
from retrieval.errors import IndexLostError, IndexUnavailableError

_CURRENT = "CURRENT"
_GENERATION = re.compile(r"gen-(\d{6})")
_UNNUMBERED_SHARD_FILES = ("edge_config.json", "segments", "temp_segments", "wal")
_COPY_BYTES = 4 * 1024 * 1024

# Files of a sealed segment that a clone can share, because the engine writes them only once (a test checks this). Other
# files of a sealed segment, such as the flags of deleted points, are modified in place.
_WRITTEN_ONCE = re.compile(
    r"matrix\.dat|quantized\.data|inverted_index\.dat|links_compressed\.bin|point_to_values\.bin|page_\d+\.dat"
)
_SEALED_SEGMENT_MARKER = Path("vector_index-bm25/inverted_index.dat")

log = structlog.get_logger(__name__)


class ShardFolder:
    """The generations in one folder, which stays locked until this object is closed."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder, and remove files left by a killed process.

        Raises `IndexUnavailableError` if the folder is locked.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = (folder / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise IndexUnavailableError(
                f"The vector index in {folder} is in use.",
                hint="Another process has this index open. Stop it, or set LEADLINE_HOME to another folder.",
            ) from error
        try:
            self.current = self._find_current_generation()
        except IndexUnavailableError:
            self._lock.close()
            raise
        for generation in folder.glob("gen-*"):
            if generation != self.current:
                self.discard_generation(generation)
        if self.current not in (None, folder):
            self.discard_generation(folder)

    def build_next_path(self) -> Path:
        """Return the path for the next generation, which does not exist yet."""
        taken = [int(match[1]) for path in self._folder.iterdir() if (match := _GENERATION.fullmatch(path.name))]
        return self._folder / f"gen-{max(taken, default=0) + 1:06d}"

    def set_current_generation(self, generation: Path) -> None:
        """Make a generation the current one. If this raises an error, the old generation stays current.

        Call `sync` to make the change durable.
        """
        temporary = self._folder / f"{_CURRENT}.new"
        with temporary.open("w") as file:
            file.write(generation.name)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / _CURRENT)
        self.current = generation

    def sync_folder(self) -> None:
        """Ensure that the change of the current generation survives a power failure.

        The previous generation must be kept until this method returns.
        """
        fsync_path(self._folder)

    def discard_generation(self, generation: Path) -> None:
        """Remove a generation's files. Files that cannot be removed now are removed at the next start."""
        if generation != self._folder:
            shutil.rmtree(generation, ignore_errors=True)
            return
        for name in _UNNUMBERED_SHARD_FILES:
            path = generation / name
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        self._lock.close()

    def _find_current_generation(self) -> Path | None:
        with suppress(FileNotFoundError):
            generation = self._folder / (self._folder / _CURRENT).read_text()
            if not generation.is_dir():
                log.error("current generation of the vector index missing", missing=str(generation))
                raise IndexLostError(
                    f"The files of the vector index are missing: {_CURRENT} names {generation.name}, which "
                    "does not exist."
                )
            return generation
        return self._folder if (self._folder / _UNNUMBERED_SHARD_FILES[0]).exists() else None


def clone_shard(source: Path, target: Path) -> None:
    """Clone a flushed shard that no thread is writing to.

    Files that are written only once are hard-linked; others are copied.
    """
    target.mkdir()
    for name in _UNNUMBERED_SHARD_FILES:
        if (source / name).is_file():
            _copy_sparse_file(source / name, target / name)
        elif name != "segments" and (source / name).is_dir():
            _copy_folder(source / name, target / name, link_files=False)
    (target / "segments").mkdir()
    for segment in (source / "segments").iterdir():
        _copy_folder(
            segment, target / "segments" / segment.name, link_files=(segment / _SEALED_SEGMENT_MARKER).exists()
        )


def is_written_once(generation: Path, path: Path) -> bool:
    """Return whether a file belongs to a sealed segment and is never written again by the engine."""
    if not _WRITTEN_ONCE.fullmatch(path.name):
        return False
    segments = generation / "segments"
    if not path.is_relative_to(segments):
        return False
    return (segments / path.relative_to(segments).parts[0] / _SEALED_SEGMENT_MARKER).exists()


def compute_shard_size(folder: Path) -> int:
    """Return the disk space in bytes used by the files in the folder, excluding holes."""
    return sum(stat.st_blocks * 512 for stat in iter_file_stats(folder))


def sync_shard(folder: Path) -> None:
    """Sync every file and every file name in the folder, so that they survive a power failure."""
    for path in (folder, *folder.rglob("*")):
        fsync_path(path)


def _copy_folder(source: Path, target: Path, *, link_files: bool) -> None:
    target.mkdir()
    for entry in os.scandir(source):
        copy = target / entry.name
        if entry.is_dir():
            _copy_folder(Path(entry.path), copy, link_files=link_files)
        elif link_files and _WRITTEN_ONCE.fullmatch(entry.name):
            os.link(entry.path, copy)
        else:
            _copy_sparse_file(Path(entry.path), copy)


def _copy_sparse_file(source: Path, target: Path) -> None:
    """Copy a file including its holes, because the engine reserves 32 MB even for files with little content."""
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        os.ftruncate(new.fileno(), size)
        end = 0
        while (start := _find_next_content(old.fileno(), end, size)) < size:
            end = _find_content_end(old.fileno(), start, size)
            while start < end:
                block = os.pread(old.fileno(), min(_COPY_BYTES, end - start), start)
                if not block:
                    raise OSError(f"{source} became shorter while it was being copied")
                os.pwrite(new.fileno(), block, start)
                start += len(block)


def _find_next_content(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # The rest of the file is a hole, without data.
        return size


def _find_content_end(descriptor: int, offset: int, size: int) -> int:
    return min(size, os.lseek(descriptor, offset, os.SEEK_HOLE))
