"""The current shard of the index, which a compacted clone can replace while it is in use.

All searches and writes go through this class. A compaction clones the shard, compacts the clone in another process, and
keeps a journal of the writes made in the meantime. Then it replays the journal on the clone and makes the clone the
current generation. A crash loses nothing, because the old shard has every write before the swap, and the new shard has
every write after it.
"""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdrant_edge import EdgeShard

from retrieval.errors import IndexUnavailableError
from retrieval.index.edge.edge_shard import (
    convert_engine_error,
    count_unsealed_points,
    create_shard,
    open_shard,
    translate_engine_errors,
)
from retrieval.index.edge.resident_memory import release_freed_memory, unmap_pages
from retrieval.index.edge.shard_folder import ShardFolder, clone_shard, compute_shard_size
from retrieval.index.edge.shard_room import ShardDiskSpace, UncheckedDiskSpace

# A callback that receives the name of each compaction step. Tests use such a callback to kill the process at each step.
Observer = Callable[[str], None]
_UNCHECKED_DISK_SPACE = UncheckedDiskSpace()
# Number of points written between two allocations. The engine's files grow by 32 MB, and a point of 3,072 dimensions
# takes 12 KB, so a new file is allocated long before it is full.
_POINTS_BETWEEN_ALLOCATIONS = 1_000


@dataclass
class _ShardGeneration:
    folder: Path
    shard: EdgeShard
    readers: int = 0


@dataclass
class _Journal:
    """The writes since a compaction started, in order.

    Failed writes are included, because they may have been partly applied. They fail again in the same way when they are
    replayed.
    """

    entries: list[tuple[Any, bool]] = field(default_factory=list)
    points: int = 0


class LiveShard:
    """The current shard. Any number of threads may read it concurrently; writers wait for each other."""

    def __init__(
        self,
        folder: Path,
        dimension: int,
        *,
        journal_points: int,
        observer: Observer,
        disk_space: ShardDiskSpace = _UNCHECKED_DISK_SPACE,
    ) -> None:
        """Open the shard, or create it. A journal contains at most about `journal_points` points.

        Raises `IndexUnavailableError` if the shard cannot be opened, and `StorageFullError` if there is too little disk
        space to open it.
        """
        self._dimension = dimension
        self._room = disk_space
        self._unallocated = 0
        self._journal_points = journal_points
        self._observe = observer
        self._root = folder
        # This condition allows one writer at a time, as the engine requires, and is notified when a journal ends. Lock
        # order: `_writing` before `_readers`.
        self._writing = threading.Condition()
        self._readers = threading.Condition()
        self._journal: _Journal | None = None
        self._folder = ShardFolder(folder)
        try:
            self._current = self._open_current_generation()
            self._unsealed = count_unsealed_points(self._current.shard)
        except BaseException:
            self._folder.close()
            raise

    @contextmanager
    def use_shard(self) -> Iterator[EdgeShard]:
        """Provide the shard, and keep it open until the block exits.

        The engine's errors are converted to this package's errors.
        """
        with self._readers:
            generation = self._current
            generation.readers += 1
        try:
            yield generation.shard
        except Exception as error:
            raise convert_engine_error(error) from error
        finally:
            with self._readers:
                generation.readers -= 1
                if not generation.readers:
                    self._readers.notify_all()

    def add_points(self, operation: Any, *, point_count: int) -> None:  # noqa: ANN401 - the engine's own operation type
        """Apply an operation that adds points or vectors. Raises `StorageFullError` if the disk is nearly full."""
        self._room.require_free_space()
        with self._writing:
            self._unallocated += point_count
            if self._unallocated >= _POINTS_BETWEEN_ALLOCATIONS:
                self._room.allocate_files(self._current.folder)
                self._unallocated = 0
        self.apply_operation(operation, point_count=point_count)

    def apply_operation(self, operation: Any, *, point_count: int) -> None:  # noqa: ANN401 - the engine's own operation type
        """Apply an operation that affects about `point_count` points.

        If the journal is full, wait for the compaction to end, so that fast writers cannot exhaust the memory.
        """
        with self._writing:
            self._writing.wait_for(lambda: self._journal is None or self._journal.points < self._journal_points)
            done = False
            try:
                with translate_engine_errors():
                    self._current.shard.update(operation)
                done = True
            finally:
                self._unsealed += point_count
                if self._journal is not None:
                    self._journal.entries.append((operation, done))
                    self._journal.points += point_count

    @property
    def unsealed_points(self) -> int:
        """The approximate number of points written or deleted since the last compaction."""
        return self._unsealed

    def clone(self) -> Path:
        """Clone the shard for a compaction, journal all later writes, and return the clone's folder."""
        with self._writing:
            target = self._folder.build_next_path()
            try:
                with translate_engine_errors():
                    self._current.shard.flush()
                clone_shard(self._current.folder, target)
            except BaseException:
                self._folder.discard_generation(target)
                raise
            self._journal = _Journal()
        self._observe("cloned")
        return target

    def abandon_clone(self, clone: Path) -> None:
        """Cancel a compaction and discard its clone. The current shard stays in use."""
        with self._writing:
            self._journal = None
            self._writing.notify_all()
        self._folder.discard_generation(clone)
        release_freed_memory()

    def install_clone(self, clone: Path) -> None:
        """Complete a compaction: replay the journal on the clone, and replace the current shard with the clone.

        If an error is raised before the swap, the compaction is abandoned.
        """
        with ExitStack() as undo:
            undo.callback(self.abandon_clone, clone)
            self._room.allocate_files(clone)
            fresh = _ShardGeneration(clone, open_shard(clone, self._dimension))
            undo.callback(_close_shard, fresh.shard)
            self._observe("opened")
            # Replay most of the journal without blocking writers. Then replay the remaining writes while writers wait.
            for _ in range(2):
                with self._writing:
                    entries = self._pop_journal_entries()
                _replay_operations(entries, fresh.shard)
            with self._writing:
                _replay_operations(self._pop_journal_entries(), fresh.shard)
                with translate_engine_errors():
                    fresh.shard.flush()
                self._observe("replayed")
                self._folder.set_current_generation(clone)
                undo.pop_all()
                old = self._replace_generation(fresh)
                self._observe("swapped")
                self._folder.sync_folder()
        self._retire_generation(old)

    def compute_disk_size(self) -> int:
        """Return the shard's size on disk. A compaction temporarily needs about as much again."""
        return compute_shard_size(self._current.folder)

    def get_free_disk_space(self) -> int:
        return shutil.disk_usage(self._root).free

    def unmap_pages(self) -> None:
        """Release the mapped pages. Meanwhile, no other thread may swap or close the shard."""
        with self._writing:
            unmap_pages(self._root)

    def flush(self) -> None:
        with self._writing, translate_engine_errors():
            self._current.shard.flush()

    def close(self) -> None:
        """Flush the shard, wait for readers to finish, and release the folder."""
        with self._writing:
            self._wait_for_readers(self._current)
            try:
                with translate_engine_errors():
                    self._current.shard.flush()
                    self._current.shard.close()
            finally:
                self._folder.close()

    def _open_current_generation(self) -> _ShardGeneration:
        if self._folder.current is not None:
            self._room.allocate_files(self._folder.current)
            return _ShardGeneration(self._folder.current, open_shard(self._folder.current, self._dimension))
        self._room.require_free_space()
        first = self._folder.build_next_path()
        shard = create_shard(first, self._dimension)
        self._room.allocate_files(first)
        self._folder.set_current_generation(first)
        self._folder.sync_folder()
        return _ShardGeneration(first, shard)

    def _pop_journal_entries(self) -> list[tuple[Any, bool]]:
        assert self._journal is not None
        entries, self._journal.entries = self._journal.entries, []
        return entries

    def _replace_generation(self, new_generation: _ShardGeneration) -> _ShardGeneration:
        assert self._journal is not None
        self._unsealed, self._journal = self._journal.points, None
        self._writing.notify_all()
        with self._readers:
            old, self._current = self._current, new_generation
        return old

    def _retire_generation(self, generation: _ShardGeneration) -> None:
        self._wait_for_readers(generation)
        with translate_engine_errors():
            generation.shard.close()
        self._folder.discard_generation(generation.folder)
        release_freed_memory()
        self._observe("retired")

    def _wait_for_readers(self, generation: _ShardGeneration) -> None:
        with self._readers:
            self._readers.wait_for(lambda: not generation.readers)


def _replay_operations(entries: Sequence[tuple[Any, bool]], shard: EdgeShard) -> None:
    for operation, done in entries:
        with nullcontext() if done else suppress(IndexUnavailableError), translate_engine_errors():
            shard.update(operation)


def _close_shard(shard: EdgeShard) -> None:
    with suppress(IndexUnavailableError), translate_engine_errors():
        shard.close()
