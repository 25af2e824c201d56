"""The port of rerankers: a query and passages in, one score for each passage out, in their order."""

import time
from collections.abc import Sequence
from typing import Protocol

from retrieval.errors import RerankerTimeoutError


class Reranker(Protocol):
    """Reads the query and each passage together. `fingerprint` names the model, and is shown with what it did.

    Any number of threads may ask at once.
    """

    @property
    def fingerprint(self) -> str: ...

    def scores(self, query: str, passages: Sequence[str], *, until: float) -> Sequence[float]:
        """One finite score for each passage, in their order; higher is better.

        After `until`, a time of `time.monotonic`, nobody waits any more: it gives up soon after and raises
        `RerankerTimeoutError`. Whatever else goes wrong is another `RerankerError`.
        """

    def close(self) -> None: ...


class OverlapReranker:
    """The share of the query's words that a passage has. For tests: it needs no model."""

    fingerprint = "shared-words"

    def scores(self, query: str, passages: Sequence[str], *, until: float) -> Sequence[float]:
        seconds_left(until)
        asked = set(query.casefold().split())
        return [len(asked & set(passage.casefold().split())) / max(1, len(asked)) for passage in passages]

    def close(self) -> None:
        return None


def seconds_left(until: float) -> float:
    """More than 0. Raises `RerankerTimeoutError` when the time is over."""
    left = until - time.monotonic()
    if left <= 0:
        raise RerankerTimeoutError("The reranker's time was over before it was done.")
    return left
