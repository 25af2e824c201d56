"""The syntax of a model's SELECT: what it may read, and the records that its result is computed from.

Statements are parsed, changed and written by the engine's own parser, as JSON trees.
"""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import _duckdb as duckdb

from ingest.storage.tables.types import ROW_NUMBER

# The table functions that build tables from their arguments alone.
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"})
_REFUSED_FUNCTIONS = frozenset({"current_setting", "getenv", "getvariable", "write_log"})
_REFUSED_NODES = {
    "INSERT_QUERY_NODE": "writes",
    "UPDATE_QUERY_NODE": "writes",
    "DELETE_QUERY_NODE": "writes",
    "MERGE_QUERY_NODE": "writes",
    "SHOW_REF": "describes tables instead of reading them",
}
# The aggregates that ignore records whose (first) argument is NULL.
_SKIPPING_NULL = frozenset(
    {
        "sum",
        "avg",
        "mean",
        "count",
        "min",
        "max",
        "median",
        "mode",
        "product",
        "any_value",
        "string_agg",
        "group_concat",
    }
    | {"listagg", "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp", "quantile", "quantile_cont"}
    | {"quantile_disc", "approx_count_distinct", "approx_quantile", "bool_and", "bool_or", "fsum", "kahan_sum"}
)
_ROW_ALIAS = "__row"
# The name of the column with the records of a whole row. With a number appended, it is the column for one of the row's
# cells.
_RECORDS = "__records"

Node = dict[str, Any]


class SqlNotOneSelectError(ValueError):
    """The SQL is not one SELECT over the given tables. The message gives the reason."""


def require_select(engine: duckdb.DuckDBPyConnection, sql: str, tables: Sequence[str]) -> None:
    """Check that the SQL is one SELECT over these tables.

    Raises `SqlNotOneSelectError` if it is anything else, and `duckdb.Error` if the SQL is invalid.
    """
    statement = parse_statement(engine, sql)
    for node, known in _iter_nodes_in_scope(statement, frozenset(name.casefold() for name in tables)):
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


@dataclass(frozen=True)
class RowsQuery:
    """A SELECT of the row numbers of `table`."""

    table: str
    sql: str


def find_rows_query(engine: duckdb.DuckDBPyConnection, sql: str) -> RowsQuery | None:
    """Return a SELECT of `_row` with the table that its rows belong to, or None if that is unclear.

    The table is the one that the SELECT reads or, among several joined tables, the one that qualifies `_row`.
    """
    found = trace_query(engine, sql)
    if found is not None:
        return RowsQuery(found.table, sql)
    try:
        node = parse_statement(engine, sql)["node"]
        if node["cte_map"]["map"]:
            return None
        (column,) = node["select_list"]
        called, _ = column["column_names"]
        (table,) = (name for alias, name in _iter_joined_tables(node["from_table"]) if alias == called.casefold())
    except (SqlNotOneSelectError, duckdb.Error, KeyError, ValueError):
        return None
    return RowsQuery(table, sql)


def _iter_joined_tables(source: Node) -> Iterator[tuple[str, str]]:
    """Yield the tables that a FROM joins, each with its name in the query."""
    if source["type"] == "JOIN":
        yield from _iter_joined_tables(source["left"])
        yield from _iter_joined_tables(source["right"])
    elif source["type"] == "BASE_TABLE":
        yield (source["alias"] or source["table_name"]).casefold(), source["table_name"]


def build_behind_query(engine: duckdb.DuckDBPyConnection, sql: str) -> RowsQuery | None:
    """Return a SELECT of the numbers of the rows that `sql` is computed from; None unless it reads exactly one table.

    Groups and their conditions are dropped, so the rows behind aggregates are all rows that pass WHERE and count in one
    of them. A SELECT without aggregates keeps its order and limit: the rows behind it are the rows that it shows.
    """
    try:
        node = parse_statement(engine, sql)["node"]
    except (SqlNotOneSelectError, duckdb.Error):
        return None
    while _is_query_only(node):
        node = node["from_table"]["subquery"]["node"]
    if not _is_single_table(node):
        return None
    if _is_aggregate(engine, node):
        rows = _build_column(ROW_NUMBER)
        bare: Node = {"modifiers": [], "group_expressions": [], "group_sets": [], "having": None, "qualify": None}
        conditions = [node["where_clause"], _build_taken_condition(engine, node["select_list"])]
        bare["where_clause"] = _join_conditions("AND", [each for each in conditions if each is not None])
        rest = {**node, **bare, "aggregate_handling": "STANDARD_HANDLING", "select_list": [rows]}
        written = _render_sql(engine, rest)
    else:
        shown = {**node, "select_list": [*node["select_list"], _build_column(ROW_NUMBER, alias=_ROW_ALIAS)]}
        inner = _render_sql(engine, shown)
        written = inner and f"SELECT {_ROW_ALIAS} AS {ROW_NUMBER} FROM ({inner})"
    return RowsQuery(str(node["from_table"]["table_name"]), written) if written else None


@dataclass(frozen=True)
class TracedQuery:
    """A SELECT that also returns the numbers of the records of `table` behind each row of its result.

    The numbers are lists in extra columns at the end: first the list for the row, then the lists for the cells in
    `columns`, which depend on only some of the row's records.
    """

    sql: str
    table: str
    columns: tuple[int, ...]


def trace_query(engine: duckdb.DuckDBPyConnection, sql: str) -> TracedQuery | None:
    """Extend a SELECT so that its result names its records; None if it reads more than one table at its root.

    A list of numbers is one more aggregate, or one more column. A query inside FROM or WITH is extended in the same
    way, and its lists are joined. The rows are usually unchanged, but the caller must compare them, because another
    part that reads the same WITH query may see the extra column.
    """
    try:
        node = deepcopy(parse_statement(engine, sql)["node"])
        table = _trace(engine, node, {})
        if table is None:
            return None
        cells = tuple(_trace_cells(engine, node))
    except (SqlNotOneSelectError, duckdb.Error, KeyError):
        return None
    written = _render_sql(engine, node)
    return TracedQuery(written, table, cells) if written else None


def _trace(engine: duckdb.DuckDBPyConnection, node: Node, named: dict[str, Node]) -> str | None:
    """Add the list of records to a query's columns.

    Returns the table that the records are from, or None if that is unclear.
    """
    if node["type"] != "SELECT_NODE":
        return None
    named = named | {entry["key"].casefold(): entry["value"] for entry in node["cte_map"]["map"]}
    source = node.get("from_table") or {}
    inner = named.get(str(source.get("table_name", "")).casefold()) if source.get("type") == "BASE_TABLE" else None
    if inner is not None:
        table = _trace_once(engine, inner, {key: each for key, each in named.items() if each is not inner})
    elif source.get("type") == "SUBQUERY":
        table = _trace(engine, source["subquery"]["node"], named)
    else:
        table = str(source["table_name"]) if source.get("type") == "BASE_TABLE" else None
    if table is None or not _replace_distinct(engine, node):
        return None
    is_list = inner is not None or source["type"] == "SUBQUERY"
    if is_list:
        for each in node["select_list"]:
            if each["type"] == "STAR":
                each["exclude_list"] = [*each["exclude_list"], _RECORDS]
    if _is_aggregate(engine, node):
        listed = f"flatten(list({_RECORDS}))" if is_list else f"list({ROW_NUMBER})"
    else:
        listed = _RECORDS if is_list else f"[{ROW_NUMBER}]"
    records = _parse_expression(engine, f"{listed} AS {_RECORDS}")
    if _is_aggregate(engine, node) and (taken := _build_taken_condition(engine, node["select_list"])) is not None:
        _filter_records(records, taken)
    node["select_list"].append(records)
    return table


def _trace_once(engine: duckdb.DuckDBPyConnection, named: Node, others: dict[str, Node]) -> str | None:
    """Trace a WITH query. It is traced only once, because several queries may read it."""
    if "traced" not in named:
        named["traced"] = _trace(engine, named["query_node"], others)
    table: str | None = named["traced"]
    return table


def _replace_distinct(engine: duckdb.DuckDBPyConnection, node: Node) -> bool:
    """Replace DISTINCT with groups, so that a list of records does not affect it.

    Returns False if that is impossible.
    """
    distinct = [each for each in node["modifiers"] if each["type"] == "DISTINCT_MODIFIER"]
    if not distinct:
        return True
    node["modifiers"] = [each for each in node["modifiers"] if each["type"] != "DISTINCT_MODIFIER"]
    if any(each["distinct_on_targets"] for each in distinct) or _is_aggregate(engine, node) or _has_window(node):
        return False
    node["aggregate_handling"] = "FORCE_AGGREGATES"
    return True


def _has_window(node: Node) -> bool:
    return any(each.get("class") == "WINDOW" for each in _iter_nodes(node["select_list"]))


def _trace_cells(engine: duckdb.DuckDBPyConnection, node: Node) -> Iterator[int]:
    """Add a list for each column that depends on only some of its row's records. Yield the indexes of these columns."""
    own = node["select_list"][:-1]
    if not _is_aggregate(engine, node) or any(each["type"] == "STAR" for each in own):
        return
    of_row = _build_taken_condition(engine, own)
    for at, each in enumerate(own):
        condition = _build_taken_condition(engine, [each])
        if condition is None or condition == of_row:
            continue
        listed = deepcopy(node["select_list"][len(own)])
        _filter_records(listed, condition)
        listed["alias"] = f"{_RECORDS}_{at}"
        node["select_list"].append(listed)
        yield at


def _filter_records(listed: Node, condition: Node) -> None:
    """Restrict a list of records to those for which a condition holds."""
    inner = listed["arguments"][0]["expression"] if listed["function_name"] == "flatten" else listed
    inner["filter"] = deepcopy(condition)


def _build_taken_condition(engine: duckdb.DuckDBPyConnection, select_list: Sequence[Node]) -> Node | None:
    """Return the condition under which any aggregate counts a record.

    Returns None if one of them counts every record, or if there are no aggregates.
    """
    known = _list_aggregates(engine)
    conditions = [
        _build_condition(engine, call)
        for call in _iter_calls(list(select_list))
        if str(call["function_name"]).casefold() in known
    ]
    if not conditions or any(each is None for each in conditions):
        return None
    different = [each for at, each in enumerate(conditions) if each not in conditions[:at]]
    return _join_conditions("OR", [each for each in different if each is not None])


def _build_condition(engine: duckdb.DuckDBPyConnection, call: Node) -> Node | None:
    """Return the condition under which an aggregate counts a record, or None if it counts every record."""
    name = str(call["function_name"]).casefold()
    arguments = [each["expression"] for each in call["arguments"]]
    conditions: list[Node] = [] if call["filter"] is None else [call["filter"]]
    if name in ("count_if", "countif"):
        conditions.append(arguments[0])
    elif name in _SKIPPING_NULL and arguments:
        value = arguments[0]
        if value.get("class") == "CASE" and len(value["case_checks"]) == 1 and _is_neutral(call, value["else_expr"]):
            conditions.append(value["case_checks"][0]["when_expr"])
            value = value["case_checks"][0]["then_expr"]
        if value.get("class") not in ("CONSTANT", "STAR"):
            conditions.append(_build_not_null(engine, value))
    return _join_conditions("AND", [_remove_places(each) for each in conditions])


def _build_not_null(engine: duckdb.DuckDBPyConnection, value: Node) -> Node:
    return {**_parse_expression(engine, "x IS NOT NULL"), "children": [{**value, "alias": ""}]}


def _join_conditions(how: str, conditions: Sequence[Node]) -> Node | None:
    """Join conditions with AND or OR. Returns None if there are none."""
    if len(conditions) < 2:
        return dict(conditions[0]) if conditions else None
    plain: Node = {"class": "CONJUNCTION", "type": f"CONJUNCTION_{how}", "alias": "", "children": list(conditions)}
    return {**plain, "query_location": 0, "query_location_length": 0}


def _remove_places(tree: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return an expression without its positions in the text, so that equal expressions compare as equal."""
    if isinstance(tree, list):
        return [_remove_places(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    return {key: 0 if key.startswith("query_location") else _remove_places(each) for key, each in tree.items()}


def _is_neutral(call: Node, otherwise: Node) -> bool:
    """Return whether the ELSE value of a CASE has no effect in an aggregate: NULL, or 0 in a sum."""
    text = str(otherwise.get("literal", {}).get("text", otherwise.get("value", {}).get("value"))).casefold()
    null = otherwise.get("literal", {}).get("kind") == "NULL" or otherwise.get("value", {}).get("is_null") is True
    return otherwise.get("class") == "CONSTANT" and (
        null or (str(call["function_name"]).casefold() == "sum" and text in ("0", "0.0"))
    )


def _parse_expression(engine: duckdb.DuckDBPyConnection, sql: str) -> Node:
    (found,) = parse_statement(engine, f"SELECT {sql}")["node"]["select_list"]
    return dict(found)


def parse_statement(engine: duckdb.DuckDBPyConnection, sql: str) -> Node:
    """Return the syntax tree of the only statement."""
    found = engine.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: Node = json.loads(found[0]) if found else {"error": True}
    if tree["error"] and tree.get("error_type") == "not implemented":
        raise SqlNotOneSelectError("Only a SELECT is run.")
    if tree["error"]:
        raise duckdb.ParserException(str(tree.get("error_message", "the SQL is not valid")))
    if len(tree["statements"]) != 1:
        raise SqlNotOneSelectError("Only one SELECT is run, and there are several statements.")
    return dict(tree["statements"][0])


def _render_sql(engine: duckdb.DuckDBPyConnection, node: Node) -> str | None:
    tree = {"error": False, "statements": [{"node": node, "named_param_map": []}]}
    found = engine.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
    return str(found[0]) if found else None


def _iter_nodes(tree: object) -> Iterator[Node]:
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _iter_nodes_in_scope(statement: Node, tables: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Yield every node, with the names that a FROM may use there: the tables, and WITH queries defined above it.

    A WITH query may use those before it, and itself only if it is recursive.
    """
    waiting: list[tuple[object, frozenset[str]]] = [(statement, tables)]
    while waiting:
        each, known = waiting.pop()
        if isinstance(each, list):
            waiting.extend((one, known) for one in each)
        if not isinstance(each, dict):
            continue
        if each.get("type") == "RECURSIVE_CTE_NODE":
            known |= {str(each.get("cte_name", "")).casefold()}
        named = each.get("cte_map")
        # guard: sql-names-in-scope
        for entry in named["map"] if isinstance(named, dict) else ():
            waiting.append((entry["value"], known))
            known |= {str(entry["key"]).casefold()}
        yield each, known
        waiting.extend((value, known) for name, value in each.items() if name != "cte_map")


def _is_query_only(node: Node) -> bool:
    source = node.get("from_table") or {}
    plain = source.get("type") == "SUBQUERY" and not node.get("where_clause") and not node["cte_map"]["map"]
    return bool(plain and node["type"] == "SELECT_NODE")


def _is_single_table(node: Node) -> bool:
    source = node.get("from_table") or {}
    alone = node["type"] == "SELECT_NODE" and source.get("type") == "BASE_TABLE" and not node["cte_map"]["map"]
    return bool(alone and not node["sample"] and not source.get("sample"))


def _is_aggregate(engine: duckdb.DuckDBPyConnection, node: Node) -> bool:
    """Return whether the SELECT combines several rows: by groups, DISTINCT, or an aggregate outside windows."""
    distinct = any(modifier["type"] == "DISTINCT_MODIFIER" for modifier in node["modifiers"])
    if node["group_expressions"] or node["group_sets"] or distinct or node["aggregate_handling"] != "STANDARD_HANDLING":
        return True
    known = _list_aggregates(engine)
    return any(str(call["function_name"]).casefold() in known for call in _iter_calls(node["select_list"]))


def _list_aggregates(engine: duckdb.DuckDBPyConnection) -> set[str]:
    listed = engine.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'").fetchall()
    return {name for (name,) in listed}


def _iter_calls(tree: object) -> Iterator[Node]:
    """Yield the function calls in an expression itself, but not those in a window or a query inside it."""
    if isinstance(tree, list):
        for each in tree:
            yield from _iter_calls(each)
    elif isinstance(tree, dict) and tree.get("class") not in ("SUBQUERY", "WINDOW"):
        if tree.get("class") == "FUNCTION":
            yield tree
        for each in tree.values():
            yield from _iter_calls(each)


def _build_column(name: str, alias: str = "") -> Node:
    return {
        "class": "COLUMN_REF",
        "type": "COLUMN_REF",
        "alias": alias,
        "query_location": 0,
        "query_location_length": 0,
        "column_names": [name],
    }
