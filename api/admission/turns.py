"""Turns of tenants: how many requests are worked on at once, and whose is next."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from ingest.storage.errors import LeadlineError

# A tenant counts as active for so long after its last request, so that others keep away from its share.
_ACTIVE_SECONDS = 5.0


class TenantSlots:
    """Gives places to tenants, for use in one event loop.

    A tenant alone may have three quarters of the places, so that another's first request finds one; of several active
    ones each has an equal part. Who finds none waits for its tenant's turn, for at most `wait_seconds`, and at most
    `waiting` requests of a tenant wait. Refusals are made by `refuse`.
    """

    def __init__(
        self,
        places: int,
        *,
        refuse: Callable[[str], LeadlineError],
        waiting: int = 0,
        wait_seconds: float = 0.0,
        share: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`share` is what a tenant may have at most; three quarters of the places if not given."""
        self._places = places
        # guard: tenant-share-of-places
        self._share = max(1, places - places // 4) if share is None else min(share, places)
        self._refuse = refuse
        self._waiting_each = waiting
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._taken: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._seen: dict[str, float] = {}

    async def acquire(self, tenant_id: str) -> "Slot":
        """Wait for a place. Raises what `refuse` makes when there are too many before, or it takes too long."""
        self._seen[tenant_id] = self._clock()
        if tenant_id not in self._queues and self._has_room(tenant_id):
            self._taken[tenant_id] += 1
            return Slot(self, tenant_id)
        queue = self._queues.setdefault(tenant_id, deque())
        if len(queue) >= self._waiting_each:
            self._remove_empty_queue(tenant_id)
            raise self._refuse(f"{self._taken[tenant_id]:,} requests of this tenant are being worked on already.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            self._abandon_turn(tenant_id, turn)
            if isinstance(error, TimeoutError):
                raise self._refuse(f"No turn came in {self._wait_seconds:g} seconds.") from error
            raise
        return Slot(self, tenant_id)

    def release_slot(self, tenant_id: str) -> None:
        """Give a place back, to whoever's turn it is."""
        self._taken[tenant_id] -= 1
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]
        self._serve_waiting()

    def _has_room(self, tenant_id: str) -> bool:
        taken = self._taken[tenant_id]
        return self._taken.total() < self._places and taken < min(self._share, self._compute_fair_share())

    def _compute_fair_share(self) -> int:
        since = self._clock() - _ACTIVE_SECONDS
        for tenant in [each for each, seen in self._seen.items() if seen < since]:
            if not self._taken[tenant] and tenant not in self._queues:
                del self._seen[tenant]
        return -(-self._places // max(1, len(self._seen)))

    def _serve_waiting(self) -> None:
        """Give free places to waiting tenants, each in its turn."""
        while waiting := next((tenant for tenant in self._queues if self._has_room(tenant)), None):
            turn = self._queues[waiting].popleft()
            if not turn.cancelled():  # else it gives up just now
                self._taken[waiting] += 1
                turn.set_result(None)
                self._queues.move_to_end(waiting)
            self._remove_empty_queue(waiting)

    def _abandon_turn(self, tenant_id: str, turn: asyncio.Future[None]) -> None:
        if not turn.cancelled():
            self.release_slot(tenant_id)  # its turn came as it gave up
        elif turn in self._queues.get(tenant_id, ()):
            self._queues[tenant_id].remove(turn)
            self._remove_empty_queue(tenant_id)

    def _remove_empty_queue(self, tenant_id: str) -> None:
        if tenant_id in self._queues and not self._queues[tenant_id]:
            del self._queues[tenant_id]


class Slot:
    """A place that is taken, until it is left or traded for one elsewhere."""

    def __init__(self, turns: TenantSlots, tenant_id: str) -> None:
        self._turns: TenantSlots | None = turns
        self._tenant_id = tenant_id

    def release(self) -> None:
        """Give the place back; again does nothing."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.release_slot(self._tenant_id)

    async def move_to(self, turns: TenantSlots) -> None:
        """Leave this place for one among others, such as those of streams. Raises what `turns` refuses with."""
        self.release()
        await turns.acquire(self._tenant_id)
        self._turns = turns
