"""The environment of a run: its components, the time limit, and the record of sub-calls.

The components are created once per question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from ingest.storage.remarks import Remark
from rlm.corpus.corpus import Corpus
from rlm.errors import BudgetExhaustedError, RunPausedError, not_cancelled
from rlm.events import Turn
from rlm.llm.budgets import Budget, Limits, Price, Usage
from rlm.llm.port import BatchedSubCalls, SubCall, SubCalls, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.operators.operators import Operators
from rlm.sandbox.port import Sandbox
from rlm.strategy import Search

MAX_CELLS = 30
# Grace period for submitting an answer that was found within the time limit. Sub-calls stop at the time limit, but the
# code that waits for them continues.
_SUBMIT_GRACE_SECONDS = 10.0
TIME_RESOURCE = "seconds"
TIME_IS_OVER = Remark("run_time_over")
# Purpose of calls by the root model itself. Sub-calls by the code of a cell have other purposes.
ROOT_PURPOSE = "root"

Told = Callable[[Turn], None]


@dataclass(frozen=True)
class Environment:
    """The components of a run.

    `calls` spend `budget`. `bind` makes calls that spend another budget, such as that of a sub-run. Without `bind`, the
    run has no sub-runs. `operators` judge records of a corpus with given calls. `search` builds the search over a
    corpus, or is None without an index. `told` is called with each turn, including the turns of sub-runs.

    A resumed run must repeat its calls exactly, so its model is told how much time was spent only if `tells_time` is
    true.

    Sub-calls use the model of `sub_profile` through `bind_sub`, or the root model by default.

    The remaining fields describe a sub-run: `part` is "1.2" for the second sub-run of the first sub-run. `before` is
    the usage of the whole run when the sub-run started, and `before_dollars` is the cost of that usage.
    """

    corpus: Corpus
    calls: SubCalls
    profile: ModelProfile
    sandbox: Sandbox
    operators: Callable[[Corpus, BatchedSubCalls], Operators]
    today: date
    search: Callable[[Corpus], Search] | None = None
    budget: Budget = field(default_factory=lambda: Budget(Limits()))
    bind: Callable[[Budget], SubCalls] | None = None
    cancelled: Callable[[], bool] = not_cancelled
    told: Told = lambda turn: None
    tells_time: bool = False
    max_cells: int = MAX_CELLS
    depth: int = 0
    part: str = ""
    before: Usage = field(default_factory=Usage)
    before_dollars: Decimal = Decimal(0)
    sub_profile: ModelProfile | None = None
    bind_sub: Callable[[Budget], SubCalls] | None = None

    @property
    def sub_model(self) -> ModelProfile:
        """The profile of the model that sub-calls use."""
        return self.sub_profile or self.profile

    def bind_sub_calls(self, budget: Budget) -> SubCalls:
        """Return calls of the sub-model that spend `budget`."""
        bind = self.bind_sub or self.bind
        return bind(budget) if bind is not None else self.calls

    @property
    def can_descend(self) -> bool:
        """True if the run may start sub-runs."""
        return self.depth < self.profile.max_depth and self.bind is not None


class TimeLimit:
    """The time limit of a budget. If the budget has no time limit, the time never runs out."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def require_remaining_time(self) -> None:
        """Raise `BudgetExhaustedError` if the time is over, or `RunPausedError` if the run waits for a higher limit."""
        if self._is_past_limit(0.0):
            self.require_not_paused()
            raise BudgetExhaustedError(TIME_IS_OVER, resource=TIME_RESOURCE)

    def require_not_paused(self) -> None:
        """Raise `RunPausedError` if the time is over and the run pauses for a user's decision."""
        if self._budget.root.waits:
            raise RunPausedError(TIME_IS_OVER, resource=TIME_RESOURCE)

    def require_time_to_submit(self) -> None:
        """Like `require_remaining_time`, but 10 s later, so that code can still submit a finished answer."""
        if self.is_over():
            self.require_remaining_time()

    def is_over(self) -> bool:
        """Return whether it is too late to submit an answer."""
        return self._is_past_limit(_SUBMIT_GRACE_SECONDS)

    def add_time_limit(self, cancelled: Callable[[], bool]) -> Callable[[], bool]:
        """Return a version of `cancelled` that also checks the time limit, for long operations.

        After the limit, the returned function raises `BudgetExhaustedError`.
        """

        def check_time() -> bool:
            if cancelled():
                return True
            self.require_remaining_time()
            return False

        return check_time

    def _is_past_limit(self, grace_seconds: float) -> bool:
        limit = self._budget.limits.seconds
        return limit is not None and self._budget.elapsed_seconds >= limit + grace_seconds


class RecordedSubCalls:
    """The sub-calls of a run, with a record of their total cost and of their number since the last turn."""

    def __init__(self, sub_calls: BatchedSubCalls, price: Price | None = None) -> None:
        self._inner = sub_calls
        self._price = price
        self.usage = Usage()
        self.dollars = Decimal(0)
        self.count = 0

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Sequence[SubReply | SubFailure]:
        results = self._inner.run(calls, cancelled=cancelled)
        for call, result in zip(calls, results, strict=True):
            self.usage += result.paid_usage
            if self._price is not None:
                self.dollars += self._price.compute_cost(
                    result.paid_usage.prompt_tokens, result.paid_usage.completion_tokens
                )
            self.count += call.purpose != ROOT_PURPOSE
        return results

    def pop_call_count(self) -> int:
        """Return the number of calls since this method was last called."""
        count, self.count = self.count, 0
        return count
