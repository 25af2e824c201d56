"""The feed tells watchers that a document changed; the change itself is in the catalog.

An announcement may be lost, because watchers look by themselves every few seconds. So the feed needs no history, and
emptying the server that carries it loses nothing.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

# Takes a tenant and ids of its documents; None stands for all of them, as when a batch was cancelled.
Announce = Callable[[str, Collection[str] | None], None]
Wake = Callable[[], None]


def announce_to_nobody(tenant_id: str, documents: Collection[str] | None) -> None:
    """An `Announce` that does nothing, for where nobody can be watching."""


class Feed(Protocol):
    """Announcements, within one process or between many."""

    def announce(self, tenant_id: str, documents: Collection[str] | None) -> None:
        """Tell the watchers; never waits and never fails, because the change is committed already."""

    def watch(self, tenant_id: str, document_id: str | None, wake: Wake) -> AbstractContextManager[None]:
        """Call `wake` after changes of a tenant's document, or of any document (None), until the block ends.

        `wake` may be called in any thread and without a change; it must not wait, and must not raise.
        """

    def close(self) -> None: ...


class LocalFeed:
    """A feed within one process: announcing wakes the watchers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[str, dict[str | None, list[Wake]]] = defaultdict(lambda: defaultdict(list))

    def announce(self, tenant_id: str, documents: Collection[str] | None) -> None:
        with self._lock:
            known = self._watchers.get(tenant_id, {})
            subjects = list(known) if documents is None else [None, *documents]
            wakes = [wake for subject in subjects for wake in known.get(subject, ())]
        for wake in wakes:
            wake()

    @contextmanager
    def watch(self, tenant_id: str, document_id: str | None, wake: Wake) -> Iterator[None]:
        with self._lock:
            self._watchers[tenant_id][document_id].append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._remove_watcher(tenant_id, document_id, wake)

    def list_watched(self) -> list[str]:
        """List the tenants that are being watched."""
        with self._lock:
            return list(self._watchers)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _remove_watcher(self, tenant_id: str, document_id: str | None, wake: Wake) -> None:
        of_tenant = self._watchers[tenant_id]
        of_tenant[document_id].remove(wake)
        if not of_tenant[document_id]:
            del of_tenant[document_id]
        if not of_tenant:
            del self._watchers[tenant_id]
