"""The catalog's database: its schema on both kinds, and what a server that is away or refuses is called."""

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

import ingest.storage.db.database
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.accounts.tenants import Tenants
from ingest.storage.db.database import (
    build_sqlite_url,
    check_database,
    format_json,
    insert_row_if_absent,
    migrate_schema,
    open_database,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import metadata, tenant_deletions, tenants
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import (
    CatalogAccessError,
    CatalogLimitError,
    CatalogSchemaError,
    CatalogUnavailableError,
    LeadlineError,
    StorageFullError,
    ValueRejectedError,
)
from tests.support.catalogs import arrive
from tests.support.cluster import wait_until
from tests.support.postgres import Postgres, disposed, running_postgres

# Much longer than the limit of a second, for a busy machine.
_SOON_SECONDS = 15.0


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield build_sqlite_url(tmp_path / "catalog.sqlite")
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.empty_database()
    yield url
    server.drop(url)


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def to_revision(engine: Engine, revision: str) -> None:
    config = Config()
    folder = Path(ingest.storage.db.database.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    with write_transaction(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def open_and_close(url: str) -> None:
    open_database(url).dispose()


def test_json_is_kept_in_as_few_bytes_as_its_script_takes() -> None:
    assert format_json({"Кит": ["鯨", "half \ud83d", "\0"]}) == '{"Кит":["鯨","half \\ud83d","\\u0000"]}'


def test_a_new_catalog_has_exactly_the_tables(empty_url: str) -> None:
    with disposed(open_database(empty_url)) as engine:
        assert differences(engine) == []


def test_a_catalog_of_the_oldest_known_schema_is_brought_up_to_date(empty_url: str) -> None:
    with disposed(open_database(empty_url)) as engine:
        Catalog(engine).ensure_tenant("ann")
        to_revision(engine, "0047_lanes")
        assert differences(engine) != []
        migrate_schema(engine)
        assert differences(engine) == []
        assert [tenant.id for tenant in Tenants(engine).list_tenants()] == ["ann"]


@pytest.mark.slow
def test_processes_that_open_a_new_catalog_together_migrate_it_once(empty_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=open_and_close, args=(empty_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with disposed(open_database(empty_url)) as engine:
        assert differences(engine) == []


def test_a_new_catalog_is_opened_while_another_process_writes_its_first_page(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE first (page)")
        other.execute("BEGIN IMMEDIATE")  # not in WAL yet: whoever asks for it now is refused, not made to wait
        release = threading.Timer(0.3, other.rollback)
        release.start()
        with disposed(open_database(build_sqlite_url(path))) as engine, engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        release.join()


def test_a_catalog_of_a_later_release_is_refused_in_words(empty_url: str) -> None:
    with disposed(open_database(empty_url)) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogSchemaError, match="9999"):
        open_database(empty_url)


@pytest.mark.parametrize("url", ["no url", "mysql://ann:pw@host/catalog", "postgresql+psycopg2://host/catalog"])
def test_a_url_that_names_no_such_database_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(CatalogAccessError) as refused:
        open_database(url)
    assert "postgresql+psycopg://" in refused.value.hint
    assert "pw" not in str(refused.value)


def test_a_wrong_password_user_or_database_is_called_by_its_name_and_shows_no_secret(postgres: Postgres) -> None:
    postgres.run("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    postgres.require_password("guarded")
    open_and_close(postgres.catalog_database())
    for url in (
        postgres.url(user="guarded", password="hunter2"),
        postgres.url(user="guarded"),
        postgres.url(user="nobody", password="hunter2"),
        postgres.url("no_such_database", password="hunter2"),
    ):
        with pytest.raises(CatalogAccessError) as refused:
            open_database(url)
        assert "Check the user" in refused.value.hint
        assert "hunter2" not in str(refused.value)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for host in (f"/catalog?host={tmp_path}", "127.0.0.1:1/catalog", "no-such-host.invalid/catalog"):
        with pytest.raises(CatalogUnavailableError) as away:
            open_database(f"postgresql+psycopg://ann:hunter2@{host}")
        assert "database server is running" in away.value.hint
        assert "hunter2" not in str(away.value)


def test_a_server_that_goes_away_is_unavailable_and_used_again_when_it_is_back() -> None:
    with running_postgres() as server, disposed(open_database(server.empty_database())) as engine:
        catalog = Catalog(engine)
        catalog.ensure_tenant("ann")
        server.stop()
        with pytest.raises(CatalogUnavailableError) as away:
            arrive(catalog)
        assert "INSERT" not in str(away.value)
        with pytest.raises(CatalogUnavailableError):
            catalog.list_documents("ann")
        server.start()
        arrive(catalog)
        assert len(catalog.list_documents("ann")) == 1


def test_reads_fail_soon_while_the_server_hangs_and_leave_the_pool_usable() -> None:
    with (
        running_postgres() as server,
        disposed(open_database(server.empty_database(), pool_size=2, read_seconds=1)) as engine,
        ThreadPoolExecutor(8) as threads,
    ):
        catalog = Catalog(engine)
        catalog.ensure_tenant("ann")

        def read(_: int) -> float:
            begun = time.monotonic()
            with pytest.raises(CatalogUnavailableError):
                catalog.list_documents("ann")
            return time.monotonic() - begun

        with server.paused():
            # Twice as many at once as the pool has connections, and then some that find them closed.
            assert max(threads.map(read, range(16))) < _SOON_SECONDS
        wait_until(lambda: _responds(engine), what="the database is used again")
        arrive(catalog)
        assert len(catalog.list_documents("ann")) == 1


def _responds(engine: Engine) -> bool:
    try:
        check_database(engine)
    except CatalogUnavailableError:
        return False
    return True


def test_a_write_may_take_longer_than_a_read_because_it_may_wait_for_a_lock(postgres: Postgres) -> None:
    with disposed(open_database(postgres.empty_database(), read_seconds=0.5)) as engine:
        with write_transaction(engine) as connection:
            connection.execute(text("SELECT pg_sleep(1.5)"))
        with (
            pytest.raises(CatalogUnavailableError, match=r"no response within 0\.5 seconds"),
            read_transaction(engine) as connection,
        ):
            connection.execute(text("SELECT pg_sleep(5)"))


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", StorageFullError),  # disk full
        ("54000", CatalogLimitError),  # a limit of the program is exceeded
        ("57014", CatalogLimitError),  # the statement was cancelled
        ("57P03", CatalogUnavailableError),  # it starts up
        ("53300", CatalogUnavailableError),  # too many connections
        ("55P03", CatalogUnavailableError),  # a lock was not to be had
    ],
)
def test_what_a_server_says_that_is_there_is_told_from_one_that_is_away(
    postgres: Postgres, state: str, kind: type[LeadlineError]
) -> None:
    raising = text(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$")
    with disposed(open_database(postgres.catalog_database())) as engine:
        with pytest.raises(LeadlineError) as raised, write_transaction(engine) as connection:
            connection.execute(raising)
        assert type(raised.value) is kind
        assert "EXCEPTION" not in str(raised.value)


def test_a_value_that_the_database_does_not_take_is_refused(postgres: Postgres) -> None:
    with disposed(open_database(postgres.catalog_database())) as engine:
        with pytest.raises(ValueRejectedError) as refused, write_transaction(engine) as connection:
            connection.execute(text("SELECT CAST(:value AS TEXT)"), {"value": "a\0b"})
        assert "\0" not in refused.value.detail


def test_no_secret_is_in_the_database(tmp_path: Path) -> None:
    with disposed(open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))) as engine:
        Catalog(engine).ensure_tenant("ann")
        _, presented = ApiKeys(engine).issue_key("ann", "laptop")
    secret = presented.split("_", 2)[2].encode()
    assert all(secret not in path.read_bytes() for path in tmp_path.glob("catalog.sqlite*"))


def test_a_row_is_new_once(engine: Engine) -> None:
    for table, values in (
        (tenants, {"id": "eve", "name": "eve", "created_at": 1.0}),
        (tenant_deletions, {"tenant_id": "ann", "deleted_at": 1.0}),
    ):
        for is_new in (True, False):
            with write_transaction(engine) as connection:
                assert insert_row_if_absent(connection, table, **values) is is_new


@pytest.mark.parametrize("first_byte", [0, 4096], ids=["the header", "the pages behind it"])
def test_a_damaged_catalog_is_named_at_the_start_with_what_to_do(tmp_path: Path, first_byte: int) -> None:
    path = tmp_path / "catalog.sqlite"
    open_database(build_sqlite_url(path)).dispose()
    with path.open("r+b") as file:
        file.seek(first_byte)
        file.write(b"\xa5" * (path.stat().st_size - first_byte))
    refused: Exception | None = None
    try:
        with disposed(open_database(build_sqlite_url(path))) as engine:
            Catalog(engine).ensure_tenant("ann")
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        refused = error
    assert isinstance(refused, LeadlineError), repr(refused)
    assert refused.code == "catalog_damaged"
    assert "leadline restore" in refused.hint
