"""Rows of record tables as Parquet files, written and read by DuckDB."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import _duckdb as duckdb  # the engine without its Python package, which takes three times as long to import

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
# As `csv.writer` writes; nothing is guessed, and one reader keeps the order.
_CSV_OPTIONS = (
    "header=false, delim=',', quote='\"', escape='\"', new_line='\\n', nullstr='', auto_detect=false, parallel=false"
)
_MAX_LINE_BYTES = 1 << 30  # a row may be as long as its document
# Rows that are compressed together: DuckDB's own number of them, and fewer where there are many columns.
_MOST_IN_A_GROUP, _FEWEST_IN_A_GROUP, _CELLS_IN_A_GROUP = 122_880, 2_048, 4_000_000
# Different values are counted exactly in tables of so many rows, by their hashes; in longer ones HyperLogLog estimates.
_MAX_EXACT_ROWS = 100_000
_MAX_ROWS_IN_MEMORY = 500  # a table with no more is profiled in Python


class RowsError(ValueError):
    """The file does not hold rows as they were announced."""


def convert_rows_to_parquet(
    rows: Path, columns: Sequence[tuple[str, str]], *, count: int, start: int, end: int
) -> bytes:
    """Return a Parquet file from a CSV of `_row, _start, _end` and the columns, given as names and DuckDB's types.

    Raises `RowsError` where a cell is not of its column's type, or rows are not `count` spans in order within the
    table's own. The rows never become objects of Python, and only a group of them is in memory.
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
            raise RowsError("The rows of a table are not what was announced.") from error
        return target.read_bytes()


def read_rows(path: Path, numbers: Sequence[int] | range) -> list[tuple[Any, ...]]:
    """`_row, _start, _end` and the columns of the rows with these numbers, as far as there are such."""
    with _engine() as engine:
        values: dict[str, Any]
        if isinstance(numbers, range) and numbers.step == 1:
            wanted, values = "_row >= $first AND _row < $stop", {"first": numbers.start, "stop": numbers.stop}
        else:
            wanted, values = "_row IN (SELECT unnest($numbers::BIGINT[]))", {"numbers": list(numbers)}
        found = engine.execute(f"FROM read_parquet($path) WHERE {wanted}", {"path": str(path), **values})
        return [tuple(row) for row in found.fetchall()]


def read_spans(path: Path) -> tuple[list[int], list[int]]:
    """Return the code points at which rows start, and those at which they end, in the order of their numbers."""
    with _engine() as engine:
        query = "SELECT _start, _end FROM read_parquet($path) ORDER BY _row"
        found = engine.execute(query, {"path": str(path)}).fetchnumpy()
        return found[ROW_START].tolist(), found[ROW_END].tolist()


def read_profile(path: Path, columns: Sequence[Column], rows: int) -> TableProfile:
    """Return the profile of a table's first `MOST_COLUMNS` columns. Memory does not grow with the rows."""
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
    """Return the profile of a table with few rows, which takes one query, and not three over all columns."""
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
    """Return the profile of a table whose file is in memory."""
    with tempfile.NamedTemporaryFile(prefix="leadline-rows-", suffix=".parquet") as file:
        file.write(parquet)
        file.flush()
        return read_profile(Path(file.name), columns, rows)


def _iter_aggregates(column: Column, rows: int) -> Iterator[str]:
    """Yield what is computed of a column: its cells, different values, smallest, largest, and longest text."""
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
    """Return the one row of a query for aggregates."""
    if not selected:
        return ()
    found = engine.execute(f"SELECT {', '.join(selected)} FROM read_parquet($path)", {"path": str(path)}).fetchone()
    return found or ()


def _require_order(engine: duckdb.DuckDBPyConnection, file: Path, count: int, start: int, end: int) -> None:
    """Compare each row with the one before it as they are read, without sorting them."""
    within = engine.execute(
        """SELECT count(*) = $count AND bool_and(_row = place AND _start >= coalesce(before, $start)
                  AND _start <= _end AND _end <= $end)
           FROM (SELECT _row, _start, _end, row_number() OVER () AS place, lag(_end) OVER () AS before
                 FROM read_parquet($file))""",
        {"count": count, "start": start, "end": end, "file": str(file)},
    ).fetchone()
    if not within or not within[0]:
        raise RowsError("The rows of a table are not in order within its span.")


@contextmanager
def _engine() -> Iterator[duckdb.DuckDBPyConnection]:
    engine = _open_database().cursor()  # a connection of its own
    try:
        yield engine
    finally:
        engine.close()


@cache
def _open_database() -> duckdb.DuckDBPyConnection:
    """Start the process's engine, which takes longer than most tables, and holds nothing between them.

    One thread: ingest and answering have their own share of the machine, and rows keep their order.
    """
    return duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})


def format_read_csv(kinds: Mapping[str, str], path: str) -> str:
    """Return the engine's call to read a CSV file of `csv.writer`: columns by name and type, an empty cell as NULL."""
    columns = ", ".join(f"{quote_literal(name)}: {quote_literal(kind)}" for name, kind in kinds.items())
    return f"read_csv({quote_literal(path)}, columns={{{columns}}}, {_CSV_OPTIONS}, max_line_size={_MAX_LINE_BYTES})"


def quote_name(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
