"""The interface of rerankers, which score the passages found for a query, and the parser of the reranker setting."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from retrieval.errors import RerankerTimeoutError


class RerankerKind(StrEnum):
    """The kinds of rerankers."""

    LATE_INTERACTION = "late-interaction"
    CROSS_ENCODER = "cross-encoder"
    HTTP = "http"


@dataclass(frozen=True)
class RerankerChoice:
    """A reranker that is not open yet. `model` and `url` are set if its kind uses them."""

    kind: RerankerKind
    model: str = ""
    url: str = ""

    @property
    def weight(self) -> float:
        """The default weight of the reranker's score.

        Late interaction has a lower weight, because it is only slightly better than the search itself. On half of the
        questions of five collections, weights from 0.5 to 0.7 differ by less than their confidence intervals.
        """
        return 0.6 if self.kind is RerankerKind.LATE_INTERACTION else 1.0

    @property
    def max_parallel(self) -> int:
        """The maximum number of searches to rerank concurrently. Other searches wait for their tenant's turn.

        Late interaction runs on this machine, where two concurrent searches would each take twice as long.
        """
        return 1 if self.kind is RerankerKind.LATE_INTERACTION else 4

    @property
    def depth(self) -> int:
        """The default number of passages to rerank.

        Late interaction gives better results with ten passages than with fifty.
        """
        return 10 if self.kind is RerankerKind.LATE_INTERACTION else 50


# Value of the setting with which the service itself chooses a reranker.
AUTO_CHOICE = "auto"


def parse_reranker(text: str) -> RerankerChoice | None:
    """Parse a setting: `none`, `late-interaction`, `cross-encoder MODEL` or `URL MODEL`.

    Raises `ValueError` with a user-facing message.
    """
    first, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if first == "none" and not rest:
        return None
    if first == RerankerKind.LATE_INTERACTION and not rest:
        return RerankerChoice(RerankerKind.LATE_INTERACTION)
    if first == RerankerKind.CROSS_ENCODER and rest:
        return RerankerChoice(RerankerKind.CROSS_ENCODER, model=rest)
    if first.startswith(("http://", "https://")) and rest:
        return RerankerChoice(RerankerKind.HTTP, model=rest, url=first)
    raise ValueError(
        "LEADLINE_RERANKER must be `auto`, `none`, `late-interaction`, `cross-encoder` with a model's folder or id, or "
        "the URL of a /rerank or /score endpoint with a model's name, such as "
        "`http://gpu:8000/v1 BAAI/bge-reranker-v2-m3`"
    )


@dataclass(frozen=True)
class CorpusSnapshot:
    """The state of a tenant's corpus before a search: its version in the catalog, and the index generation."""

    tenant_id: str
    version: int
    generation: int


class Reranker(Protocol):
    """A model that reads the query together with each passage. Thread-safe.

    `fingerprint` names the model in search results.
    """

    @property
    def fingerprint(self) -> str: ...

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        """Return one finite score per passage, in passage order. Higher is better.

        Implementations may cache passages only if `corpus` is given. `deadline` is a `time.monotonic()` deadline;
        shortly after it, the method raises `RerankerTimeoutError`. Any other failure raises another `RerankerError`.
        """

    def close(self) -> None: ...


def require_remaining_seconds(deadline: float) -> float:
    """Return the seconds until the deadline, which are always more than 0.

    Raises `RerankerTimeoutError` if the deadline has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise RerankerTimeoutError("The reranker did not finish before its deadline.")
    return left
