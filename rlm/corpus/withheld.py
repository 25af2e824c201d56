"""Detects which documents of a corpus were hidden from its principal after the corpus was opened."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from rlm.requests import AnswerScope

# Maximum delay after which long-running work, which reads many spans, notices a changed permission. Each tool call
# checks permissions immediately.
RECHECK_SECONDS = 0.25


class DocumentAccess(Protocol):
    """Catalog queries for the documents hidden from given readers."""

    def load_corpus_version(self, tenant_id: str) -> int: ...

    def list_hidden_documents(self, tenant_id: str, readers: frozenset[str]) -> Collection[str]:
        """Return the documents that these readers are not allowed to see."""


class WithheldSource(Protocol):
    """Returns the ids of documents that may no longer be read."""

    def __call__(self, *, at_once: bool = False) -> Collection[str]: ...


class WithheldDocuments:
    """The documents that are hidden from a scope's readers.

    The query is repeated when the tenant's documents have changed.
    """

    def __init__(
        self, access: DocumentAccess, scope: AnswerScope, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._access = access
        self._tenant_id = scope.tenant_id
        self._readers = scope.readers or frozenset()
        self._clock = clock
        self._lock = threading.Lock()
        self._version = -1
        self._looked = float("-inf")
        self._closed: frozenset[str] = frozenset()

    def __call__(self, *, at_once: bool = False) -> Collection[str]:
        if at_once or self._clock() - self._looked >= RECHECK_SECONDS:
            with self._lock:
                version = self._access.load_corpus_version(self._tenant_id)
                if version != self._version:
                    self._closed = frozenset(self._access.list_hidden_documents(self._tenant_id, self._readers))
                    self._version = version
                self._looked = self._clock()
        return self._closed


def withhold_nothing(*, at_once: bool = False) -> Collection[str]:
    """Return an empty collection, for a principal that may see every document."""
    return ()
