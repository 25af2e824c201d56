"""Each different text among records once, however many records have it."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rlm.cancelling import not_cancelled, unless_cancelled
from rlm.operators.packing import Texts


class DistinctTexts:
    """The different texts of some records, numbered from 0 in order of appearance. Texts are read when needed.

    Making them reads every record, and raises `RunCancelledError`. `number_of[i]` is the number of record `i`'s text.
    """

    def __init__(self, count: int, texts: Texts, *, cancelled: Callable[[], bool] = not_cancelled) -> None:
        self._texts = texts
        self._first = array("L")
        self.number_of = array("L")
        numbers: dict[bytes, int] = {}
        for place, text in unless_cancelled(enumerate(texts(range(count))), cancelled):
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            number = numbers.setdefault(digest, len(numbers))
            if number == len(self._first):
                self._first.append(place)
            self.number_of.append(number)

    def __len__(self) -> int:
        return len(self._first)

    @property
    def copies(self) -> Counter[int]:
        """How many records have each text."""
        return Counter(self.number_of)

    def texts(self, numbers: Sequence[int]) -> Iterator[str]:
        return self._texts([self._first[number] for number in numbers])
