"""Reranking as a search stage: a reranker scores the first candidates, within a deadline.

Reranking never makes a search wait past the deadline. Candidates that are not reranked in time keep their order, which
the result reports. If reranking is required, the search fails instead.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as DeadlineError
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, pstdev
from time import monotonic

import structlog

from retrieval.errors import RerankerError, RerankerOutputError, RerankerTimeoutError, RerankerUnavailableError
from retrieval.index.port import ScoredChunk
from retrieval.rerank.port import CorpusSnapshot, Reranker
from retrieval.search.metrics import record_rerank
from retrieval.search.ranking import Ranking
from retrieval.search.requests import SearchRequest
from retrieval.search.tenant_threads import TenantThreadPool

DEFAULT_DEPTH = 50
DEADLINE_SECONDS = 1.5
# Maximum number of searches that are reranked concurrently. Other searches wait for their tenant's turn, within their
# deadlines.
_MAX_PARALLEL = 4
# Number of consecutive failures after which the reranker is skipped for a while, so that searches do not wait for a
# reranker that fails.
_MAX_FAILURES = 3
_SUSPENSION_SECONDS = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RerankOutcome:
    """The outcome of reranking: the number of passages scored by `model`, and the code and text of a failure.

    After a failure, the number is 0.
    """

    model: str
    passages: int
    failure: str = ""
    detail: str = ""


class Reranking:
    """A reranker, the number of candidates to score, and the deadline in seconds.

    The reranker runs in its own threads, so that no caller's thread or event loop is blocked beyond the deadline.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        depth: int = DEFAULT_DEPTH,
        deadline_seconds: float = DEADLINE_SECONDS,
        weight: float = 1.0,
        max_parallel: int = _MAX_PARALLEL,
        answers_only: bool = False,
        is_required: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Set up the stage.

        `weight`, from 0 to 1, is the weight of the reranker's score; the search's score has the weight `1 - weight`.
        With `answers_only`, reranking runs only for answers, where a language model takes longer anyway, and for
        searches that request it. Otherwise, it runs for every search that does not turn it off. If it `is_required`, a
        search whose candidates cannot be reranked fails.
        """
        self.depth = depth
        self._answers_only = answers_only
        self._is_required = is_required
        self._reranker = reranker
        self._weight = weight
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self._threads = TenantThreadPool[Sequence[float]](max_parallel, name="rerank")

    def should_rerank(self, request: SearchRequest) -> bool:
        """Return whether to rerank a search's candidates."""
        if request.rerank is not None:
            return request.rerank
        return request.for_answer or not self._answers_only

    def rerank_candidates(
        self, query: str, ranking: Ranking, passages: Mapping[str, str], corpus: CorpusSnapshot | None = None
    ) -> tuple[Ranking, RerankOutcome]:
        """Rerank the candidates in `passages`, which maps ids to texts.

        Returns the ranking with the reranked candidates first, and the outcome. Raises `RerankerError` only if
        reranking is required.
        """
        model = self._reranker.fingerprint
        try:
            self._require_not_suspended()
            scores = self.score_passages(query, list(passages.values()), corpus)
        except RerankerError as error:
            log.warning("candidates not reranked", model=model, code=error.code, error=error.detail)
            record_rerank(error.code)
            if self._is_required:
                raise
            return ranking, RerankOutcome(model, 0, error.code, error.public_message[0])
        record_rerank()
        read = dict(zip(passages, scores, strict=True))
        return reorder_candidates(ranking, read, weight=self._weight), RerankOutcome(model, len(scores))

    def score_passages(
        self, query: str, passages: Sequence[str], corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        """Return one score per passage, in passage order.

        Raises `RerankerError` if scoring fails or is not finished by the deadline.
        """
        if not passages:
            return []
        try:
            scores = self._score_in_thread(query, passages, corpus)
        except (RerankerUnavailableError, RerankerTimeoutError):
            self._failures += 1
            if self._failures >= _MAX_FAILURES:
                self._rests_until = self._clock() + _SUSPENSION_SECONDS
            raise
        self._failures = 0
        return scores

    def close(self) -> None:
        """Wait for running requests to finish, and close the reranker."""
        self._threads.close()
        self._reranker.close()

    def _require_not_suspended(self) -> None:
        left = self._rests_until - self._clock()
        if left > 0:
            raise RerankerUnavailableError(
                f"The reranker {self._reranker.fingerprint} failed several times in a row. The next attempt is in "
                f"{math.ceil(left)} s."
            )

    def _score_in_thread(self, query: str, passages: Sequence[str], corpus: CorpusSnapshot | None) -> Sequence[float]:
        seconds = self._deadline_seconds
        work = partial(self._reranker.score_passages, query, passages, deadline=monotonic() + seconds, corpus=corpus)
        asked = self._threads.submit_task(corpus.tenant_id if corpus else "", work)
        try:
            scores = asked.result(seconds)
        except RerankerError:
            raise
        except DeadlineError as error:
            asked.cancel()
            raise RerankerTimeoutError(
                f"The reranker {self._reranker.fingerprint} did not score {len(passages)} passages within "
                f"{seconds * 1000:,.0f} ms."
            ) from error
        # A reranker runs third-party code and models, which may raise any error. Without the reranker, the search can
        # still return its hits.
        except Exception as error:
            log.exception("reranker failed", model=self._reranker.fingerprint)
            raise RerankerError(f"The reranker {self._reranker.fingerprint} failed: {error!r}") from error
        if len(scores) != len(passages) or not all(map(math.isfinite, scores)):
            raise RerankerOutputError(
                f"The reranker {self._reranker.fingerprint} returned {len(scores)} scores for {len(passages)} "
                "passages, or scores that are not finite numbers."
            )
        return scores


def reorder_candidates(ranking: Ranking, scores: Mapping[str, float], *, weight: float = 1.0) -> Ranking:
    """Return a ranking with the scored candidates first, followed by the unchanged others. Ties keep their order.

    A weight below 1 also takes the first ranking into account: score(d) = weight * z(reranker) + (1 - weight) *
    z(before). Both are standardized over the reranked candidates. This is useful because a reranker is not always
    better than two retrievers together.

    If the documents' cards changed the ranking, only passages of the same document exchange places, and the scores stay
    in place: a reranker reads passages, and cannot tell near duplicates in different documents apart.
    """
    before = {chunk: score for chunk, score in ranking.best if chunk in scores}
    after = {identifier: scores[identifier] for identifier in before}
    by_rerank = [ScoredChunk(i, after[i]) for i in sorted(after, key=lambda i: -after[i])]
    if weight < 1:
        theirs, ours = _standardize_scores(after), _standardize_scores(before)
        after = {i: weight * theirs[i] + (1 - weight) * ours[i] for i in before}
    best = sorted(after.items(), key=lambda each: -each[1])
    # guard: rerank-within-documents
    if ranking.documents:
        best = _exchange_within_documents(before, [chunk for chunk, _ in best], ranking.documents)
    rest = [each for each in ranking.best if each[0] not in after]
    return replace(ranking, best=best + rest, by_rerank=by_rerank)


def _exchange_within_documents(
    before: Mapping[str, float], order: Sequence[str], documents: Mapping[str, str]
) -> list[tuple[str, float]]:
    """Return `before` with the chunks of each document in the given order. A chunk without a document stays."""

    def get_document(chunk: str) -> str:
        return documents.get(chunk, chunk)

    successors = dict(zip(sorted(before, key=get_document), sorted(order, key=get_document), strict=True))
    return [(successors[chunk], score) for chunk, score in before.items()]


def _standardize_scores(scores: Mapping[str, float]) -> dict[str, float]:
    if not scores:
        return {}
    mean, deviation = fmean(scores.values()), pstdev(scores.values())
    return {identifier: (score - mean) / deviation if deviation else 0.0 for identifier, score in scores.items()}
