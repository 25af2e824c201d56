"""`python -m rlm.tables.sql_child`: the process in which a model's SQL runs, and the only one.

It reads one request from standard input, writes the answer to standard output and ends. First the engine's own parser
checks that the SQL is one SELECT over the given tables; then the tables are loaded; then the engine is locked for good
against files, networks, extensions and settings, and the process against using more memory; only then the SQL runs.

    {"tables": [{"name", "rows", "added", "added_columns"}], "sql", "max_rows", "limits", "traced_rows"}
    {"columns", "quantities", "rows", "total_rows", "records"}  or  {"error": "sql" | "refused" | "limit", "detail"}

"quantities" are the indexes of the columns that are counts or sums. "records" is null, or names the table and, for each
of the first "traced_rows" rows, the records behind it as ranges of their numbers: under "" those of the row, and under
a column's index those of its cell, if they differ.

    {"sql", "rows_sql", "limits", "behind": true}  →  {"behind": [[a table, a SELECT of its "_row"], …]}
"""

import json
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import _duckdb as duckdb  # the engine without its Python package, which would take three times as long to import

from ingest.storage.answers.records import group_into_ranges
from ingest.storage.tables.parquet import format_read_csv, quote_name
from ingest.storage.tables.types import ROW_NUMBER
from rlm.tables.quantities import find_quantities
from rlm.tables.sql_syntax import (
    SqlNotOneSelectError,
    build_behind_query,
    find_rows_query,
    parse_statement,
    require_select,
    trace_query,
)

_ROWS_AT_ONCE = 2_000
# A query must finish within this fraction of its time limit for its records to be looked up by a second query.
_SHARE_OF_TIME = 1 / 3
# Maximum number of ranges of records that one result can name. A result with more is returned without them.
_MAX_RANGES = 200_000
_MESSAGE_CHARS = 2_000
_GRACE_SECONDS = 5
# The engine counts only its own memory. The interpreter, its libraries and their threads' stacks need this much more.
_INTERPRETER_BYTES = 1 << 30


Limit = Callable[[int, int], None]


class _LimitError(Exception):
    """The result is too large to return."""


def _set_limit(kind: int, value: int) -> None:
    """Set a limit, unless the machine already allows less. A limit cannot be raised again."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def main() -> None:
    request = json.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(answer_request(request)).encode())


def answer_request(request: dict[str, Any], limit: Limit = _set_limit) -> dict[str, Any]:
    """Return the result, or the error. `limit` sets limits of this process, which last until it ends."""
    try:
        limits = request["limits"]
        engine = _open_engine(limits["memory_bytes"], limits["seconds"], limit)
        if request.get("behind"):
            queries = find_rows_query(engine, request["rows_sql"]), build_behind_query(engine, request["sql"])
            return {"behind": [[each.table, each.sql] for each in queries if each is not None]}
        require_select(engine, request["sql"], [table["name"] for table in request["tables"]])
        for table in request["tables"]:
            _load_table(engine, table)
        _close_engine(engine, limit)
        begun = time.monotonic()
        found = _run_query(engine, request["sql"], request["max_rows"], limits)
        in_time = time.monotonic() - begun < limits["seconds"] * _SHARE_OF_TIME
        return {
            **found,
            "records": _find_records(engine, request, found) if request["traced_rows"] and in_time else None,
        }
    except (SqlNotOneSelectError, duckdb.PermissionException) as error:
        return _build_failure("refused", error)
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"error": "limit", "detail": "The query exceeds its memory limit."}
    except _LimitError as error:
        return _build_failure("limit", error)
    except (duckdb.Error, RecursionError) as error:
        return _build_failure("sql", error)


def _build_failure(kind: str, error: BaseException) -> dict[str, Any]:
    return {"error": kind, "detail": str(error)[:_MESSAGE_CHARS]}


def _open_engine(memory_bytes: int, seconds: float, limit: Limit) -> duckdb.DuckDBPyConnection:
    """Open the engine with one thread, so that each query uses an equal part of the machine, and without a spill file.

    The parent normally ends a query in time. The limit on processor time ends it if the parent has died.
    """
    limit(resource.RLIMIT_AS, memory_bytes + _INTERPRETER_BYTES)
    limit(resource.RLIMIT_CPU, math.ceil(seconds) + _GRACE_SECONDS)
    limit(resource.RLIMIT_CORE, 0)
    config: dict[str, Any] = {
        "threads": 1,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "temp_directory": "",
        "memory_limit": f"{memory_bytes}B",
    }
    return duckdb.connect(":memory:", config=config)


def _load_table(engine: duckdb.DuckDBPyConnection, table: dict[str, Any]) -> None:
    """Create a table of the rows that `table` names, with the added columns next to the table's own."""
    name = quote_name(table["name"])
    first, *others = table["rows"]
    engine.execute(f"CREATE TABLE {name} AS {first}")
    for rows in others:
        engine.execute(f"INSERT INTO {name} {rows}")
    if table["added"] is not None:
        added = format_read_csv({ROW_NUMBER: "BIGINT", **table["added_columns"]}, table["added"])
        joined = f"SELECT * FROM {name} LEFT JOIN {added} USING ({ROW_NUMBER}) ORDER BY {ROW_NUMBER}"
        engine.execute(f"CREATE OR REPLACE TABLE {name} AS {joined}")


def _close_engine(engine: duckdb.DuckDBPyConnection, limit: Limit) -> None:
    """Lock the engine. Nothing can be opened after this."""
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")
    engine.execute("BEGIN TRANSACTION READ ONLY")
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_NPROC, 0)


def _run_query(
    engine: duckdb.DuckDBPyConnection,
    sql: str,
    max_rows: int,
    limits: dict[str, Any],
) -> dict[str, Any]:
    found = engine.execute(sql)
    described = found.description or []
    rows: list[list[Any]] = []
    total = size = 0
    for row in chain.from_iterable(_iter_blocks(found)):
        total += 1
        if total > max_rows:
            continue
        cells = [_convert_to_json(cell) for cell in row]
        lengths = [len(json.dumps(cell)) for cell in cells]
        size += sum(lengths)
        if max(lengths, default=0) > limits["cell_chars"] or size > limits["result_bytes"]:
            raise _LimitError("The result is too large: select fewer or shorter columns, or fewer rows.")
        rows.append(cells)
    return {
        "columns": [str(column[0]) for column in described],
        "quantities": find_quantities(parse_statement(engine, sql)["node"], len(described)),
        "rows": rows,
        "total_rows": total,
    }


def _find_records(
    engine: duckdb.DuckDBPyConnection, request: dict[str, Any], found: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the records behind the first rows of a result, from a second query that must return the same rows."""
    query = trace_query(engine, request["sql"])
    if query is None:
        return None
    own = len(found["columns"])
    records: list[dict[str, Any]] = []
    ranges = 0
    try:
        rows = engine.execute(query.sql).fetchmany(min(len(found["rows"]), request["traced_rows"]))
    except duckdb.Error:  # also raised if memory runs out
        return None
    for row, shown in zip(rows, found["rows"], strict=False):
        # guard: sql-rows-name-own-records
        if len(row) != own + 1 + len(query.columns) or [_convert_to_json(cell) for cell in row[:own]] != shown:
            return None
        lists = zip(("", *map(str, query.columns)), row[own:], strict=True)
        found_ranges = {name: group_into_ranges(sorted(set(numbers or ()))) for name, numbers in lists}
        of_row = found_ranges[""]
        records.append({name: each for name, each in found_ranges.items() if name == "" or each != of_row})
        ranges += sum(map(len, records[-1].values()))
        if ranges > _MAX_RANGES:
            return None
    return {"table": query.table, "rows": records}


def _iter_blocks(found: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while block := found.fetchmany(_ROWS_AT_ONCE):
        yield block


def _convert_to_json(value: object) -> object:
    """Convert a value to JSON. A value without a JSON form becomes an object that names its type."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"timestamp": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case list() | tuple():
            return [_convert_to_json(each) for each in value]
        case dict():
            return {"struct": {str(key): _convert_to_json(each) for key, each in value.items()}}
        case _:
            return str(value)


if __name__ == "__main__":
    main()
