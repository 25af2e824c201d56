"""Record tables between the child and its parent: a list of them, and the rows of each as CSV.

The child finds tables and types their columns; the parent has DuckDB make a Parquet file of each one's rows, which
checks every cell against its column's type. On neither side are a table's rows held together.
"""

import csv
import errno
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.parsing.cells import CellType, ColumnTyping
from ingest.parsing.plain_files import open_plain_file, read_plain_file
from ingest.parsing.tables import MAX_COLUMNS, FoundTable, TableRow
from ingest.tables import Column, ColumnType, ParsedTable

MAX_TABLES = 100
LIST_FILE = "tables.json"

_LIST_BYTES = 64_000_000
_SETTLED_AFTER = 100  # rows after which columns that turned out to be text are not looked at again
_ROWS_BYTES = 1 << 32
_STORED = {
    ColumnType.TEXT: re.compile("VARCHAR"),
    ColumnType.INTEGER: re.compile("BIGINT"),
    ColumnType.NUMBER: re.compile(r"DECIMAL\(18,[1-6]\)|DOUBLE"),
    ColumnType.DATE: re.compile("DATE"),
    ColumnType.TIMESTAMP: re.compile("TIMESTAMP"),
    ColumnType.BOOLEAN: re.compile("BOOLEAN"),
}


class TablesError(ValueError):
    """The files are not what `write_tables` writes."""


def write_tables(found: Iterable[FoundTable], folder: Path, *, too_late: Callable[[], bool]) -> None:
    """Tables without rows are left out, and those that are not done before it is `too_late`.

    Of more tables than `MAX_TABLES` those with most rows are kept.
    """
    typed: list[_Typed] = []
    with suppress(_TooSlowError):
        typed.extend(_typed(table, too_late) for table in found)
    most = sorted((each for each in typed if each.rows), key=lambda each: -each.rows)[:MAX_TABLES]
    listed: list[dict[str, Any]] = []
    for each in sorted(most, key=lambda each: each.found.start):
        try:
            _write_rows(each, folder / _rows_file(len(listed)), too_late)
        except _TooSlowError:
            continue
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            continue  # numbers can make rows longer than the text they are in; the text is kept all the same
        columns = [
            (name, kind.type, kind.unit, kind.stored) for name, kind in zip(each.found.columns, each.types, strict=True)
        ]
        listed.append(
            {
                "name": each.found.name,
                "columns": columns,
                "rows": each.rows,
                "start": each.found.start,
                "end": each.found.end,
            }
        )
    if listed:
        (folder / LIST_FILE).write_text(json.dumps(listed), encoding="utf-8")


def read_tables(folder: Path, *, characters: int) -> tuple[ParsedTable, ...]:
    """Return the tables of a text of that many characters. Raises `TablesError`."""
    from ingest.parquet import RowsError  # only here and below: documents without tables load no engine

    if not (folder / LIST_FILE).is_symlink() and not (folder / LIST_FILE).exists():
        return ()
    try:
        listed = json.loads(read_plain_file(folder / LIST_FILE, _LIST_BYTES))
        if not isinstance(listed, list) or len(listed) > MAX_TABLES:
            raise TablesError("The list of tables is of another shape.")
        return tuple(_read_table(each, folder / _rows_file(at), characters) for at, each in enumerate(listed))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RowsError) as error:
        raise TablesError("The tables cannot be read.") from error


@dataclass(frozen=True)
class _Typed:
    """A table whose rows were read once."""

    found: FoundTable
    types: tuple[CellType, ...]
    rows: int


class _TooSlowError(Exception):
    """The time for tables is over; the document goes on without those that are not done."""


def _rows_until(table: FoundTable, too_late: Callable[[], bool]) -> Iterator[TableRow]:
    for row in table.rows():
        if too_late():
            raise _TooSlowError
        yield row


def _typed(table: FoundTable, too_late: Callable[[], bool]) -> _Typed:
    typings = [ColumnTyping() for _ in table.columns]
    open_typings = list(enumerate(typings))
    rows = 0
    for row in _rows_until(table, too_late):
        rows += 1
        for at, typing in open_typings:
            if cell := row.cells[at]:
                typing.see(cell)
        if rows % _SETTLED_AFTER == 0:
            open_typings = [(at, typing) for at, typing in open_typings if not typing.is_settled]
    commas = any(typing.has_decimal_commas for typing in typings)
    prefer_comma = commas and not any(typing.has_decimal_points for typing in typings)
    return _Typed(table, tuple(typing.type(prefer_comma=prefer_comma) for typing in typings), rows)


def _write_rows(table: _Typed, path: Path, too_late: Callable[[], bool]) -> None:
    canonical = [None if kind.type is ColumnType.TEXT else kind.canonical for kind in table.types]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, row in enumerate(_rows_until(table.found, too_late), start=1):
            cells = [write(cell) if write and cell else cell for write, cell in zip(canonical, row.cells, strict=True)]
            writer.writerow([number, row.start, row.end, *cells])


def _read_table(listed: dict[str, Any], rows: Path, characters: int) -> ParsedTable:
    from ingest.parquet import rows_to_parquet

    name, count, start, end = listed["name"], listed["rows"], listed["start"], listed["end"]
    columns = [(str(name), ColumnType(kind), str(unit), str(stored)) for name, kind, unit, stored in listed["columns"]]
    names = {name.casefold() for name, _, _, _ in columns}
    if not isinstance(name, str) or not all(type(each) is int for each in (count, start, end)):
        raise TablesError("A table is of another shape.")
    if not 0 <= start <= end <= characters or not 0 < len(names) == len(columns) <= MAX_COLUMNS:
        raise TablesError("A table stands outside the text, or has columns of one name.")
    if not all(_STORED[kind].fullmatch(stored) for _, kind, _, stored in columns):
        raise TablesError("A column is of no type.")
    with open_plain_file(rows, _ROWS_BYTES) as file:
        stored_columns = [(name, stored) for name, _, _, stored in columns]
        parquet = rows_to_parquet(
            Path(f"/proc/self/fd/{file.fileno()}"), stored_columns, count=count, start=start, end=end
        )
    return ParsedTable(
        name, tuple(Column(name, kind, unit) for name, kind, unit, _ in columns), count, start, end, parquet
    )


def _rows_file(index: int) -> str:
    return f"table-{index}.csv"
