"""Measures how fast a generation of the index catches up with the documents, and estimates the rest."""

import math
import time
from collections import deque
from collections.abc import Callable

from ingest.storage.counts import format_count
from ingest.storage.generations.records import BuildProgress

# Chunks are added in batches, which take a second or two. A shorter window would measure a single batch.
_WINDOW_SECONDS = 5.0


class CatchUpPace:
    """The pace of the last seconds, and the time that the missing chunks take at this pace."""

    def __init__(self, limit_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._chunks_per_second = 0.0
        self._missing_chunks = 0
        self._fewest_missing: tuple[int, int] | None = None
        self._improved_at = 0.0

    def record(self, progress: BuildProgress, uncommitted_chunks: int = 0) -> None:
        """Record the progress, and the number of finished chunks of a long document that is not committed yet."""
        now = self._clock()
        added = min(progress.chunks, progress.chunks_done + uncommitted_chunks)
        self._missing_chunks = progress.chunks - added
        missing = (self._missing_chunks, progress.versions - progress.versions_done)
        if self._fewest_missing is None or missing < self._fewest_missing:
            self._fewest_missing, self._improved_at = missing, now
        # Until chunks are added, an encoder is being opened, or the previous work is being checked.
        if len(self._samples) == 1 and added <= self._samples[0][1]:
            self._samples.clear()
        self._samples.append((now, added))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _WINDOW_SECONDS:
            self._samples.popleft()
        began_at, before = self._samples[0]
        seconds = now - began_at
        if seconds >= _WINDOW_SECONDS and added > before:
            self._chunks_per_second = (added - before) / seconds

    @property
    def remaining_seconds(self) -> float | None:
        """The estimated time for the missing chunks, or None if the pace is not known yet."""
        return self._missing_chunks / self._chunks_per_second if self._chunks_per_second else None

    def describe(self) -> str:
        """Compare the estimate with the limit, in a sentence."""
        limit = _format_estimate(self._limit_seconds)
        if (remaining_seconds := self.remaining_seconds) is None:
            return f"None could be added within {limit}, the limit of a switch."
        if remaining_seconds > self._limit_seconds:
            return f"At the current pace, they take {_format_estimate(remaining_seconds)}; a switch may take {limit}."
        return f"As many arrived within {limit}, the limit of a switch, as could be added."

    @property
    def is_too_slow(self) -> bool:
        """Return whether the rest takes longer than the limit, or nothing has come closer to the end for that long.

        Documents may be added as fast as the generation catches up: then the estimate stays the same for ever.
        """
        remaining_seconds = self.remaining_seconds
        if remaining_seconds is not None and remaining_seconds > self._limit_seconds:
            return True
        return self._clock() - self._improved_at > self._limit_seconds


def _format_estimate(seconds: float) -> str:
    """Format a number of seconds, rounded up, as seconds, minutes or hours."""
    for unit_seconds, unit in ((1, "second"), (60, "minute"), (3_600, "hour")):
        count = math.ceil(seconds / unit_seconds)
        if count <= 60 or unit == "hour":
            break
    return format_count(count, unit)
