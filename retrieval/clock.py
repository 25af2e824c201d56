"""A stopwatch for the stages of a search, in milliseconds."""

import time


class Clock:
    """A stopwatch: each lap is the time since the previous lap, and laps of one stage add up."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = round(self._laps.get(stage, 0.0) + (now - self._last) * 1000, 3)
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": round((self._last - self._begun) * 1000, 3)}
