"""Kills a session's worker when its run is cancelled while code runs that asks its host for nothing."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rlm.cancelling import not_cancelled

_LOOK_SECONDS = 0.1


class WorkerKiller:
    """Holds the worker by a file descriptor, so that no other process can be met that has its number later."""

    def __init__(self, pid: int | None) -> None:
        self._pidfd = os.pidfd_open(pid) if pid is not None else None
        self._lock = threading.Lock()  # a descriptor that was closed may be another worker's

    @contextmanager
    def watching(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Looks every tenth of a second while the block runs."""
        if cancelled is not_cancelled or self._pidfd is None:
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done, cancelled), name="sandbox-cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def close(self) -> None:
        with self._lock:
            if self._pidfd is not None:
                os.close(self._pidfd)
            self._pidfd = None

    def _watch(self, done: threading.Event, cancelled: Callable[[], bool]) -> None:
        while not done.wait(_LOOK_SECONDS):
            if cancelled():
                with self._lock, suppress(OSError):
                    if self._pidfd is not None:
                        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                return
