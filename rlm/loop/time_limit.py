"""What a run's budget leaves of its time, asked for whenever the run's code asks its host for something."""

from collections.abc import Callable

from rlm.errors import BudgetExhaustedError
from rlm.llm.budgets import Budget

# An answer that was found in time may still be handed in so long afterwards: sub-calls end with the time, and the code
# that waited for them goes on.
_HANDING_IN_SECONDS = 10.0
RESOURCE = "seconds"
TIME_IS_OVER = "The run's time is over."


class TimeLimit:
    """The time of one budget; without a budget, or one without a limit, it never ends."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget

    def require(self) -> None:
        """Raises `BudgetExhaustedError` when the time is over."""
        if self._over(0.0):
            raise BudgetExhaustedError(TIME_IS_OVER, resource=RESOURCE)

    def require_to_hand_in(self) -> None:
        """The same a little later."""
        if self.ended():
            self.require()

    def ended(self) -> bool:
        """Whether nothing can be handed in any more."""
        return self._over(_HANDING_IN_SECONDS)

    def bounding(self, cancelled: Callable[[], bool]) -> Callable[[], bool]:
        """`cancelled` for long work, which raises `BudgetExhaustedError` where it is asked after the time."""

        def asked() -> bool:
            if cancelled():
                return True
            self.require()
            return False

        return asked

    def _over(self, grace_seconds: float) -> bool:
        limit = self._budget.limits.seconds if self._budget is not None else None
        return limit is not None and self._budget is not None and self._budget.elapsed_seconds >= limit + grace_seconds
