"""Exact counts over records, each in one pass: what the gold of an aggregation question is computed with."""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import TypeVar

from tests.benchmark.tasks.records import FIRST_DAY, Record

Value = TypeVar("Value")

# "Most" and "more" are asked for only where the difference is more than this share of the larger count.
CLEAR_SHARE = 0.02


def month_of(day: int) -> str:
    """`07/2023`; `FIRST_DAY` is day 0."""
    return f"{FIRST_DAY + timedelta(day):%m/%Y}"


def slashed_date(day: int) -> str:
    """`10/14/2022`."""
    return f"{FIRST_DAY + timedelta(day):%m/%d/%Y}"


def labels_in(records: Iterable[Record], users: Collection[int] = ()) -> Counter[int]:
    """Records by label; of all users, or only of some."""
    return Counter(record.label for record in records if not users or record.user in users)


def users_in(records: Iterable[Record], label: int | None = None) -> Counter[int]:
    """Records by user; of all labels, or only of one."""
    return Counter(record.user for record in records if label is None or record.label == label)


def days_in(records: Iterable[Record]) -> Counter[int]:
    """Records by day."""
    return Counter(record.day for record in records)


def months_in(records: Iterable[Record]) -> dict[str, Counter[int]]:
    """Labels' counts by month, in the order of time; months without a record are left out."""
    by_month: dict[str, Counter[int]] = {}
    names: dict[int, str] = {}
    for record in sorted_by_day(records):
        name = names.setdefault(record.day, month_of(record.day))
        by_month.setdefault(name, Counter())[record.label] += 1
    return by_month


def sorted_by_day(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.day)


def ranked(counts: Counter[Value], rank: int) -> Value | None:
    """The value at `rank` (from 1, most first), or None unless it is clear of both its neighbours."""
    ordered = counts.most_common(rank + 1)
    if len(ordered) < rank:
        return None
    value, count = ordered[rank - 1]
    above = rank == 1 or clear(ordered[rank - 2][1], count)
    below = len(ordered) == rank or clear(count, ordered[rank][1])
    return value if above and below else None


def clear(one: int, other: int) -> bool:
    """Whether two counts differ enough to be compared."""
    return abs(one - other) > CLEAR_SHARE * max(one, other)


def comparison(one: int, other: int) -> str | None:
    """`more`, `less` or `same`; None where the difference is too small to ask about, or both are zero."""
    if one == other:
        return "same" if one else None
    if not clear(one, other):
        return None
    return "more" if one > other else "less"
