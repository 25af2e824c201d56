"""The records behind the result of a query, by its syntax tree: the rows that its FROM and WHERE leave.

What groups, orders or cuts a result says nothing about which rows it rests on, with one exception: a query that only
lists rows rests on those that it lists.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import duckdb

_COLUMN = {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "query_location": 0}


@dataclass(frozen=True)
class RowsQuery:
    """A query for the `_row` of those records of one table that another query rests on.

    `in_order` says that the rows come as a reader is shown them; else they come in any order.
    """

    table: str
    sql: str
    in_order: bool = False


def tables_of(sql: str) -> list[str]:
    """The names that stand for tables in a query, those of its own WITH too; none where it cannot be read."""
    statement = _parsed(sql)
    return list(dict.fromkeys(each["table_name"] for each in _members(statement, "BASE_TABLE"))) if statement else []


def rows_behind(sql: str) -> list[RowsQuery]:
    """A query for each table that a query selects from; all rows where its shape does not tell them apart.

    Names that a query's own WITH gives are among them, for those who know which tables there are.
    """
    statement = _parsed(sql)
    if statement is None:
        return []
    node = statement["node"]
    sources = list(_plain_sources(node.get("from_table"))) if _is_plain(node) else []
    if not sources or None in sources:
        return [RowsQuery(name, f"SELECT _row FROM {_quoted(name)}") for name in tables_of(sql)]
    found: dict[str, RowsQuery] = {}
    for source in sources:
        if source is not None:
            query = _rows_of(statement, source["alias"] or source["table_name"])
            found.setdefault(source["table_name"], RowsQuery(source["table_name"], query, _lists_rows(node)))
    return list(found.values())


def row_source(sql: str) -> str | None:
    """The one table that a query selects `_row` from; None where there are several, or it is no such query."""
    statement = _parsed(sql)
    sources = list(_plain_sources(statement["node"].get("from_table"))) if statement else []
    return sources[0]["table_name"] if len(sources) == 1 and sources[0] is not None else None


def _parsed(sql: str) -> dict[str, Any] | None:
    """The first statement; None for what is no SELECT."""
    tree = json.loads(_run("SELECT json_serialize_sql(?::VARCHAR)", sql))
    statements = tree.get("statements") or []
    return None if tree.get("error") or len(statements) != 1 else dict(statements[0])


def _is_plain(node: Mapping[str, Any]) -> bool:
    return node.get("type") == "SELECT_NODE" and not node["cte_map"]["map"]


def _plain_sources(source: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any] | None]:
    """The tables that are joined; None for anything else that rows come from."""
    if source is None or source["type"] not in ("BASE_TABLE", "JOIN"):
        yield None
    elif source["type"] == "BASE_TABLE":
        yield source
    else:
        yield from _plain_sources(source["left"])
        yield from _plain_sources(source["right"])


def _rows_of(statement: Mapping[str, Any], alias: str) -> str:
    """The statement, selecting the row numbers of one of its tables instead."""
    node = statement["node"]
    lists_rows = _lists_rows(node)
    distinct = [] if lists_rows else [{"type": "DISTINCT_MODIFIER", "distinct_on_targets": []}]
    rows = {
        **node,
        "select_list": [{**_COLUMN, "column_names": [alias, "_row"]}],
        "modifiers": node["modifiers"] if lists_rows else distinct,
        "group_expressions": [],
        "group_sets": [],
        "having": None,
        "qualify": node["qualify"] if lists_rows else None,
    }
    tree = {"error": False, "statements": [{**statement, "node": rows}]}
    return _run("SELECT json_deserialize_sql(?::JSON)", json.dumps(tree))


def _lists_rows(node: Mapping[str, Any]) -> bool:
    """True for a query whose result has a row for each record that it rests on."""
    grouped = node["group_expressions"] or node["group_sets"]
    distinct = any(each["type"] == "DISTINCT_MODIFIER" for each in node["modifiers"])
    called = (each["function_name"] for each in _members(node["select_list"], "FUNCTION"))
    return not grouped and not distinct and not any(name in _aggregate_names() for name in called)


def _members(tree: object, kind: str) -> Iterator[Mapping[str, Any]]:
    """The parts of a tree that are of a type."""
    if isinstance(tree, Mapping):
        if tree.get("type") == kind:
            yield tree
        for each in tree.values():
            yield from _members(each, kind)
    elif isinstance(tree, list):
        for each in tree:
            yield from _members(each, kind)


@cache
def _aggregate_names() -> frozenset[str]:
    with duckdb.connect(":memory:") as engine:
        found = engine.execute("SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'")
        return frozenset(name for (name,) in found.fetchall())


@lru_cache(maxsize=256)
def _run(query: str, value: str) -> str:
    with duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False}) as engine:
        found = engine.execute(query, [value]).fetchone()
    return str(found[0]) if found else ""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
