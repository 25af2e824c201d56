"""The record table of delimited text: CSV, TSV and what resembles them."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice, pairwise
from typing import Literal

from ingest.parsing.cells import ColumnTyping
from ingest.parsing.tables import MAX_COLUMNS, NAME_CHARS, FoundTable, TableRow, unique_names
from ingest.tables import ColumnType

_DELIMITERS = "\t;|,"
_SAMPLED_RECORDS = 200
_FEWEST_RECORDS = 3


@dataclass(frozen=True)
class _Dialect:
    """How a file is delimited: `width` is the commonest number of cells of a record."""

    delimiter: str
    quoted: bool
    width: int
    even: bool


def delimited_table(text: str, *, declared: bool) -> list[FoundTable]:
    """RFC 4180 with any of four delimiters. Short records are filled up, and longer ones make columns without a name.

    Lines before the first record that is as wide as most are a preamble, and no rows. Of text that nobody declared to
    be delimited, every sampled record must have the same number of cells, two at least.
    """
    dialect = _dialect(text)
    if not declared and not dialect.even:
        return []

    def records() -> Iterator[tuple[int, int, list[str]]]:
        wide = dropwhile(lambda record: len(record[2]) < dialect.width, _records(text, dialect.delimiter, quoted))
        return (record for record in wide if any(record[2]))

    quoted = dialect.quoted
    try:
        width, end = _extent(records())
    except csv.Error:  # a quotation mark is open at the end: then such marks are plain characters
        quoted = False
        width, end = _extent(records())
    if not width:
        return []
    start, first_end, names = next(records())
    titled = _is_header(names, (cells for _, _, cells in islice(records(), 1, None)))

    def rows() -> Iterator[TableRow]:
        for begin, stop, cells in islice(records(), int(titled), None):
            yield TableRow(begin, stop, (cells + [""] * (width - len(cells)))[:width])

    header_end = first_end if titled else start
    return [FoundTable("", unique_names(names if titled else [], width), start, end, header_end, rows)]


def _extent(records: Iterable[tuple[int, int, list[str]]]) -> tuple[int, int]:
    """Return the number of cells of the longest record, as far as a table has columns, and where the last one ends."""
    width = end = 0
    for _, stop, cells in records:
        width, end = max(width, len(cells)), stop
    return min(width, MAX_COLUMNS), end


def _dialect(text: str) -> _Dialect:
    """Return the delimiter by which the first record, and most of those sampled, have the commonest number of cells.

    Of two that do equally well the one that prose and numbers have less use for.
    """
    found: list[tuple[bool, float, _Dialect]] = []
    for delimiter in _DELIMITERS:
        for quoted in (True, False):
            try:
                records = islice(_records(text, delimiter, quoted), _SAMPLED_RECORDS)
                widths = [len(cells) for _, _, cells in records]
            except csv.Error:
                continue
            width, count = max(Counter(widths).items(), key=lambda each: (each[1], each[0]), default=(1, 0))
            even = len(widths) >= _FEWEST_RECORDS and count == len(widths)
            if width > 1:
                found.append((widths[0] == width, count / len(widths), _Dialect(delimiter, quoted, width, even)))
            break
    return max(found, key=lambda each: each[:2], default=(False, 0.0, _Dialect(",", True, 1, False)))[2]


def _records(text: str, delimiter: str, quoted: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Yield each record that is not blank: the span of the lines that the reader took for it, and its cells.

    Raises `csv.Error` when a quotation mark is open at the end of the text.
    """
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        while taken < len(text):
            begin, taken = taken, text.find("\n", taken) + 1 or len(text)
            yield text[begin:taken]

    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # the process's own: nobody's is made smaller
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    start = 0
    for cells in csv.reader(lines(), delimiter=delimiter, quoting=quoting, skipinitialspace=True):
        begin, start = start, taken
        end = taken - 1 if text[taken - 1] == "\n" else taken
        if taken == len(text) and quoted and "\n" in text[begin:end]:
            next(csv.reader([text[begin:end]], delimiter=delimiter, skipinitialspace=True, strict=True))
        if cells:
            yield begin, end, [cell.strip() for cell in cells]


def _is_header(names: Sequence[str], following: Iterable[Sequence[str]]) -> bool:
    """True if a record names columns: words, or years in a row, above values of another type or above other words."""
    given = [name.casefold() for name in names if name]
    if 2 * len(given) < len(names) or any(len(name) > NAME_CHARS for name in names):
        return False
    typed = [name for name in given if _type_of([name]) is not ColumnType.TEXT]
    if typed and not (len(typed) < len(given) and _are_years_in_a_row(typed)):
        return False
    below = [list(cells) for cells in islice(following, _SAMPLED_RECORDS)]
    columns = [[cells[at] for cells in below if at < len(cells) and cells[at]] for at in range(len(names))]
    if any(_type_of(cells) is not ColumnType.TEXT for cells in columns):
        return True
    repeated = any(name and name in cells for name, cells in zip(names, columns, strict=True))
    return len(set(given)) == len(given) and not repeated


def _are_years_in_a_row(cells: Sequence[str]) -> bool:
    """True for the headings of a table that has a column for each year."""
    if len(cells) < 2 or not all(len(cell) == 4 and cell.isdecimal() for cell in cells):
        return False
    return all(int(after) == int(before) + 1 for before, after in pairwise(cells))


def _type_of(cells: Iterable[str]) -> ColumnType:
    typing = ColumnTyping()
    for cell in filter(None, cells):
        typing.see(cell)
    return typing.type().type
