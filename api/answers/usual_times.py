"""The usual duration of answers, so that people who wait know how long it takes."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request

# The times change slowly, and loading them reads the latest answers.
_CACHE_SECONDS = 60.0
# With fewer answers, a median says little.
_MIN_ANSWERS = 3

LoadTimes = Callable[[], Sequence[tuple[str, str | None, float]]]


class UsualTimes:
    """The median duration of the latest answers, by strategy. Cached for a minute unless empty. Thread-safe.

    `load_times` returns the strategies, models and seconds of the latest answers, newest first.
    """

    def __init__(self, load_times: LoadTimes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._load_times = load_times
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: dict[str, float] = {}
        self._loaded_at: float | None = None

    def compute_medians(self) -> dict[str, float]:
        """Return the median seconds by strategy, of the answers by the model that answered last with this strategy."""
        with self._lock:
            # With few answers, the query is fast, and each further answer may be the first one with a median.
            if not self._cached or self._loaded_at is None or self._clock() - self._loaded_at >= _CACHE_SECONDS:
                self._cached = compute_medians(self._load_times())
                self._loaded_at = self._clock()
            return dict(self._cached)


def compute_medians(times: Sequence[tuple[str, str | None, float]]) -> dict[str, float]:
    """Return the median seconds by strategy. A strategy needs three answers by its latest model."""
    latest: dict[str, str | None] = {}
    seconds: dict[str, list[float]] = {}
    for strategy, model, duration in times:
        if latest.setdefault(strategy, model) == model:
            seconds.setdefault(strategy, []).append(duration)
    return {
        strategy: round(statistics.median(each), 1) for strategy, each in seconds.items() if len(each) >= _MIN_ANSWERS
    }


async def get_usual_times(request: Request) -> UsualTimes:
    """Return this process's usual durations of answers."""
    found: UsualTimes = request.app.state.usual_times
    return found


UsualTimesDep = Annotated[UsualTimes, Depends(get_usual_times)]
