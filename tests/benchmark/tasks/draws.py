"""Seeded choices that come out the same on every version of Python."""

import random
from collections.abc import MutableSequence, Sequence
from hashlib import sha256
from typing import TypeVar

Choice = TypeVar("Choice")


class Draws:
    """A stream of choices named by its seed; equal seeds give equal choices, and different names independent ones.

    Of `random.Random`, only `random()` of an integer seed is promised to stay the same over versions of Python
    (`choice`, `shuffle` and `sample` have changed before), so everything here is made of that.
    """

    def __init__(self, *seed: int | str) -> None:
        digest = sha256("/".join(map(str, seed)).encode()).digest()
        self.unit = random.Random(int.from_bytes(digest[:8], "big")).random

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.unit() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.unit() < probability

    def choice(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self.unit() * len(choices))]

    def shuffle(self, choices: MutableSequence[Choice]) -> None:
        """In place (Fisher-Yates)."""
        for last in range(len(choices) - 1, 0, -1):
            other = int(self.unit() * (last + 1))
            choices[last], choices[other] = choices[other], choices[last]

    def sample(self, choices: Sequence[Choice], count: int) -> list[Choice]:
        """`count` of the choices without replacement, in random order; all of them if there are fewer."""
        pool = list(choices)
        for at in range(min(count, len(pool))):
            other = at + int(self.unit() * (len(pool) - at))
            pool[at], pool[other] = pool[other], pool[at]
        return pool[:count]
