"""Prometheus metrics of searches."""

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

SEARCHES = Counter(
    "leadline_searches", "Number of searches, by whether the result came from the query cache.", ["cached"]
)
STAGE_SECONDS = Histogram(
    "leadline_search_stage_seconds", "Duration in seconds of each stage of a search, and of the `total`.", ["stage"]
)
RERANKS = Counter(
    "leadline_reranks", "Number of searches with reranking, by outcome: `done`, or the code of the error.", ["outcome"]
)


def record_search(timings_ms: Mapping[str, float], *, cached: bool) -> None:
    """Record a search, and the duration of each stage that ran."""
    SEARCHES.labels("yes" if cached else "no").inc()
    for stage, milliseconds in timings_ms.items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)


def record_rerank(error_code: str = "") -> None:
    """Record that the candidates of a search were reranked, or, with an error's code, that they were not."""
    RERANKS.labels(error_code or "done").inc()
