"""Labels by a model: a first reading of every record, and another look at those that are in doubt.

A small model's single mistakes even out where a classifier learns from many of its labels. So a record is read again,
with the labels turned round, where a classifier that learned from the other records' labels disagrees with its first
one, and everywhere where there are too few records to learn from. Two of three votes decide; where all differ, the
first reading counts.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rlm.answers import Usage
from rlm.operators.classifier import Matrix, cross_fitted, numbers_of
from rlm.operators.labels import LabelSet
from rlm.operators.packing import Asked, PackedTask, PackLimits, Progress, Refused, ask_packed
from rlm.operators.prompts import SORTING_SYSTEM, choice_schema, judging_prompt, sorting_prompt
from rlm.strategies import never
from rlm.subcalls.port import SubCall, SubCalls

YES, NO = "yes", "no"
# Fewer records than this teach a classifier nothing.
FEWEST_TO_LEARN_FROM = 60
_TOKENS_PER_LABEL = 14
_TOKENS_AROUND = 24

Texts = Callable[[Sequence[int]], Iterator[str]]
Vectors = Callable[[Sequence[int]], Matrix]


@dataclass(frozen=True)
class SortingTask:
    """The class of each record, out of a label set."""

    labels: LabelSet
    purpose: str = "classify"

    def call(self, records: Sequence[str]) -> SubCall:
        return SubCall(
            SORTING_SYSTEM,
            sorting_prompt(self.labels, records),
            _TOKENS_PER_LABEL * len(records) + _TOKENS_AROUND,
            choice_schema(len(records), self.labels.names),
            self.purpose,
        )

    def read(self, value: object) -> object | None:
        return value if value in self.labels.names else None


@dataclass(frozen=True)
class JudgingTask:
    """Yes or no of each record."""

    criterion: str
    labels: LabelSet
    purpose: str = "filter"

    def call(self, records: Sequence[str]) -> SubCall:
        return SubCall(
            SORTING_SYSTEM,
            judging_prompt(self.criterion, records),
            _TOKENS_PER_LABEL * len(records) + _TOKENS_AROUND,
            choice_schema(len(records), self.labels.names),
            self.purpose,
        )

    def read(self, value: object) -> object | None:
        return value if value in self.labels.names else None


@dataclass
class Read:
    """Labels by record number. `read_twice` of them were read again, and `steady` of these got the same label."""

    labels: dict[int, str]
    refused: dict[int, Refused]
    usage: Usage
    read_twice: int = 0
    steady: int = 0


class LabelReader:
    """Reads labels with a model; `vectors` are the embeddings of records, or None where there is no encoder."""

    def __init__(
        self,
        subcalls: SubCalls,
        task: Callable[[LabelSet], PackedTask],
        labels: LabelSet,
        texts: Texts,
        vectors: Vectors | None,
        *,
        limits: PackLimits,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self._subcalls = subcalls
        self._task = task
        self._labels = labels
        self._texts = texts
        self._vectors = vectors
        self._limits = limits
        self._cancelled = cancelled

    def once(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]:
        """One reading of each record."""
        asked = yield from self._ask(numbers, self._labels)
        return Read({number: str(label) for number, label in asked.results.items()}, asked.refused, asked.usage)

    def carefully(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]:
        """A reading of each record, and another look at the doubtful ones."""
        read = yield from self.once(numbers)
        votes = self._votes(read.labels)
        doubtful = [number for number, label in read.labels.items() if votes.get(number) != label]
        if not doubtful:
            return read
        again = yield from self._ask(doubtful, self._labels.turned())
        read.usage += again.usage
        for number, second in again.results.items():
            first = read.labels[number]
            read.read_twice += 1
            read.steady += first == second
            read.labels[number] = _decided(first, str(second), votes.get(number))
        return read

    def _ask(self, numbers: Sequence[int], labels: LabelSet) -> Generator[Progress, None, Asked]:
        return (
            yield from ask_packed(
                self._subcalls,
                self._task(labels),
                numbers,
                self._texts,
                limits=self._limits,
                cancelled=self._cancelled,
            )
        )

    def _votes(self, labels: dict[int, str]) -> dict[int, str]:
        """What a classifier says of each record that learned from the labels of others; nothing from too few."""
        if self._vectors is None or len(labels) < FEWEST_TO_LEARN_FROM or len(set(labels.values())) < 2:
            return {}
        names = self._labels.names
        numbers = list(labels)
        found = cross_fitted(self._vectors(numbers), numbers_of(names, list(labels.values())), len(names))
        return dict(zip(numbers, (names[at] for at in np.argmax(found, axis=1)), strict=True))


def _decided(first: str, second: str, classifier: str | None) -> str:
    """Two of three."""
    return second if second == classifier else first
