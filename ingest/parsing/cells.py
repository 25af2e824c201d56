"""Detect the types of columns from the text of their cells.

A column has a type other than text only if all its non-empty cells have that type. In such a column, punctuation alone
(`-`, `…`, `.`) and the usual words for missing values (`NA`, `NaN`, `NULL`) count as empty cells. In a text column,
they keep their text: among country codes, `NA` is Namibia.

Ambiguous cells are not guessed. `03/04/2024` is a date only if another cell of the column has a day after the 12th. If
the whole column can be read with either decimal separator, other columns of the table may resolve the ambiguity. Values
with leading zeros are identifiers, not numbers. A number may have a currency or percent sign, which must be the same in
the whole column and becomes its unit: `12%` is 12 with the unit `%`.
"""

import re
from calendar import month_abbr, month_name
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from unicodedata import category

from ingest.storage.tables.types import ColumnType

# Maximum number of digits of a decimal number. DuckDB stores 18 digits in eight bytes. With at most 6 fraction digits,
# two numbers can be multiplied without overflow.
_DECIMAL_DIGITS = 18
_FRACTION_DIGITS = 6
_MAX_CELL_CHARS = 64  # Maximum length of a cell that is tried as a value, longer than any number or date.

Canonical = Callable[[str], str | None]


@dataclass(frozen=True)
class CellType:
    """The type of a column.

    `stored` is the type's name in DuckDB. `canonical` converts a cell to the format that DuckDB reads; it is None if
    all cells already have that format.
    """

    type: ColumnType
    stored: str
    canonical: Canonical | None = None
    unit: str = ""


@dataclass(frozen=True)
class _Number:
    """A number as written in a cell, split into sign, digits, exponent and unit."""

    sign: str
    whole: str
    fraction: str
    exponent: str
    unit: str

    @property
    def text(self) -> str:
        return self.sign + self.whole + ("." + self.fraction if self.fraction else "") + self.exponent


_CURRENCY = "$£¥€\u20a0-\u20cf"
_GROUP_SEPARATORS = "'’ \u00a0\u202f"


def _compile_number_pattern(group_separator: str, decimal_separator: str) -> re.Pattern[str]:
    return re.compile(
        rf"""(?P<open>\()?\s*(?P<sign>[+\-−])?\s*(?P<before>[{_CURRENCY}])?\s*(?P<late_sign>[\-−])?
        (?P<whole>0|[1-9]\d{{0,2}}(?P<group>[{group_separator}{_GROUP_SEPARATORS}])\d{{3}}(?:(?P=group)\d{{3}})*|[1-9]\d*|(?={decimal_separator}))
        (?:{decimal_separator}(?P<fraction>\d+))?(?P<exponent>[eE][+\-]?\d{{1,3}})?\s*(?P<after>[{_CURRENCY}%])?\s*(?P<close>\))?""",
        re.VERBOSE | re.ASCII,
    )


_POINT_NUMBER = _compile_number_pattern(",", r"\.")
_COMMA_NUMBER = _compile_number_pattern(".", ",")
_plain_integers = re.compile(r"(?:-?(?:0|[1-9]\d{0,30})(?:\n|\Z))+", re.ASCII)
_plain_decimals = re.compile(r"(?:-?(?:0|[1-9]\d{0,30})\.\d{1,30}(?:\n|\Z))+", re.ASCII)
_MONTHS = {name.lower(): at for names in (month_name, month_abbr) for at, name in enumerate(names) if name} | {
    "sept": 9
}
_year_first = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})", re.ASCII)
_year_last = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", re.ASCII)
_named_day_first = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[ -]([A-Za-z]{3,9})\.?,?[ -](\d{4})", re.ASCII)
_named_month_first = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})", re.ASCII)
_iso_moment = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?", re.ASCII)
_moment = re.compile(
    r"(?P<date>.{8,30}?)(?:[T ]|, )(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?"
    r"(?:[.,](?P<fraction>\d{1,9}))?(?: ?(?P<half>[AaPp])[Mm])?(?: ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2}))?",
    re.ASCII,
)


@lru_cache(maxsize=8192)
def parse_number(cell: str, *, decimal_comma: bool) -> _Number | None:
    """Parse a number with a decimal point, or with a decimal comma if `decimal_comma` is set.

    Returns None for other text.
    """
    found = (_COMMA_NUMBER if decimal_comma else _POINT_NUMBER).fullmatch(cell)
    if found is None or not (found["whole"] or found["fraction"]):
        return None
    units = [unit for unit in (found["before"], found["after"]) if unit]
    signs = [sign for sign in (found["sign"], found["late_sign"], found["open"]) if sign]
    if len(units) > 1 or len(signs) > 1 or bool(found["open"]) != bool(found["close"]):
        return None
    if found["exponent"] and units:
        return None
    whole = "".join(each for each in found["whole"] if each.isdigit()) or "0"
    negative = bool(signs) and signs[0] != "+"
    return _Number("-" * negative, whole, found["fraction"] or "", found["exponent"] or "", "".join(units))


@lru_cache(maxsize=8192)
def parse_date(cell: str, month_first: bool | None) -> date | None:
    """Parse a date. Returns None for other text.

    `month_first` determines which number is the month in a date like `03/04/2024`. If it is None, such dates are
    rejected.
    """
    if found := _year_first.fullmatch(cell):
        year, month, day = found[1], found[3], found[4]
    elif (found := _year_last.fullmatch(cell)) and month_first is not None:
        year, month, day = found[4], *((found[1], found[3]) if month_first else (found[3], found[1]))
    elif (found := _named_day_first.fullmatch(cell)) and found[2].lower() in _MONTHS:
        year, month, day = found[3], str(_MONTHS[found[2].lower()]), found[1]
    elif (found := _named_month_first.fullmatch(cell)) and found[1].lower() in _MONTHS:
        year, month, day = found[3], str(_MONTHS[found[1].lower()]), found[2]
    else:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def parse_timestamp(cell: str, month_first: bool | None) -> datetime | None:
    """Parse a date with a time of day. The result is in UTC if the text states a time zone, and naive otherwise."""
    if _iso_moment.fullmatch(cell):
        with suppress(ValueError):
            return datetime.fromisoformat(cell)
    found = _moment.fullmatch(cell)
    day = parse_date(found["date"], month_first) if found else None
    if found is None or day is None:
        return None
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"] in "pP" else 0)
    fraction = (found["fraction"] or "0").ljust(6, "0")[:6]
    try:
        at = time(hour, int(found["minute"]), int(found["second"] or 0), int(fraction), _parse_time_zone(found["zone"]))
        moment = datetime.combine(day, at)
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _parse_time_zone(name: str | None) -> timezone | None:
    if name is None:
        return None
    if name in ("Z", "UTC"):
        return UTC
    offset = timedelta(hours=int(name[1:3]), minutes=int(name[-2:]))
    return timezone(-offset if name[0] == "-" else offset)


def _parse_boolean(cell: str) -> str | None:
    word = cell.lower()
    return word if word in ("true", "false") else None


class _NumberColumn:
    """Collects the cells of a column while all of them are numbers with the same decimal separator."""

    def __init__(self, *, decimal_comma: bool) -> None:
        self.comma = decimal_comma
        self._units: set[str] = set()
        self._whole = self._fraction = 0
        self._floating = False
        self._plain = True

    def add_cell(self, cell: str) -> str | None:
        """Add a cell and return its canonical form, or None if the column no longer has this type."""
        if _is_plain_integer(cell) and "%" not in self._units:
            self.add_plain_cells([cell], has_point=False)
            return cell
        number = parse_number(cell, decimal_comma=self.comma)
        if number is None:
            return None
        self._plain = self._plain and number.text == cell
        self._units.add(number.unit)
        self._whole = max(self._whole, len(number.whole))
        self._fraction = max(self._fraction, len(number.fraction))
        self._floating = self._floating or bool(number.exponent)
        one_unit = len(self._units) == 1 or (len(self._units - {""}) == 1 and "%" not in self._units)
        return number.text if one_unit else None

    def add_plain_cells(self, cells: Collection[str], *, has_point: bool) -> None:
        """Add integers written as digits only.

        If `has_point` is set, add decimals written as digits around one point.
        """
        self._units.add("")
        digits = [cell.lstrip("-") for cell in cells]
        fraction = max(len(cell) - 1 - cell.index(".") for cell in digits) if has_point else 0
        whole = max(cell.index(".") for cell in digits) if has_point else max(map(len, digits))
        self._fraction, self._whole = max(self._fraction, fraction), max(self._whole, whole)

    @property
    def accepts_plain_cells(self) -> bool:
        return "%" not in self._units

    def canonicalize(self, cell: str) -> str | None:
        """Convert a cell to its canonical form, or return None if it is not a number in this style."""
        if _is_plain_integer(cell):
            return cell
        number = parse_number(cell, decimal_comma=self.comma)
        return number.text if number else None

    def get_type(self) -> CellType:
        """Return the type of the cells added so far."""
        unit, canonical = "".join(self._units), None if self._plain else self.canonicalize
        if not self._fraction and not self._floating:
            # A number with more than `_DECIMAL_DIGITS` digits is an identifier. Converting it would lose digits.
            too_long = self._whole > _DECIMAL_DIGITS
            return TEXT if too_long else CellType(ColumnType.INTEGER, "BIGINT", canonical, unit)
        exact = self._fraction <= _FRACTION_DIGITS and self._whole + self._fraction <= _DECIMAL_DIGITS
        stored = f"DECIMAL({_DECIMAL_DIGITS},{self._fraction})" if exact and not self._floating else "DOUBLE"
        return CellType(ColumnType.NUMBER, stored, canonical, unit)


def _is_plain_integer(cell: str) -> bool:
    """Return whether a cell consists only of digits, so that it needs no further parsing."""
    return cell.isdecimal() and cell.isascii() and (cell[0] != "0" or cell == "0")


class _DateColumn:
    """Collects the cells of a column while all of them are dates or timestamps with the same order of day and month."""

    def __init__(self, month_first: bool, *, has_time: bool) -> None:
        self.month_first = month_first
        self.timed = has_time
        self._zoned: set[bool] = set()
        self._plain = True

    def add_cell(self, cell: str) -> str | None:
        """Add a cell and return its canonical form, or None if the column no longer has this type."""
        moment = self._parse(cell)
        if moment is None:
            return None
        if isinstance(moment, datetime):
            self._zoned.add(moment.tzinfo is not None)
        written = _format_date(moment)
        self._plain = self._plain and written == cell
        return written if len(self._zoned) <= 1 else None

    def canonicalize(self, cell: str) -> str | None:
        """Convert a cell to its canonical form, or return None if it is not a date or timestamp in this style."""
        moment = self._parse(cell)
        return _format_date(moment) if moment else None

    def get_type(self) -> CellType:
        """Return the type of the cells added so far."""
        kind, stored = (ColumnType.TIMESTAMP, "TIMESTAMP") if self.timed else (ColumnType.DATE, "DATE")
        return CellType(kind, stored, None if self._plain else self.canonicalize)

    def _parse(self, cell: str) -> date | None:
        return (parse_timestamp if self.timed else parse_date)(cell, self.month_first)


def _format_date(value: date) -> str:
    return value.replace(tzinfo=None).isoformat(" ") if isinstance(value, datetime) else value.isoformat()


# The words for missing values in R, NumPy, pandas, SQL and spreadsheets: pandas' list (`STR_NA_VALUES`) without
# infinite numbers, and without words that users write and may search for, such as `None` or `n/a`.
_MISSING_WORDS = frozenset({"NA", "<NA>", "#N/A", "NaN", "nan", "NULL", "null"})


def _is_placeholder(cell: str) -> bool:
    """Return whether a cell is a word for a missing value, punctuation alone, or a minus sign without a number."""
    return cell in _MISSING_WORDS or all(category(sign)[0] == "P" or sign in "− " for sign in cell)


def _drop_placeholder(cell: str) -> str | None:
    return None if _is_placeholder(cell) else cell


TEXT = CellType(ColumnType.TEXT, "VARCHAR")
_BOOLEAN = CellType(ColumnType.BOOLEAN, "BOOLEAN", _parse_boolean)


class ColumnTypeDetector:
    """Detects the type of a column from its cells, in bounded memory."""

    def __init__(self) -> None:
        self._seen = False
        self._has_marks = False
        self._boolean = True
        self._point, self._comma = _NumberColumn(decimal_comma=False), _NumberColumn(decimal_comma=True)
        self._dates = _DateColumn(False, has_time=False), _DateColumn(True, has_time=False)
        self._times = _DateColumn(False, has_time=True), _DateColumn(True, has_time=True)
        self._fitting: list[_NumberColumn | _DateColumn] = [self._point, self._comma, *self._dates, *self._times]
        self._ambiguous = False

    def add_cells(self, cells: Iterable[str]) -> None:
        """Add cells of the column. Empty and duplicate cells are skipped."""
        distinct = dict.fromkeys(cells)
        distinct.pop("", None)
        for word in _MISSING_WORDS & distinct.keys():
            self.add_cell(word)
            del distinct[word]
        if not distinct or self.is_settled:
            return
        if not self._add_plain_cells(distinct.keys()):
            for cell in distinct:
                self.add_cell(cell)

    def _add_plain_cells(self, cells: Collection[str]) -> bool:
        """Add many plain numbers at once. Returns False unless the column and all `cells` are numeric."""
        numbers = [
            reader for reader in self._fitting if isinstance(reader, _NumberColumn) and reader.accepts_plain_cells
        ]
        if not self._seen or self._boolean or not numbers or len(numbers) < len(self._fitting):
            return False
        joined = "\n".join(cells)
        point = numbers == [self._point] and _plain_decimals.fullmatch(joined) is not None
        if point or _plain_integers.fullmatch(joined):
            for reader in numbers:
                reader.add_plain_cells(cells, has_point=point)
            return True
        return False

    def add_cell(self, cell: str) -> None:
        """Add a cell, which must not be empty."""
        if _is_placeholder(cell):
            self._has_marks = True
            return
        self._seen = True
        self._boolean = self._boolean and _parse_boolean(cell) is not None
        if len(self._fitting) == 1 and len(cell) <= _MAX_CELL_CHARS:
            self._fitting = self._fitting if self._fitting[0].add_cell(cell) is not None else []
            return
        readings = [reader.add_cell(cell) for reader in self._fitting] if len(cell) <= _MAX_CELL_CHARS else []
        self._fitting = [reader for reader, read in zip(self._fitting, readings, strict=False) if read is not None]
        self._ambiguous = self._ambiguous or len({read for read in readings if read is not None}) > 1

    @property
    def is_settled(self) -> bool:
        """True if the column is text, regardless of its remaining cells."""
        return not self._boolean and not self._fitting

    @property
    def has_decimal_commas(self) -> bool:
        """True if the cells are numbers only when read with a decimal comma."""
        return self._seen and self._fitting == [self._comma]

    @property
    def has_decimal_points(self) -> bool:
        """True if the cells are numbers only when read with a decimal point."""
        return self._seen and self._fitting == [self._point]

    def get_type(self, *, prefer_comma: bool = False) -> CellType:
        """Return the type of the cells added so far.

        If both separators fit, `prefer_comma` selects the decimal comma.
        """
        kind = self._choose_type(prefer_comma=prefer_comma)
        if self._has_marks and kind is not TEXT and kind.canonical is None:
            return replace(kind, canonical=_drop_placeholder)
        return kind

    def _choose_type(self, *, prefer_comma: bool) -> CellType:
        if not self._seen:
            return TEXT
        if self._boolean:
            return _BOOLEAN
        undecided = len(self._fitting) > 1 and self._ambiguous
        if not self._fitting or (undecided and isinstance(self._fitting[0], _DateColumn)):
            return TEXT
        return self._fitting[-1 if undecided and prefer_comma else 0].get_type()
