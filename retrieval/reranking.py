"""Reranking as a stage of a search: the first candidates are read by a reranker, under a deadline.

A search never waits longer and never fails for it: what is not reranked in time is shown as it was, and the result says
so.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlineError
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from time import monotonic

import structlog

from retrieval.errors import RerankerError, RerankerOutputError, RerankerTimeoutError
from retrieval.index import Scored
from retrieval.ranking import Ranking
from retrieval.reranker import Reranker

DEPTH = 50
DEADLINE_SECONDS = 1.5
# Searches whose passages are read at the same time; others wait, as long as their deadline lets them.
_AT_ONCE = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reranked:
    """What became of it: how many passages `model` scored; none if it failed, and then the error's code and reason."""

    model: str
    passages: int
    failure: str = ""
    detail: str = ""


class Reranking:
    """A reranker, how many candidates it reads, and how long a search waits for it.

    It works in threads of its own, so no caller's thread or event loop is held for longer than the deadline.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        depth: int = DEPTH,
        deadline_seconds: float = DEADLINE_SECONDS,
        weight: float = 1.0,
    ) -> None:
        """`weight` is the reranker's part of the score, from 0 to 1; the rest is what the search had found."""
        self.depth = depth
        self._reranker = reranker
        self._weight = weight
        self._deadline_seconds = deadline_seconds
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rerank")

    def rerank(self, query: str, ranking: Ranking, passages: Mapping[str, str]) -> tuple[Ranking, Reranked]:
        """The ranking with the candidates that are given as texts, by id, in the reranker's order before the others."""
        model = self._reranker.fingerprint
        try:
            scores = self.scores(query, list(passages.values()))
        except RerankerError as error:
            log.warning("not reranked", model=model, code=error.code, error=error.detail)
            return ranking, Reranked(model, 0, error.code, error.detail)
        read = dict(zip(passages, scores, strict=True))
        return reordered(ranking, read, weight=self._weight), Reranked(model, len(scores))

    def scores(self, query: str, passages: Sequence[str]) -> Sequence[float]:
        """One score for each passage. Raises `RerankerError`, at the deadline at the latest."""
        if not passages:
            return []
        until = monotonic() + self._deadline_seconds
        asked = self._threads.submit(self._reranker.scores, query, passages, until=until)
        try:
            scores = asked.result(self._deadline_seconds)
        except RerankerError:
            raise
        except DeadlineError as error:
            asked.cancel()
            raise RerankerTimeoutError(
                f"The reranker {self._reranker.fingerprint} was not done with {len(passages)} passages in "
                f"{self._deadline_seconds * 1000:,.0f} ms."
            ) from error
        # A reranker is code and models of others: whatever it does, there are hits to show.
        except Exception as error:
            log.exception("the reranker failed", model=self._reranker.fingerprint)
            raise RerankerError(f"The reranker {self._reranker.fingerprint} failed: {error!r}") from error
        if len(scores) != len(passages) or not all(map(math.isfinite, scores)):
            raise RerankerOutputError(
                f"The reranker {self._reranker.fingerprint} gave {len(scores)} scores for {len(passages)} passages, or "
                "some that are no numbers."
            )
        return scores

    def close(self) -> None:
        """Wait for what is under way, and let go of the reranker."""
        self._threads.shutdown(cancel_futures=True)
        self._reranker.close()


def reordered(ranking: Ranking, scores: Mapping[str, float], *, weight: float = 1.0) -> Ranking:
    """Those that have a score first, and then the others as they were; equal ones stay in the order they were in.

    A weight below 1 leaves the first ranking its say: score(d) = weight * z(reranker) + (1 - weight) * z(before), each
    measured against the mean and deviation of the candidates that were read. What reads the words again need not know
    better than two retrievers together.
    """
    before = {identifier: score for identifier, score in ranking.best if identifier in scores}
    after = {identifier: scores[identifier] for identifier in before}
    by_rerank = [Scored(i, after[i]) for i in sorted(after, key=lambda i: -after[i])]
    if weight < 1:
        theirs, ours = _standardized(after), _standardized(before)
        after = {i: weight * theirs[i] + (1 - weight) * ours[i] for i in before}
    best = sorted(after.items(), key=lambda each: -each[1])
    rest = [each for each in ranking.best if each[0] not in after]
    return replace(ranking, best=best + rest, by_rerank=by_rerank)


def _standardized(scores: Mapping[str, float]) -> dict[str, float]:
    if not scores:
        return {}
    mean, deviation = fmean(scores.values()), pstdev(scores.values())
    return {identifier: (score - mean) / deviation if deviation else 0.0 for identifier, score in scores.items()}
