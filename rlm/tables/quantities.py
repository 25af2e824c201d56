"""Finds the columns of a result that are counts or sums, whose numbers are shown with thousands separators.

The types of the columns are not sufficient, because years and identifiers have the same numeric types.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlm.tables.sql_syntax import Node

# Aggregate functions whose values are always quantities, whatever their arguments are.
_COUNT_FUNCTIONS = frozenset({"count", "count_star", "count_if", "countif", "approx_count_distinct"})
_SUM_FUNCTIONS = frozenset({"sum", "sum_no_overflow", "fsum", "sumkahan", "kahan_sum"})
_ARITHMETIC, _PASSING = frozenset("+-*/"), frozenset({"OPERATOR_CAST", "OPERATOR_COALESCE"})
_STAR_MODIFIERS = ("exclude_list", "qualified_exclude_list", "replace_list", "rename_list", "columns")


@dataclass(frozen=True)
class _Column:
    name: str
    is_quantity: bool


@dataclass(frozen=True)
class _Source:
    """A source in a FROM clause: a subquery with its columns, or a table, whose `columns` are None."""

    name: str
    columns: Sequence[_Column] | None


def find_quantity_columns(query: Node, column_count: int) -> list[int]:
    """Return the indexes of the columns that are counts or sums.

    This includes columns computed only from counts and sums, or from several columns. `column_count` is the number of
    columns. The result is empty if the query's syntax does not name all columns.
    """
    try:
        columns = _list_columns(query, {}) or []
    except (KeyError, RecursionError):
        return []
    return [at for at, column in enumerate(columns) if column.is_quantity] if len(columns) == column_count else []


def _list_columns(node: Node, outer_queries: dict[str, Node]) -> list[_Column] | None:
    """Return the columns of a query, or None if its syntax does not name all columns."""
    named = outer_queries | {entry["key"].casefold(): entry["value"]["query_node"] for entry in node["cte_map"]["map"]}
    if node["type"] == "SET_OPERATION_NODE":
        parts = [_list_columns(each, named) for each in node["children"]]
        known = [each for each in parts if each is not None]
        if len(known) < len(parts):
            return None
        return [
            _Column(column[0].name, all(each.is_quantity for each in column)) for column in zip(*known, strict=False)
        ]
    if node["type"] != "SELECT_NODE":
        return None
    sources = list(_iter_sources(node["from_table"], named))
    found: list[_Column] = []
    for each in node["select_list"]:
        if each["class"] != "STAR":
            name = each["alias"] or (each["column_names"][-1] if each["class"] == "COLUMN_REF" else "")
            found.append(_Column(name.casefold(), _is_quantity(each, sources, named)))
        elif len(sources) == 1 and sources[0].columns is not None and not any(each[name] for name in _STAR_MODIFIERS):
            found += sources[0].columns
        else:
            return None
    return found


def _iter_sources(source: Node, with_queries: dict[str, Node]) -> Iterator[_Source]:
    name = str(source.get("alias") or source.get("table_name", "")).casefold()
    match source["type"]:
        case "JOIN":
            yield from _iter_sources(source["left"], with_queries)
            yield from _iter_sources(source["right"], with_queries)
        case "SUBQUERY" if not source["column_name_alias"]:
            yield _Source(name, _list_columns(source["subquery"]["node"], with_queries))
        case "BASE_TABLE" if (read := with_queries.get(str(source["table_name"]).casefold())) is not None:
            others = {key: each for key, each in with_queries.items() if each is not read}
            yield _Source(name, None if source["column_name_alias"] else _list_columns(read, others))
        case _:
            yield _Source(name, None)


def _is_quantity(expression: Node, sources: Sequence[_Source], with_queries: dict[str, Node]) -> bool:
    match expression["class"]:
        case "COLUMN_REF":
            *qualifier, name = (str(each).casefold() for each in expression["column_names"])
            read = [each for each in sources if not qualifier or each.name == qualifier[-1]]
            found = [each for source in read for each in source.columns or () if each.name == name]
            return bool(found) and all(each.is_quantity for each in found)
        case "SUBQUERY":
            (column, *_) = _list_columns(expression["subquery"]["node"], with_queries) or [_Column("", False)]
            return bool(expression["subquery_type"] == "SCALAR" and column.is_quantity)
        case "FUNCTION" | "WINDOW" if str(expression["function_name"]).casefold() in _COUNT_FUNCTIONS | _SUM_FUNCTIONS:
            return True
        case "FUNCTION" if len(set(_iter_summed_columns(expression))) > 1:
            return True
        case "FUNCTION" | "WINDOW" | "CAST" | "OPERATOR":
            parts = [each for each in _list_operands(expression) if each["class"] != "CONSTANT"]
            return bool(parts) and all(_is_quantity(each, sources, with_queries) for each in parts)
    return False


def _iter_summed_columns(expression: Node) -> Iterator[str]:
    """Yield the columns whose values are combined by arithmetic, as in `apr + may`.

    Yields nothing if the expression contains other operations.
    """
    waiting, found = [expression], list[str]()
    while waiting:
        node = waiting.pop()
        if node["class"] == "COLUMN_REF":
            found.append(str(node["column_names"][-1]).casefold())
        elif node["type"] in _PASSING or (node["class"] == "FUNCTION" and node["function_name"] in _ARITHMETIC):
            waiting += _list_operands(node)
        elif node["class"] != "CONSTANT":
            return
    yield from found


def _list_operands(expression: Node) -> list[Any]:
    if expression["class"] == "CAST":
        return [expression["child"]]
    return [each["expression"] for each in expression.get("arguments", ())] or list(expression.get("children", ()))
