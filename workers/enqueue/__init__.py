"""The doorbell that tells workers of new work in the catalog; the only module of `workers` that the API may import.

A ring carries no information beyond the catalog's rows. A lost ring delays a job until the next sweep but loses
nothing.
"""

import threading
from typing import Protocol

from ingest.storage.queue.records import JobKind


class Doorbell(Protocol):
    """Announces work of a kind. It never blocks and never fails, because the work is in the catalog already."""

    def ring(self, kind: JobKind) -> None: ...

    def close(self) -> None:
        """Give rings in flight a moment to arrive."""


class ThreadDoorbell:
    """Wakes the threads of this process. Each thread has its own bell, so that a ring wakes all of them.

    A ring wakes only threads that wait for its kind. Otherwise a thousand small uploads would make the other threads
    query the catalog a thousand times for collections and runs.
    """

    def __init__(self) -> None:
        self._bells: list[tuple[JobKind, threading.Event]] = []

    def create_bell(self, kind: JobKind) -> threading.Event:
        """Create a bell that is set whenever there may be work of the kind."""
        bell = threading.Event()
        self._bells.append((kind, bell))
        return bell

    def ring(self, kind: JobKind) -> None:
        for of, bell in self._bells:
            if of is kind:
                bell.set()

    def ring_all(self) -> None:
        for _, bell in self._bells:
            bell.set()

    def close(self) -> None:
        self.ring_all()
