"""Parse delimited text: CSV, TSV and similar formats. The document's text is the source, with one record table."""

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, zip_longest
from pathlib import Path
from typing import Literal

from ingest.parsing.cells import ColumnTypeDetector
from ingest.parsing.tables import (
    MAX_COLUMNS,
    MAX_NAME_CHARS,
    FoundTable,
    TableRow,
    build_table_spans,
    build_unique_names,
)
from ingest.parsing.text import read_normalized_text
from ingest.parsing.types import ParsedDocument
from ingest.storage.tables.types import ColumnType
from ingest.storage.texts.layout import Layout
from ingest.storage.texts.positions import Positions, PositionsBuilder, SheetCell

DELIMITED_PARSER = "delimited-6"
_DELIMITERS = "\t;|,"
_SAMPLED_RECORDS = 200
_MIN_RECORDS = 3
_MIN_COLUMNS_BELOW_TITLE = 3
# Minimum number of names in a header that does not name the column of row names. A single cell is a title.
_MIN_HEADER_NAMES = 2
# Maximum number of cells with positions. In files with more cells, only rows have positions.
_MAX_POSITIONED_CELLS = 200_000

_Record = tuple[int, int, int, list[str]]


@dataclass(frozen=True)
class _Dialect:
    """The delimiter and quoting of a file. `width` is the most common number of cells in a record."""

    delimiter: str
    quoted: bool
    width: int
    even: bool


@dataclass(frozen=True)
class _Extent:
    """The width of a table's longest record, the table's end, and the row number, start and end of each record."""

    width: int
    end: int
    rows: "array[int]"


def parse_delimited(path: Path) -> ParsedDocument:
    """Parse CSV or TSV. The text is the normalized source, with a position for each cell or row.

    Raises the same errors as `ingest.parsing.text.read_normalized_text`.
    """
    text, omissions = read_normalized_text(path)
    found, positions = _read_table(text, _detect_dialect(text))
    layout = Layout(tables=build_table_spans(found))
    return ParsedDocument(
        text, None, DELIMITED_PARSER, layout=layout, positions=positions, omissions=omissions, found=found
    )


def find_delimited_tables(text: str) -> list[FoundTable]:
    """Find the table in plain text that is not declared as delimited.

    All sampled records must have the same number of cells, which must be at least two.
    """
    dialect = _detect_dialect(text)
    return _read_table(text, dialect)[0] if dialect.even else []


def _read_table(text: str, dialect: _Dialect) -> tuple[list[FoundTable], Positions]:
    """Return the table and its positions, or no table if the text has no records. The format is RFC 4180.

    Short records are padded, and longer records add columns without a name. Records above the table are a preamble, not
    rows: those narrower than usual, and those with only the first cell filled, such as titles in spreadsheet exports.
    """

    def iter_records() -> Iterator[_Record]:
        table = islice(_iter_records(text, dialect.delimiter, quoted), skipped, None)
        return (record for record in table if any(record[3]))

    quoted = dialect.quoted
    try:
        skipped = _count_preamble(text, dialect, has_quotes=quoted)
        extent = _compute_extent(iter_records())
    except csv.Error:  # A quotation mark is never closed, so quotation marks are treated as plain characters.
        quoted = False
        skipped = _count_preamble(text, dialect, has_quotes=quoted)
        extent = _compute_extent(iter_records())
    if not extent.width:
        return [], Positions()
    width = extent.width
    first = list(islice(iter_records(), _SAMPLED_RECORDS))
    start = first[0][1]
    names, above = _read_header([cells for _, _, _, cells in first], dialect.width)

    def iter_rows() -> Iterator[TableRow]:
        for _, begin, stop, cells in islice(iter_records(), above, None):
            yield TableRow(begin, stop, (cells + [""] * (width - len(cells)))[:width])

    header_end = first[above - 1][2] if above else start
    found = FoundTable("", build_unique_names(names, width), start, extent.end, header_end, iter_rows)
    return [found], _build_positions(text, extent, dialect.delimiter, has_quotes=quoted)


def _count_preamble(text: str, dialect: _Dialect, *, has_quotes: bool) -> int:
    """Return the number of records above a table, not counting its header."""
    count, last = 0, list[str]()
    records = (cells for _, _, _, cells in _iter_records(text, dialect.delimiter, has_quotes))
    for cells in records:
        if not _is_preamble_record(cells, dialect):
            below = list(islice(records, _SAMPLED_RECORDS))
            return count - (
                _is_short_header(last, dialect.width, [cells, *below]) and not _is_header_record(cells, below)
            )
        count, last = count + 1, cells
    return count


def _is_short_header(cells: Sequence[str], width: int, next_records: Sequence[Sequence[str]]) -> bool:
    """Return whether a header is one cell short, because R's `write.table` does not name the column of row names."""
    return len(cells) == width - 1 >= _MIN_HEADER_NAMES and _is_header_record(["", *cells], next_records)


def _read_header(records: Sequence[Sequence[str]], width: int) -> tuple[Sequence[str], int]:
    """Return the column names and the number of header records: 0, 1 or 2. With 2, the first one groups the columns."""
    first, below = records[0], records[1:]
    if len(first) < width:
        return ["", *first], 1
    if _is_header_record(first, below):
        return first, 1
    if len(below) > 1 and _contains_only_words(first) and _has_numbers_below(below[0], below[1:]):
        group, names = "", list[str]()
        for above, name in zip_longest(first, below[0], fillvalue=""):
            group = above or group
            names.append(f"{group} {name}".strip())
        return names, 2
    return [], 0


def _has_numbers_below(names: Sequence[str], next_records: Sequence[Sequence[str]]) -> bool:
    """Return whether `names` is a header of words above at least one column of numbers or dates."""
    columns = zip_longest(*next_records, fillvalue="")
    is_typed = any(_detect_column_type(cells) is not ColumnType.TEXT for cells in columns)
    return is_typed and _contains_only_words(names) and _is_header_record(names, next_records)


def _contains_only_words(cells: Sequence[str]) -> bool:
    return all(_detect_column_type([cell]) is ColumnType.TEXT for cell in cells)


def _is_preamble_record(cells: Sequence[str], dialect: _Dialect) -> bool:
    """Return whether a record above the table is part of the preamble.

    It is if it is empty or narrower than the table. In a table with several columns, it also is if it has text in its
    first cell only.
    """
    if len(cells) < dialect.width or not any(cells):
        return True
    is_alone = dialect.width >= _MIN_COLUMNS_BELOW_TITLE and not any(cells[1:])
    return is_alone and _detect_column_type(cells[:1]) is ColumnType.TEXT


def _compute_extent(records: Iterable[_Record]) -> _Extent:
    width, rows = 0, array("I")
    for row, begin, stop, cells in records:
        width = max(width, len(cells))
        rows.extend((row, begin, stop))
    return _Extent(min(width, MAX_COLUMNS), rows[-1] if rows else 0, rows)


def _build_positions(text: str, extent: _Extent, delimiter: str, *, has_quotes: bool) -> Positions:
    """Build the positions of the cells, or only of the rows if there are too many cells."""
    positions, numbers = PositionsBuilder(), iter(extent.rows)
    each_cell = extent.width * len(extent.rows) // 3 <= _MAX_POSITIONED_CELLS
    for row, begin, stop in zip(numbers, numbers, numbers, strict=True):
        if each_cell:
            for column, (start, end) in enumerate(
                _iter_cell_spans(text, begin, stop, delimiter, has_quotes=has_quotes), start=1
            ):
                positions.add(start, end, SheetCell(1, row, column))
        else:
            positions.add(begin, stop, SheetCell(1, row, 0))
    return positions.build()


def _iter_cell_spans(
    text: str, record_start: int, record_end: int, delimiter: str, *, has_quotes: bool
) -> Iterator[tuple[int, int]]:
    """Yield the span of each cell of a record, without surrounding spaces and quotation marks."""
    at = record_start
    while at <= record_end:
        while at < record_end and text[at] == " ":
            at += 1
        cell = _quoted_cell.match(text, at, record_end) if has_quotes else None
        end = text.find(delimiter, cell.end() if cell else at, record_end)
        end = record_end if end < 0 else end
        if cell and not text[cell.end() : end].strip():
            yield cell.span("inside")
        else:
            yield at, at + len(text[at:end].rstrip())
        at = end + 1


_quoted_cell = re.compile(r'"(?P<inside>(?:[^"]|"")*+)"')


def _detect_dialect(text: str) -> _Dialect:
    """Return the dialect in which the most sampled records, including the first, have the same number of cells.

    If two delimiters fit equally well, the one that is rarer in prose and numbers is used.
    """
    found: list[tuple[bool, float, _Dialect]] = []
    for delimiter in _DELIMITERS:
        for quoted in (True, False):
            try:
                records = islice(_iter_records(text, delimiter, quoted), _SAMPLED_RECORDS)
                widths = [len(cells) for _, _, _, cells in records]
            except csv.Error:
                continue
            width, count = max(Counter(widths).items(), key=lambda each: (each[1], each[0]), default=(1, 0))
            even = len(widths) >= _MIN_RECORDS and count == len(widths)
            if width > 1:
                found.append((widths[0] == width, count / len(widths), _Dialect(delimiter, quoted, width, even)))
            break
    return max(found, key=lambda each: each[:2], default=(False, 0.0, _Dialect(",", True, 1, False)))[2]


def _iter_records(text: str, delimiter: str, has_quotes: bool) -> Iterator[_Record]:
    """Yield the row number, start, end and cells of each record that is not blank.

    Raises `csv.Error` if a quotation mark is not closed.
    """
    taken = 0

    def iter_lines() -> Iterator[str]:
        nonlocal taken
        while taken < len(text):
            begin, taken = taken, text.find("\n", taken) + 1 or len(text)
            yield text[begin:taken]

    # The limit applies to the whole process, so it is never lowered.
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE
    start = 0
    reader = csv.reader(iter_lines(), delimiter=delimiter, quoting=quoting, skipinitialspace=True)
    for row, cells in enumerate(reader, start=1):
        begin, start = start, taken
        end = taken - 1 if text[taken - 1] == "\n" else taken
        if taken == len(text) and has_quotes and "\n" in text[begin:end]:
            next(csv.reader([text[begin:end]], delimiter=delimiter, skipinitialspace=True, strict=True))
        if cells:
            yield row, begin, end, [cell.strip() for cell in cells]


def _is_header_record(names: Sequence[str], next_records: Iterable[Sequence[str]]) -> bool:
    """Return whether a record is a header: words or years above numbers or dates, or words that are not repeated."""
    given = [name.casefold() for name in names if name]
    if 2 * len(given) < len(names) or any(len(name) > MAX_NAME_CHARS for name in names):
        return False
    below = [list(cells) for cells in islice(next_records, _SAMPLED_RECORDS)]
    columns = [[cells[at] for cells in below if at < len(cells) and cells[at]] for at in range(len(names))]
    typed = [name for name in given if _detect_column_type([name]) is not ColumnType.TEXT]
    if typed and not (len(typed) < len(given) and _are_consecutive_years(typed)):
        return _has_numbered_word_columns(names, columns)
    if any(_detect_column_type(cells) is not ColumnType.TEXT for cells in columns):
        return True
    repeated = any(name and name in cells for name, cells in zip(names, columns, strict=True))
    return len(set(given)) == len(given) and not repeated


def _has_numbered_word_columns(names: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Return whether the column names are numbers and all cells are words."""
    numbered = all(name.isascii() and name.isdecimal() for name in names) and len(set(names)) == len(names)
    return (
        numbered
        and all(columns)
        and all(_detect_column_type([cell]) is ColumnType.TEXT for cells in columns for cell in cells)
    )


def _are_consecutive_years(cells: Sequence[str]) -> bool:
    """Return whether the cells are consecutive years, as in a header with one column per year."""
    if len(cells) < 2 or not all(len(cell) == 4 and cell.isdecimal() for cell in cells):
        return False
    return all(int(after) == int(before) + 1 for before, after in pairwise(cells))


def _detect_column_type(cells: Iterable[str]) -> ColumnType:
    typing = ColumnTypeDetector()
    for cell in filter(None, cells):
        typing.add_cell(cell)
    return typing.get_type().type
