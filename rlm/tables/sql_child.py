"""`python -m rlm.tables.sql_child`: the process in which a model's SQL runs, and the only one.

It reads one request on its standard input, answers on its standard output and ends. Before the SQL is run, it is read
by the engine's own parser and must be one SELECT over the tables that were given; the tables are loaded; and then the
engine is closed to files, networks, extensions and settings for good, and the process to more memory.

    {"tables": [{"name", "rows", "added", "added_columns"}], "sql", "max_rows", "limits"}
    {"columns", "rows", "total_rows"}  or  {"error": "sql" | "refused" | "limit", "detail"}

    {"sql", "limits", "behind": true}  →  {"behind": "SELECT …" or null}
"""

import json
import math
import resource
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import _duckdb as duckdb  # the engine without its Python package, which takes three times as long to import

from ingest.parquet import quoted_name, read_csv_call
from ingest.tables import ROW_NUMBER

# The table functions that make tables from their arguments alone.
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"})
_REFUSED_FUNCTIONS = frozenset({"current_setting", "getenv", "getvariable", "write_log"})
_REFUSED_NODES = {
    "INSERT_QUERY_NODE": "writes",
    "UPDATE_QUERY_NODE": "writes",
    "DELETE_QUERY_NODE": "writes",
    "MERGE_QUERY_NODE": "writes",
    "SHOW_REF": "describes tables instead of reading them",
}
_ROW_ALIAS = "__row"

Node = dict[str, Any]
_ROWS_AT_ONCE = 2_000
_MESSAGE_CHARS = 2_000
_GRACE_SECONDS = 5
# The engine counts its own memory; the interpreter, its libraries and their threads' stacks come on top.
_INTERPRETER_BYTES = 1 << 30


class SqlNotOneSelectError(ValueError):
    """The SQL is not one SELECT over the tables alone; the message says why."""


def require_select(engine: duckdb.DuckDBPyConnection, sql: str, tables: Sequence[str]) -> None:
    """Raise `SqlNotOneSelectError` for anything but one SELECT over these tables; `duckdb.Error` for broken SQL."""
    statement = _parse(engine, sql)
    known = {name.casefold() for name in tables} | {name.casefold() for name in _named_queries(statement)}
    for node in _nodes(statement):
        kind, function = node.get("type"), str(node.get("function_name", "")).casefold()
        if isinstance(kind, str) and (kind in _REFUSED_NODES or kind.endswith("_QUERY_NODE")):
            raise SqlNotOneSelectError(f"The SQL {_REFUSED_NODES.get(kind, 'does more than select')}.")
        if kind == "BASE_TABLE":
            name, elsewhere = str(node["table_name"]), node["schema_name"] not in ("", "main") or node["catalog_name"]
            if elsewhere or name.casefold() not in known:
                raise SqlNotOneSelectError(f"There is no table {name!r} here.")
        if kind == "TABLE_FUNCTION":
            called = str(node["function"].get("function_name", "")).casefold()
            if called not in _TABLE_FUNCTIONS:
                raise SqlNotOneSelectError(f"The SQL reads from {called}(), and may read the given tables only.")
        if function in _REFUSED_FUNCTIONS:
            raise SqlNotOneSelectError(f"The SQL calls {function}().")


def behind(engine: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """Return a SELECT of the numbers of the rows that `sql` computes from; None if it reads anything but one table.

    Groups and their conditions are left out, so all rows that pass WHERE are behind an aggregate. A SELECT without
    aggregates keeps its order and limit: the rows behind it are the rows it shows.
    """
    try:
        node = _parse(engine, sql)["node"]
    except (SqlNotOneSelectError, duckdb.Error):
        return None
    while _reads_query_alone(node):
        node = node["from_table"]["subquery"]["node"]
    if not _reads_one_table(node):
        return None
    if _aggregates(engine, node):
        rows = _column(ROW_NUMBER)
        bare: Node = {"modifiers": [], "group_expressions": [], "group_sets": [], "having": None, "qualify": None}
        return _as_sql(engine, {**node, **bare, "aggregate_handling": "STANDARD_HANDLING", "select_list": [rows]})
    shown = {**node, "select_list": [*node["select_list"], _column(ROW_NUMBER, alias=_ROW_ALIAS)]}
    inner = _as_sql(engine, shown)
    return f"SELECT {_ROW_ALIAS} AS {ROW_NUMBER} FROM ({inner})" if inner else None


def _parse(engine: duckdb.DuckDBPyConnection, sql: str) -> Node:
    """Return the syntax tree of the one statement."""
    found = engine.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: Node = json.loads(found[0]) if found else {"error": True}
    if tree["error"] and tree.get("error_type") == "not implemented":
        raise SqlNotOneSelectError("Only a SELECT is run.")
    if tree["error"]:
        raise duckdb.ParserException(str(tree.get("error_message", "the SQL cannot be read")))
    if len(tree["statements"]) != 1:
        raise SqlNotOneSelectError("Only one SELECT is run, and there are several statements.")
    return dict(tree["statements"][0])


def _as_sql(engine: duckdb.DuckDBPyConnection, node: Node) -> str | None:
    tree = {"error": False, "statements": [{"node": node, "named_param_map": []}]}
    found = engine.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
    return str(found[0]) if found else None


def _nodes(tree: object) -> Iterator[Node]:
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _named_queries(statement: Node) -> Iterator[str]:
    """Yield the names that WITH gives to queries, anywhere."""
    for node in _nodes(statement):
        if isinstance(named := node.get("cte_map"), dict):
            yield from (str(entry["key"]) for entry in named["map"])
        if node.get("type") == "RECURSIVE_CTE_NODE":
            yield str(node.get("cte_name", ""))


def _reads_query_alone(node: Node) -> bool:
    source = node.get("from_table") or {}
    plain = source.get("type") == "SUBQUERY" and not node.get("where_clause") and not node["cte_map"]["map"]
    return bool(plain and node["type"] == "SELECT_NODE")


def _reads_one_table(node: Node) -> bool:
    source = node.get("from_table") or {}
    alone = node["type"] == "SELECT_NODE" and source.get("type") == "BASE_TABLE" and not node["cte_map"]["map"]
    return bool(alone and not node["sample"] and not source.get("sample"))


def _aggregates(engine: duckdb.DuckDBPyConnection, node: Node) -> bool:
    """True if the SELECT makes one row of several: it has groups, DISTINCT, or an aggregate outside windows."""
    distinct = any(modifier["type"] == "DISTINCT_MODIFIER" for modifier in node["modifiers"])
    if node["group_expressions"] or node["group_sets"] or distinct or node["aggregate_handling"] != "STANDARD_HANDLING":
        return True
    listed = engine.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'").fetchall()
    aggregates = {name for (name,) in listed}
    return any(name in aggregates for name in _functions(node["select_list"]))


def _functions(tree: object) -> Iterator[str]:
    """Yield the functions that an expression calls itself, not in a window or a query inside it."""
    if isinstance(tree, list):
        for each in tree:
            yield from _functions(each)
    elif isinstance(tree, dict) and tree.get("class") not in ("SUBQUERY", "WINDOW"):
        if tree.get("class") == "FUNCTION":
            yield str(tree["function_name"]).casefold()
        for each in tree.values():
            yield from _functions(each)


def _column(name: str, alias: str = "") -> Node:
    return {
        "class": "COLUMN_REF",
        "type": "COLUMN_REF",
        "alias": alias,
        "query_location": 0,
        "query_location_length": 0,
        "column_names": [name],
    }


class _LimitError(Exception):
    """The result is too large to be handed over."""


def main() -> None:
    request = json.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(answer(request)).encode())


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the result, or the error."""
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
    """Open the engine with one thread, so that a query takes as much of the machine as any other, and no spill file.

    The parent ends a query in time; the limit on processor time ends it if the parent has died.
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
    """Create a table of the rows that `table` names, with the added columns beside their own."""
    name = quoted_name(table["name"])
    first, *others = table["rows"]
    engine.execute(f"CREATE TABLE {name} AS {first}")
    for rows in others:
        engine.execute(f"INSERT INTO {name} {rows}")
    if table["added"] is not None:
        added = read_csv_call({ROW_NUMBER: "BIGINT", **table["added_columns"]}, table["added"])
        joined = f"SELECT * FROM {name} LEFT JOIN {added} USING ({ROW_NUMBER}) ORDER BY {ROW_NUMBER}"
        engine.execute(f"CREATE OR REPLACE TABLE {name} AS {joined}")


def _close(engine: duckdb.DuckDBPyConnection) -> None:
    """Close the engine: nothing can be opened again from here on."""
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
        "rows": rows,
        "total_rows": total,
    }


def _blocks(found: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while block := found.fetchmany(_ROWS_AT_ONCE):
        yield block


def _written(value: object) -> object:
    """Return a value in JSON; a value without a JSON form becomes an object that names its kind."""
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
    """Set a limit, unless the machine already allows less, because a limit cannot be raised again."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
