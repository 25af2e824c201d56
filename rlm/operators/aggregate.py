"""Counting, ranking, comparing, grouping and pairing rows: exact, in code, never by a model."""

import operator
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from rlm.operators.table import Condition, Row, day, keep, month, number

Left = TypeVar("Left")
Right = TypeVar("Right")


# How a table says that there is none.
NO_VALUES = frozenset({"", "-", "n/a", "na", "nan", "none", "null"})


class Unit(StrEnum):
    """What of a column's value groups are made by: the value itself, or its date's day or month."""

    VALUE = "value"
    DAY = "day"
    MONTH = "month"


class Than(StrEnum):
    """Comparisons of two counts."""

    MORE = "more"
    FEWER = "fewer"
    EXACTLY = "exactly"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"

    def holds(self, one: int, other: int) -> bool:
        return _COMPARE[self](one, other)


_COMPARE: Mapping[Than, Callable[[int, int], bool]] = {
    Than.MORE: operator.gt,
    Than.FEWER: operator.lt,
    Than.EXACTLY: operator.eq,
    Than.AT_LEAST: operator.ge,
    Than.AT_MOST: operator.le,
}


@dataclass(frozen=True)
class Key:
    """What rows are grouped by."""

    column: str
    unit: Unit = Unit.VALUE

    def of(self, row: Row) -> str | None:
        """The row's group; None where it has no value, or none that is a date."""
        value = row.values.get(self.column)
        if value is None or value.strip().casefold() in NO_VALUES:
            return None
        if self.unit is Unit.VALUE:
            return value
        return month(value) if self.unit is Unit.MONTH else day(value)


@dataclass(frozen=True)
class Ranked:
    """A place in the ranking of groups by size: who has it (several in a tie), and with how many rows."""

    names: tuple[str, ...]
    count: int


def count(rows: Iterable[Row], conditions: Sequence[Condition] = ()) -> int:
    """Rows that meet every condition."""
    return sum(1 for _ in keep(rows, conditions))


def group(rows: Iterable[Row], key: Key) -> dict[str, list[Row]]:
    """Rows by their group, in order of first appearance; rows without one are left out."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        name = key.of(row)
        if name is not None:
            groups[name].append(row)
    return dict(groups)


def sizes(rows: Iterable[Row], key: Key) -> Counter[str]:
    """How many rows each group has."""
    return Counter(name for row in rows if (name := key.of(row)) is not None)


def ranked(counts: Mapping[str, int], rank: int = 1, *, least: bool = False) -> Ranked | None:
    """The groups at a rank, from 1; groups of one size share theirs. None where there are not so many."""
    by_count: dict[int, list[str]] = defaultdict(list)
    for name, size in counts.items():
        if size:
            by_count[size].append(name)
    order = sorted(by_count, reverse=not least)
    if not 1 <= rank <= len(order):
        return None
    size = order[rank - 1]
    return Ranked(tuple(sorted(by_count[size], key=_sorting)), size)


def compare(one: int, other: int) -> str:
    """`more`, `less` or `same`."""
    return "same" if one == other else "more" if one > other else "less"


@dataclass(frozen=True)
class Amount:
    """So many of a group's rows meet the conditions, compared with a number or with the rows that meet others.

    With `than_every_other` the conditions name a column's value, and every other value of it must have fewer rows.
    """

    conditions: tuple[Condition, ...]
    than: Than
    number: int = 0
    others: tuple[Condition, ...] | None = None
    than_every_other: str | None = None

    def __post_init__(self) -> None:
        if self.than_every_other is not None and self.than is not Than.MORE:
            raise ValueError("a value that no row of the group has would be left out: compare with each other value")

    def holds(self, rows: Sequence[Row]) -> bool:
        mine = count(rows, self.conditions)
        if self.than_every_other is not None:
            rest = [row for row in rows if not all(condition.holds(row) for condition in self.conditions)]
            most = max(sizes(rest, Key(self.than_every_other)).values(), default=0)
            return self.than.holds(mine, most)
        return self.than.holds(mine, self.number if self.others is None else count(rows, self.others))


@dataclass(frozen=True)
class Always:
    """Every row of a group that meets the `conditions` meets `must` as well; true where no row meets them."""

    conditions: tuple[Condition, ...]
    must: tuple[Condition, ...]

    def holds(self, rows: Sequence[Row]) -> bool:
        return all(all(each.holds(row) for each in self.must) for row in keep(rows, self.conditions))


Requirement = Amount | Always


@dataclass(frozen=True)
class Required:
    """What a group must be: any one of some requirements, and every one of others."""

    any_of: tuple[Requirement, ...] = ()
    all_of: tuple[Requirement, ...] = ()

    def holds(self, rows: Sequence[Row]) -> bool:
        return all(each.holds(rows) for each in self.all_of) and (
            not self.any_of or any(each.holds(rows) for each in self.any_of)
        )


def groups_that(rows: Iterable[Row], key: Key, required: Required) -> list[str]:
    """The names of groups that are as required, sorted: numbers as numbers, dates by time."""
    return sorted((name for name, members in group(rows, key).items() if required.holds(members)), key=_sorting)


def pairs_that(
    rows: Iterable[Row], key: Key, one: Required, other: Required | None = None
) -> tuple[int, Iterator[tuple[str, str]]]:
    """Unordered pairs of different groups, the lower name first: both as `one`, or one as `one` and one as `other`.

    How many there are, which takes no time, and the pairs in order, made one by one: they may be very many.
    """
    groups = group(rows, key)
    ones = {name for name, members in groups.items() if one.holds(members)}
    others = ones if other is None else {name for name, members in groups.items() if other.holds(members)}
    both = len(ones & others)
    number = len(ones) * len(others) - both - both * (both - 1) // 2
    return number, _paired(ones, others)


def _paired(ones: Set[str], others: Set[str]) -> Iterator[tuple[str, str]]:
    order = sorted(ones | others, key=_sorting)
    place = {name: at for at, name in enumerate(order)}
    first, second = (sorted(names, key=place.__getitem__) for names in (ones, others))
    for low in order:
        fitting = order if low in ones and low in others else second if low in ones else first
        for at in range(bisect_right(fitting, place[low], key=place.__getitem__), len(fitting)):
            yield low, fitting[at]


def numbers(rows: Iterable[Row], column: str) -> list[float]:
    """The values of a column that are numbers."""
    found = (number(row.values[column]) for row in rows if column in row.values)
    return [value for value in found if value is not None]


def join(
    left: Iterable[Left],
    right: Iterable[Right],
    *,
    left_key: Callable[[Left], object],
    right_key: Callable[[Right], object],
) -> Iterator[tuple[Left, Right]]:
    """Every pair whose keys are equal, in the order of `left`; None joins nothing."""
    by_key: dict[object, list[Right]] = defaultdict(list)
    for each in right:
        by_key[right_key(each)].append(each)
    for mine in left:
        wanted = left_key(mine)
        if wanted is not None:
            yield from ((mine, theirs) for theirs in by_key.get(wanted, ()))


def _sorting(name: str) -> tuple[int, float, str]:
    value = number(name)
    return (1, 0.0, name) if value is None else (0, value, name)
