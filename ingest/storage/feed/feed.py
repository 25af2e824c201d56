"""The change feed notifies watchers that a document has changed. The change itself is in the catalog.

Announcements may be lost, because watchers also poll every few seconds. Therefore the feed needs no history, and no
data is lost if the data on its server is lost.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

# Function called with a tenant and the ids of changed documents. If the ids are None, any document may have changed,
# for example because a batch was cancelled.
Announce = Callable[[str, Collection[str] | None], None]
Wake = Callable[[], None]


def announce_to_nobody(tenant_id: str, documents: Collection[str] | None) -> None:
    """Ignore the announcement. Used by programs without watchers."""


class Feed(Protocol):
    """A feed of change announcements, within one process or between processes."""

    def announce(self, tenant_id: str, documents: Collection[str] | None) -> None:
        """Notify the watchers. This never blocks and never fails, because the change has already been committed."""

    def watch(self, tenant_id: str, document_id: str | None, wake: Wake) -> AbstractContextManager[None]:
        """Call `wake` after each change to the document, until the block ends.

        If `document_id` is None, changes to any document of the tenant count. `wake` may be called in any thread, and
        also if nothing has changed. It must not block or raise.
        """

    def close(self) -> None: ...


class LocalFeed:
    """A feed that works within one process."""

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
        """List the tenants that have watchers."""
        with self._lock:
            return list(self._watchers)

    def close(self) -> None:
        """Do nothing, because there is nothing to close."""

    def _remove_watcher(self, tenant_id: str, document_id: str | None, wake: Wake) -> None:
        of_tenant = self._watchers[tenant_id]
        of_tenant[document_id].remove(wake)
        if not of_tenant[document_id]:
            del of_tenant[document_id]
        if not of_tenant:
            del self._watchers[tenant_id]
