"""The feed: says that something about a document changed, to whoever watches. What changed is in the catalog.

An announcement carries nothing else, and may be lost: who watches looks again by themselves every few seconds. So the
feed needs no history, and emptying the server that carries it loses no progress.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

# A tenant, and ids of its documents; None stands for all that it has, as when a batch was cancelled.
Announce = Callable[[str, Collection[str] | None], None]
Wake = Callable[[], None]


def to_nobody(tenant_id: str, documents: Collection[str] | None) -> None:
    """An `Announce` for where nobody can be watching."""


class Feed(Protocol):
    """Announcements, within one process or between many."""

    def announce(self, tenant_id: str, documents: Collection[str] | None) -> None:
        """Never waits and never fails: what changed is committed already."""

    def watch(self, tenant_id: str, document_id: str | None, wake: Wake) -> AbstractContextManager[None]:
        """Until the block ends, `wake` is called after changes of a tenant's document, or of any of them (None).

        It may be called in any thread and for nothing, must not wait, and must not raise.
        """

    def close(self) -> None: ...


class LocalFeed:
    """Within one process: whoever announces wakes the watchers."""

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
                self._forget(tenant_id, document_id, wake)

    def watched(self) -> list[str]:
        """Tenants of which somebody watches something."""
        with self._lock:
            return list(self._watchers)

    def close(self) -> None:
        """Nothing to close."""

    def _forget(self, tenant_id: str, document_id: str | None, wake: Wake) -> None:
        of_tenant = self._watchers[tenant_id]
        of_tenant[document_id].remove(wake)
        if not of_tenant[document_id]:
            del of_tenant[document_id]
        if not of_tenant:
            del self._watchers[tenant_id]
