"""Records, one a line, whose labels are not written: `Date: Oct 14, 2022 || User: 76063 || Instance: <text>`.

Construction after OOLONG (its sections 2 and appendix B): counts of labels are the softmax of drawn integers, users
come from a common pool four times in five, dates are uniform over forty months.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from tests.benchmark.tasks.corpus import RECORD_CHARS_PER_TOKEN, BenchmarkFolder, GoldSpan
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.labels import Instances, LabelSet

FIRST_DAY = date(2022, 1, 1)
DAYS = 1216  # forty months
DOCUMENT = "records.txt"
_FILLED = 0.95  # of the size; the rest is for what stands before and after the records
_POOL_SHARE = 0.1
_FROM_POOL = 0.8
_USER_IDS = range(10_000, 100_000)
_LARGEST_WEIGHT = 30
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Record(NamedTuple):
    """What is known of one record; `label` is an index into the label set, `day` counts from `FIRST_DAY`."""

    day: int
    user: int
    label: int


@dataclass
class Records:
    """Records in columns, in the order of the document: twelve bytes each."""

    labels: LabelSet
    days: "array[int]" = field(default_factory=lambda: array("i"))
    users: "array[int]" = field(default_factory=lambda: array("i"))
    label_indexes: "array[int]" = field(default_factory=lambda: array("i"))

    def append(self, record: Record) -> None:
        self.days.append(record.day)
        self.users.append(record.user)
        self.label_indexes.append(record.label)

    def __len__(self) -> int:
        return len(self.days)

    def __iter__(self) -> Iterator[Record]:
        return map(Record, self.days, self.users, self.label_indexes)


def write_records(
    folder: BenchmarkFolder, labels: LabelSet, draws: Draws, *, size_tokens: int, temperature: float
) -> Records:
    """Writes one document of `size_tokens` and, beside it, the label of each record; both are streamed.

    At `temperature` 1 (OOLONG's) a label or two have nearly all records; higher is more even.
    """
    instances = Instances(labels, draws)
    count = _fitting(instances, labels, size_tokens)
    order = _label_order(label_counts(len(labels.labels), count, draws, temperature), draws)
    users = _Users(count, draws)
    records = Records(labels)
    with folder.create(DOCUMENT) as document, folder.records.open("w", encoding="utf-8", newline="\n") as gold:
        document.write(_heading(labels, count) + "\n\n")
        for label in order:
            record = Record(draws.below(DAYS), users.draw(), label)
            span = document.write(_line(record, instances.text(label)))
            document.write("\n")
            records.append(record)
            gold.write(_gold_line(record, labels.names[label], span))
        document.write("\n" + _ending(labels, count))
    return records


def label_counts(labels: int, records: int, draws: Draws, temperature: float) -> list[int]:
    """How many records each label gets: the softmax of `randint(1, 30) ** (1 / temperature)`; the first absorbs the
    rest that rounding leaves. Decimal, because `math.exp` may differ by a bit from one machine to another.
    """
    exponent = 1 / Decimal(str(temperature))
    weights = [(Decimal(draws.between(1, _LARGEST_WEIGHT)) ** exponent).exp() for _ in range(labels)]
    counts = [int((weight / sum(weights) * records).to_integral_value()) for weight in weights]
    surplus = records - sum(counts)
    largest = max(range(labels), key=lambda index: counts[index])
    counts[0 if counts[0] + surplus >= 0 else largest] += surplus
    return counts


def written_date(day: int) -> str:
    """`Oct 14, 2022`."""
    when = FIRST_DAY + timedelta(day)
    return f"{_MONTHS[when.month - 1]} {when.day:02d}, {when.year}"


class _Users:
    def __init__(self, records: int, draws: Draws) -> None:
        self._pool = draws.sample(_USER_IDS, max(4, int(records * _POOL_SHARE)))
        self._draws = draws

    def draw(self) -> int:
        if self._draws.chance(_FROM_POOL):
            return self._draws.choice(self._pool)
        return self._draws.choice(_USER_IDS)


def _fitting(instances: Instances, labels: LabelSet, size_tokens: int) -> int:
    sample = [
        len(_line(Record(0, _USER_IDS[0], label), instances.text(label))) + 1
        for label in range(len(labels.labels))
        for _ in range(40)
    ]
    mean_chars = sum(sample) / len(sample)
    return int(_FILLED * size_tokens * RECORD_CHARS_PER_TOKEN / mean_chars)


def _label_order(counts: Sequence[int], draws: Draws) -> "array[int]":
    order = array("b", [label for label, count in enumerate(counts) for _ in range(count)])
    draws.shuffle(order)
    return order


def _line(record: Record, text: str) -> str:
    return f"Date: {written_date(record.day)} || User: {record.user} || Instance: {text}"


def _gold_line(record: Record, label: str, span: GoldSpan) -> str:
    gold = {
        "document": span.document,
        "start": span.start,
        "end": span.end,
        "label": label,
        "user": record.user,
        "day": (FIRST_DAY + timedelta(record.day)).isoformat(),
    }
    return json.dumps(gold) + "\n"


def _heading(labels: LabelSet, count: int) -> str:
    return (
        f"The following lines contain {count} records, one per line. Each has a date, the ID of a user, and an "
        f"instance: {labels.describes}. {_unwritten(labels)}"
    )


def _ending(labels: LabelSet, count: int) -> str:
    return f"The preceding lines contain {count} records, one per line. {_unwritten(labels)}"


def _unwritten(labels: LabelSet) -> str:
    return (
        f"Every instance has one of {len(labels.labels)} labels, and the labels are not written here: "
        f"{labels.definitions()}. Do not try to guess, estimate or approximate counts."
    )
