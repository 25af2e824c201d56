"""The doorbell that tells workers of new work in the catalog; the only module of `workers` that the API may import.

A ring carries no information that the rows lack; a lost ring costs a delay until the next sweep, and no job.
"""

import threading
from typing import Protocol

from ingest.storage.queue.records import JobKind


class Doorbell(Protocol):
    """Announces work of a kind. It never blocks and never fails, because the work is in the catalog already."""

    def ring(self, kind: JobKind) -> None: ...

    def close(self) -> None:
        """Give rings that are on their way a moment to arrive."""


class ThreadDoorbell:
    """Wakes the threads of this process; each has a bell of its own, so that a ring wakes all of them.

    A ring wakes only threads that wait for its kind: otherwise a thousand small uploads would make others query the
    catalog a thousand times for collections and runs.
    """

    def __init__(self) -> None:
        self._bells: list[tuple[JobKind, threading.Event]] = []

    def create_bell(self, kind: JobKind) -> threading.Event:
        """Return a new bell, set whenever there may be work of the kind."""
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
