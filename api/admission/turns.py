"""Concurrency limits with fair shares: how many requests run at once, and which tenant is served next."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from ingest.storage.counts import format_count
from ingest.storage.errors import LeadlineError

# Time after its last request for which a tenant counts as active. While a tenant is active, other tenants leave its
# share of the slots free.
_ACTIVE_SECONDS = 5.0
# Weight of the newest slot in the average time that a tenant holds one: about the last ten slots count.
_NEWEST_WEIGHT = 0.1


class TenantSlots:
    """Hands out slots to tenants, within one event loop.

    A single tenant may hold three quarters of the slots, so that a slot is free for another tenant's first request. If
    several tenants are active, each has an equal share. Further requests wait until it is their tenant's turn. Each
    tenant may have at most `max_waiting` such requests, and each of them waits for at most `max_wait_seconds`. A
    request that is likely to wait longer is refused at once, judged by how long its tenant holds slots and by how many
    of its requests wait already: a late refusal costs the caller the wait, and lengthens that of the requests behind.
    `build_error` builds the error for requests that get no slot.
    """

    def __init__(
        self,
        slots: int,
        *,
        build_error: Callable[[str], LeadlineError],
        max_waiting: int = 0,
        max_wait_seconds: float = 0.0,
        max_slots_per_tenant: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the limits.

        `max_slots_per_tenant` is the maximum number of slots for one tenant, by default three quarters.
        """
        self._slots = slots
        # guard: tenant-share-of-places
        self._share = max(1, slots - slots // 4) if max_slots_per_tenant is None else min(max_slots_per_tenant, slots)
        self._refuse = build_error
        self._waiting_each = max_waiting
        self._wait_seconds = max_wait_seconds
        self._clock = clock
        self._taken: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._seen: dict[str, float] = {}
        self._usual_seconds: dict[str, float] = {}  # how long an active tenant holds a slot, on average

    async def acquire(self, tenant_id: str) -> "Slot":
        """Wait for a slot.

        Raises the error built by `build_error` if too many are waiting, or the wait takes or would take too long.
        """
        self._seen[tenant_id] = self._clock()
        if tenant_id not in self._queues and self._has_free_slot(tenant_id):
            self._taken[tenant_id] += 1
            return Slot(self, tenant_id, self._clock())
        waiting = len(self._queues.get(tenant_id, ()))
        # guard: refuse-hopeless-waits
        if waiting >= self._waiting_each or self._estimate_wait_seconds(tenant_id, waiting) > self._wait_seconds:
            raise self._refuse(
                f"This tenant already has {format_count(self._taken[tenant_id], 'request')} in progress, and "
                f"{waiting:,} waiting."
            )
        queue = self._queues.setdefault(tenant_id, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            self._cancel_waiter(tenant_id, turn)
            if isinstance(error, TimeoutError):
                raise self._refuse(
                    f"No slot became free within {format_count(self._wait_seconds, 'second')}."
                ) from error
            raise
        return Slot(self, tenant_id, self._clock())

    def record_held_seconds(self, tenant_id: str, since: float) -> None:
        """Add a slot that has been held `since` then to its tenant's average."""
        seconds = self._clock() - since
        usual = self._usual_seconds.get(tenant_id, seconds)
        self._usual_seconds[tenant_id] = usual + _NEWEST_WEIGHT * (seconds - usual)

    def release_slot(self, tenant_id: str) -> None:
        """Release a slot of `tenant_id` and hand it to the next waiting request."""
        self._taken[tenant_id] -= 1
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]
        self._serve_waiting_requests()

    def _has_free_slot(self, tenant_id: str) -> bool:
        taken = self._taken[tenant_id]
        return self._taken.total() < self._slots and taken < min(self._share, self._compute_fair_share())

    def _estimate_wait_seconds(self, tenant_id: str, waiting: int) -> float:
        """Return how long a request behind `waiting` others of its tenant is likely to wait: 0 if nothing is known."""
        slots = min(self._share, self._compute_fair_share())
        return (waiting + 1) * self._usual_seconds.get(tenant_id, 0.0) / slots

    def _compute_fair_share(self) -> int:
        since = self._clock() - _ACTIVE_SECONDS
        for tenant in [each for each, seen in self._seen.items() if seen < since]:
            if not self._taken[tenant] and tenant not in self._queues:
                del self._seen[tenant]
                self._usual_seconds.pop(tenant, None)
        return -(-self._slots // max(1, len(self._seen)))

    def _serve_waiting_requests(self) -> None:
        """Hand free slots to waiting tenants in round-robin order."""
        while waiting := next((tenant for tenant in self._queues if self._has_free_slot(tenant)), None):
            turn = self._queues[waiting].popleft()
            if not turn.cancelled():  # A cancelled request removes itself from the queue.
                self._taken[waiting] += 1
                turn.set_result(None)
                self._queues.move_to_end(waiting)
            self._remove_empty_queue(waiting)

    def _cancel_waiter(self, tenant_id: str, waiter: asyncio.Future[None]) -> None:
        if not waiter.cancelled():
            self.release_slot(tenant_id)  # The slot was handed over just as the request was cancelled.
        elif waiter in self._queues.get(tenant_id, ()):
            self._queues[tenant_id].remove(waiter)
            self._remove_empty_queue(tenant_id)

    def _remove_empty_queue(self, tenant_id: str) -> None:
        if tenant_id in self._queues and not self._queues[tenant_id]:
            del self._queues[tenant_id]


class Slot:
    """A slot that is held until it is released or exchanged for another kind."""

    def __init__(self, tenant_slots: TenantSlots, tenant_id: str, since: float) -> None:
        self._turns: TenantSlots | None = tenant_slots
        self._tenant_id = tenant_id
        self._since = since

    def release(self) -> None:
        """Release the slot. Calling it again does nothing."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.record_held_seconds(self._tenant_id, self._since)
            turns.release_slot(self._tenant_id)

    async def move_to(self, tenant_slots: TenantSlots) -> None:
        """Exchange this slot for one from `tenant_slots`, which hands out slots of another kind, such as stream slots.

        Raises the error built by `tenant_slots` if no slot can be acquired.
        """
        self.release()
        moved = await tenant_slots.acquire(self._tenant_id)
        self._turns, self._since = tenant_slots, moved._since
