"""Records as rows of named values, and conditions on them. Everything here is exact and asks no model."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import isfinite

from rlm.corpus.handles import Handle
from rlm.operators.dates import has_clock, month_of, read_date, read_month

LABEL = "label"
_SPACED = re.compile(r"(?<=\d)\s(?=\d{3}(?!\d))")
# Debits: `-$30`, `(30)`, `$-30`.
_SIGNED = re.compile(r"^(?:-\s?[$€£]|[$€£]\s?-|\((?=.*\)$)[$€£]?)\s?([\d.,\s]+)\)?$")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")


@dataclass(frozen=True, slots=True)
class Row:
    """A record and what is known of it by column: fields it has written, and labels and values that were found."""

    handle: Handle
    values: dict[str, str]


class Op(StrEnum):
    """How a row's value is compared with a condition's."""

    IS = "is"
    IS_NOT = "is_not"
    IN = "in"
    CONTAINS = "contains"
    BEFORE = "before"
    AFTER = "after"
    FROM = "from"  # that day or later
    UNTIL = "until"  # that day or earlier
    MONTH = "month"
    YEAR = "year"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


@dataclass(frozen=True)
class Condition:
    """A column compared with a value; `in` takes several. Dates may be written in any way that `read_date` reads."""

    column: str
    op: Op
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values or (len(self.values) > 1 and self.op is not Op.IN):
            raise ValueError(f"{self.op} takes {'values' if self.op is Op.IN else 'one value'}")
        value = self.values[0]
        if self.op in _DAYS and day(value) is None:
            raise ValueError(f"{value!r} is no date")
        if self.op is Op.MONTH and read_month(value) is None:
            raise ValueError(f"{value!r} is no month; write it like 2023-04")
        if self.op in (Op.AT_LEAST, Op.AT_MOST) and number(value) is None:
            raise ValueError(f"{value!r} is no number")

    @property
    def value(self) -> str:
        return self.values[0]

    def holds(self, row: Row) -> bool:
        """A row without the column meets no condition on it, not even `is_not`."""
        given = row.values.get(self.column)
        return given is not None and _TESTS[self.op](given, self)

    def __str__(self) -> str:
        return f"{self.column} {self.op.value.replace('_', ' ')} {', '.join(self.values)}"


def keep(rows: Iterable[Row], conditions: Sequence[Condition]) -> Iterator[Row]:
    """Rows that meet every condition."""
    return (row for row in rows if all(condition.holds(row) for condition in conditions))


def folded(text: str) -> str:
    """As names are compared: without case and white space around them."""
    return " ".join(text.split()).casefold()


@lru_cache(maxsize=65536)
def day(text: str) -> str | None:
    """A date as ISO text, which sorts as it should; None for what is no date."""
    found = read_date(text)
    return None if found is None else found.isoformat()


@lru_cache(maxsize=65536)
def month(text: str) -> str | None:
    """The month of a date, as `2023-04`."""
    found = read_date(text)
    return None if found is None else month_of(found)


def number(text: str) -> float | None:
    """`1,250.5`, `1.250,50`, `1 250`, `-$30`, `(30)` and `€ 30` are numbers; None for what is none.

    `NaN` and infinity are none: no sum can have them. A lone comma or point before three digits is read as it is in
    English: `1,250` is more than a thousand.
    """
    bare = _SPACED.sub("", _SIGNED.sub(r"-\1", text.strip().replace("\u2212", "-")).strip("$€£%").strip())
    if _GROUPED.fullmatch(bare):
        bare = bare.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(bare):
        bare = bare.replace(".", "").replace(",", ".")
    try:
        found = float(bare)
    except ValueError:
        return None
    return found if isfinite(found) else None


def _same(given: str, wanted: str, column: str) -> bool:
    """The same name, number or day, in whatever way each is written; an hour is compared as it is written.

    Of digits alone (`007`) and in a column of versions (`2.10`) numbers are names.
    """
    if folded(given) == folded(wanted):
        return True
    if not (given.isdigit() and wanted.isdigit()) and _PLAIN.fullmatch(given) and not _OF_NAMES.search(column):
        return number(wanted) is not None and number(given) == number(wanted)
    one = None if has_clock(wanted) else day(wanted)
    return one is not None and day(given) == one


_PLAIN = re.compile(r"[-+$€£()\d.,\s\u2212]+")
_OF_NAMES = re.compile(r"version|release|build|section|chapter|code|phone|zip", re.IGNORECASE)


def _day_test(compare: Callable[[str, str], bool]) -> Callable[[str, Condition], bool]:
    def test(given: str, condition: Condition) -> bool:
        one, other = day(given), day(condition.value)
        return one is not None and other is not None and compare(one, other)

    return test


def _number_test(compare: Callable[[float, float], bool]) -> Callable[[str, Condition], bool]:
    def test(given: str, condition: Condition) -> bool:
        one, other = number(given), number(condition.value)
        return one is not None and other is not None and compare(one, other)

    return test


_DAYS = frozenset({Op.BEFORE, Op.AFTER, Op.FROM, Op.UNTIL})
_TESTS: dict[Op, Callable[[str, Condition], bool]] = {
    Op.IS: lambda given, condition: _same(given, condition.value, condition.column),
    Op.IS_NOT: lambda given, condition: not _same(given, condition.value, condition.column),
    Op.IN: lambda given, condition: any(_same(given, value, condition.column) for value in condition.values),
    Op.CONTAINS: lambda given, condition: folded(condition.value) in folded(given),
    Op.BEFORE: _day_test(lambda one, other: one < other),
    Op.AFTER: _day_test(lambda one, other: one > other),
    Op.FROM: _day_test(lambda one, other: one >= other),
    Op.UNTIL: _day_test(lambda one, other: one <= other),
    Op.MONTH: lambda given, condition: month(given) is not None and month(given) == read_month(condition.value),
    Op.YEAR: lambda given, condition: (day(given) or "")[:4] == condition.value.strip(),
    Op.AT_LEAST: _number_test(lambda one, other: one >= other),
    Op.AT_MOST: _number_test(lambda one, other: one <= other),
}
