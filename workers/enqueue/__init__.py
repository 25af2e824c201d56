"""The only module of the workers that the API may import: tell them that the catalog has new work.

A ring carries nothing that the rows do not say; a lost one costs a delay until the next sweep, and no job.
"""

import threading
from typing import Protocol

from ingest.documents import JobKind


class Doorbell(Protocol):
    """Says that there is work of a kind. Never blocks and never fails: what is accepted is in the catalog already."""

    def ring(self, kind: JobKind) -> None: ...

    def close(self) -> None:
        """Give rings on their way a moment to get there."""


class ThreadDoorbell:
    """Wakes the threads of this process; each has a bell of its own, so that no ring wakes only one of them.

    A ring wakes those that wait for work of its kind: a thousand small uploads would otherwise ask the catalog a
    thousand times for collections and runs.
    """

    def __init__(self) -> None:
        self._bells: list[tuple[JobKind, threading.Event]] = []

    def bell(self, kind: JobKind) -> threading.Event:
        """A new bell, set whenever there may be work of the kind."""
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
