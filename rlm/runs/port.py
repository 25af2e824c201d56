"""The ports of durable runs: the log that the catalog keeps, and the wrapper that makes a strategy durable."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

from ingest.storage.answers.run_records import RunLogEntry
from ingest.storage.documents.rows import ActiveDocument
from rlm.corpus.corpus import ActiveDocuments
from rlm.events import Turn
from rlm.llm.budgets import Budget, Limits, Price, Usage
from rlm.llm.port import ReportedSubCalls, SubCalls
from rlm.strategy import Search
from rlm.untrusted import create_nonce


class Log(Protocol):
    """One run's log, held by one worker. Thread-safe."""

    def load_bodies(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the bodies of the keys that are logged."""

    def append(self, entries: Sequence[RunLogEntry]) -> None:
        """Log the entries with new keys, in one commit. Raises `LeaseLostError` if another worker has taken over the
        run.
        """

    def list_withheld(self, version_ids: Collection[str]) -> Collection[str]:
        """Return the versions whose document was deleted, or hidden from the run's principal, since the run began."""

    def load_lost_usage(self) -> Usage:
        """Return the cost of lost sub-calls, which will be repeated."""

    def record_spending(self, usage: Usage, dollars: Decimal) -> None:
        """Record the total spending of the run after `append` failed: requests in progress are in no entry."""

    def list_pinned_documents(self, *, after: int) -> list[ActiveDocument]:
        """Return the next documents of the run's scope as of its beginning, without those deleted since."""


class Durability:
    """Wraps the parts of a strategy, so that running it again repeats no finished work; this base class wraps nothing.

    The strategy itself must be deterministic: given the same replies it makes the same requests again, in any order of
    its threads. `background` says that no client waits for the answer: its calls are served after others, and no cell
    may see the time.
    """

    background = False

    def wrap_sub_calls(self, inner: ReportedSubCalls, budget: Budget, price: Price | None) -> SubCalls:
        """`budget` is the one that `inner` spends: logged calls are charged to it at the same points as before.

        Calls of a resumable run raise `LanguageModelUnavailableError` while the model is unavailable; a strategy cannot
        continue after that failure.
        """
        return inner

    def wrap_search(self, inner: Search) -> Search:
        return inner

    def record_turn(self, turn: Turn) -> None:
        """Log the result of a root model's cell, in the run or in a part of it."""

    def wrap_documents(self, inner: ActiveDocuments) -> ActiveDocuments:
        """Return the documents in scope: the current ones, or those of when the run began."""
        return inner

    def build_budget(self, limits: Limits, price: Price | None) -> Budget:
        """Return the budget: the limits, less the lost spending and the time of earlier attempts."""
        return Budget(limits)

    def create_nonce(self) -> str:
        """Return a nonce as `rlm.untrusted.create_nonce`; the n-th is the same in each attempt, so prompts are too."""
        return create_nonce()

    def get_today(self) -> date:
        """Return the day on which the question was asked, in UTC; it is the same in each attempt."""
        return datetime.now(UTC).date()


NOT_DURABLE = Durability()
"""No durability, for an answer that a caller waits for."""
