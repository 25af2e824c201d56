"""Prometheus metrics of searches."""

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

SEARCHES = Counter(
    "leadline_searches", "Number of searches, by whether the result came from the query cache.", ["cached"]
)
STAGE_SECONDS = Histogram(
    "leadline_search_stage_seconds", "Duration in seconds of each stage of a search, and of the `total`.", ["stage"]
)


def record_search(timings_ms: Mapping[str, float], *, cached: bool) -> None:
    """Record a search, and the duration of each stage that ran."""
    SEARCHES.labels("yes" if cached else "no").inc()
    for stage, milliseconds in timings_ms.items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
