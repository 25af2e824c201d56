"""The questions of every request, on both databases: they see each commit, and hold on to nothing."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select

from ingest.storage.db.database import (
    FrequentQuery,
    build_sqlite_url,
    open_database,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import tenants, users
from ingest.storage.errors import CatalogUnavailableError

WHEN = select(tenants.c.created_at).where(tenants.c.id == bindparam("tenant_id"))


def test_it_sees_what_another_process_has_committed_and_nothing_before(catalog_url: str) -> None:
    engine, other = open_database(catalog_url), open_database(catalog_url)
    question = FrequentQuery(engine, WHEN)
    assert question.load_value({"tenant_id": "ann"}) is None
    with write_transaction(other) as connection:
        connection.execute(tenants.insert().values(id="ann", name="ann", created_at=1.0))
        assert question.load_value({"tenant_id": "ann"}) is None
    assert question.load_value({"tenant_id": "ann"}) == 1.0
    with write_transaction(other) as connection:
        connection.execute(tenants.update().values(created_at=2.0))
    assert question.load_value({"tenant_id": "ann"}) == 2.0
    engine.dispose()
    assert question.load_value({"tenant_id": "ann"}) == 2.0
    engine.dispose()
    other.dispose()


def test_rows_have_the_values_and_names_that_the_database_layer_gives_them(catalog_url: str) -> None:
    engine = open_database(catalog_url)
    with write_transaction(engine) as connection:
        connection.execute(tenants.insert().values(id="ann", name="Ann", created_at=1.5))
        connection.execute(
            users.insert().values(id="u1", tenant_id="ann", name="bob", groups=["hr", "é"], created_at=2.0)
        )
    statement = select(users, tenants.c.name.label("tenant")).join(tenants, tenants.c.id == users.c.tenant_id)
    (row,) = FrequentQuery(engine, statement.where(users.c.id == bindparam("id"))).load_rows({"id": "u1"})
    with read_transaction(engine) as connection:
        expected = connection.execute(statement.where(users.c.id == "u1")).one()
    assert tuple(row) == tuple(expected)
    assert (row.tenant, row.name, row.groups, row.deleted_at) == ("Ann", "bob", ["hr", "é"], None)
    engine.dispose()


def test_many_threads_may_ask_at_once(catalog_url: str) -> None:
    engine = open_database(catalog_url)
    with write_transaction(engine) as connection:
        rows = [{"id": f"t{n}", "name": f"t{n}", "created_at": float(n)} for n in range(8)]
        connection.execute(tenants.insert(), rows)
    question = FrequentQuery(engine, WHEN)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(50):
            answer = question.load_value({"tenant_id": f"t{number}"})
            if answer != float(number):
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert wrong == []


def test_a_catalog_that_somebody_locks_is_said_to_be_unavailable(tmp_path: Path) -> None:
    engine = open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))
    question = FrequentQuery(engine, WHEN, busy_seconds=0.1)
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA locking_mode = EXCLUSIVE")
        connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(CatalogUnavailableError, match="locked"):
            question.load_value({"tenant_id": "ann"})
    engine.dispose()
