"""The ports of durable runs: the log that the catalog keeps, and what a strategy is made durable by."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from ingest.catalog.records import ActiveDocument
from ingest.runs import Entry
from rlm.corpus.corpus import ActiveDocuments
from rlm.llm.budgets import Budget, Limits, Price
from rlm.llm.port import SubCalls
from rlm.loop.trajectory import Turn
from rlm.strategy import Search
from rlm.untrusted import new_nonce
from rlm.usage import Usage


class Log(Protocol):
    """One run's log, held by one worker. Its methods may be called in any thread."""

    def logged(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """The bodies of those of the keys that are logged."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Log those whose key is new, in one commit. Raises `LeaseLostError` once the run is somebody else's."""

    def deleted(self, version_ids: Collection[str]) -> Collection[str]:
        """Versions whose document was deleted: nothing of them may come from the log."""

    def lost(self) -> Usage:
        """What sub-calls cost that came to nothing and are asked again."""

    def pinned(self, *, after: int) -> list[ActiveDocument]:
        """The next documents of the run's scope as they were when it began, without those that were deleted since."""


class Durability(Protocol):
    """Wraps the parts that a strategy is made of, so that running it again repeats nothing that was finished.

    The strategy itself must be deterministic: given the same replies it asks for the same things again, in any order of
    its threads.
    """

    def sub_calls(self, inner: SubCalls, budget: Budget, price: Price | None) -> SubCalls:
        """`budget` is the one that `inner` spends: what comes from the log is charged to it, as it was in its time.

        Those of a run that can be resumed raise `LanguageModelUnavailableError` while the model is away; it is no
        failure that a strategy could go on from.
        """

    def search(self, inner: Search) -> Search: ...

    def turn(self, turn: Turn) -> None:
        """What a root model's cell came to, of the run or of a part of it."""

    def documents(self, inner: ActiveDocuments) -> ActiveDocuments:
        """The documents in scope: those of now, or those of when the run began."""

    def budget(self, limits: Limits, price: Price | None) -> Budget:
        """What may be spent: the limits, less what earlier attempts spent in vain and the time they took."""

    def nonce(self) -> str:
        """As `rlm.untrusted.new_nonce`, but the n-th is the same in each attempt, so that prompts are too."""


class Once:
    """Not durable: an answer that its caller waits for."""

    def sub_calls(self, inner: SubCalls, budget: Budget, price: Price | None) -> SubCalls:
        return inner

    def turn(self, turn: Turn) -> None:
        return None

    def search(self, inner: Search) -> Search:
        return inner

    def documents(self, inner: ActiveDocuments) -> ActiveDocuments:
        return inner

    def budget(self, limits: Limits, price: Price | None) -> Budget:
        return Budget(limits)

    def nonce(self) -> str:
        return new_nonce()


ONCE: Durability = Once()
