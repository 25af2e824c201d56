"""Track whether an index has a single tenant, whose word statistics are then those of the whole index."""

import threading
import time
from collections.abc import Callable, Collection, Iterable

# Intervals at which the index is checked for whether idf must be computed over one tenant's chunks, which makes a query
# up to three times as slow. The first interval applies while there is one tenant, to detect when another process first
# writes for a second tenant. The second interval applies while there are several tenants, to detect when only one
# tenant remains.
RECHECK_SECONDS = 1.0
MULTI_TENANT_RECHECK_SECONDS = 60.0


class SoleTenantTracker:
    """Remembers up to two of an index's tenants. Thread-safe."""

    def __init__(
        self,
        list_tenants: Callable[[bool], Collection[str]],
        *,
        recheck_seconds: float = RECHECK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the dependencies.

        `list_tenants` returns at least two of the index's tenants, or all of them if there are fewer. If its argument
        is true, `list_tenants` is slower, and also reports tenants whose chunks were deleted but still count in the
        engine's statistics. If only this process writes, `recheck_seconds` may be infinite.
        """
        self._look = list_tenants
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self._looking = threading.Lock()
        self._lock = threading.Lock()
        self._tenants: frozenset[str] | None = None
        self._written: frozenset[str] = frozenset()
        self._looked = 0.0

    def is_sole_tenant(self, tenant_id: str) -> bool:
        """Return whether only this tenant's chunks count in the index's word statistics."""
        if self._is_check_due() and self._looking.acquire(blocking=self._tenants is None):
            try:
                if self._is_check_due():
                    self._refresh_tenants()
            finally:
                self._looking.release()
        return self._tenants is not None and self._tenants <= {tenant_id}

    def record_tenants(self, tenant_ids: Iterable[str]) -> None:
        """Record the tenants whose chunks this process has written."""
        with self._lock:
            self._written |= frozenset(tenant_ids)
            if self._tenants is not None:
                # guard: second-tenant-noticed
                self._tenants |= self._written

    def _is_check_due(self) -> bool:
        if self._tenants is None:
            return True
        seconds = self._recheck_seconds if len(self._tenants) < 2 else MULTI_TENANT_RECHECK_SECONDS
        return self._clock() - self._looked >= seconds

    def _refresh_tenants(self) -> None:
        with self._lock:
            careful = self._tenants is None or len(self._tenants) > 1
            self._written = frozenset()
        found = frozenset(self._look(False))
        if careful and len(found) < 2:
            found = frozenset(self._look(True))
        with self._lock:
            # Add the tenants of concurrent writes, which `look` may have missed.
            self._tenants, self._looked = found | self._written, self._clock()
