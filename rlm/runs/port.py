"""The interfaces of durable runs: the log stored by the catalog, and the wrapper that makes a strategy durable."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

from ingest.storage.answers.run_records import RunLogEntry
from ingest.storage.documents.rows import ActiveDocument
from rlm.corpus.corpus import ActiveDocuments, build_handle
from rlm.events import Turn
from rlm.llm.budgets import Budget, Limits, Price, Usage
from rlm.llm.port import ReportedSubCalls, SubCalls
from rlm.strategy import Search, SpanSearch
from rlm.untrusted import create_nonce


class Log(Protocol):
    """The log of one run, which one worker holds at a time. Thread-safe."""

    def load_bodies(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the logged bodies by their keys. Keys that are not in the log are omitted."""

    def append_entries(self, entries: Sequence[RunLogEntry]) -> None:
        """Append the entries with new keys, in one commit.

        Raises `LeaseLostError` if another worker has taken over the run.
        """

    def list_hidden_versions(self, version_ids: Collection[str]) -> Collection[str]:
        """Return the versions whose document was deleted, or hidden from the run's principal, since the run started."""

    def load_lost_usage(self) -> Usage:
        """Return the cost of sub-calls that were lost and will be repeated."""

    def record_spending(self, usage: Usage, dollars: Decimal) -> None:
        """Record the total spending of the run after `append` failed. No entry contains the requests in progress."""

    def list_pinned_documents(self, *, after: int) -> list[ActiveDocument]:
        """Return the next documents of the run's scope as it was at the start, without documents deleted since then."""


class Durability:
    """Wraps the components of a strategy, so that running it again does not repeat finished work.

    This base class wraps nothing.

    The strategy itself must be deterministic: given the same replies, it makes the same requests again, regardless of
    the order in which its threads run. If `background` is true, no client waits for the answer: its calls are served
    after other calls, and the model is not told how much time was spent.
    """

    background = False

    def wrap_sub_calls(self, sub_calls: ReportedSubCalls, budget: Budget, price: Price | None) -> SubCalls:
        """Wrap sub-calls.

        `budget` is the budget that `sub_calls` spends. The cost of logged calls is charged to it at the same points as
        before. Calls of a resumable run raise `LanguageModelUnavailableError` while the model is unavailable; a
        strategy cannot continue after that failure.
        """
        return sub_calls

    def wrap_search(self, base_search: Search) -> Search:
        """Wrap a search."""
        return base_search

    def wrap_document_search(self, base_search: Search, document_id: str) -> SpanSearch:
        """Wrap a search of a single document, of which only the spans of passages are needed."""
        return lambda query, top_k: list(map(build_handle, base_search(query, top_k)))

    def record_turn(self, turn: Turn) -> None:
        """Log the result of a root model's cell, in the top-level run or a sub-run."""

    def wrap_documents(self, documents: ActiveDocuments) -> ActiveDocuments:
        """Return the documents in scope, either as they are now or as they were when the run started."""
        return documents

    def build_budget(self, limits: Limits, price: Price | None) -> Budget:
        """Return the budget: the limits minus the lost spending and the time spent by earlier attempts."""
        return Budget(limits)

    def create_nonce(self) -> str:
        """Return a nonce in the same way as `rlm.untrusted.create_nonce`.

        The n-th nonce is the same in each attempt, so prompts are the same too.
        """
        return create_nonce()

    def get_today(self) -> date:
        """Return the UTC date on which the question was asked. It is the same in each attempt."""
        return datetime.now(UTC).date()


NOT_DURABLE = Durability()
"""No durability, for an answer that a caller waits for."""
