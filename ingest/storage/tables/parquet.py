"""Writes and reads the rows of record tables as Parquet files, using DuckDB."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import _duckdb as duckdb  # DuckDB's engine alone, because importing its Python package takes longer.

from ingest.storage.tables.profiles import (
    MAX_CELL_CHARS,
    MAX_COUNTED_VALUES,
    MAX_PROFILED_COLUMNS,
    MAX_VALUE_CHARS,
    ORDERED_TYPES,
    choose_shown_rows,
    compute_column_profile,
    format_value,
    select_values,
    truncate_text,
)
from ingest.storage.tables.types import ROW_NUMBER, Column, ColumnProfile, ColumnType, TableProfile

ROW_START, ROW_END = "_start", "_end"
_SPAN_COLUMNS = (ROW_NUMBER, ROW_START, ROW_END)
# Options for files from `csv.writer`. Nothing is detected automatically, and a single reader preserves the row order.
_CSV_OPTIONS = (
    "header=false, delim=',', quote='\"', escape='\"', new_line='\\n', nullstr='', auto_detect=false, parallel=false"
)
_MAX_LINE_BYTES = 1 << 30  # A row may be as long as its document.
# Number of rows per compressed row group: DuckDB's default, or fewer if there are many columns.
_MOST_IN_A_GROUP, _FEWEST_IN_A_GROUP, _CELLS_IN_A_GROUP = 122_880, 2_048, 4_000_000
# In tables of up to this many rows, distinct values are counted exactly, by hash. In longer tables, HyperLogLog
# estimates their number.
_MAX_EXACT_ROWS = 100_000
_MAX_ROWS_IN_MEMORY = 500  # Tables of up to this many rows are profiled in Python.


class RowsError(ValueError):
    """Raised if a file does not contain the expected rows."""


def convert_rows_to_parquet(
    rows: Path, columns: Sequence[tuple[str, str]], *, count: int, start: int, end: int
) -> bytes:
    """Convert a CSV file to the content of a Parquet file.

    The CSV file has the columns `_row`, `_start` and `_end`, followed by `columns`, given as names and DuckDB types.
    Raises `RowsError` if a cell does not have its column's type, or if the file does not contain `count` rows with
    ordered spans within the table's span. Only one row group at a time is in memory, and rows never become Python
    objects.
    """
    kinds = {**dict.fromkeys(_SPAN_COLUMNS, "BIGINT"), **dict(columns)}
    group = max(_FEWEST_IN_A_GROUP, min(_MOST_IN_A_GROUP, _CELLS_IN_A_GROUP // len(kinds)))
    with tempfile.TemporaryDirectory(prefix="leadline-rows-") as folder, _engine() as engine:
        target = Path(folder, "rows.parquet")
        try:
            to = f"{quote_literal(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})"
            engine.execute(f"COPY (FROM {format_read_csv(kinds, str(rows))}) TO {to}")
            _require_order(engine, target, count, start, end)
        except duckdb.Error as error:
            raise RowsError("The rows of a table do not match its declared columns and row count.") from error
        return target.read_bytes()


def read_rows(path: Path, numbers: Sequence[int] | range) -> list[tuple[Any, ...]]:
    """Read `_row`, `_start`, `_end` and the columns of the rows with these numbers.

    Numbers without a row are skipped.
    """
    with _engine() as engine:
        values: dict[str, Any]
        if isinstance(numbers, range) and numbers.step == 1:
            wanted, values = "_row >= $first AND _row < $stop", {"first": numbers.start, "stop": numbers.stop}
        else:
            wanted, values = "_row IN (SELECT unnest($numbers::BIGINT[]))", {"numbers": list(numbers)}
        found = engine.execute(f"FROM read_parquet($path) WHERE {wanted}", {"path": str(path), **values})
        return [tuple(row) for row in found.fetchall()]


def read_spans(path: Path) -> tuple[list[int], list[int]]:
    """Read the code points at which the rows start, and those at which they end, in row order."""
    with _engine() as engine:
        query = "SELECT _start, _end FROM read_parquet($path) ORDER BY _row"
        found = engine.execute(query, {"path": str(path)}).fetchnumpy()
        return found[ROW_START].tolist(), found[ROW_END].tolist()


def read_profile(path: Path, columns: Sequence[Column], rows: int) -> TableProfile:
    """Compute the profile of a table's first `MAX_PROFILED_COLUMNS` columns, using bounded memory."""
    columns = columns[:MAX_PROFILED_COLUMNS]
    if rows <= _MAX_ROWS_IN_MEMORY:
        return _read_short_profile(path, columns, rows)
    with _engine() as engine:
        found = _read_one_row(engine, path, [each for column in columns for each in _iter_aggregates(column, rows)])
        facts = dict(zip(columns, zip(*[iter(found)] * 5, strict=True), strict=True))
        few = [column for column, (_, distinct, *_) in facts.items() if distinct <= MAX_COUNTED_VALUES]
        counted = dict(zip(few, _read_one_row(engine, path, list(map(_format_histogram, few))), strict=True))
        cells = ", ".join(
            f"left(CAST({quote_name(column.name)} AS VARCHAR), {MAX_CELL_CHARS + 1})" for column in columns
        )
        sample = engine.execute(
            f"SELECT _row, {cells} FROM read_parquet($path) WHERE _row IN (SELECT unnest($numbers::BIGINT[]))",
            {"path": str(path), "numbers": choose_shown_rows(rows)},
        ).fetchall()
    return TableProfile(
        tuple(_build_profile(column, rows, facts[column], counted.get(column)) for column in columns),
        {row[0]: [cell and truncate_text(cell, MAX_CELL_CHARS) for cell in row[1:]] for row in sorted(sample)},
    )


def _read_short_profile(path: Path, columns: Sequence[Column], rows: int) -> TableProfile:
    """Compute the profile of a table with few rows, with one query instead of three."""
    cells = ", ".join(f"CAST({quote_name(column.name)} AS VARCHAR)" for column in columns)
    with _engine() as engine:
        found = engine.execute(f"SELECT {cells} FROM read_parquet($path) ORDER BY _row", {"path": str(path)}).fetchall()
    return TableProfile(
        tuple(
            compute_column_profile(values, column.type)
            for column, values in zip(columns, zip(*found, strict=True), strict=True)
        ),
        {
            number: [cell and truncate_text(cell, MAX_CELL_CHARS) for cell in found[number - 1]]
            for number in choose_shown_rows(rows)
        },
    )


def compute_table_profile(parquet: bytes, columns: Sequence[Column], rows: int) -> TableProfile:
    """Compute the profile of a table whose Parquet file is in memory."""
    with tempfile.NamedTemporaryFile(prefix="leadline-rows-", suffix=".parquet") as file:
        file.write(parquet)
        file.flush()
        return read_profile(Path(file.name), columns, rows)


def _iter_aggregates(column: Column, rows: int) -> Iterator[str]:
    """Yield the SQL expressions that profile a column.

    They compute the number of filled cells, the number of distinct values, the smallest and the largest value, and the
    length of the longest string.
    """
    name = quote_name(column.name)
    is_ordered, is_text = column.type in ORDERED_TYPES, column.type is ColumnType.TEXT
    yield f"count({name})"
    exactly = f"count(DISTINCT hash({name})) FILTER (WHERE {name} IS NOT NULL)"
    yield exactly if rows <= _MAX_EXACT_ROWS else f"approx_count_distinct({name})"
    yield f"CAST(min({name}) AS VARCHAR)" if is_ordered else "NULL"
    yield f"CAST(max({name}) AS VARCHAR)" if is_ordered else "NULL"
    yield f"max(length({name}))" if is_text else "NULL"


def _format_histogram(column: Column) -> str:
    name = quote_name(column.name)
    return f"histogram(left({name}, {MAX_VALUE_CHARS + 1}))" if column.type is ColumnType.TEXT else f"histogram({name})"


def _build_profile(
    column: Column, rows: int, facts: tuple[Any, ...], counts: Mapping[object, int] | None
) -> ColumnProfile:
    filled, distinct, smallest, largest, longest = facts
    values: dict[str, int] = {}
    for value, count in (counts or {}).items():
        text = truncate_text(format_value(value), MAX_VALUE_CHARS)
        values[text] = values.get(text, 0) + count
    is_counted = counts is not None and (longest or 0) <= MAX_VALUE_CHARS
    return ColumnProfile(
        column.type,
        rows - filled,
        len(values) if is_counted else min(distinct, filled),
        select_values(values),
        smallest,
        largest,
        longest or 0,
        is_counted or rows <= _MAX_EXACT_ROWS,
    )


def _read_one_row(engine: duckdb.DuckDBPyConnection, path: Path, selected: Sequence[str]) -> tuple[Any, ...]:
    """Return the single row of an aggregate query."""
    if not selected:
        return ()
    found = engine.execute(f"SELECT {', '.join(selected)} FROM read_parquet($path)", {"path": str(path)}).fetchone()
    return found or ()


def _require_order(engine: duckdb.DuckDBPyConnection, file: Path, count: int, start: int, end: int) -> None:
    """Raise `RowsError` unless all rows are present, in order and within the table's span.

    Each row is compared with the previous one, so no sorting is needed.
    """
    within = engine.execute(
        """SELECT count(*) = $count AND bool_and(_row = place AND _start >= coalesce(before, $start)
                  AND _start <= _end AND _end <= $end)
           FROM (SELECT _row, _start, _end, row_number() OVER () AS place, lag(_end) OVER () AS before
                 FROM read_parquet($file))""",
        {"count": count, "start": start, "end": end, "file": str(file)},
    ).fetchone()
    if not within or not within[0]:
        raise RowsError("The rows of a table are out of order or outside its span.")


@contextmanager
def _engine() -> Iterator[duckdb.DuckDBPyConnection]:
    engine = _open_database().cursor()  # A separate connection to the same database.
    try:
        yield engine
    finally:
        engine.close()


@cache
def _open_database() -> duckdb.DuckDBPyConnection:
    """Open this process's in-memory database once, because opening it takes longer than reading most tables.

    It uses one thread, because rows must stay in order, and because ingest and answering each have a fixed share of the
    machine.
    """
    return duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})


def format_read_csv(kinds: Mapping[str, str], path: str) -> str:
    """Format the SQL call that reads a file from `csv.writer`. Empty cells become NULL.

    `kinds` maps column names to DuckDB types.
    """
    columns = ", ".join(f"{quote_literal(name)}: {quote_literal(kind)}" for name, kind in kinds.items())
    return f"read_csv({quote_literal(path)}, columns={{{columns}}}, {_CSV_OPTIONS}, max_line_size={_MAX_LINE_BYTES})"


def quote_name(name: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Quote a string for SQL."""
    return "'" + text.replace("'", "''") + "'"
