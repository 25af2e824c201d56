"""How long a run has been worked at, over all its attempts."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ingest.runs import Spent
from rlm.llm.budgets import Budget, Price
from rlm.usage import Usage


class RunClock:
    """Seconds, those of earlier attempts included.

    An attempt first meets again what earlier ones did. Meanwhile the clock stands where they left it, for as long as
    they took: that work's time is counted already.
    """

    def __init__(self, before: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._before = before
        self._clock = clock
        self._zero = clock()
        self._goes_on = False

    def __call__(self) -> float:
        since = self._clock() - self._zero
        return since if self._goes_on else max(self._before, since)

    def go_on(self) -> None:
        """From here on something is new."""
        if not self._goes_on:
            self._zero = self._clock() - self()
            self._goes_on = True


class Spending:
    """One attempt's account. Each method may be called in any thread.

    What earlier attempts spent is charged where it is met again, and all the rest before anything new is sent. So code
    that runs again sees at each point the budget that it saw there before. Once it sends something new it may take
    another way and never come to the rest, which is spent all the same.
    """

    def __init__(self, earlier: Spent) -> None:
        self._rest = Usage(earlier.calls, earlier.prompt_tokens, earlier.completion_tokens)
        self._rest_charged = False
        self._known = Usage()  # charged, or logged by this attempt
        self._lock = threading.Lock()

    def charge(self, usage: Usage, budget: Budget, price: Price | None) -> None:
        """A part of what earlier attempts spent is met again."""
        with self._lock:
            if not self._rest_charged:
                self._rest = _without(self._rest, usage)
                self._charge(usage, budget, price)

    def charge_rest(self, budget: Budget, price: Price | None) -> None:
        """Something new is about to be sent. The rest is the whole run's, whichever part of it comes to it."""
        with self._lock:
            if not self._rest_charged:
                self._rest_charged = True
                self._charge(self._rest, budget.root, price)

    def logged(self, usage: Usage) -> None:
        """A call of this attempt is logged with what it cost."""
        with self._lock:
            self._known += usage

    def given_up(self, budget: Budget) -> Usage:
        """What the run's `budget` has spent on requests that nobody logged: they were given up, or their replies."""
        spent = budget.spent
        with self._lock:
            return _without(Usage(spent.calls, spent.prompt_tokens, spent.completion_tokens), self._known)

    def _charge(self, usage: Usage, budget: Budget, price: Price | None) -> None:
        self._known += usage
        budget.charge(
            calls=usage.calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            price=price,
        )


def _without(usage: Usage, part: Usage) -> Usage:
    return Usage(
        max(0, usage.calls - part.calls),
        max(0, usage.prompt_tokens - part.prompt_tokens),
        max(0, usage.completion_tokens - part.completion_tokens),
    )


# Each time is an attempt of its own, some seconds after the one before.
_OFTEN = 3


class Losses:
    """Those of one attempt and of the attempts before it, by the key of each call."""

    def __init__(self, logged: Callable[[Sequence[str]], Mapping[str, Any]], attempt: int) -> None:
        """`logged` looks keys up in the run's log, and `attempt` is a number that no other attempt has."""
        self._logged = logged
        self._attempt = attempt
        self._often: set[str] = set()

    def next_key(self, key: str) -> str:
        """Under which it is logged that the call came to nothing in this attempt, too."""
        keys = [f"{key}:lost:{number}" for number in range(1, _OFTEN + 1)]
        before = len(self._logged(keys))
        if before + 1 >= _OFTEN:
            self._often.add(key)
        return keys[before] if before < _OFTEN else f"{key}:{self._attempt}"

    def often(self, key: str) -> bool:
        """Whether the call came to nothing in this attempt, and not for the first few times."""
        return key in self._often
