"""Labels by a model, and how far it is believed.

Records are read twice, the second time with the labels turned round. Where a model mostly agrees with itself its labels
stand; one that does not is one witness among others, see `consensus`. A model that is seen to agree with itself nearly
always reads the rest once: half of the cost buys nothing. A small model whose server tells how likely an answer is does
not read at all: its likelihoods say more, see `weighing`.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rlm.cancelling import not_cancelled
from rlm.errors import BudgetExhaustedError
from rlm.llm.port import SubCall, SubCalls
from rlm.operators.classifier import Matrix, Numbers, numbers_of, wilson
from rlm.operators.consensus import FEWEST_RECORDS, STEADY, consensus
from rlm.operators.labels import Label, LabelSet
from rlm.operators.packing import Asked, PackedTask, PackLimits, Progress, Refused, ask_packed
from rlm.operators.prompts import SORTING_SYSTEM, choice_schema, judging_prompt, one_line, sorting_prompt
from rlm.operators.weighing import MOST_LABELS, MOST_WRITTEN_CHARS, LabelsWeighed, RecordsWeighed, many_alike, matrix
from rlm.usage import Usage

YES, NO = "yes", "no"
YES_OR_NO = LabelSet((Label(YES), Label(NO)))
# Records after which it is known whether a model needs a second reading, and how often it must agree with itself for
# none: the lower bound of the share, at 95 %.
PROBED, _SURE = 200, 0.95
_TOKENS_PER_LABEL = 14
_TOKENS_AROUND = 24

Result = TypeVar("Result")
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

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        value = values.get(str(position))
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

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        value = values.get(str(position))
        return value if value in self.labels.names else None


@dataclass
class Read:
    """Labels by record number. `read_twice` of them were read again, and `steady` of these got the same label.

    `cut` has the shares that were shown of records too long to be shown whole.
    """

    labels: dict[int, str]
    refused: dict[int, Refused]
    usage: Usage
    read_twice: int = 0
    steady: int = 0
    cut: dict[int, float] = field(default_factory=dict)

    def add(self, more: "Read") -> None:
        """Take in what was read of other records."""
        self.labels |= more.labels
        self.refused |= more.refused
        self.usage += more.usage
        self.read_twice += more.read_twice
        self.steady += more.steady
        self.cut |= more.cut


class LabelReader:
    """Reads labels with a model. `vectors` embeds records and `label_vectors` are the labels'; None without encoder."""

    def __init__(
        self,
        subcalls: SubCalls,
        task: Callable[[LabelSet], PackedTask],
        labels: LabelSet,
        texts: Texts,
        vectors: Vectors | None,
        label_vectors: Matrix | None = None,
        *,
        limits: PackLimits,
        weigh: bool = False,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        """`weigh` where the model's server tells likelihoods and labels mean something by their names."""
        self._weigh = weigh and vectors is not None and label_vectors is not None and len(labels.names) <= MOST_LABELS
        self._subcalls = subcalls
        self._task = task
        self._labels = labels
        self._texts = texts
        self._vectors = vectors
        self._label_vectors = label_vectors
        self._limits = limits
        self._cancelled = cancelled
        self._read_twice = self._steady = 0

    def once(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]:
        """One reading of each record."""
        asked = yield from self._ask(numbers, self._labels)
        labels = {number: str(label) for number, label in asked.results.items()}
        return Read(labels, asked.refused, asked.usage, cut=asked.cut)

    def carefully(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]:
        """The labels of records, each weighed, or read twice until the model is known to agree with itself."""
        if self._weigh and len(numbers) >= FEWEST_RECORDS:
            return (yield from self._weighed(numbers))
        read, second = Read({}, {}, Usage()), dict[int, str]()
        for done, portion in ((0, numbers[:PROBED]), (PROBED, numbers[PROBED:])):
            once = yield from _overall(self.once(portion), done, len(numbers))
            read.add(once)
            if not self._sure_of_itself:
                asking = self._ask(list(once.labels), self._labels.turned())
                again = yield from _overall(asking, done, len(numbers), " again")
                read.usage += again.usage
                second |= {number: str(label) for number, label in again.results.items()}
                self._read_twice += len(again.results)
                self._steady += sum(once.labels[number] == second[number] for number in again.results)
        first = {number: read.labels[number] for number in second}
        read.read_twice = len(second)
        read.steady = sum(first[number] == second[number] for number in second)
        read.labels |= self._agreed(list(second), first, second)
        return read

    def _weighed(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]:
        first = yield from self._ask_with(LabelsWeighed(self._labels), numbers)
        second = yield from self._weighed_as_texts(list(first.results), len(numbers))
        refused, usage = first.refused | second.refused, first.usage + second.usage
        known = list(second.results)
        if len(known) < FEWEST_RECORDS:
            read = yield from self.once(known)
            return Read(read.labels, refused | read.refused, usage + read.usage, cut=read.cut)
        witnesses = [matrix(known, first.results), matrix(known, second.results)]
        cut = {number: share for number, share in first.cut.items() if number in second.results}
        return Read(self._together(known, witnesses, ()), refused, usage, cut=cut)

    def _weighed_as_texts(self, numbers: Sequence[int], total: int) -> Generator[Progress, None, Asked]:
        task = RecordsWeighed(self._labels, apart=many_alike(self._beginnings(numbers)))
        limits = task.within(self._limits)
        asked = yield from _overall(self._ask_with(task, numbers, self._beginnings, limits), 0, total, " again")
        left = [number for number, why in asked.refused.items() if why.code != BudgetExhaustedError.code]
        if left and not task.apart:
            apart = RecordsWeighed(self._labels, apart=True)
            more = yield from _overall(self._ask_with(apart, left, self._beginnings, limits), 0, total, " again")
            asked.results |= more.results
            asked.refused = {at: why for at, why in asked.refused.items() if at not in left} | more.refused
            asked.usage += more.usage
        return asked

    def _beginnings(self, numbers: Sequence[int]) -> Iterator[str]:
        return (one_line(text, MOST_WRITTEN_CHARS) for text in self._texts(numbers))

    @property
    def _sure_of_itself(self) -> bool:
        return self._read_twice >= PROBED and wilson(self._steady / self._read_twice, self._read_twice)[0] >= _SURE

    def _ask(self, numbers: Sequence[int], labels: LabelSet) -> Generator[Progress, None, Asked]:
        return (yield from self._ask_with(self._task(labels), numbers))

    def _ask_with(
        self, task: PackedTask, numbers: Sequence[int], texts: Texts | None = None, limits: PackLimits | None = None
    ) -> Generator[Progress, None, Asked]:
        return (
            yield from ask_packed(
                self._subcalls,
                task,
                numbers,
                texts or self._texts,
                limits=limits or self._limits,
                cancelled=self._cancelled,
            )
        )

    def _agreed(self, numbers: Sequence[int], first: dict[int, str], second: dict[int, str]) -> dict[int, str]:
        """Of a model that mostly agrees with itself, where it does; else what all witnesses make likely."""
        doubtful = [number for number in numbers if first[number] != second[number]]
        if not doubtful or self._vectors is None or self._label_vectors is None or len(numbers) < FEWEST_RECORDS:
            return {}
        names = self._labels.names
        readings = [numbers_of(names, [reading[number] for number in numbers]) for reading in (first, second)]
        labels = self._together(numbers, (), readings)
        if len(doubtful) <= (1 - STEADY) * len(numbers):
            return {number: labels[number] for number in doubtful}
        return labels

    def _together(
        self, numbers: Sequence[int], witnesses: Sequence[Matrix], readings: Sequence[Numbers]
    ) -> dict[int, str]:
        """What the model's witnesses and the embeddings make likely."""
        assert self._vectors is not None, "labels are compared with embeddings only where there is an encoder"
        assert self._label_vectors is not None, "labels are compared with embeddings only where they have a meaning"
        vectors = self._vectors(numbers)
        nearness = vectors @ self._label_vectors.T
        found = consensus([nearness, *witnesses], readings, vectors, cancelled=self._cancelled)
        return {number: self._labels.names[at] for number, at in zip(numbers, found, strict=True)}


def _overall(
    working: Generator[Progress, None, Result], before: int, total: int, again: str = ""
) -> Generator[Progress, None, Result]:
    """Progress of a part as that of the whole."""
    try:
        while True:
            progress = next(working)
            yield Progress(progress.step + again, before + progress.done, total)
    except StopIteration as ended:
        result: Result = ended.value
        return result
