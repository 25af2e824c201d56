"""`python -m rlm.tables.sql_child`: the process in which a model's SQL runs, and the only one.

It reads one request on its standard input, answers on its standard output and ends. Before the SQL is run, it is read
by the engine's own parser and must be one SELECT over the tables that were given; the tables are loaded; and then the
engine is closed to files, networks, extensions and settings for good, and the process to more memory.

    {"tables": [{"name", "file", "added", "added_columns"}], "sql", "max_rows", "limits"}
    {"columns", "types", "rows", "total_rows"}  or  {"error": "sql" | "refused" | "limit", "detail"}

    {"sql", "limits", "behind": true}  →  {"behind": "SELECT …" or null}
"""

import json
import math
import resource
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import duckdb

from ingest.parquet import quoted_literal, read_csv_call
from ingest.tables import ROW_NUMBER
from rlm.tables.syntax import SqlNotOneSelectError, behind, require_select

_ROWS_AT_ONCE = 2_000
_MESSAGE_CHARS = 2_000
_GRACE_SECONDS = 5
# The engine counts its own memory; the interpreter, its libraries and their threads' stacks come on top.
_INTERPRETER_BYTES = 1 << 30


class _LimitError(Exception):
    """The result is larger than may be handed over."""


def main() -> None:
    """Answer the one request."""
    request = json.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(answer(request)).encode())


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result, or what was wrong."""
    try:
        limits = request["limits"]
        engine = _engine(limits["memory_bytes"], limits["seconds"])
        if request.get("behind"):
            return {"behind": behind(engine, request["sql"])}
        require_select(engine, request["sql"], [table["name"] for table in request["tables"]])
        for table in request["tables"]:
            _load(engine, table)
        _close(engine)
        return _result(engine, request["sql"], request["max_rows"], limits)
    except (SqlNotOneSelectError, duckdb.PermissionException) as error:
        return _failure("refused", error)
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"error": "limit", "detail": "The query needs more memory than it may have."}
    except _LimitError as error:
        return _failure("limit", error)
    except (duckdb.Error, RecursionError) as error:
        return _failure("sql", error)


def _failure(kind: str, error: BaseException) -> dict[str, Any]:
    return {"error": kind, "detail": str(error)[:_MESSAGE_CHARS]}


def _engine(memory_bytes: int, seconds: float) -> duckdb.DuckDBPyConnection:
    """One thread, so that a query takes as much of the machine as any other; no file to spill into.

    The parent ends a query in time; the limit on the processor's time ends it where the parent has died.
    """
    _limit(resource.RLIMIT_AS, memory_bytes + _INTERPRETER_BYTES)
    _limit(resource.RLIMIT_CPU, math.ceil(seconds) + _GRACE_SECONDS)
    _limit(resource.RLIMIT_CORE, 0)
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


def _load(engine: duckdb.DuckDBPyConnection, table: dict[str, Any]) -> None:
    """A table from its Parquet file, with the added columns beside those that it has."""
    name = _identifier(table["name"])
    source = f"SELECT * EXCLUDE (_start, _end) FROM read_parquet({quoted_literal(table['file'])})"
    if table["added"] is not None:
        added = read_csv_call({ROW_NUMBER: "BIGINT", **table["added_columns"]}, table["added"])
        source = f"SELECT * FROM ({source}) LEFT JOIN {added} USING ({ROW_NUMBER}) ORDER BY {ROW_NUMBER}"
    engine.execute(f"CREATE TABLE {name} AS {source}")


def _close(engine: duckdb.DuckDBPyConnection) -> None:
    """Nothing can be opened again from here on."""
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")
    engine.execute("BEGIN TRANSACTION READ ONLY")
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)


def _result(engine: duckdb.DuckDBPyConnection, sql: str, max_rows: int, limits: dict[str, Any]) -> dict[str, Any]:
    found = engine.execute(sql)
    described = found.description or []
    rows: list[list[Any]] = []
    total = size = 0
    for row in chain.from_iterable(_blocks(found)):
        total += 1
        if total > max_rows:
            continue
        cells = [_written(cell) for cell in row]
        lengths = [len(json.dumps(cell)) for cell in cells]
        size += sum(lengths)
        if max(lengths, default=0) > limits["cell_chars"] or size > limits["result_bytes"]:
            raise _LimitError("The result is too large: select fewer or shorter columns, or fewer rows.")
        rows.append(cells)
    return {
        "columns": [str(column[0]) for column in described],
        "types": [str(column[1]) for column in described],
        "rows": rows,
        "total_rows": total,
    }


def _blocks(found: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while block := found.fetchmany(_ROWS_AT_ONCE):
        yield block


def _written(value: object) -> object:
    """A value in JSON; what JSON has no form for is an object that names its kind."""
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
            return [_written(each) for each in value]
        case dict():
            return {"struct": {str(key): _written(each) for key, each in value.items()}}
        case _:
            return str(value)


def _limit(kind: int, value: int) -> None:
    """The machine may already allow less, and a limit cannot be raised again."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    main()
