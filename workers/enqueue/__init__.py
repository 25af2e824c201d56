"""Notifies workers of new work in the catalog. The API may import no other module of `workers`.

A notification carries no information that is not in the catalog's rows. If a notification is lost, its job is only
delayed until the next sweep.
"""

import threading
from typing import Protocol

from ingest.storage.queue.records import JobKind


class WorkNotifier(Protocol):
    """Notifies workers of new work of a kind.

    Sending a notification never blocks and never fails, because the work is already recorded in the catalog.
    """

    def notify(self, kind: JobKind) -> None: ...

    def close(self) -> None:
        """Stop sending notifications, after a short wait for pending ones to be sent."""


class ThreadNotifier:
    """Wakes the threads of this process. Each thread has its own event, so that a notification wakes all of them.

    A notification wakes only threads that wait for its kind of work. Otherwise, during a thousand small uploads, the
    other threads would query the catalog a thousand times for work of kinds `collect` and `run`.
    """

    def __init__(self) -> None:
        self._bells: list[tuple[JobKind, threading.Event]] = []

    def create_event(self, kind: JobKind) -> threading.Event:
        """Create an event that is set whenever there may be work of this kind."""
        bell = threading.Event()
        self._bells.append((kind, bell))
        return bell

    def notify(self, kind: JobKind) -> None:
        for of, bell in self._bells:
            if of is kind:
                bell.set()

    def notify_all(self) -> None:
        for _, bell in self._bells:
            bell.set()

    def close(self) -> None:
        self.notify_all()
