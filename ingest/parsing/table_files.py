"""Pass record tables from the child process to its parent: a list of tables, and the rows of each table as CSV.

The child process finds the tables and detects the types of their columns. The parent process uses DuckDB to convert the
rows to Parquet, which checks each cell against the type of its column. Neither process holds a whole table in memory.
"""

import csv
import errno
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ingest.parsing.cells import CellType, ColumnTypeDetector
from ingest.parsing.isolation.plain_files import open_regular_file, read_regular_file
from ingest.parsing.tables import MAX_COLUMNS, FoundTable, TableRow
from ingest.storage.tables.types import Column, ColumnType, ParsedTable

MAX_TABLES = 1_000
LIST_FILE = "tables.json"

_MAX_LIST_BYTES = 64_000_000
_BATCH_ROWS = 2_000
_MAX_ROWS_BYTES = 1 << 32
_STORED = {
    ColumnType.TEXT: re.compile("VARCHAR"),
    ColumnType.INTEGER: re.compile("BIGINT"),
    ColumnType.NUMBER: re.compile(r"DECIMAL\(18,[1-6]\)|DOUBLE"),
    ColumnType.DATE: re.compile("DATE"),
    ColumnType.TIMESTAMP: re.compile("TIMESTAMP"),
    ColumnType.BOOLEAN: re.compile("BOOLEAN"),
}


class TablesError(ValueError):
    """The files were not written by `write_tables`."""


def write_tables(tables: Iterable[FoundTable], folder: Path, *, is_past_deadline: Callable[[], bool]) -> int:
    """Write tables, and return the number of omitted tables. Tables without rows are ignored.

    Tables are omitted once `is_past_deadline` returns true. If there are more than `MAX_TABLES`, those with the most
    rows are written.
    """
    waiting = list(tables)
    typed: list[_TypedTable] = []
    with suppress(_TablesTimeoutError):
        typed.extend(_detect_types(table, is_past_deadline) for table in waiting)
    left_out = len(waiting) - len(typed)
    typed = [each for each in typed if each.rows]
    most = sorted(typed, key=lambda each: -each.rows)[:MAX_TABLES]
    listed: list[dict[str, Any]] = []
    for each in sorted(most, key=lambda each: each.found.start):
        try:
            _write_rows(each, folder / _format_rows_file(len(listed)), is_past_deadline)
        except _TablesTimeoutError:
            continue
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            continue  # Converted numbers may be longer than in the text. The text still contains the table.
        listed.append(_serialize_table(each))
    if listed:
        (folder / LIST_FILE).write_text(json.dumps(listed), encoding="utf-8")
    return left_out + len(typed) - len(listed)


def read_tables(folder: Path, *, text_length: int) -> tuple[ParsedTable, ...]:
    """Read the tables of a text with `text_length` characters. Raises `TablesError` if a file is invalid."""
    if not (folder / LIST_FILE).is_symlink() and not (folder / LIST_FILE).exists():
        return ()
    try:
        listed = json.loads(read_regular_file(folder / LIST_FILE, _MAX_LIST_BYTES))
        if not isinstance(listed, list) or len(listed) > MAX_TABLES:
            raise TablesError("The list of tables is not a list, or is too long.")
        return tuple(_load_table(each, folder / _format_rows_file(at), text_length) for at, each in enumerate(listed))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:  # `RowsError` is a `ValueError`.
        raise TablesError("The tables cannot be read.") from error


@dataclass(frozen=True)
class _TypedTable:
    """A table with the detected types of its columns and the number of its rows."""

    found: FoundTable
    types: tuple[CellType, ...]
    rows: int


class _TablesTimeoutError(Exception):
    """The time for tables is used up. The document is completed without the remaining tables."""


def _iter_batches(table: FoundTable, is_past_deadline: Callable[[], bool]) -> Iterator[list[TableRow]]:
    rows = table.rows()
    while batch := list(islice(rows, _BATCH_ROWS)):
        if is_past_deadline():
            raise _TablesTimeoutError
        yield batch


def _detect_types(table: FoundTable, is_past_deadline: Callable[[], bool]) -> _TypedTable:
    typings = [ColumnTypeDetector() for _ in table.columns]
    rows = 0
    for batch in _iter_batches(table, is_past_deadline):
        rows += len(batch)
        for at, typing in enumerate(typings):
            if not typing.is_settled:
                typing.add_cells([row.cells[at] for row in batch])
    commas = any(typing.has_decimal_commas for typing in typings)
    prefer_comma = commas and not any(typing.has_decimal_points for typing in typings)
    return _TypedTable(table, tuple(typing.get_type(prefer_comma=prefer_comma) for typing in typings), rows)


def _write_rows(table: _TypedTable, path: Path, is_past_deadline: Callable[[], bool]) -> None:
    number = 1
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for batch in _iter_batches(table.found, is_past_deadline):
            starts, ends, rows = zip(*batch, strict=True)
            columns = [
                column if kind.canonical is None else [cell and kind.canonical(cell) for cell in column]
                for kind, column in zip(table.types, zip(*rows, strict=True), strict=True)
            ]
            writer.writerows(zip(range(number, number + len(batch)), starts, ends, *columns, strict=True))
            number += len(batch)


def _serialize_table(table: _TypedTable) -> dict[str, Any]:
    found = table.found
    columns = [(name, kind.type, kind.unit, kind.stored) for name, kind in zip(found.columns, table.types, strict=True)]
    return {"name": found.name, "columns": columns, "rows": table.rows, "start": found.start, "end": found.end}


def _load_table(record: dict[str, Any], rows_path: Path, text_length: int) -> ParsedTable:
    from ingest.storage.tables.parquet import (  # Imported here so that documents without tables do not load DuckDB.
        compute_table_profile,
        convert_rows_to_parquet,
    )

    name, count, start, end = record["name"], record["rows"], record["start"], record["end"]
    columns = [(str(name), ColumnType(kind), str(unit), str(stored)) for name, kind, unit, stored in record["columns"]]
    names = {name.casefold() for name, _, _, _ in columns}
    if not isinstance(name, str) or not all(type(each) is int for each in (count, start, end)):
        raise TablesError("The name, row count or span of a table has the wrong type.")
    if not 0 <= start <= end <= text_length or not 0 < len(names) == len(columns) <= MAX_COLUMNS:
        raise TablesError("A table is outside the text, or has duplicate column names.")
    if not all(_STORED[kind].fullmatch(stored) for _, kind, _, stored in columns):
        raise TablesError("A column has an invalid type.")
    with open_regular_file(rows_path, _MAX_ROWS_BYTES) as file:
        stored_columns = [(name, stored) for name, _, _, stored in columns]
        path = Path(f"/proc/self/fd/{file.fileno()}")
        parquet = convert_rows_to_parquet(path, stored_columns, row_count=count, start=start, end=end)
    known = tuple(Column(name, kind, unit) for name, kind, unit, _ in columns)
    return ParsedTable(name, known, count, start, end, parquet, compute_table_profile(parquet, known, count))


def _format_rows_file(index: int) -> str:
    return f"table-{index}.csv"
