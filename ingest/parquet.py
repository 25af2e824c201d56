"""Rows of record tables as Parquet files, written and read by DuckDB."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import _duckdb as duckdb  # the engine without its Python package, which takes three times as long to import

from ingest.tables import ROW_NUMBER

ROW_START, ROW_END = "_start", "_end"
_PLACE = (ROW_NUMBER, ROW_START, ROW_END)
# As `csv.writer` writes; nothing is guessed, and one reader keeps the order.
_CSV = "header=false, delim=',', quote='\"', escape='\"', new_line='\\n', nullstr='', auto_detect=false, parallel=false"
_LINE_BYTES = 1 << 30  # a row may be as long as its document
# Rows that are compressed together: DuckDB's own number of them, and fewer where there are many columns.
_MOST_IN_A_GROUP, _FEWEST_IN_A_GROUP, _CELLS_IN_A_GROUP = 122_880, 2_048, 4_000_000


class RowsError(ValueError):
    """The file does not hold rows as they were announced."""


def rows_to_parquet(rows: Path, columns: Sequence[tuple[str, str]], *, count: int, start: int, end: int) -> bytes:
    """Return a Parquet file from a CSV of `_row, _start, _end` and the columns, given as names and DuckDB's types.

    Raises `RowsError` where a cell is not of its column's type, or rows are not `count` spans in order within the
    table's own. The rows never become objects of Python, and only a group of them is in memory.
    """
    kinds = {**dict.fromkeys(_PLACE, "BIGINT"), **dict(columns)}
    group = max(_FEWEST_IN_A_GROUP, min(_MOST_IN_A_GROUP, _CELLS_IN_A_GROUP // len(kinds)))
    with tempfile.TemporaryDirectory(prefix="leadline-rows-") as folder, _engine() as engine:
        target = Path(folder, "rows.parquet")
        try:
            to = f"{quoted_literal(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})"
            engine.execute(f"COPY (FROM {read_csv_call(kinds, str(rows))}) TO {to}")
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
    engine = _database().cursor()  # a connection of its own
    try:
        yield engine
    finally:
        engine.close()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Start the process's engine, which takes longer than most tables, and holds nothing between them.

    One thread: ingest and answering have their own share of the machine, and rows keep their order.
    """
    return duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})


def read_csv_call(kinds: Mapping[str, str], path: str) -> str:
    """Return the engine's call to read a CSV file of `csv.writer`: columns by name and type, an empty cell as NULL."""
    columns = ", ".join(f"{quoted_literal(name)}: {quoted_literal(kind)}" for name, kind in kinds.items())
    return f"read_csv({quoted_literal(path)}, columns={{{columns}}}, {_CSV}, max_line_size={_LINE_BYTES})"


def quoted_name(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quoted_literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
