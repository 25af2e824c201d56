"""The components of one attempt at a run: its clock, its spending, its lost calls, and the writer of its log."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ingest.storage.answers.run_records import RunLogEntry, RunSpending
from rlm.llm.budgets import Budget, Price, Usage


class RunClock:
    """A clock in seconds that includes earlier attempts.

    An attempt first replays the work of earlier attempts. Until the replay takes longer than that work did, the clock
    shows the time that the earlier attempts reached, because that time has already been counted.
    """

    def __init__(self, elapsed_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._before = elapsed_seconds
        self._clock = clock
        self._zero = clock()
        self._goes_on = False

    def __call__(self) -> float:
        since = self._clock() - self._zero
        return since if self._goes_on else max(self._before, since)

    def resume(self) -> None:
        """Let the clock run, because new work is starting."""
        if not self._goes_on:
            self._zero = self._clock() - self()
            self._goes_on = True


class AttemptAccount:
    """The spending of one attempt. Thread-safe.

    Earlier spending is charged when its work is replayed, and any remaining amount is charged before anything new is
    sent. Code that runs again therefore sees the same budget at each point. Once it sends something new, it may take
    another path and never reach the remaining work, although it was paid for.
    """

    def __init__(self, earlier_spending: RunSpending) -> None:
        self._rest = Usage(earlier_spending.calls, earlier_spending.prompt_tokens, earlier_spending.completion_tokens)
        self._rest_charged = False
        self._known = Usage()  # Usage that was charged, or that this attempt logged.
        self._lock = threading.Lock()

    def charge_replayed(self, usage: Usage, budget: Budget, price: Price | None) -> None:
        """Charge earlier attempts' spending on work that is being replayed."""
        with self._lock:
            if not self._rest_charged:
                self._rest = self._rest.subtract(usage)
                self._charge_usage(usage, budget, price)

    def charge_remaining(self, budget: Budget, price: Price | None) -> None:
        """Charge the remaining spending of earlier attempts before something new is sent.

        The spending is charged to the whole run, regardless of which sub-run sends first.
        """
        with self._lock:
            if not self._rest_charged:
                self._rest_charged = True
                self._charge_usage(self._rest, budget.root, price)

    def record_logged_usage(self, usage: Usage) -> None:
        """Record the cost of a call that this attempt has logged."""
        with self._lock:
            self._known += usage

    def compute_unlogged_usage(self, budget: Budget) -> Usage:
        """Return the run's spending on requests that are not logged.

        These are cancelled requests, and requests whose replies were discarded.
        """
        spent = budget.spending.usage
        with self._lock:
            return spent.subtract(self._known)

    def _charge_usage(self, usage: Usage, budget: Budget, price: Price | None) -> None:
        self._known += usage
        budget.charge(
            calls=usage.calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            price=price,
        )


# Number of losses after which a call counts as often lost. Each loss occurs in a separate attempt, a few seconds after
# the previous loss.
_MIN_LOSSES = 3


class LostCalls:
    """Counts how often each call was lost in this and earlier attempts, by the call's key.

    The first two losses may be due to an unavailable model. After that, the call itself may be the cause.
    """

    def __init__(self, load_bodies: Callable[[Sequence[str]], Mapping[str, Any]], attempt: int) -> None:
        """Create the counter.

        `load_bodies` looks up keys in the run's log, and `attempt` is a number that is unique to this attempt.
        """
        self._logged = load_bodies
        self._attempt = attempt
        self._often: set[str] = set()

    def build_next_loss_key(self, key: str) -> str:
        """Return the key for logging that this attempt also lost the call."""
        keys = [f"{key}:lost:{number}" for number in range(1, _MIN_LOSSES + 1)]
        before = len(self._logged(keys))
        if before + 1 >= _MIN_LOSSES:
            self._often.add(key)
        return keys[before] if before < _MIN_LOSSES else f"{key}:{self._attempt}"

    def is_often_lost(self, key: str) -> bool:
        """Return whether this attempt lost the call after earlier attempts had lost it."""
        return key in self._often


class LogWriter:
    """Writes the log of a run.

    Callers add entries without waiting, and wait once before they use the entries. A batch of a thousand sub-calls
    therefore needs a few commits instead of a thousand, and each call is logged within milliseconds. After a failure,
    nothing more is written and every method raises that failure.
    """

    def __init__(self, append_entries: Callable[[Sequence[RunLogEntry]], None]) -> None:
        self._append = append_entries
        self._changed = threading.Condition()
        self._waiting: list[RunLogEntry] = []
        self._put = self._written = 0
        self._failure: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write_entries, name="run-log", daemon=True)
        self._thread.start()

    def add_entries(self, *entries: RunLogEntry) -> None:
        """Add entries to the write queue."""
        with self._changed:
            self._raise_failure()
            self._waiting += entries
            self._put += len(entries)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all entries added so far have been committed."""
        with self._changed:
            until = self._put
            self._changed.wait_for(lambda: self._written >= until or self._failure is not None)
            self._raise_failure()

    def close(self) -> bool:
        """Write the pending entries and stop. Returns False if any entries could not be written.

        Never raises an error.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        return self._failure is None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _write_entries(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                entries, self._waiting = self._waiting, []
                if not entries:
                    return
            failure: Exception | None = None
            try:
                self._append(entries)
            except Exception as error:  # noqa: BLE001 - the error is raised to callers that wait for the entries
                failure = error
            with self._changed:
                self._failure, self._written = failure, self._written + len(entries)
                self._changed.notify_all()
                if failure is not None:
                    return
