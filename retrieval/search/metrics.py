"""What Prometheus is told of searches."""

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

SEARCHES = Counter("leadline_searches", "Searches, by whether the query cache knew the result.", ["cached"])
STAGE_SECONDS = Histogram("leadline_search_stage_seconds", "Seconds of each stage of a search, and `total`.", ["stage"])


def record_search(timings_ms: Mapping[str, float], *, cached: bool) -> None:
    """Count a search with its stages; a stage that did not take place has no time."""
    SEARCHES.labels("yes" if cached else "no").inc()
    for stage, milliseconds in timings_ms.items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
