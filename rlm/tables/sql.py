"""Runs a model's SQL over record tables: one SELECT, in a child process that has access only to the tables."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from ingest.storage.tables.parquet import quote_literal
from ingest.storage.tables.types import ColumnType
from rlm.errors import SqlError, SqlLimitError, SqlRefusedError, not_cancelled, require_not_cancelled

# With -I, neither environment variables nor files in the working folder can change the child's imports.
CHILD_COMMAND = (sys.executable, "-I", "-m", "rlm.tables.sql_child")

_STORED_TYPES = {
    ColumnType.TEXT: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMP",
    ColumnType.BOOLEAN: "BOOLEAN",
}
# Interval at which a waiting query checks whether its run was cancelled.
_LOOK_SECONDS = 0.05
_ERRORS = {"sql": SqlError, "refused": SqlRefusedError, "limit": SqlLimitError}


@dataclass(frozen=True)
class SqlTable:
    """A table with its name in the SQL.

    `rows` are SELECTs by the engine that return `_row` and the table's columns. The first of them determines the names
    and types of the columns. `added` are extra columns, with a value for each row.
    """

    name: str
    rows: Sequence[str]
    added: Mapping[str, tuple[ColumnType, Sequence[object]]] = field(default_factory=dict)


@dataclass(frozen=True)
class SqlResult:
    """The first rows of a result, and its total number of rows. The columns in `quantities` are counts or sums.

    Values are `str`, `bool`, `int`, `float`, `Decimal`, `date`, `datetime`, None, and lists and dicts of these.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    total_rows: int
    records: "ResultRecords | None" = None
    quantities: frozenset[int] = frozenset()


Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class ResultRecords:
    """The records of `table` behind each of the first rows of a result, as ranges of record numbers.

    For each row, None maps to all records of the row. If a cell depends on fewer records, its column's index maps to
    these.
    """

    table: str
    rows: Sequence[Mapping[int | None, Ranges]]


@dataclass(frozen=True)
class SqlLimits:
    """The limits of one query. They also apply to loading its tables."""

    seconds: float = 30.0
    memory_bytes: int = 1 << 30
    cell_chars: int = 100_000
    result_bytes: int = 16_000_000


def build_rows_select(file: Path, columns: str = "* EXCLUDE (_row, _start, _end)", *, before: int = 0) -> str:
    """Return a SELECT of a Parquet file's rows with these columns. Rows are numbered from `before` + 1."""
    return f"SELECT _row + {before} AS _row, {columns} FROM read_parquet({quote_literal(str(file.absolute()))})"


class SqlChildRunner(Protocol):
    """Returns the response of `rlm.tables.sql_child` to a request. The files of the request are in `folder`."""

    def __call__(
        self, request: Mapping[str, Any], folder: Path, cancelled: Callable[[], bool]
    ) -> Mapping[str, Any]: ...


def run_in_child(
    request: Mapping[str, Any],
    folder: Path,
    cancelled: Callable[[], bool],
    *,
    command: Sequence[str] = CHILD_COMMAND,
) -> Mapping[str, Any]:
    """Run a request in its own process, which ends after the request.

    Raises `SqlLimitError` if the limits of the request are exceeded, `SqlError` if the process returns no result, and
    `RunCancelledError` if the run was cancelled.
    """
    # A pipe accepts no more than 64 KiB without blocking, and a request may exceed this because a table may have many
    # files.
    asked = folder / "request.json"
    asked.write_text(json.dumps(request), "utf-8")
    with asked.open("rb") as stdin:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_build_environment(folder),
            start_new_session=True,
        )
    try:
        output = _wait(process, request["limits"]["seconds"], cancelled)
    finally:
        _end_process(process)
    try:
        return dict(json.loads(output))
    except ValueError as error:
        raise _build_exit_error(process.returncode) from error


def _wait(process: "subprocess.Popen[bytes]", seconds: float, cancelled: Callable[[], bool]) -> bytes:
    deadline = time.monotonic() + seconds
    while True:
        require_not_cancelled(cancelled)
        try:
            return process.communicate(timeout=_LOOK_SECONDS)[0]
        except subprocess.TimeoutExpired as error:
            if time.monotonic() > deadline:
                raise SqlLimitError(f"The query took more than {seconds:g} s.") from error


class SqlEngine:
    """Runs each query in its own process, unless `run` is a different runner. Thread-safe."""

    def __init__(self, limits: SqlLimits | None = None, *, run: SqlChildRunner = run_in_child) -> None:
        self._limits = limits or SqlLimits()
        self._run = run

    def query(
        self,
        tables: Sequence[SqlTable],
        sql: str,
        *,
        max_rows: int,
        traced_rows: int = 0,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> SqlResult:
        """Run a SELECT. If its syntax identifies the records behind its first `traced_rows`, the result names them.

        Raises `SqlError` for SQL that the engine cannot run, `SqlRefusedError` for anything but one SELECT over these
        tables, `SqlLimitError` if a limit is exceeded, and `RunCancelledError` if the run was cancelled.
        """
        with tempfile.TemporaryDirectory(prefix="leadline-sql-") as folder:
            request = {
                "tables": [
                    _build_table_request(table, Path(folder, f"added-{at}.csv")) for at, table in enumerate(tables)
                ],
                "sql": sql,
                "max_rows": max_rows,
                "traced_rows": traced_rows,
                "limits": asdict(self._limits),
            }
            answer = self._send_request(request, Path(folder), cancelled)
        rows = tuple(tuple(_parse_cell(cell) for cell in row) for row in answer["rows"])
        columns, quantities = tuple(answer["columns"]), frozenset(answer["quantities"])
        return SqlResult(columns, rows, answer["total_rows"], _parse_records(answer["records"]), quantities)

    def list_rows_behind(
        self, sql: str, rows_sql: str = "", *, cancelled: Callable[[], bool] = not_cancelled
    ) -> list[tuple[str, str]]:
        """Return tables, each with a SELECT of `_row` for the rows from which `sql` is computed, the best first.

        The first table is that of `rows_sql`, if it is clear to which table its rows belong. The second is derived from
        `sql`, if `sql` reads only one table. For aggregates, the derived SELECT returns all rows that pass WHERE and
        count in at least one aggregate; for a plain SELECT, it returns the rows that are shown.
        """
        request = {"sql": sql, "rows_sql": rows_sql, "behind": True, "limits": asdict(self._limits)}
        with tempfile.TemporaryDirectory(prefix="leadline-sql-") as folder:
            answer = self._send_request(request, Path(folder), cancelled)
        return [(table, each) for table, each in answer["behind"]]

    def _send_request(
        self, request: Mapping[str, Any], folder: Path, cancelled: Callable[[], bool]
    ) -> Mapping[str, Any]:
        answer = self._run(request, folder, cancelled)
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["detail"])
        return answer


def _build_table_request(table: SqlTable, added: Path) -> dict[str, Any]:
    """Write the added columns to a file and return the request for a table.

    A file is needed because there may be as many values as the table has rows.
    """
    if table.added:
        with added.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for number, cells in enumerate(zip(*(values for _, values in table.added.values()), strict=True), start=1):
                writer.writerow([number, *(str(cell).lower() if isinstance(cell, bool) else cell for cell in cells)])
    return {
        "name": table.name,
        "rows": table.rows,
        "added": str(added) if table.added else None,
        "added_columns": {name: _STORED_TYPES[kind] for name, (kind, _) in table.added.items()},
    }


def _parse_cell(cell: Any) -> object:  # noqa: ANN401 - any JSON
    """Parse a value that `sql_child` wrote to its output."""
    if isinstance(cell, list):
        return [_parse_cell(each) for each in cell]
    if not isinstance(cell, dict):
        return cell
    ((kind, value),) = cell.items()
    match kind:
        case "decimal":
            return Decimal(value)
        case "timestamp":
            return datetime.fromisoformat(value)
        case "date":
            return date.fromisoformat(value)
        case _:
            return {key: _parse_cell(each) for key, each in value.items()}


def _parse_records(found: Mapping[str, Any] | None) -> ResultRecords | None:
    if found is None:
        return None
    rows = [
        {int(column) if column else None: [(first, last) for first, last in ranges] for column, ranges in row.items()}
        for row in found["rows"]
    ]
    return ResultRecords(found["table"], rows)


def _end_process(process: "subprocess.Popen[bytes]") -> None:
    if process.returncode is None:  # not reaped yet, so its process group id cannot have been reused
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
    process.wait()


def _build_exit_error(status: int) -> SqlError | SqlLimitError:
    """Build the error for a child process that exited without a result, nearly always because it ran out of memory."""
    if status < 0:
        return SqlLimitError("The query's process died, most likely because it reached its memory limit.")
    return SqlError("The query process gave no answer.")


def _build_environment(folder: Path) -> dict[str, str]:
    """Return an environment without our secrets and with a single memory allocation arena.

    Each arena reserves some of the limited address space.
    """
    environment = {"LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder), "MALLOC_ARENA_MAX": "1"}
    if "LD_LIBRARY_PATH" in os.environ:  # some Python builds need it to find their own library
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
