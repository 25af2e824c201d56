"""Writes and reads the rows of record tables as Parquet files, using DuckDB."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import _duckdb as duckdb  # DuckDB's engine without its Python package, because importing the package takes longer.

from ingest.storage.tables.profiles import (
    MAX_CELL_CHARS,
    MAX_COUNTED_VALUES,
    MAX_PROFILED_COLUMNS,
    MAX_VALUE_CHARS,
    ORDERED_TYPES,
    choose_sample_rows,
    compute_column_profile,
    format_value,
    select_profile_values,
    truncate_text,
)
from ingest.storage.tables.types import ROW_NUMBER, Column, ColumnProfile, ColumnType, TableProfile

ROW_START, ROW_END = "_start", "_end"
_SPAN_COLUMNS = (ROW_NUMBER, ROW_START, ROW_END)
# Options for files from `csv.writer`. Nothing is detected automatically, and a single reader preserves the row order.
_CSV_OPTIONS = (
    "header=false, delim=',', quote='\"', escape='\"', new_line='\\n', nullstr='', auto_detect=false, parallel=false"
)
_MAX_LINE_BYTES = 1 << 30  # Maximum length of a row, because a row may be as long as its document.
# Number of rows per compressed row group: DuckDB's default, or fewer rows if there are many columns.
_MOST_IN_A_GROUP, _FEWEST_IN_A_GROUP, _CELLS_IN_A_GROUP = 122_880, 2_048, 4_000_000
# Maximum number of rows in a table whose distinct values are counted exactly, by hash. In longer tables, HyperLogLog
# estimates the number of distinct values.
_MAX_EXACT_ROWS = 100_000
_MAX_ROWS_IN_MEMORY = 500  # Maximum number of rows in a table that is profiled in Python.


class RowsError(ValueError):
    """Raised if a file does not contain the expected rows."""


def convert_rows_to_parquet(
    csv_path: Path, columns: Sequence[tuple[str, str]], *, row_count: int, start: int, end: int
) -> bytes:
    """Convert a CSV file to the content of a Parquet file.

    The CSV file has the columns `_row`, `_start` and `_end`, followed by `columns`, given as names and DuckDB types.
    Raises `RowsError` if a cell does not have its column's type, or if the file does not contain `row_count` rows with
    ordered spans within the table's span. Only one row group at a time is in memory, and rows never become Python
    objects.
    """
    kinds = {**dict.fromkeys(_SPAN_COLUMNS, "BIGINT"), **dict(columns)}
    group = max(_FEWEST_IN_A_GROUP, min(_MOST_IN_A_GROUP, _CELLS_IN_A_GROUP // len(kinds)))
    with tempfile.TemporaryDirectory(prefix="leadline-rows-") as folder, _open_engine() as engine:
        target = Path(folder, "rows.parquet")
        try:
            to = f"{quote_literal(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})"
            engine.execute(f"COPY (FROM {format_read_csv_call(kinds, str(csv_path))}) TO {to}")
            _require_row_order(engine, target, row_count, start, end)
        except duckdb.Error as error:
            raise RowsError("The rows of a table do not match its declared columns and row count.") from error
        return target.read_bytes()


def read_rows(path: Path, row_numbers: Sequence[int] | range) -> list[tuple[Any, ...]]:
    """Read `_row`, `_start`, `_end` and the columns of the rows with these numbers.

    Numbers without a row are skipped.
    """
    with _open_engine() as engine:
        values: dict[str, Any]
        if isinstance(row_numbers, range) and row_numbers.step == 1:
            wanted, values = "_row >= $first AND _row < $stop", {"first": row_numbers.start, "stop": row_numbers.stop}
        else:
            wanted, values = "_row IN (SELECT unnest($numbers::BIGINT[]))", {"numbers": list(row_numbers)}
        found = engine.execute(f"FROM read_parquet($path) WHERE {wanted}", {"path": str(path), **values})
        return [tuple(row) for row in found.fetchall()]


def read_spans(path: Path) -> tuple[list[int], list[int]]:
    """Read the code points at which the rows start, and those at which they end, in row order."""
    with _open_engine() as engine:
        query = "SELECT _start, _end FROM read_parquet($path) ORDER BY _row"
        found = engine.execute(query, {"path": str(path)}).fetchnumpy()
        return found[ROW_START].tolist(), found[ROW_END].tolist()


def compute_profile(path: Path, columns: Sequence[Column], row_count: int) -> TableProfile:
    """Compute the profile of a table's first `MAX_PROFILED_COLUMNS` columns, using bounded memory."""
    columns = columns[:MAX_PROFILED_COLUMNS]
    if row_count <= _MAX_ROWS_IN_MEMORY:
        return _compute_short_profile(path, columns, row_count)
    with _open_engine() as engine:
        found = _read_aggregate_row(
            engine, path, [each for column in columns for each in _iter_column_aggregates(column, row_count)]
        )
        facts = dict(zip(columns, zip(*[iter(found)] * 5, strict=True), strict=True))
        few = [column for column, (_, distinct, *_) in facts.items() if distinct <= MAX_COUNTED_VALUES]
        counted = dict(zip(few, _read_aggregate_row(engine, path, list(map(_format_histogram_call, few))), strict=True))
        cells = ", ".join(
            f"left(CAST({quote_name(column.name)} AS VARCHAR), {MAX_CELL_CHARS + 1})" for column in columns
        )
        sample = engine.execute(
            f"SELECT _row, {cells} FROM read_parquet($path) WHERE _row IN (SELECT unnest($numbers::BIGINT[]))",
            {"path": str(path), "numbers": choose_sample_rows(row_count)},
        ).fetchall()
    return TableProfile(
        tuple(_build_column_profile(column, row_count, facts[column], counted.get(column)) for column in columns),
        {row[0]: [cell and truncate_text(cell, MAX_CELL_CHARS) for cell in row[1:]] for row in sorted(sample)},
    )


def _compute_short_profile(path: Path, columns: Sequence[Column], row_count: int) -> TableProfile:
    """Compute the profile of a table with few rows, with one query instead of three."""
    cells = ", ".join(f"CAST({quote_name(column.name)} AS VARCHAR)" for column in columns)
    with _open_engine() as engine:
        found = engine.execute(f"SELECT {cells} FROM read_parquet($path) ORDER BY _row", {"path": str(path)}).fetchall()
    return TableProfile(
        tuple(
            compute_column_profile(values, column.type)
            for column, values in zip(columns, zip(*found, strict=True), strict=True)
        ),
        {
            number: [cell and truncate_text(cell, MAX_CELL_CHARS) for cell in found[number - 1]]
            for number in choose_sample_rows(row_count)
        },
    )


def compute_table_profile(parquet: bytes, columns: Sequence[Column], row_count: int) -> TableProfile:
    """Compute the profile of a table whose Parquet file is in memory."""
    with tempfile.NamedTemporaryFile(prefix="leadline-rows-", suffix=".parquet") as file:
        file.write(parquet)
        file.flush()
        return compute_profile(Path(file.name), columns, row_count)


def _iter_column_aggregates(column: Column, row_count: int) -> Iterator[str]:
    """Yield the SQL expressions that profile a column.

    They compute the number of filled cells, the number of distinct values, the smallest and the largest value, and the
    length of the longest string.
    """
    name = quote_name(column.name)
    is_ordered, is_text = column.type in ORDERED_TYPES, column.type is ColumnType.TEXT
    yield f"count({name})"
    exactly = f"count(DISTINCT hash({name})) FILTER (WHERE {name} IS NOT NULL)"
    yield exactly if row_count <= _MAX_EXACT_ROWS else f"approx_count_distinct({name})"
    yield f"CAST(min({name}) AS VARCHAR)" if is_ordered else "NULL"
    yield f"CAST(max({name}) AS VARCHAR)" if is_ordered else "NULL"
    yield f"max(length({name}))" if is_text else "NULL"


def _format_histogram_call(column: Column) -> str:
    name = quote_name(column.name)
    return f"histogram(left({name}, {MAX_VALUE_CHARS + 1}))" if column.type is ColumnType.TEXT else f"histogram({name})"


def _build_column_profile(
    column: Column, row_count: int, aggregates: tuple[Any, ...], counts: Mapping[object, int] | None
) -> ColumnProfile:
    filled, distinct, smallest, largest, longest = aggregates
    values: dict[str, int] = {}
    for value, count in (counts or {}).items():
        text = truncate_text(format_value(value), MAX_VALUE_CHARS)
        values[text] = values.get(text, 0) + count
    is_counted = counts is not None and (longest or 0) <= MAX_VALUE_CHARS
    return ColumnProfile(
        column.type,
        row_count - filled,
        len(values) if is_counted else min(distinct, filled),
        select_profile_values(values),
        smallest,
        largest,
        longest or 0,
        is_counted or row_count <= _MAX_EXACT_ROWS,
    )


def _read_aggregate_row(engine: duckdb.DuckDBPyConnection, path: Path, expressions: Sequence[str]) -> tuple[Any, ...]:
    """Return the single row of an aggregate query."""
    if not expressions:
        return ()
    found = engine.execute(f"SELECT {', '.join(expressions)} FROM read_parquet($path)", {"path": str(path)}).fetchone()
    return found or ()


def _require_row_order(engine: duckdb.DuckDBPyConnection, file: Path, row_count: int, start: int, end: int) -> None:
    """Raise `RowsError` unless all rows are present, in order and within the table's span.

    Each row is compared with the previous one, so no sorting is needed.
    """
    within = engine.execute(
        """SELECT count(*) = $count AND bool_and(_row = place AND _start >= coalesce(before, $start)
                  AND _start <= _end AND _end <= $end)
           FROM (SELECT _row, _start, _end, row_number() OVER () AS place, lag(_end) OVER () AS before
                 FROM read_parquet($file))""",
        {"count": row_count, "start": start, "end": end, "file": str(file)},
    ).fetchone()
    if not within or not within[0]:
        raise RowsError("The rows of a table are out of order or outside its span.")


@contextmanager
def _open_engine() -> Iterator[duckdb.DuckDBPyConnection]:
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


def format_read_csv_call(column_types: Mapping[str, str], path: str) -> str:
    """Format the SQL call that reads a file from `csv.writer`. Empty cells become NULL.

    `column_types` maps column names to DuckDB types.
    """
    columns = ", ".join(f"{quote_literal(name)}: {quote_literal(kind)}" for name, kind in column_types.items())
    return f"read_csv({quote_literal(path)}, columns={{{columns}}}, {_CSV_OPTIONS}, max_line_size={_MAX_LINE_BYTES})"


def quote_name(name: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Quote a string for SQL."""
    return "'" + text.replace("'", "''") + "'"
