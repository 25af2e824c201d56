"""Budgets of runs: an amount is reserved before a call is sent, and replaced by the actual usage afterwards.

A run's budgets form a tree. A budget and its children share one account. A reservation is checked, in one step, against
its own budget and all ancestors. Calls and reserved tokens therefore never exceed any limit, even if sub-runs spend
concurrently.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from weakref import WeakSet

from ingest.storage.counts import format_count
from rlm.errors import BudgetExhaustedError, UnpricedModelError

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Price:
    """Prices in dollars for a million tokens read and for a million tokens written.

    Amounts are decimals, so that reservations and refunds add up exactly.
    """

    prompt: Decimal
    completion: Decimal

    def __post_init__(self) -> None:
        if not (self.prompt.is_finite() and self.completion.is_finite() and min(self.prompt, self.completion) >= 0):
            raise ValueError(f"prices must be at least 0 dollars, not {self.prompt} and {self.completion}")

    def compute_cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Return the cost of one call in dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _MILLION


FREE = Price(Decimal(0), Decimal(0))
"""The price of a self-hosted model: it costs time, not money."""


@dataclass(frozen=True)
class Limits:
    """The maximum amounts that may be spent; None means no limit.

    `tokens` limits the tokens read and written together. `depth` is the number of budget levels below this budget.
    """

    calls: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    dollars: Decimal | None = None
    seconds: float | None = None
    depth: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 0:
                raise ValueError(f"a budget's {name} must be 0 or more, not {value}")

    def narrow_to(self, other: "Limits") -> "Limits":
        """Return the smaller of the two limits for each resource."""
        smaller: dict[str, Any] = {
            name: _select_smaller(value, getattr(other, name)) for name, value in vars(self).items()
        }
        return Limits(**smaller)


@dataclass(frozen=True)
class Usage:
    """The number of requests sent, and of tokens read and written.

    Tokens are 0 for a server that does not count them.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def subtract(self, other: "Usage") -> "Usage":
        """Return this usage minus `other`. No amount is less than 0."""
        return Usage(
            max(0, self.calls - other.calls),
            max(0, self.prompt_tokens - other.prompt_tokens),
            max(0, self.completion_tokens - other.completion_tokens),
        )


@dataclass(frozen=True)
class Amount:
    """An amount of spending, actual or possible. Every sent request counts as a call, regardless of its outcome."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Amount") -> "Amount":
        return self._combine(other, 1)

    def __sub__(self, other: "Amount") -> "Amount":
        return self._combine(other, -1)

    def _combine(self, other: "Amount", sign: int) -> "Amount":
        sums: dict[str, Any] = {name: value + sign * getattr(other, name) for name, value in vars(self).items()}
        return Amount(**sums)

    @property
    def usage(self) -> Usage:
        """The calls and tokens of the amount, without the dollars."""
        return Usage(self.calls, self.prompt_tokens, self.completion_tokens)


NO_AMOUNT = Amount()
_USES = {"prompt_tokens": " to read", "completion_tokens": " to write", "tokens": " to read and write"}
_KEPT_SHARE = 10
_SPENDABLE = ("calls", "prompt_tokens", "completion_tokens", "tokens", "dollars")


class Budget:
    """The budget of a run or a sub-run. Thread-safe.

    `spent` and `elapsed_seconds` are the amounts that earlier attempts spent before the run was resumed, except for
    spending that is charged when its work is replayed. The `limits` of a child are its requested limits, capped by the
    remaining budget of its parent. `kept_back` is the part of the parent's budget that is not available to this budget.
    With `waits`, a run that reaches its budget pauses for a user's decision.

        budget = Budget(Limits(calls=10))
        reservation = budget.reserve(prompt_tokens=900, completion_tokens=100)
        reservation.settle(prompt_tokens=850, completion_tokens=40)
    """

    def __init__(
        self,
        limits: Limits,
        *,
        initial_spending: Amount = NO_AMOUNT,
        elapsed_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        _parent: "Budget | None" = None,
        _reserve: Amount = NO_AMOUNT,
    ) -> None:
        self.limits = limits
        self.waits = False
        self._parent = _parent
        self._within: WeakSet[Budget] = WeakSet()
        if _parent is not None:
            _parent.root._within.add(self)
        self.kept_back = _reserve
        self._lock: threading.Lock = threading.Lock() if _parent is None else _parent._lock
        self._clock = clock
        self._begun = clock() - elapsed_seconds
        self._settled = initial_spending
        self._reserved = NO_AMOUNT

    @property
    def root(self) -> "Budget":
        """The budget of the top-level run."""
        return self if self._parent is None else self._parent.root

    @property
    def spending(self) -> Amount:
        """The actual spending of finished calls, for this budget and all its descendants."""
        with self._lock:
            return self._settled

    @property
    def elapsed_seconds(self) -> float:
        return self._clock() - self._begun

    @property
    def limits_spending(self) -> bool:
        """True if calls, tokens or dollars are limited, by this budget or by one above it."""
        remaining = self.get_remaining_limits()
        return any(getattr(remaining, name) is not None for name in _SPENDABLE)

    def get_remaining_limits(self) -> Limits:
        """Return the amounts that can still be reserved. Calls in progress count with their full reservations."""
        with self._lock:
            return self._compute_remaining()

    def create_child(self, limits: Limits | None = None) -> "Budget":
        """Create a budget for a sub-run, with `limits` capped by the remaining amounts of this budget.

        No amount is set aside for the child, because sibling budgets share the remaining amounts. Raises
        `BudgetExhaustedError` if the maximum depth has been reached.
        """
        with self._lock:
            rest = self._compute_remaining()
            if rest.depth == 0:
                raise BudgetExhaustedError(
                    "The run has reached its maximum depth.",
                    hint="Do this part here, with a plain sub-call or an operator.",
                    resource="depth",
                )
            below = Limits(**{**vars(rest), "depth": None if rest.depth is None else rest.depth - 1})
            return Budget((limits or Limits()).narrow_to(below), clock=self._clock, _parent=self)

    def lower_limits(self, limits: Limits) -> None:
        """Lower the limits of this budget to `limits`. Earlier spending counts against the lowered limits."""
        with self._lock:
            self.limits = self.limits.narrow_to(limits)

    def raise_limits(self, increase: Limits) -> None:
        """Raise the limits of the whole run and of every budget within it.

        Unlimited resources stay unlimited. The time limit is not raised, because sub-runs have no time limit of their
        own.
        """
        with self._lock:
            for budget in (self.root, *self.root._within):
                raised = {
                    name: limit + more
                    for name in _SPENDABLE
                    if (limit := getattr(budget.limits, name)) is not None and (more := getattr(increase, name))
                }
                budget.limits = replace(budget.limits, **raised)

    def create_budget_with_reserve(self, amount: Amount) -> "Budget":
        """Create a child budget of the same depth, which leaves `amount` of this budget in reserve.

        At most a tenth of each limit is reserved.
        """
        kept: dict[str, Any] = {
            name: wanted if (limit := self._get_limit(name)) is None else min(wanted, type(limit)(limit / _KEPT_SHARE))
            for name, wanted in vars(amount).items()
        }
        with self._lock:
            return Budget(self._compute_remaining(), clock=self._clock, _parent=self, _reserve=Amount(**kept))

    def reserve(self, *, prompt_tokens: int, completion_tokens: int, price: Price | None = None) -> "Reservation":
        """Reserve the cost of one call, with its maximum number of tokens, before the call is sent.

        Raises `BudgetExhaustedError` if the call does not fit in this budget or an ancestor, and `UnpricedModelError`
        if dollars are limited and the model has no price.
        """
        if min(prompt_tokens, completion_tokens) < 0:
            raise ValueError("the number of tokens to reserve must be 0 or more")
        dollars = price.compute_cost(prompt_tokens, completion_tokens) if price else Decimal(0)
        amount = Amount(1, prompt_tokens, completion_tokens, dollars)
        with self._lock:
            # guard: budget-of-ancestors
            for budget, kept in self._iter_budget_and_ancestors():
                budget._require_available(amount, kept, has_price=price is not None)
            self._update_totals(reserved_amount=amount)
        return Reservation(self, amount, price)

    def charge(self, *, calls: int, prompt_tokens: int, completion_tokens: int, price: Price | None = None) -> None:
        """Charge the spending of an earlier attempt, even beyond the limits, because no request is sent for it."""
        dollars = price.compute_cost(prompt_tokens, completion_tokens) if price else Decimal(0)
        with self._lock:
            self._update_totals(
                reserved_amount=NO_AMOUNT, settled_amount=Amount(calls, prompt_tokens, completion_tokens, dollars)
            )

    def _get_limit(self, name: str) -> Any:  # noqa: ANN401 - whole tokens, or decimal dollars
        both = self.limits.tokens if name in ("prompt_tokens", "completion_tokens") else None
        return _select_smaller(getattr(self.limits, name), both)

    def _iter_budget_and_ancestors(self) -> Iterator[tuple["Budget", Amount]]:
        """Yield this budget and its ancestors, each with the amount that it reserves from callers of this budget."""
        budget: Budget | None = self
        kept = NO_AMOUNT
        while budget is not None:
            yield budget, kept
            kept += budget.kept_back
            budget = budget._parent

    def _compute_remaining(self) -> Limits:
        rest = self._compute_own_remaining(NO_AMOUNT)
        for budget, kept in self._iter_budget_and_ancestors():
            rest = rest.narrow_to(Limits(**{**vars(budget._compute_own_remaining(kept)), "depth": rest.depth}))
        return rest

    def _compute_own_remaining(self, reserve: Amount) -> Limits:
        """Return the remaining amounts of this budget, ignoring its ancestors.

        An amount is never negative, even if a call used more than it reserved.
        """
        used = self._settled + self._reserved + reserve
        left = {
            name: None if limit is None else max(type(limit)(0), limit - getattr(used, name))
            for name in _SPENDABLE
            for limit in [getattr(self.limits, name)]
        }
        seconds = self.limits.seconds
        left["seconds"] = None if seconds is None else max(0.0, seconds - self.elapsed_seconds)
        return Limits(**left, depth=self.limits.depth)

    def _require_available(self, amount: Amount, reserve: Amount, *, has_price: bool) -> None:
        limits = self.limits
        if limits.dollars is not None and not has_price:
            raise UnpricedModelError("This model has no price, so a limit in dollars cannot be enforced.")
        if limits.seconds is not None and self.elapsed_seconds >= limits.seconds:
            raise BudgetExhaustedError(
                f"The time limit of {format_count(limits.seconds, 'second')} has been reached.", resource="seconds"
            )
        for name in _SPENDABLE:
            limit, asked, back = getattr(limits, name), getattr(amount, name), getattr(reserve, name)
            settled, reserved = getattr(self._settled, name), getattr(self._reserved, name)
            # guard: budget-reservations
            if limit is not None and settled + reserved + asked + back > limit:
                under_way = f", {reserved} of them by calls in progress" if reserved else ""
                kept_back = f" and {back} are reserved for the answer itself" if back else ""
                raise BudgetExhaustedError(
                    f"The next call may use {_format_amount(name, asked)}, but {settled + reserved} of {limit} "
                    f"are used{under_way}{kept_back}.",
                    resource=name,
                    may_fit_later=settled + asked + back <= limit and reserved > getattr(NO_AMOUNT, name),
                )

    def _update_totals(self, *, reserved_amount: Amount, settled_amount: Amount = NO_AMOUNT) -> None:
        for budget, _ in self._iter_budget_and_ancestors():
            budget._reserved += reserved_amount
            budget._settled += settled_amount


class Reservation:
    """The amount that a budget reserves for one call, until it is settled or released."""

    def __init__(self, budget: Budget, amount: Amount, price: Price | None) -> None:
        self._budget = budget
        self._price = price
        self._open = True
        self.amount = amount

    def settle(self, *, prompt_tokens: int, completion_tokens: int) -> None:
        """Record the actual usage and return the unused part to the budget.

        Usage beyond the reservation counts in full.
        """
        dollars = self._price.compute_cost(prompt_tokens, completion_tokens) if self._price else Decimal(0)
        self._close_reservation(Amount(1, prompt_tokens, completion_tokens, dollars))

    def release(self) -> None:
        """Return the whole reservation to the budget, because the call was not sent."""
        self._close_reservation(NO_AMOUNT)

    def _close_reservation(self, used_amount: Amount) -> None:
        with self._budget._lock:
            if self._open:
                self._open = False
                self._budget._update_totals(reserved_amount=NO_AMOUNT - self.amount, settled_amount=used_amount)


def _format_amount(name: str, amount: int | Decimal) -> str:
    if isinstance(amount, Decimal):
        return f"{amount} dollars"
    return format_count(amount, "call" if name == "calls" else "token") + _USES.get(name, "")


def _select_smaller(first: float | None, second: float | None) -> float | None:
    given = [each for each in (first, second) if each is not None]
    return min(given) if given else None
