"""The parts of one attempt at a run: its clock, its account, its losses, and what writes its log."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ingest.runs import Entry, Spent
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
    """How often each call came to nothing, in this attempt and those before it, by its key.

    Once or twice the model was away; after that it may be the call.
    """

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


class LogWriter:
    """Callers hand entries over without waiting, and wait once before they use what they have handed over.

    So a batch of a thousand sub-calls costs a few commits and not a thousand, and each of them is logged within
    milliseconds. After a failure nothing more is written, and every method raises it.
    """

    def __init__(self, append: Callable[[Sequence[Entry]], None]) -> None:
        self._append = append
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []
        self._put = self._written = 0
        self._failure: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="run-log", daemon=True)
        self._thread.start()

    def put(self, *entries: Entry) -> None:
        """Hand entries over."""
        with self._changed:
            self._raise()
            self._waiting += entries
            self._put += len(entries)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything that was handed over before is committed."""
        with self._changed:
            until = self._put
            self._changed.wait_for(lambda: self._written >= until or self._failure is not None)
            self._raise()

    def close(self) -> None:
        """Write what waits, and end; raises nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                entries, self._waiting = self._waiting, []
                if not entries:
                    return
            failure: Exception | None = None
            try:
                self._append(entries)
            except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for the entries
                failure = error
            with self._changed:
                self._failure, self._written = failure, self._written + len(entries)
                self._changed.notify_all()
                if failure is not None:
                    return
