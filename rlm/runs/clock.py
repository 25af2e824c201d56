"""How long a run has been worked at, over all its attempts."""

import time
from collections.abc import Callable


class RunClock:
    """Seconds, those of earlier attempts included.

    An attempt first meets again what earlier ones did. Meanwhile the clock stands where they left it, for as long as
    they took: that work's time is counted already.
    """

    def __init__(self, before: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._before = before
        self._clock = clock
        self._zero = clock()
        self._goes_on = False

    def __call__(self) -> float:
        since = self._clock() - self._zero
        return since if self._goes_on else max(self._before, since)

    def go_on(self) -> None:
        """From here on something is new."""
        if not self._goes_on:
            self._zero = self._clock() - self()
            self._goes_on = True
