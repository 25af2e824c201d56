"""Which columns of a result are counts and sums, by the syntax of its query: never a year, an identifier or a rank."""

from collections.abc import Iterator

import duckdb
import pytest

from rlm.tables.quantities import find_quantity_columns
from rlm.tables.sql_syntax import parse_statement

ORDERS = "WITH x AS (SELECT country, count(*) AS n FROM orders GROUP BY country)"


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        columns = "id BIGINT, year BIGINT, n BIGINT, a BIGINT, amount DOUBLE, late BOOLEAN, country VARCHAR"
        for table in ("orders", "t", "u", "a", "b"):
            engine.execute(f"CREATE TABLE {table} ({columns})")
        yield engine


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT year, count(*), sum(amount) AS total FROM orders GROUP BY year", [1, 2]),
        ("SELECT count(DISTINCT year), count(*) FILTER (WHERE late), count_if(late) FROM orders", [0, 1, 2]),
        (
            "SELECT -sum(a), round(coalesce(sum(a), 0) / count(*), 2), sum(a)::BIGINT, sum(a) + max(id) FROM t",
            [0, 1, 2],
        ),
        ("SELECT sum(count(*)) OVER (), rank() OVER (ORDER BY count(*)) FROM orders GROUP BY country", [0]),
        ("SELECT id, min(year), max(id), any_value(year), avg(year), year + 1, 2024 FROM orders GROUP BY ALL", []),
        ("SELECT coalesce(n, 0) + a, -(n::DOUBLE) * amount / 100, year + 1, n + n, n + length(country) FROM t", [0, 1]),
        ("SELECT CASE WHEN count(*) > 1 THEN 2024 ELSE 2023 END FROM orders", []),
        ("SELECT (SELECT count(*) FROM a), (SELECT max(id) FROM a), EXISTS (SELECT count(*) FROM a)", [0]),
        (f"{ORDERS} SELECT country, n FROM x WHERE n = (SELECT max(n) FROM x)", [1]),
        (f"{ORDERS} SELECT * FROM x ORDER BY n", [1]),
        (f"{ORDERS} SELECT o.n, x.n, max(x.n) FROM x, orders o GROUP BY ALL", [1, 2]),
        ("WITH orders AS (SELECT count(*) AS n, year FROM orders GROUP BY year) SELECT year, n FROM orders", [1]),
        ("SELECT year, s.n, u.n FROM (SELECT year, sum(a) AS n FROM t GROUP BY year) s JOIN u USING (year)", [1]),
        ("SELECT 'a', count(*) FROM a UNION ALL SELECT 'b', count(*) FROM b", [1]),
        ("SELECT count(*) FROM a UNION ALL SELECT year FROM b", []),
        ("SELECT * FROM orders", []),
        ("SELECT * REPLACE (year AS n) FROM (SELECT year, count(*) AS n FROM orders GROUP BY year)", []),
        ("SELECT q.b FROM (SELECT year, count(*) AS b FROM orders GROUP BY year) AS q(b, n)", []),
        ("VALUES (1)", []),
    ],
)
def test_counts_and_sums_are_told_from_other_numbers(
    engine: duckdb.DuckDBPyConnection, sql: str, found: list[int]
) -> None:
    assert (
        find_quantity_columns(parse_statement(engine, sql)["node"], len(engine.execute(sql).description or [])) == found
    )


def test_a_query_whose_columns_are_more_than_its_syntax_names_has_none(engine: duckdb.DuckDBPyConnection) -> None:
    query = parse_statement(engine, "SELECT count(COLUMNS(*)), max(id) FROM orders")["node"]
    assert find_quantity_columns(query, 2) == [0]
    assert find_quantity_columns(query, 8) == []
