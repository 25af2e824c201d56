"""The port of rerankers, which give one score for each passage of a query, and the rerankers a setting can name."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from retrieval.errors import RerankerTimeoutError


class RerankerKind(StrEnum):
    """The kind of a reranker, and where it runs."""

    LATE_INTERACTION = "late-interaction"
    CROSS_ENCODER = "cross-encoder"
    HTTP = "http"


@dataclass(frozen=True)
class RerankerChoice:
    """A reranker that is not open yet; `model` and `url` are set if its kind has them."""

    kind: RerankerKind
    model: str = ""
    url: str = ""

    @property
    def weight(self) -> float:
        """The default share of the score; late interaction judges little better than the search before it.

        Measured on half of the questions of five collections, where 0.5 to 0.7 differ by less than their intervals.
        """
        return 0.6 if self.kind is RerankerKind.LATE_INTERACTION else 1.0

    @property
    def max_parallel(self) -> int:
        """The number of searches whose passages are read at the same time; others wait for their tenant's turn.

        Late interaction is done on this machine, and two at once would each take twice as long.
        """
        return 1 if self.kind is RerankerKind.LATE_INTERACTION else 4

    @property
    def depth(self) -> int:
        """The default number of passages read. Late interaction orders ten well, and fifty worse than ten."""
        return 10 if self.kind is RerankerKind.LATE_INTERACTION else 50


# The setting's value that leaves the choice to the service.
AUTO_CHOICE = "auto"


def parse_reranker(text: str) -> RerankerChoice | None:
    """Parse `none`, `late-interaction`, `cross-encoder MODEL` or `URL MODEL`. Raises a clear `ValueError`."""
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
        "LEADLINE_RERANKER must be `auto`, `none`, `late-interaction`, `cross-encoder` and a model's folder or id, or "
        "the URL of a /rerank or /score endpoint and a model's name, such as "
        "`http://gpu:8000/v1 BAAI/bge-reranker-v2-m3`"
    )


@dataclass(frozen=True)
class CorpusSnapshot:
    """A tenant's corpus as it was before a search: the catalog's number of it, and the generation of the index."""

    tenant_id: str
    version: int
    generation: int


class Reranker(Protocol):
    """A model that reads the query and each passage together; `fingerprint` names the model and is shown in results.

    Any number of threads may call it at once.
    """

    @property
    def fingerprint(self) -> str: ...

    def score_passages(
        self, query: str, passages: Sequence[str], *, until: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        """Return one finite score for each passage, in their order; higher is better.

        What is kept of the passages is kept for their `corpus` alone; nothing is kept if it is not given.
        Nobody waits after `until`, a time of `time.monotonic`: soon after it the call raises `RerankerTimeoutError`.
        Every other failure is another `RerankerError`.
        """

    def close(self) -> None: ...


def require_seconds_left(until: float) -> float:
    """Return the seconds until then, more than 0. Raises `RerankerTimeoutError` when the time is over."""
    left = until - time.monotonic()
    if left <= 0:
        raise RerankerTimeoutError("The reranker's time was over before it was done.")
    return left
