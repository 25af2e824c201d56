"""The trajectory of a run: its cells, their output, and how many sub-calls they made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlm.cancelling import not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import BatchedSubCalls, SubCall, SubFailure, SubReply

# The purpose of the root model's own calls, which are not sub-calls of a cell.
ROOT = "root"


@dataclass(frozen=True)
class Turn:
    """A reply of the root model and its result. `depth` counts from 0; `note` is the host's remark on it.

    `part` is empty for the run itself, and "1.2" for the second part of its first part.

    `output` and `error` are as the model saw them.
    """

    number: int
    depth: int
    code: str | None
    note: str
    output: str
    error: str | None
    seconds: float
    subcalls: int
    part: str = ""


Told = Callable[[Turn], None]


class RecordedSubCalls:
    """Sub-calls of a run with their cost, in all and since the last turn."""

    def __init__(self, inner: BatchedSubCalls) -> None:
        self._inner = inner
        self.usage = Usage()
        self.count = 0

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Sequence[SubReply | SubFailure]:
        results = self._inner.run(calls, cancelled=cancelled)
        for call, result in zip(calls, results, strict=True):
            self.usage += result.paid
            self.count += call.purpose != ROOT
        return results

    def taken(self) -> int:
        """Return how many calls there were since this method was last called."""
        count, self.count = self.count, 0
        return count
