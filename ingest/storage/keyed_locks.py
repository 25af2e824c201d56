"""Locks by key, so that of concurrent readers of the same content only the first fetches it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class KeyedLocks:
    """One lock for each key that is in use. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._in_use: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Hold the lock of a key, which is not reentrant, until the block ends."""
        with self._guard:
            lock, users = self._in_use.get(key) or (threading.Lock(), 0)
            self._in_use[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                _, users = self._in_use[key]
                if users == 1:
                    del self._in_use[key]
                else:
                    self._in_use[key] = (lock, users - 1)

    def __len__(self) -> int:
        return len(self._in_use)
