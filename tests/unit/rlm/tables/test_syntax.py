"""SQL as the engine's own parser reads it, without running any."""

from collections.abc import Iterator

import duckdb
import pytest

from rlm.tables.sql_syntax import (
    SqlNotOneSelectError,
    build_source_rows_query,
    find_lookup_values,
    find_rows_query,
    require_select,
    trace_query,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        engine.execute("CREATE TABLE orders (_row BIGINT, id BIGINT, customer VARCHAR, sum DECIMAL(18,2))")
        engine.execute(
            "INSERT INTO orders VALUES (1, 1, 'Ann', 10.1), (2, 2, 'Bob', 20.2), (3, 3, 'Ann', 0.05), (4, 4, 'Cid', 5)"
        )
        yield engine


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders SELECT * FROM orders",
        "WITH x AS (INSERT INTO orders SELECT * FROM orders RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM x",
        "SELECT (WITH x AS (UPDATE orders SET id = 1 RETURNING id) SELECT count(*) FROM x)",
        "UPDATE orders SET id = 1",
        "DROP TABLE orders",
        "CREATE TABLE x AS SELECT 1",
        "COPY orders TO 'x.csv'",
        "EXPORT DATABASE 'x'",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET memory_limit = '99GB'",
        "CALL enable_logging()",
        "EXPLAIN SELECT 1",
        "DESCRIBE orders",
        "SHOW TABLES",
        "SELECT * FROM (SUMMARIZE orders)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE orders",
        "SELECT * FROM read_csv('x')",
        "SELECT (SELECT content FROM read_text('x'))",
        "SELECT * FROM orders WHERE id IN (FROM read_parquet('x'))",
        "SELECT * FROM orders JOIN read_json('x') USING (id)",
        "SELECT * FROM 'x.csv'",
        "SELECT * FROM glob('*')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_tables",
        "SELECT * FROM other.main.orders",
        "SELECT current_setting('home_directory')",
        "SELECT * FROM elsewhere",
        "SELECT * FROM sqlite_master, (WITH sqlite_master AS (SELECT 1 AS n) SELECT * FROM sqlite_master) AS x",
        'SELECT * FROM \'x.csv\' WHERE 1 IN (WITH "x.csv" AS (SELECT 1 AS n) SELECT n FROM "x.csv")',
        "WITH a AS (SELECT * FROM duckdb_tables), duckdb_tables AS (SELECT 1 AS n) SELECT * FROM a",
        "WITH sqlite_master AS (SELECT * FROM sqlite_master) SELECT * FROM sqlite_master",
        "SELECT * FROM a UNION (WITH a AS (SELECT 1 AS n) SELECT * FROM a)",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_select_over_the_tables_is_refused(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(SqlNotOneSelectError):
        require_select(engine, sql, ["orders"])


@pytest.mark.parametrize(
    "sql",
    [
        "FROM Orders",
        "SELECT count(*) FROM main.orders;",
        "WITH x AS (SELECT * FROM orders) SELECT * FROM x, orders o WHERE x.id = o.id",
        "WITH a AS (FROM orders), b AS (WITH c AS (FROM A) FROM c) SELECT (SELECT count(*) FROM b) FROM orders",
        "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 9) SELECT * FROM r",
        "SELECT id FROM orders UNION SELECT range FROM range(3)",
        "SELECT *, rank() OVER (PARTITION BY customer ORDER BY sum) FROM orders QUALIFY true",
        "SELECT unnest(string_split(customer, ' ')), (VALUES (1)) FROM orders",
    ],
)
def test_one_select_over_the_tables_passes(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    require_select(engine, sql, ["orders"])


def test_broken_sql_is_told_apart_from_refused_sql(engine: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.ParserException, match="SELEC"):
        require_select(engine, "SELEC 1", ["orders"])


@pytest.mark.parametrize(
    ("sql", "numbers"),
    [
        ("SELECT count(*) FROM orders WHERE customer = 'Ann'", [1, 3]),
        ("SELECT customer, sum(sum) FROM orders GROUP BY ALL HAVING sum(sum) > 10 ORDER BY 2 LIMIT 1", [1, 2, 3, 4]),
        ("SELECT DISTINCT customer FROM orders WHERE id < 4", [1, 2, 3]),
        ("SELECT round(avg(sum), 2) * 2 FROM orders WHERE id > 3", [4]),
        ("SELECT id, sum FROM orders ORDER BY sum DESC LIMIT 2", [2, 1]),
        ("SELECT id, sum(sum) OVER () FROM orders WHERE id > 2 ORDER BY 1", [3, 4]),
        ("SELECT *, (SELECT max(sum) FROM orders) FROM orders ORDER BY _row LIMIT 1", [1]),
        ("SELECT max(n) FROM (SELECT count(*) AS n FROM orders WHERE id > 1 GROUP BY customer)", [2, 3, 4]),
        ("SELECT o.id FROM orders AS o WHERE o.sum > (SELECT avg(sum) FROM orders) ORDER BY 1", [1, 2]),
    ],
)
def test_the_rows_behind_a_result_are_those_it_rests_on(
    engine: duckdb.DuckDBPyConnection, sql: str, numbers: list[int]
) -> None:
    query = build_source_rows_query(engine, sql)
    assert query is not None
    assert query.table == "orders"
    assert [row[0] for row in engine.execute(query.sql).fetchall()] == numbers


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT count(*) FROM orders a JOIN orders b USING (id)",
        "WITH x AS (SELECT * FROM orders) SELECT count(*) FROM x",
        "SELECT id FROM orders UNION SELECT id FROM orders",
        "SELECT count(*) FROM (SELECT customer FROM orders GROUP BY 1) WHERE customer > 'B'",
        "SELECT count(*) FROM orders USING SAMPLE 2",
        "DROP TABLE orders",
        "nonsense",
    ],
)
def test_where_the_rows_behind_are_not_plain_there_is_no_query_for_them(
    engine: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert build_source_rows_query(engine, sql) is None


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("SELECT _row FROM orders WHERE customer IN (SELECT port FROM tides)", "orders"),
        ("SELECT DISTINCT _row FROM (SELECT * FROM tides) t", "tides"),
        ("WITH late AS (SELECT * FROM orders) SELECT _row FROM late", "orders"),
        ("SELECT o._row FROM tides t JOIN orders AS o ON o.customer = t.port", "orders"),
        ("SELECT DISTINCT Tides._row FROM orders o JOIN tides ON true LEFT JOIN ports USING (port)", "tides"),
        ("SELECT _row FROM orders JOIN tides USING (port)", None),
        ("SELECT x._row FROM orders o JOIN tides t ON true", None),
        ("WITH orders AS (SELECT * FROM tides) SELECT orders._row FROM orders JOIN ports ON true", None),
        ("SELECT p._row FROM (SELECT * FROM orders) p JOIN tides t ON true", None),
        ("SELECT _row FROM orders UNION ALL SELECT _row FROM tides", None),
        ("SELECT o._row, o.id FROM orders o JOIN tides t ON true", None),
        ("SELECT 1", None),
        ("", None),
        ("DROP TABLE orders", None),
    ],
)
def test_the_table_whose_rows_a_query_names_is_told_by_its_syntax(
    engine: duckdb.DuckDBPyConnection, sql: str, table: str | None
) -> None:
    found = find_rows_query(engine, sql)
    assert (found and found.table) == table


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM orders WHERE customer = 'Ann'", [[1, 3]]),
        ("SELECT customer, sum(sum) FROM orders GROUP BY ALL ORDER BY 2 DESC LIMIT 2", [[2], [1, 3]]),
        ("SELECT customer FROM orders GROUP BY 1 HAVING count(*) > 1", [[1, 3]]),
        ("SELECT DISTINCT customer FROM orders ORDER BY customer", [[1, 3], [2], [4]]),
        ("SELECT id FROM orders ORDER BY sum DESC LIMIT 2", [[2], [1]]),
        ("SELECT *, rank() OVER (ORDER BY sum) AS r FROM orders ORDER BY r", [[3], [4], [1], [2]]),
        ("SELECT max(n) FROM (SELECT count(*) AS n FROM orders WHERE id > 1 GROUP BY customer)", [[2, 3, 4]]),
        ("WITH x AS (SELECT * FROM orders WHERE id > 1) SELECT * FROM x ORDER BY id", [[2], [3], [4]]),
        (
            "WITH x AS (SELECT customer AS c, count(*) AS n FROM orders GROUP BY 1), y AS (SELECT * FROM x) "
            "SELECT n, count(*) FROM y GROUP BY n ORDER BY n",
            [[2, 4], [1, 3]],
        ),
    ],
)
def test_each_row_of_a_result_names_its_own_records_and_the_result_stays_what_it_is(
    engine: duckdb.DuckDBPyConnection, sql: str, rows: list[list[int]]
) -> None:
    made = trace_query(engine, sql)
    assert made is not None
    assert made.table == "orders"
    found = engine.execute(made.sql).fetchall()
    assert [sorted(row[-1]) for row in found] == rows
    assert [row[:-1] for row in found] == engine.execute(sql).fetchall()


def test_a_cell_that_rests_on_some_records_of_its_row_names_them(engine: duckdb.DuckDBPyConnection) -> None:
    made = trace_query(
        engine,
        "SELECT count(*) AS n, count(*) FILTER (WHERE sum > 5) AS many, "
        "sum(CASE WHEN id = 4 THEN 1 ELSE 0 END) AS four, count_if(id < 3) AS few, "
        "sum(CASE WHEN id = 4 THEN 1 ELSE 2 END) AS all_of_them FROM orders",
    )
    assert made is not None
    assert made.columns == (1, 2, 3, 4)
    (row,) = engine.execute(made.sql).fetchall()
    assert row[:5] == (4, 2, 1, 2, 7)
    assert [sorted(each) for each in row[5:]] == [[1, 2, 3, 4], [1, 2], [4], [1, 2], [1, 2, 3, 4]]


@pytest.fixture(scope="module")
def tides(engine: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A table with empty cells and with figures that are written as text."""
    engine.execute("CREATE TABLE tides (_row BIGINT, port VARCHAR, height VARCHAR, metres DOUBLE, spring BOOLEAN)")
    engine.execute(
        "INSERT INTO tides VALUES (1, 'Brest', '7.1', 7.1, true), (2, 'Brest', 'n/a', NULL, true), "
        "(3, 'Brest', NULL, NULL, false), (4, 'Leith', '5.6', 5.6, false), (5, 'Leith', '5.6', 5.6, NULL), "
        "(6, 'Wick', NULL, NULL, true)"
    )
    return engine


@pytest.mark.parametrize(
    ("select", "rows"),
    [
        ("round(avg(TRY_CAST(height AS DOUBLE)), 1), count(TRY_CAST(height AS DOUBLE))", [[1], [4, 5], []]),
        ("count(DISTINCT metres)", [[1], [4, 5], []]),
        ("max(metres) FILTER (WHERE spring)", [[1], [], []]),
        ("count(height)", [[1, 2], [4, 5], []]),
        ("count(height), sum(metres)", [[1, 2], [4, 5], []]),
        ("count(height), count_if(spring)", [[1, 2], [4, 5], [6]]),
        ("sum(CASE WHEN spring THEN metres ELSE 0 END)", [[1], [], []]),
        ("count(*), count(metres)", [[1, 2, 3], [4, 5], [6]]),
        ("100 * count(metres) / count(*)", [[1, 2, 3], [4, 5], [6]]),
        ("count(1)", [[1, 2, 3], [4, 5], [6]]),
        ("list(metres)", [[1, 2, 3], [4, 5], [6]]),
        ("sum(count(*)) OVER (), max(spring)", [[1, 2, 3], [4], [6]]),
        ("port", [[1, 2, 3], [4, 5], [6]]),
    ],
)
def test_records_that_no_figure_takes_are_not_behind_it(
    tides: duckdb.DuckDBPyConnection, select: str, rows: list[list[int]]
) -> None:
    sql = f"SELECT port, {select} FROM tides GROUP BY port ORDER BY port"
    made, query = trace_query(tides, sql), build_source_rows_query(tides, sql)
    assert made is not None
    assert query is not None
    own = len(tides.execute(sql).description or [])
    assert [sorted(row[own] or ()) for row in tides.execute(made.sql).fetchall()] == rows
    assert sorted(row[0] for row in tides.execute(query.sql).fetchall()) == sorted(each for row in rows for each in row)


def test_a_figure_that_takes_fewer_records_than_its_row_names_its_own(tides: duckdb.DuckDBPyConnection) -> None:
    made = trace_query(
        tides, "SELECT count(*), count(height), round(avg(metres), 1), min(port) FROM tides WHERE _row < 5"
    )
    assert made is not None
    assert made.columns == (1, 2, 3)
    (row,) = tides.execute(made.sql).fetchall()
    assert [sorted(each) for each in row[4:]] == [[1, 2, 3, 4], [1, 2, 4], [1, 4], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT count(*) FROM orders a JOIN orders b USING (id)",
        "SELECT id FROM orders UNION SELECT id FROM orders",
        "SELECT DISTINCT ON (customer) id FROM orders",
        "SELECT DISTINCT count(*) FROM orders GROUP BY customer",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 3) SELECT * FROM x",
        "nonsense",
    ],
)
def test_where_the_records_of_a_row_are_not_plain_none_are_named(engine: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert trace_query(engine, sql) is None


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT sum FROM orders WHERE id = 3", {"3"}),
        ("SELECT sum * 2, upper(customer) FROM orders o WHERE o.customer = 'Ann' AND sum = 10.10", {"Ann", "10.10"}),
        ("SELECT * FROM orders WHERE lower(customer) LIKE 'a%'", {"a%"}),
        ("SELECT * FROM orders", None),
        ("SELECT count(*) FROM orders WHERE customer = 'Ann'", None),
        ("SELECT DISTINCT customer FROM orders WHERE id = 3", None),
        ("SELECT id FROM orders WHERE customer = 'Ann' ORDER BY sum DESC LIMIT 1", None),
        ("SELECT id FROM orders WHERE customer = 'Ann' LIMIT 1", None),
        ("SELECT rank() OVER (ORDER BY sum) FROM orders WHERE customer = 'Ann'", None),
        ("SELECT id, (SELECT max(sum) FROM orders) FROM orders WHERE id = 3", None),
        ("SELECT id FROM orders WHERE sum = (SELECT max(sum) FROM orders)", None),
        ("SELECT id FROM orders WHERE sum > 10", None),
        ("SELECT id FROM orders WHERE id <> 3", None),
        ("SELECT id FROM orders WHERE NOT id = 3", None),
        ("SELECT id FROM orders WHERE id = 3 OR id = 4", None),
        ("SELECT id FROM orders WHERE id IN (3, 4)", None),
        ("SELECT id FROM orders WHERE id BETWEEN 3 AND 4", None),
        ("SELECT id FROM orders WHERE customer IS NULL", None),
        ("SELECT a.id FROM orders a JOIN orders b USING (id) WHERE a.id = 3", None),
        ("WITH x AS (SELECT * FROM orders) SELECT id FROM x WHERE id = 3", None),
        ("SELECT EXISTS (SELECT 1 FROM orders WHERE customer = 'Ann')", None),
        ("SELECT id FROM orders WHERE id = 3 UNION ALL SELECT 5", None),
    ],
)
def test_only_equality_with_values_looks_up_a_row(
    engine: duckdb.DuckDBPyConnection, sql: str, values: set[str] | None
) -> None:
    found = find_lookup_values(engine, sql)
    assert (None if found is None else set(found)) == values
