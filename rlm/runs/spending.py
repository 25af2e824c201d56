"""What a durable run has spent: by earlier attempts, by logged calls of this one, and on requests given up."""

import threading

from ingest.runs import Spent
from rlm.llm.budgets import Budget
from rlm.llm.prices import Price
from rlm.usage import Usage


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
