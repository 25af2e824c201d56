"""Increases of a run's budget by users. Each is applied at the point where the run's calls had reached the budget.

The prompts of a model mention its budget. A continued run therefore sees the old budget until it repeats the calls that
reached it, and the larger budget from then on. An attempt after a crash does the same, according to the run's log.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingest.storage.answers.run_records import Run, RunLogEntry
from rlm.errors import BudgetExhaustedError, RunPausedError
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubFailure, SubReply
from rlm.runs.bodies import build_limits_body, parse_limits


def compute_first_limits(run: Run) -> Limits:
    """Return the limits at the start of an attempt, before any raises.

    Only the time limit includes raises, because no prompt mentions it. While a run replays the work of earlier
    attempts, its clock shows the time of those attempts.
    """
    # guard: raised-run-first-budget
    first, last = (parse_limits(each) for each in ((*run.raised, run.limits)[0], run.limits))
    return replace(first, seconds=last.seconds)


class BudgetRaises:
    """The raises of one run's budget in one attempt. Thread-safe.

    `stage` counts the raises that have taken effect.
    """

    def __init__(self, run: Run, load_bodies: Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]) -> None:
        """Create the raises. `load_bodies` looks up keys in the run's log."""
        self._limits = [parse_limits(each) for each in (*run.raised, run.limits)]
        self._pauses = run.pauses
        self._lock = threading.Lock()
        self._budget: Budget | None = None
        self.stage = 0
        keys = [_format_key(stage) for stage in range(len(run.raised))]
        found = load_bodies(keys) if keys else {}
        self._places = [found.get(key, {}).get("at") for key in keys]

    def bind_budget(self, budget: Budget) -> None:
        """Set the budget to be raised, which has the first limits."""
        budget.waits = self._pauses
        self._budget = budget

    def is_waiting(self, stage: int) -> bool:
        """Return whether reaching the budget of a stage is not final.

        It is not final if there is a larger budget, or if a user must decide.
        """
        return self._pauses or stage < len(self._places)

    def apply_logged_raises(self, keys: Collection[str]) -> None:
        """Raise the budget where an earlier attempt raised it, before the calls with these keys are looked up."""
        with self._lock:
            while self.stage < len(self._places) and self._places[self.stage] in keys:
                self._raise_budget()

    def raise_reached_budget(self, stage: int, key: str, failure: SubFailure) -> RunLogEntry | None:
        """Raise the budget because the call with this key reached the budget of `stage`. Returns the entry to log.

        Returns None if another thread has already raised the budget. Raises `RunPausedError` if there is no larger
        budget.
        """
        with self._lock:
            if self.stage > stage:
                return None
            if stage == len(self._places):
                resource = failure.error.resource if isinstance(failure.error, BudgetExhaustedError) else ""
                raise RunPausedError(failure.detail, resource=resource)
            self._raise_budget()
            return RunLogEntry(
                _format_key(stage), "raised", {"at": key, "budget": build_limits_body(self._limits[stage + 1])}
            )

    def _raise_budget(self) -> None:
        before, after = self._limits[self.stage], self._limits[self.stage + 1]
        self.stage += 1
        if self._budget is not None:
            self._budget.raise_limits(_compute_increase(before, after))


def is_budget_reached(result: SubReply | SubFailure) -> bool:
    """Return whether a call was not sent or was interrupted because the budget is exhausted."""
    return isinstance(result, SubFailure) and result.code == BudgetExhaustedError.code


def _compute_increase(old_limits: Limits, new_limits: Limits) -> Limits:
    more: dict[str, Any] = {
        name: max(type(limit)(0), raised - limit)
        for name, limit in vars(old_limits).items()
        if name != "seconds" and limit is not None and (raised := getattr(new_limits, name)) is not None
    }
    return Limits(**more)


def _format_key(stage: int) -> str:
    return f"raised:{stage}"
