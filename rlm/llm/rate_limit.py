"""Limits concurrent requests to a model across all runs of the process, shares slots fairly, and pauses on request.

Everything in this module runs on the scheduler's event loop and needs no locks.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from enum import IntEnum
from typing import NamedTuple, TypeVar

# Number of rejected calls that a timed-out call counts as, because it has waited for minutes. After too many
# consecutive failures, calls to a model are paused. Without the pause, a run of a thousand calls would wait for each
# call in turn, and a failing server would receive several times as many requests as the requests that caused the
# failure.
_SILENT_FAILURE_WEIGHT = 12
_REST_SECONDS = 30.0

_Counted = TypeVar("_Counted", bound=Hashable)
Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]
_Turn = asyncio.Future[None]


class CallPriority(IntEnum):
    """The order in which requests get slots; the lowest value comes first.

    It applies here and on servers that support priorities.
    """

    INTERACTIVE = 0  # A client is waiting for this call.
    INTERACTIVE_BATCH = 1
    BACKGROUND = 2
    BACKGROUND_BATCH = 3
    IDLE = 4  # Nobody has asked for the result of this call.


class SlotHolder(NamedTuple):
    """A run and its tenant, which hold slots."""

    tenant_id: str
    run: Hashable


class RateLimit:
    """Slots for requests to one model.

    A free slot goes to the most urgent waiting request. Among equally urgent requests, the tenant that holds the fewest
    slots is next; in a tie, it is the tenant that has waited the longest. The run within that tenant is chosen in the
    same way. A tenant with many runs, or a run with a million calls, therefore slows others down by no more than its
    fair share.
    """

    def __init__(self, slot_count: int, *, clock: Clock, sleep: Sleep) -> None:
        self.places = slot_count
        self._clock = clock
        self._sleep = sleep
        self._held_until = 0.0
        self._failures = 0
        self._resting_until = 0.0
        self._slots_in_use = 0
        self._by_run: Counter[SlotHolder] = Counter()
        self._by_tenant: Counter[str] = Counter()
        self._lines = {priority: _WaitQueue() for priority in CallPriority}

    @property
    def slots_in_use(self) -> int:
        return self._slots_in_use

    @property
    def free_slots(self) -> int:
        """The number of further requests that would be sent at once.

        Other threads than that of the event loop may read it, so it must not iterate over what the loop changes.
        """
        if self.resting_seconds or self._held_until > self._clock():
            return 0
        return self.places - self._slots_in_use

    def count_waiting(self, priority: CallPriority) -> int:
        """Count the runs that have requests of this priority waiting for a slot."""
        return sum(map(len, self._lines[priority].tenants.values()))

    async def acquire_slot(self, holder: SlotHolder, *, priority: CallPriority = CallPriority.INTERACTIVE) -> None:
        """Wait for a slot, and for the end of any pause that the server requested."""
        line = self._lines[priority]
        turn: _Turn = asyncio.get_running_loop().create_future()
        line.add_request(holder, turn)
        self._grant_slots()
        try:
            await turn
            while (quiet := self._held_until - self._clock()) > 0:
                await self._sleep(quiet)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release_slot(holder)
            else:
                line.remove_request(holder, turn)
            raise

    def release_slot(self, holder: SlotHolder) -> None:
        """Release a slot."""
        self._slots_in_use -= 1
        _decrement_count(self._by_run, holder)
        _decrement_count(self._by_tenant, holder.tenant_id)
        self._grant_slots()

    def record_failure(self, *, is_timeout: bool) -> None:
        """Record that a request was not answered.

        `is_timeout` is true if the request timed out, and false if it was rejected.
        """
        self._failures += _SILENT_FAILURE_WEIGHT if is_timeout else 1
        if self._failures >= _SILENT_FAILURE_WEIGHT * max(2, self.places):
            self._resting_until = self._clock() + _REST_SECONDS

    def record_response(self) -> None:
        """Record that the server responded to a request, whether or not it succeeded."""
        self._failures = 0
        self._resting_until = 0.0

    @property
    def resting_seconds(self) -> float:
        """The remaining seconds of the pause that follows too many consecutive unanswered requests."""
        return max(0.0, self._resting_until - self._clock())

    def pause(self, seconds: float) -> None:
        """Send no more requests for `seconds`, because the server requested a pause."""
        self._held_until = max(self._held_until, self._clock() + seconds)

    def _grant_slots(self) -> None:
        while self.slots_in_use < self.places:
            # guard: interactive-first
            line = next((each for each in self._lines.values() if each.tenants), None)
            if line is None:
                return
            holder, turn = line.pop_next_request(self._by_tenant, self._by_run)
            if not turn.done():
                self._slots_in_use += 1
                self._by_run[holder] += 1
                self._by_tenant[holder.tenant_id] += 1
                turn.set_result(None)


class _WaitQueue:
    """Waiting requests of one priority, by tenant and run. Tenants, and runs within a tenant, take turns."""

    def __init__(self) -> None:
        self.tenants: OrderedDict[str, OrderedDict[SlotHolder, deque[_Turn]]] = OrderedDict()

    def add_request(self, holder: SlotHolder, future: _Turn) -> None:
        self.tenants.setdefault(holder.tenant_id, OrderedDict()).setdefault(holder, deque()).append(future)

    def remove_request(self, holder: SlotHolder, future: _Turn) -> None:
        """Remove a request if it is still waiting."""
        turns = self.tenants.get(holder.tenant_id, OrderedDict()).get(holder, deque())
        if future in turns:
            turns.remove(future)
            self._remove_empty_queues(holder)

    def pop_next_request(
        self, slots_by_tenant: Counter[str], slots_by_run: Counter[SlotHolder]
    ) -> tuple[SlotHolder, _Turn]:
        """Remove and return the next request.

        The parameters give the number of slots that each tenant and each run holds.
        """
        tenant_id = min(self.tenants, key=lambda each: slots_by_tenant[each])
        runs = self.tenants[tenant_id]
        holder = min(runs, key=lambda each: slots_by_run[each])
        turn = runs[holder].popleft()
        # guard: tenant-turns
        self.tenants.move_to_end(tenant_id)
        runs.move_to_end(holder)
        self._remove_empty_queues(holder)
        return holder, turn

    def _remove_empty_queues(self, holder: SlotHolder) -> None:
        runs = self.tenants[holder.tenant_id]
        if not runs[holder]:
            del runs[holder]
        if not runs:
            del self.tenants[holder.tenant_id]


def _decrement_count(counts: Counter[_Counted], key: _Counted) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
