import json
import sys
import time
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from ingest.storage.tables.types import ColumnType
from rlm.errors import RunCancelledError, SqlError, SqlLimitError, SqlRefusedError
from rlm.tables.sql import SqlEngine, SqlLimits, SqlResult, SqlTable, build_rows_select, run_in_child
from tests.support.record_tables import parsed_from

ORDERS = (
    "id,customer,sum,paid on\n"
    "1,Ann,€10.10,2024-01-02\n"
    "2,Bob,€20.20,2024-01-03\n"
    "3,Ann,€0.05,2024-02-01\n"
    '4,"Cid, Jr",€5.00,\n'
)
# Seconds enough for a busy machine to start the child, and few enough to wait for.
SMALL = SqlLimits(seconds=120.0, memory_bytes=200_000_000)


@pytest.fixture
def orders(tmp_path: Path) -> SqlTable:
    (table,) = parsed_from(ORDERS, "text/csv")
    (tmp_path / "orders.parquet").write_bytes(table.parquet)
    return SqlTable("orders", [build_rows_select(tmp_path / "orders.parquet")])


def _query(orders: SqlTable, sql: str, *, max_rows: int = 10, limits: SqlLimits | None = None) -> SqlResult:
    return SqlEngine(limits).run_query([orders], sql, max_rows=max_rows)


def _engine_run_by(*program: str) -> SqlEngine:
    return SqlEngine(run=partial(run_in_child, command=(sys.executable, "-I", *program)))


def test_a_query_computes_exactly(orders: SqlTable) -> None:
    result = _query(orders, "SELECT customer, sum(sum) AS total, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC")
    assert result.columns == ("customer", "total", "count_star()")
    assert result.rows == (("Bob", Decimal("20.20"), 1), ("Ann", Decimal("10.15"), 2), ("Cid, Jr", Decimal("5.00"), 1))


def test_values_come_as_what_they_are(orders: SqlTable) -> None:
    sql = """SELECT _row, "paid on", "paid on"::TIMESTAMP, avg(sum) OVER (), id > 1, [id, 2], {'a': sum}, NULL,
             170141183460469231731687303715884105727 FROM orders ORDER BY _row LIMIT 1"""
    (row,) = _query(orders, sql).rows
    assert row[:3] == (1, date(2024, 1, 2), datetime(2024, 1, 2))
    assert row[3] == pytest.approx(8.8375)
    assert row[4:] == (False, [1, 2], {"a": Decimal("10.10")}, None, 170141183460469231731687303715884105727)


def test_the_first_rows_come_with_the_number_of_all(orders: SqlTable) -> None:
    result = _query(orders, "SELECT a.id FROM orders a, orders b ORDER BY 1", max_rows=3)
    assert (result.rows, result.total_rows) == (((1,), (1,), (1,)), 16)


def test_added_columns_stand_beside_the_tables_own(orders: SqlTable) -> None:
    added: dict[str, tuple[ColumnType, Sequence[object]]] = {
        "late": (ColumnType.BOOLEAN, [True, False, None, True]),
        "tone": (ColumnType.TEXT, ['"odd",\nreally', "plain", "plain", None]),
        "score": (ColumnType.NUMBER, [0.5, 1, None, 2]),
    }
    table = SqlTable("orders", orders.rows, added)
    assert _query(table, "SELECT sum(sum), sum(score) FROM orders WHERE late").rows == ((Decimal("15.10"), 2.5),)
    assert _query(table, "SELECT tone FROM orders WHERE id = 1").rows == (('"odd",\nreally',),)
    assert _query(table, "SELECT count(*) FROM orders WHERE tone IS NULL").rows == ((1,),)


def test_several_tables_are_joined(orders: SqlTable) -> None:
    other = SqlTable('the "other"', orders.rows)
    sql = 'WITH b AS (SELECT * FROM "the ""other""") SELECT count(*) FROM Orders a JOIN b ON a.customer = b.customer'
    assert SqlEngine().run_query([orders, other], sql, max_rows=1).rows == ((6,),)


def test_a_request_may_be_longer_than_a_pipe_takes_at_once(orders: SqlTable) -> None:
    assert _query(orders, f"SELECT count(*) FROM orders -- {'x' * 200_000}").rows == ((4,),)


def test_rows_of_several_files_are_one_table_with_its_added_columns(orders: SqlTable) -> None:
    files = [*orders.rows, orders.rows[0].replace("_row + 0", "_row + 4")]
    late: dict[str, tuple[ColumnType, Sequence[object]]] = {"late": (ColumnType.BOOLEAN, [True] + [False] * 7)}
    (found,) = _query(SqlTable("orders", files, late), "SELECT count(*), max(_row), count_if(late) FROM orders").rows
    assert found == (8, 8, 1)


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT nothing FROM orders", "SELECT sum(customer) FROM orders"])
def test_broken_sql_comes_back_with_the_engines_words(orders: SqlTable, sql: str) -> None:
    with pytest.raises(SqlError) as caught:
        _query(orders, sql)
    assert caught.value.detail


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (INSERT INTO orders SELECT * FROM orders RETURNING *) SELECT * FROM x",
        "COPY orders TO '{folder}/written.csv'",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT 1; DROP TABLE orders",
    ],
)
def test_anything_but_one_select_over_the_tables_is_refused(orders: SqlTable, tmp_path: Path, sql: str) -> None:
    with pytest.raises(SqlRefusedError):
        _query(orders, sql.format(folder=tmp_path, secret=_secret(tmp_path)))


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (INSERT INTO orders SELECT * FROM orders RETURNING *) SELECT * FROM x",
        "DROP TABLE orders",
        "COPY (SELECT 1) TO '{folder}/written.csv'",
        "ATTACH '{folder}/written.db'",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "SET enable_external_access = true",
        "SET memory_limit = '99GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_the_engine_is_closed_even_to_what_the_parser_would_let_pass(
    orders: SqlTable, tmp_path: Path, sql: str
) -> None:
    secret = _secret(tmp_path)
    before = sorted(tmp_path.iterdir())
    no_parser = "import rlm.tables.sql_child as c; c.require_select = lambda *a: None; c.main()"
    engine = _engine_run_by("-c", no_parser)
    with pytest.raises((SqlError, SqlRefusedError)):
        engine.run_query([orders], sql.format(folder=tmp_path, secret=secret), max_rows=10)
    assert sorted(tmp_path.iterdir()) == before


def _secret(folder: Path) -> Path:
    (folder / "secret.csv").write_text("the,secret\n")
    return folder / "secret.csv"


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range = 7",
        "SELECT * FROM range(100000000000)",
    ],
)
def test_a_query_without_an_end_is_ended(orders: SqlTable, sql: str) -> None:
    with pytest.raises(SqlLimitError, match="more than 1 s"):
        _query(orders, sql, limits=SqlLimits(seconds=1.0))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT array_agg(range) FROM range(100000000)",
        "SELECT repeat('x', 2000000000)",
        "SELECT a.range, b.range, repeat('x', 1000) AS c FROM range(100000) a, range(10) b ORDER BY c, b.range",
    ],
)
def test_a_query_that_takes_too_much_memory_is_ended(orders: SqlTable, sql: str) -> None:
    with pytest.raises(SqlLimitError, match="memory"):
        _query(orders, sql, limits=SqlLimits(seconds=300.0, memory_bytes=100_000_000))


@pytest.mark.parametrize("sql", ["SELECT repeat('x', 200000)", "SELECT repeat('x', 90000) FROM range(1000)"])
def test_a_result_that_is_too_large_is_not_handed_over(orders: SqlTable, sql: str) -> None:
    with pytest.raises(SqlLimitError, match="result"):
        _query(orders, sql, max_rows=1000)


def test_a_cancelled_query_is_ended(orders: SqlTable) -> None:
    begun = time.monotonic()
    with pytest.raises(RunCancelledError):
        SqlEngine(SMALL).run_query(
            [orders], "SELECT * FROM range(100000000000)", max_rows=1, cancelled=lambda: time.monotonic() > begun + 0.5
        )


def test_the_child_is_given_nothing_of_ours(orders: SqlTable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEADLINE_LLM_API_KEY", "secret")
    probe = tmp_path / "probe.py"
    probe.write_text("import json, os; print(json.dumps({'behind': [[' '.join(os.environ), '']]}))")
    ((names, _),) = _engine_run_by(str(probe)).list_source_row_queries("SELECT 1")
    assert "LEADLINE_LLM_API_KEY" not in names.split()


def test_a_child_that_dies_is_a_typed_error(orders: SqlTable, tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    for words, error in (("import os; os.abort()", SqlLimitError), ("raise SystemExit(1)", SqlError)):
        probe.write_text(words)
        with pytest.raises(error):
            _engine_run_by(str(probe)).list_source_row_queries("SELECT 1")


def test_the_rows_behind_a_figure_are_found_by_another_query(orders: SqlTable) -> None:
    sql = "SELECT customer, sum(sum) FROM orders WHERE id <> 2 GROUP BY 1 ORDER BY 2 LIMIT 1"
    named, (table, behind) = SqlEngine().list_source_row_queries(sql, "SELECT _row FROM orders WHERE id = 2")
    assert named == ("orders", "SELECT _row FROM orders WHERE id = 2")
    assert table == "orders"
    assert _query(orders, behind).rows == ((1,), (3,), (4,))


def test_where_the_rows_behind_are_not_plain_there_is_no_query_for_them() -> None:
    assert SqlEngine().list_source_row_queries("SELECT count(*) FROM orders a JOIN orders b USING (id)") == []


def test_requests_and_answers_are_json(orders: SqlTable) -> None:
    assert json.dumps(_query(orders, "SELECT 'é\n\"'").rows) == json.dumps([['é\n"']])


@pytest.mark.parametrize(
    ("sql", "records"),
    [
        (
            "SELECT customer, count(*) AS n FROM orders GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1",
            [{None: [(1, 1), (3, 3)]}],
        ),
        ("SELECT count(*) FILTER (WHERE id = 2) AS two FROM orders WHERE id < 4", [{None: [(2, 2)]}]),
        ("SELECT count(*), count_if(id = 2), count(id) FROM orders WHERE id < 4", [{None: [(1, 3)], 1: [(2, 2)]}]),
        ("SELECT count(*) FROM orders WHERE id > 99", [{None: []}]),
        ("SELECT count(*) FROM orders a JOIN orders b USING (id)", None),
        ("WITH x AS (SELECT id FROM orders) SELECT count(*) FROM x WHERE id IN (SELECT * FROM x)", None),
        ("WITH x AS (SELECT 1 FROM orders) SELECT (SELECT count(*) FROM (SELECT DISTINCT * FROM x)) FROM x", None),
    ],
)
def test_a_result_comes_with_the_records_behind_its_rows_and_stays_what_it_is_without(
    orders: SqlTable, sql: str, records: object
) -> None:
    found = SqlEngine().run_query([orders], sql, max_rows=10, traced_rows=10)
    plain = _query(orders, sql)
    assert (found.columns, found.rows, found.total_rows) == (plain.columns, plain.rows, plain.total_rows)
    assert (found.records and list(found.records.rows)) == records
    assert plain.records is None
