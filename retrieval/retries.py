"""Waits before a request that can be sent twice is sent again."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts, and the waits between them, which double from the first to the longest."""

    attempts: int
    first_wait_seconds: float
    longest_wait_seconds: float

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 < self.first_wait_seconds <= self.longest_wait_seconds:
            raise ValueError("one attempt at least, and waits that grow")

    def waits(self, uniform: Callable[[], float] = random.random) -> Iterator[float]:
        """Yield the waits, one fewer than attempts: half of each is fixed and half is random (`uniform`, 0 to 1).

        Randomness keeps clients that failed together from coming back together; the fixed half keeps the total from
        shrinking to nothing.
        """
        for retry in range(self.attempts - 1):
            longest = min(self.first_wait_seconds * 2**retry, self.longest_wait_seconds)
            yield longest / 2 + longest / 2 * uniform()
