"""What an operator judges: each different text among records once, however many records have it."""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rlm.cancelling import not_cancelled, unless_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle

Projection = Callable[[str], str]


def whole(text: str) -> str:
    """Of a record, all of it."""
    return text


class Subjects:
    """The different texts of some records, numbered from 0 in order of appearance. Texts are read when needed.

    Making them reads every record, and raises `RunCancelledError`.
    `number_of[i]` is the number of record `i`'s text, and `digests` has the texts' digests by number.
    """

    def __init__(
        self,
        corpus: Corpus,
        records: Sequence[Handle],
        project: Projection = whole,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self._corpus = corpus
        self._project = project
        self._first: list[Handle] = []
        self.records = records
        self.number_of = array("L")
        self.digests: list[bytes] = []
        numbers: dict[bytes, int] = {}
        for handle, text in unless_cancelled(zip(records, corpus.read_all(records), strict=True), cancelled):
            digest = hashlib.blake2b(project(text).encode(), digest_size=16).digest()
            number = numbers.setdefault(digest, len(numbers))
            if number == len(self._first):
                self._first.append(handle)
                self.digests.append(digest)
            self.number_of.append(number)

    def __len__(self) -> int:
        return len(self._first)

    def texts(self, numbers: Iterable[int]) -> Iterator[str]:
        return map(self._project, self._corpus.read_all(self._first[number] for number in numbers))

    def by_record(self, shares: Mapping[int, float]) -> dict[int, float]:
        """What is known of some texts by number, for every record that has one of them, by the record's place."""
        return {place: shares[number] for place, number in enumerate(self.number_of) if number in shares}
