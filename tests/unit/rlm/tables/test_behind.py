"""Which records a query rests on, told by its syntax."""

from collections.abc import Iterator

import duckdb
import pytest

from rlm.tables.behind import rows_behind, tables_of


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        made.execute(
            "CREATE TABLE people AS SELECT range AS _row, range % 3 AS team, range * 10 AS pay FROM range(1, 10)"
        )
        made.execute(
            "CREATE TABLE teams AS SELECT range + 1 AS _row, range AS team, 'T' || range AS name FROM range(3)"
        )
        yield made


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM people WHERE pay > 60", {7, 8, 9}),
        (
            "SELECT team, sum(pay) AS s FROM people WHERE pay > 60 GROUP BY team HAVING s > 0 ORDER BY s LIMIT 1",
            {7, 8, 9},
        ),
        ("SELECT DISTINCT team FROM people WHERE pay > 60", {7, 8, 9}),
        ("SELECT pay FROM people AS p WHERE p.pay > 60", {7, 8, 9}),
        ("SELECT round(pay / 3) FROM people WHERE pay > 60", {7, 8, 9}),
        ("SELECT max(pay) FROM people", set(range(1, 10))),
        ("SELECT _row FROM people ORDER BY pay DESC LIMIT 2", {8, 9}),
        ("SELECT count(*) FROM (SELECT * FROM people WHERE pay > 60)", set(range(1, 10))),
        ("WITH rich AS (SELECT * FROM people WHERE pay > 60) SELECT count(*) FROM rich", set(range(1, 10))),
        ("SELECT pay FROM people WHERE pay > 80 UNION SELECT pay FROM people WHERE pay < 20", set(range(1, 10))),
    ],
)
def test_the_rows_that_from_and_where_leave(engine: duckdb.DuckDBPyConnection, sql: str, rows: set[int]) -> None:
    (query,) = (each for each in rows_behind(sql) if each.table == "people")
    assert {row for (row,) in engine.execute(query.sql).fetchall()} == rows


def test_a_join_rests_on_rows_of_both_tables(engine: duckdb.DuckDBPyConnection) -> None:
    queries = rows_behind("SELECT t.name, count(*) FROM people p JOIN teams t USING (team) WHERE p.pay > 70 GROUP BY 1")
    found = {each.table: {row for (row,) in engine.execute(each.sql).fetchall()} for each in queries}
    assert found == {"people": {8, 9}, "teams": {1, 3}}


def test_listed_rows_come_in_the_order_of_the_list(engine: duckdb.DuckDBPyConnection) -> None:
    (query,) = rows_behind("SELECT pay FROM people ORDER BY pay DESC LIMIT 3")
    assert query.in_order
    assert engine.execute(query.sql).fetchall() == [(9,), (8,), (7,)]


@pytest.mark.parametrize("sql", ["", "no query", "DROP TABLE people", "SELECT 1; SELECT 2"])
def test_what_is_not_one_select_rests_on_nothing(sql: str) -> None:
    assert rows_behind(sql) == []
    assert tables_of(sql) == []
