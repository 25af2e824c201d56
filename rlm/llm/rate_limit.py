"""Limits the requests that a model gets at once over all runs of the process: fairly, and none while it asks for quiet.

Everything here runs on the scheduler's event loop and needs no locks.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable

# After too many failures in a row a model is not asked for a while: a run of a thousand calls would otherwise wait for
# each of them in turn, and a server in trouble would get several times the requests that brought it there. A call that
# ran out of time counts like as many as are told to come again: it has waited for minutes.
_SILENCE = 12
_REST_SECONDS = 30.0

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]
_Queue = OrderedDict[Hashable, deque["asyncio.Future[None]"]]


class RateLimit:
    """Places for requests to one model.

    A free place goes to an urgent request if any waits, and among equals to the run that holds fewest, or
    waited longest; so a run with a million calls slows a small one down by no more than its share.
    """

    def __init__(self, places: int, *, clock: Clock, sleep: Sleep) -> None:
        self.places = places
        self._clock = clock
        self._sleep = sleep
        self._held_until = 0.0
        self._failures = 0
        self._resting_until = 0.0
        self._holders: Counter[Hashable] = Counter()
        self._urgent: _Queue = OrderedDict()
        self._patient: _Queue = OrderedDict()

    @property
    def in_use(self) -> int:
        return self._holders.total()

    async def enter(self, run: Hashable, *, urgent: bool = False) -> None:
        """Wait for a place and, when the server asked for quiet, until that is over."""
        waiting = self._urgent if urgent else self._patient
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.setdefault(run, deque()).append(turn)
        self._grant()
        try:
            await turn
            while (quiet := self._held_until - self._clock()) > 0:
                await self._sleep(quiet)
        except BaseException:
            self._give_up(waiting, run, turn)
            raise

    def leave(self, run: Hashable) -> None:
        """Give a place back."""
        self._holders[run] -= 1
        if not self._holders[run]:
            del self._holders[run]
        self._grant()

    def failed(self, *, silent: bool) -> None:
        """Note that a request was not answered: it was turned away, or it timed out in silence."""
        self._failures += _SILENCE if silent else 1
        if self._failures >= _SILENCE * max(2, self.places):
            self._resting_until = self._clock() + _REST_SECONDS

    def heard(self) -> None:
        """Note that a request was answered, with any answer."""
        self._failures = 0
        self._resting_until = 0.0

    @property
    def resting_seconds(self) -> float:
        """Return for how many seconds the model is not asked, after too many unanswered requests in a row."""
        return max(0.0, self._resting_until - self._clock())

    def hold(self, seconds: float) -> None:
        """Send no more requests for `seconds`, as the server asked."""
        self._held_until = max(self._held_until, self._clock() + seconds)

    def _give_up(self, waiting: "_Queue", run: Hashable, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():
            self.leave(run)
        elif run in waiting and turn in waiting[run]:
            waiting[run].remove(turn)
            if not waiting[run]:
                del waiting[run]

    def _grant(self) -> None:
        while self.in_use < self.places and (waiting := self._urgent or self._patient):
            run = min(waiting, key=lambda each: self._holders[each])
            turns = waiting[run]
            turn = turns.popleft()
            if turns:
                waiting.move_to_end(run)
            else:
                del waiting[run]
            if not turn.done():
                self._holders[run] += 1
                turn.set_result(None)
