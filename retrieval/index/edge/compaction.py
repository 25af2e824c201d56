"""Maintain an open index: compact it after a number of writes, and limit its resident memory."""

import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from ingest.storage.errors import LeadlineError
from retrieval.errors import IndexUnavailableError
from retrieval.index.edge.live_shard import LiveShard, Observer
from retrieval.index.edge.resident_memory import get_mapped_size

_IDLE_SECONDS = 5.0
_POLL_SECONDS = 0.2
# Number of reads and writes between two checks. A search over a million chunks maps up to 15 MB of pages, so up to 120
# MB are mapped between two checks.
_CALLS_BETWEEN_CHECKS = 8
_SPARE_DISK_BYTES = 256 * 1024**2
_INHERITED_VARIABLES = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MaintenancePolicy:
    """Limits that determine when to compact an index, and how much of it stays mapped in memory.

    20,000 unsealed points take 25 to 45 MB of memory, and searching them takes 1.3 ms. Compacting them in an index of a
    million points takes 15 s of CPU time, a twentieth of the time for encoding them.
    """

    unsealed_points: int = 20_000
    # Maximum number of points written during a compaction. These points are also stored in memory, at 1.5 KB each. If
    # there are more, writers wait until the compaction ends.
    journal_points: int = 50_000
    mapped_bytes: int = 512 * 1024**2
    # A compaction that takes longer than this is abandoned. After a failed or abandoned compaction, the next one starts
    # after `retry_seconds` at the earliest.
    longest_seconds: float = 1_800.0
    retry_seconds: float = 60.0


DEFAULT_POLICY = MaintenancePolicy()


class IndexMaintenance:
    """A background thread that maintains a shard. `close` stops the thread within a second."""

    def __init__(
        self,
        shard: LiveShard,
        dimension: int,
        policy: MaintenancePolicy,
        observer: Observer = lambda _: None,
        *,
        command: tuple[str, ...] = (sys.executable, "-m", "retrieval.index.edge.compaction_child"),
    ) -> None:
        self._shard = shard
        self._dimension = dimension
        self._policy = policy
        self._observe = observer
        self._command = command
        self._calls = 0
        self._not_before = 0.0
        self._look = threading.Event()
        self._closing = threading.Event()
        # A thread holds this lock while it opens or closes the shard's files, or unmaps their pages, because these
        # actions must not happen at the same time.
        self._busy = threading.RLock()
        self._thread = threading.Thread(target=self._run_maintenance, name="index-upkeep", daemon=True)
        self._thread.start()

    def record_call(self) -> None:
        """Count a read or write, and wake the maintenance thread after every few calls."""
        self._calls += 1  # No lock is needed, because a lost count only delays the next check.
        if self._calls % _CALLS_BETWEEN_CHECKS == 0:
            self._look.set()

    def compact(self) -> bool:
        """Compact now, and wait until the compaction ends. Return False if it was abandoned.

        Raises `IndexUnavailableError` if the engine fails, and `OSError` for disk errors. The shard stays usable.
        """
        with self._busy:
            if self._closing.is_set() or not self._has_free_space():
                return False
            started, points = time.monotonic(), self._shard.unsealed_points
            clone = self._shard.clone()
            with CompactionProcess(self._command, clone, self._dimension) as child:
                if not self._wait_for_child(clone, child):
                    return False
                self._observe("compacted")
                self._shard.install_clone(clone)
            log.info("index compacted", points=points, seconds=round(time.monotonic() - started, 1))
            return True

    def close(self) -> None:
        self._closing.set()
        self._look.set()
        self._thread.join()
        with self._busy:  # If another thread has started a compaction, this waits for that compaction to end.
            pass

    def _run_maintenance(self) -> None:
        while not self._closing.is_set():
            self._look.wait(_IDLE_SECONDS)
            self._look.clear()
            self._unmap_pages()
            if self._shard.unsealed_points >= self._policy.unsealed_points and time.monotonic() >= self._not_before:
                self._try_compact()

    def _try_compact(self) -> None:
        try:
            if self.compact():
                return
        except (LeadlineError, OSError) as error:
            log.warning("index not compacted", error=str(error))
        self._not_before = time.monotonic() + self._policy.retry_seconds

    def _wait_for_child(self, clone: Path, child: "CompactionProcess") -> bool:
        """Wait for the child process, and return False if the compaction was abandoned.

        The clone is deleted unless the compaction is complete.
        """
        done = False
        deadline = time.monotonic() + self._policy.longest_seconds
        try:
            while not (done := child.wait_until_done(_POLL_SECONDS)) and not self._closing.is_set():
                if time.monotonic() > deadline:
                    log.warning("compaction abandoned: it took too long", seconds=self._policy.longest_seconds)
                    break
                self._unmap_pages()
        finally:
            if not done:
                child.kill()
                self._shard.abandon_clone(clone)
        return done

    def _unmap_pages(self) -> None:
        if get_mapped_size() > self._policy.mapped_bytes:
            with self._busy:
                self._shard.unmap_pages()

    def _has_free_space(self) -> bool:
        needed, free = self._shard.compute_disk_size() + _SPARE_DISK_BYTES, self._shard.get_free_disk_space()
        if free < needed:
            log.warning("index not compacted: the disk is nearly full", needed_bytes=needed, free_bytes=free)
        return free >= needed


class CompactionProcess:
    """The child process that compacts a shard. It is killed when the block exits or this process ends."""

    def __init__(self, command: tuple[str, ...], folder: Path, dimension: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `kill` closes it
        environment = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
        self._process = subprocess.Popen(
            [*command, str(folder), str(dimension), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )

    def wait_until_done(self, timeout_seconds: float) -> bool:
        """Wait at most `timeout_seconds`, and return whether the compaction is done.

        Raises `IndexUnavailableError` if the child failed.
        """
        assert self._process.stdout is not None
        readable = select.poll()
        readable.register(self._process.stdout, select.POLLIN)
        if not readable.poll(timeout_seconds * 1000):
            return False
        if self._process.stdout.readline() == b"done\n":
            return True
        status = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        raise IndexUnavailableError(f"The compaction process exited with status {status}. {said[:500]}".strip())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
