"""Records, one a line, whose labels are not written: `Date: Oct 14, 2022 || User: 76063 || Instance: <text>`.

Construction after OOLONG (its sections 2 and appendix B): counts of labels are the softmax of drawn integers, users
come from a common pool four times in five, dates are uniform over forty months.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import RECORD_CHARS_PER_TOKEN, TaskFolder
from tests.benchmark.tasks.labels import LabelSet
from tests.benchmark.tasks.prose import Grammar

FIRST_DAY = date(2022, 1, 1)
DAYS = 1216  # forty months
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

    def __iter__(self) -> Iterator[Record]:
        return map(Record, self.days, self.users, self.label_indexes)


def write_records(
    folder: TaskFolder, labels: LabelSet, draws: Draws, *, size_tokens: int, temperature: float
) -> Records:
    """Writes one document of `size_tokens` and, beside it, the label of each record; both are streamed.

    At `temperature` 1 (OOLONG's) a label or two have nearly all records; higher is more even.
    """
    grammar = Grammar(labels.slots, draws)

    def line(record: Record) -> str:
        text = grammar.expand(draws.choice(labels.labels[record.label].templates))
        return f"Date: {written_date(record.day)} || User: {record.user} || Instance: {text}\n"

    sample = [len(line(Record(0, _USER_IDS[0], label))) for label in range(len(labels.names)) for _ in range(40)]
    count = int(_FILLED * size_tokens * RECORD_CHARS_PER_TOKEN / (sum(sample) / len(sample)))
    pool = draws.sample(_USER_IDS, max(4, int(count * _POOL_SHARE)))
    records = Records(labels)
    with folder.create("records.txt") as document, folder.records.open("w", encoding="utf-8", newline="\n") as gold:
        document.write(
            f"The following lines contain {count} records, one per line. Each has a date, the ID of a user, and an "
            f"instance: {labels.describes}. {_unwritten(labels)}\n\n"
        )
        for label in _label_order(label_counts(len(labels.names), count, draws, temperature), draws):
            user = draws.choice(pool if draws.chance(_FROM_POOL) else _USER_IDS)
            record = Record(draws.below(DAYS), user, label)
            span = document.write(line(record).rstrip("\n"))
            document.write("\n")
            records.append(record)
            gold.write(json.dumps({**asdict(span), "label": labels.names[label]}) + "\n")
        document.write(f"\nThe preceding lines contain {count} records, one per line. {_unwritten(labels)}")
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


def _label_order(counts: Sequence[int], draws: Draws) -> "array[int]":
    order = array("b", [label for label, count in enumerate(counts) for _ in range(count)])
    draws.shuffle(order)
    return order


def _unwritten(labels: LabelSet) -> str:
    return (
        f"Every instance has one of {len(labels.labels)} labels, and the labels are not written here: "
        f"{labels.definitions()}."
    )
