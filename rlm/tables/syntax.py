"""SQL read by the engine's own parser: what may run, and which rows a figure was computed from.

The engine gives the syntax tree of SELECT statements as JSON, and takes it back as text.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from ingest.tables import ROW_NUMBER

# Of the functions that make tables, those that make them from their arguments alone.
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


class SqlNotOneSelectError(ValueError):
    """It is not one SELECT over the tables alone; the message says why."""


def require_select(engine: duckdb.DuckDBPyConnection, sql: str, tables: Sequence[str]) -> None:
    """Raises `SqlNotOneSelectError` for anything but one SELECT over these tables; `duckdb.Error` for broken SQL."""
    statement = _parse(engine, sql)
    known = {name.casefold() for name in tables} | {name.casefold() for name in _named_queries(statement)}
    for node in _nodes(statement):
        kind, function = node.get("type"), str(node.get("function_name", "")).casefold()
        if isinstance(kind, str) and (kind in _REFUSED_NODES or kind.endswith("_QUERY_NODE")):
            raise SqlNotOneSelectError(f"The SQL {_REFUSED_NODES.get(kind, 'does more than select')}.")
        if kind == "BASE_TABLE":
            _require_known(node, known)
        if kind == "TABLE_FUNCTION" and _called(node) not in _TABLE_FUNCTIONS:
            raise SqlNotOneSelectError(f"The SQL reads from {_called(node)}(), and may read the given tables only.")
        if function in _REFUSED_FUNCTIONS:
            raise SqlNotOneSelectError(f"The SQL calls {function}().")


def behind(engine: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """A SELECT of the numbers of the rows that `sql` computes from; None where it reads anything but one table.

    Groups, and the conditions on them, are left out, so all rows that pass WHERE are behind an aggregate. A SELECT that
    aggregates nothing keeps its order and limit: the rows behind it are those that it shows.
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
        return _written(engine, {**node, **bare, "aggregate_handling": "STANDARD_HANDLING", "select_list": [rows]})
    shown = {**node, "select_list": [*node["select_list"], _column(ROW_NUMBER, alias=_ROW_ALIAS)]}
    inner = _written(engine, shown)
    return f"SELECT {_ROW_ALIAS} AS {ROW_NUMBER} FROM ({inner})" if inner else None


def _parse(engine: duckdb.DuckDBPyConnection, sql: str) -> Node:
    """The syntax tree of the one statement."""
    found = engine.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: Node = json.loads(found[0]) if found else {"error": True}
    if tree["error"] and tree.get("error_type") == "not implemented":
        raise SqlNotOneSelectError("Only a SELECT is run.")
    if tree["error"]:
        raise duckdb.ParserException(str(tree.get("error_message", "the SQL cannot be read")))
    if len(tree["statements"]) != 1:
        raise SqlNotOneSelectError("Only one SELECT is run, and there are several statements.")
    return dict(tree["statements"][0])


def _written(engine: duckdb.DuckDBPyConnection, node: Node) -> str | None:
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
    """The names that WITH gives to queries, anywhere."""
    for node in _nodes(statement):
        if isinstance(named := node.get("cte_map"), dict):
            yield from (str(entry["key"]) for entry in named["map"])
        if node.get("type") == "RECURSIVE_CTE_NODE":
            yield str(node.get("cte_name", ""))


def _require_known(table: Node, known: set[str]) -> None:
    name = str(table["table_name"])
    if table["schema_name"] not in ("", "main") or table["catalog_name"] or name.casefold() not in known:
        raise SqlNotOneSelectError(f"There is no table {name!r} here.")


def _called(node: Node) -> str:
    return str(node["function"].get("function_name", "")).casefold()


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
    """The functions that an expression calls itself, not in a window or a query inside it."""
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
