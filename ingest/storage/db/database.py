"""Open the catalog's database and bring it to this release's schema; its transactions, and what its errors mean.

SQLite is for one machine, PostgreSQL for several. On SQLite a `write` holds the database's only write lock from its
start. On PostgreSQL transactions run side by side at READ COMMITTED, so whoever decides by what it read locks those
rows first.

Lock order on PostgreSQL: batch, tenant, documents by id, jobs by id, versions, the tenant's row of `corpus_versions`,
and last of all the audit log's chain. Transactions that change rows of several kinds keep to that order, so that no two
wait for each other. Locks last until the commit. On SQLite a `write` has the whole database already, and locking
queries are plain reads.
"""

import json
import re
import sqlite3
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Select,
    Table,
    bindparam,
    cast,
    create_engine,
    event,
    extract,
    func,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ingest.storage.db.schema import corpus_versions, documents, jobs, metadata, tenants
from ingest.storage.errors import (
    CatalogAccessError,
    CatalogDamagedError,
    CatalogLimitError,
    CatalogSchemaError,
    CatalogUnavailableError,
    LeadlineError,
    StorageFullError,
    StorageReadOnlyError,
    ValueRefusedError,
)

BUSY_SECONDS = 30
_RETRY_INTERVAL_SECONDS = 0.01
_SLICE_SIZE = 1_000
_DRIVERS = frozenset({"sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"})
_TURN, _LAST = "leadline_turn", "leadline_last"
_MIGRATION_LOCK = 0x6C656164  # an advisory lock's number: any, as long as every release takes the same
_DERIVED_LOCK = 0x6C65  # of the tenants' derived texts
_SURROGATE = re.compile("[\ud800-\udfff]")

_Each = TypeVar("_Each")

# SQLSTATEs for which trying again does not help.
_DISK_FULL, _LIMIT_EXCEEDED, _CANCELLED = "53100", "54", "57014"

# libpq gives no SQLSTATE for a failed connection, so permanent refusals are told by their wording.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied",
)


def open_database(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine on a database whose schema is current: `sqlite:///PATH` or `postgresql+psycopg://…`.

    `pool_size` is how many connections a process of a PostgreSQL catalog holds; as many again are opened at a peak.
    A process that forks opens its own afterwards. Raises `CatalogAccessError` for a URL, user, password or database
    name that is wrong, `CatalogUnavailableError` when nothing answers, and `CatalogSchemaError` for the schema of a
    later release.
    """
    engine = _build_engine(url, pool_size)
    try:
        migrate(engine)
    except LeadlineError:
        engine.dispose()
        raise
    return engine


def build_sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def migrate(engine: Engine) -> None:
    """Make the tables of a new catalog, or apply the missing migrations; two processes at once do so once."""
    with _migration_transaction(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == get_latest_revision():
            return
        config = _build_migration_config()
        config.attributes["connection"] = connection
        try:
            if current is None:
                metadata.create_all(connection)
                command.stamp(config, "head")
            else:
                command.upgrade(config, "head")
        except CommandError as error:
            raise CatalogSchemaError(f"The catalog has schema {current}, which this release does not know.") from error


@cache
def get_latest_revision() -> str | None:
    return ScriptDirectory.from_config(_build_migration_config()).get_current_head()


def _build_migration_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a connection for queries. Raises `CatalogUnavailableError`."""
    with _translate_errors(engine), engine.connect() as connection:
        yield connection


def ping(engine: Engine) -> None:
    """Raise `CatalogUnavailableError`, or another error of the catalog, if the database does not answer."""
    with read_transaction(engine) as connection:
        connection.execute(select(literal(1)))


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction, committed at the end of the block. Raises `CatalogUnavailableError` and `StorageFullError`.

    On SQLite it holds the write lock from its start, so that what it read stays true until it commits.
    """
    with _translate_errors(engine), _get_write_lock(engine), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execution_options(leadline_immediate=True)
        with connection.begin():
            last = connection.info[_LAST] = []
            yield connection
            for statement in last:
                statement(connection)


def truncate_write_ahead_log(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which still holds what was deleted or changed since it was emptied last.

    Raises `CatalogUnavailableError` while another reads so long that it cannot be done. PostgreSQL's own upkeep removes
    old rows from its files: see `docs/data.md`.
    """
    if engine.dialect.name != "sqlite":
        return
    with _translate_errors(engine), _get_write_lock(engine), engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise CatalogUnavailableError("The catalog's write-ahead log could not be emptied: it is being read.")


def run_before_commit(connection: Connection, statement: Callable[[Connection], object]) -> None:
    """Have `statement` called as the last of the transaction that `write` opened, unless that is rolled back."""
    connection.info[_LAST].append(statement)


def _get_write_lock(engine: Engine) -> AbstractContextManager[object]:
    """Return a lock that wakes one process's writers at once; SQLite's own waiting sleeps up to 100 ms."""
    turn: threading.Lock | None = engine.get_execution_options().get(_TURN)
    return turn or nullcontext()


def iter_slices(ids: Sequence[_Each]) -> Iterator[Sequence[_Each]]:
    """Split ids or rows into slices that a statement of either database takes."""
    for at in range(0, len(ids), _SLICE_SIZE):
        yield ids[at : at + _SLICE_SIZE]


def build_upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an insert that says what becomes of a row whose key is taken, in the dialect of the connection."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def insert_if_absent(connection: Connection, table: Table, **values: Any) -> bool:  # noqa: ANN401 - columns of the table
    """Insert a row and return true; return false if its key is taken, also by a transaction that commits meanwhile."""
    new = build_upsert(connection, table).values(**values).on_conflict_do_nothing()
    # A driver's count of rows is not known everywhere once keys are returned.
    return connection.execute(new.returning(*table.primary_key)).first() is not None


def upsert_row(connection: Connection, table: Table, key: Sequence[str], **values: Any) -> None:  # noqa: ANN401 - columns
    """Insert a row, or overwrite the one with the same `key` columns."""
    changed = {name: value for name, value in values.items() if name not in key}
    connection.execute(
        build_upsert(connection, table).values(**values).on_conflict_do_update(index_elements=key, set_=changed)
    )


def format_json(value: object) -> str:
    """Write JSON compactly and without escapes, which would double or triple the size of Cyrillic or Chinese.

    A lone surrogate, which UTF-8 cannot encode, stays an escape.
    """
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def build_clock(connection: Connection) -> ColumnElement[float]:
    """Return the clock for leases and pauses of jobs, as an expression: seconds of the epoch.

    On PostgreSQL it is the server's clock at the start of the statement. Machines' own clocks differ: a machine that
    went by its own would take away a lease that another has just been given.
    """
    if connection.dialect.name == "postgresql":
        return cast(extract("epoch", func.statement_timestamp()), Float)
    return literal(time.time())


def read_clock(connection: Connection) -> float:
    """Read `clock`."""
    return connection.execute(select(build_clock(connection))).scalar_one()


def lock_tenant(connection: Connection, tenant_id: str) -> None:
    """Keep other uploads of this tenant out until the commit."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update(key_share=True))


def lock_derived_content(connection: Connection, tenant_id: str, *, alone: bool = False) -> None:
    """Hold what is made of a tenant's documents until the commit: together with others who add to it, or alone.

    It is taken before any other lock.
    """
    if connection.dialect.name == "postgresql":
        name = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        connection.execute(
            text(f"SELECT {name}(:kind, hashtext(:tenant))"), {"kind": _DERIVED_LOCK, "tenant": tenant_id}
        )


def lock_documents(connection: Connection, identifiers: Collection[str]) -> None:
    """Allow only changes of these documents' job progress until the commit."""
    for some in iter_slices(sorted(identifiers)):
        query = select(documents.c.id).where(documents.c.id.in_(some)).order_by(documents.c.id)
        connection.execute(query.with_for_update(key_share=True)).all()


def lock_jobs(connection: Connection, identifiers: Collection[str]) -> None:
    """Lock all jobs of these locked documents until the commit: before their versions, as whoever reports progress."""
    found: list[int] = []
    for some in iter_slices(sorted(identifiers)):
        found += connection.execute(select(jobs.c.id).where(jobs.c.document_id.in_(some))).scalars()
    for numbers in iter_slices(sorted(found)):
        query = select(jobs.c.id).where(jobs.c.id.in_(numbers)).order_by(jobs.c.id)
        connection.execute(query.with_for_update()).all()


# Selects no row for a tenant that has nothing to be found yet.
CORPUS_VERSION = select(corpus_versions.c.version).where(corpus_versions.c.tenant_id == bindparam("tenant_id"))


def bump_corpus_versions(connection: Connection, tenant_ids: Collection[str]) -> None:
    """Increase the tenants' corpus versions; the last statement of any commit that changes what their searches find.

    Search results may be cached under the number: who reads the same number finds the same. It grows in the commit that
    makes a document searchable or ready, replaces, cancels or deletes it, adds vectors to it, or removes what it has
    left in the index; so whoever reads it after a deletion has answered reads a larger number than before.

    It must come last, but for the audit log, because it holds the tenants' rows until the commit.
    """
    for tenant_id in sorted(set(tenant_ids)):
        connection.execute(
            build_upsert(connection, corpus_versions)
            .values(tenant_id=tenant_id, version=1)
            .on_conflict_do_update(
                index_elements=[corpus_versions.c.tenant_id], set_={"version": corpus_versions.c.version + 1}
            )
        )


class FrequentQuery:
    """A frequent query for a few rows, asked with little overhead; safe to use from any thread.

    On SQLite the driver itself runs it, outside of transactions, on a connection of its own that is closed with the
    engine. Measured between two inferences of the encoder, which leave nothing of Python in the processor's caches:
    0.08 ms instead of 0.5.
    """

    def __init__(self, engine: Engine, statement: Select[Any], *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._engine = engine
        self._statement = statement
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        if engine.dialect.name == "sqlite":
            compiled, dialect, columns = statement.compile(engine), engine.dialect, statement.selected_columns
            self._text, self._names = str(compiled), compiled.positiontup or []
            self._row: Any = namedtuple("_row", columns.keys(), rename=True)  # type: ignore[misc]
            self._readers = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
            event.listen(engine, "engine_disposed", lambda _: self._close())

    def load_value(self, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of the statement's type
        """Return the first value of the first row, or None without rows. Raises `CatalogUnavailableError`."""
        rows = self.load_rows(parameters)
        return rows[0][0] if rows else None

    def load_rows(self, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Return all rows, whose values have the names of their columns. Raises `CatalogUnavailableError`."""
        if self._engine.dialect.name != "sqlite":
            with read_transaction(self._engine) as connection:
                return connection.execute(self._statement, parameters).all()
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                # All rows: an unfinished statement would keep its snapshot of the catalog.
                rows = self._connection.execute(self._text, [parameters[name] for name in self._names]).fetchall()
            except sqlite3.DatabaseError as error:
                raise translate_sqlite_error(error) or error from error
        return [self._row(*map(_convert_value, self._readers, row)) for row in rows]

    def _open(self) -> sqlite3.Connection:
        database = self._engine.url.database or ""
        return sqlite3.connect(database, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False)

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _convert_value(reader: Callable[[Any], Any] | None, value: Any) -> Any:  # noqa: ANN401 - of the column's type
    return value if reader is None else reader(value)


def _build_engine(url: str, pool_size: int) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise CatalogAccessError("The catalog's URL cannot be read.") from error
    if parsed.drivername not in _DRIVERS:
        raise CatalogAccessError(f"The catalog cannot be kept in {parsed.drivername!r}.")
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed, execution_options={_TURN: threading.Lock()}, hide_parameters=True, json_serializer=format_json
        )
        _configure_sqlite(engine)
        return engine
    return create_engine(
        parsed,
        hide_parameters=True,  # errors are logged, and values of statements are not
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,  # a connection that a restarted server has forgotten is replaced, not handed out
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args=_build_connect_arguments(parsed),
        json_serializer=format_json,
    )


def _build_connect_arguments(url: URL) -> Mapping[str, Any]:
    """Defaults for what the URL's query leaves out; with them a dead server is noticed within half a minute."""
    defaults = {
        "connect_timeout": 5,
        "application_name": "leadline",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "options": f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout=60s",
    }
    return {name: value for name, value in defaults.items() if name not in url.query}


@contextmanager
def _migration_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that excludes other migrations."""
    if engine.dialect.name == "postgresql":
        with write_transaction(engine) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            yield connection
        return
    with _translate_errors(engine), engine.connect() as connection:
        # SQLite alters a table by copying and dropping it, which breaks references to its rows while it lasts. The
        # pragma works only outside a transaction; the references are checked before the commit.
        driver = connection.connection.cursor()
        driver.execute("PRAGMA foreign_keys = OFF")
        connection.execution_options(leadline_immediate=True)
        try:
            with connection.begin():
                yield connection
                if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise CatalogSchemaError("A migration left rows that refer to nothing; it was undone.")
        finally:
            driver.execute("PRAGMA foreign_keys = ON")
            driver.close()


@contextmanager
def _translate_errors(engine: Engine) -> Iterator[None]:
    """Translate errors of the database and its driver into `LeadlineError`s; faulty statements of ours pass through."""
    try:
        yield
    except PoolTimeoutError as error:
        raise CatalogUnavailableError("All connections to the catalog's database are busy.") from error
    except DataError as error:
        raise ValueRefusedError("The catalog's database does not take a value of this request.") from error
    except (OperationalError, InterfaceError) as error:
        raise (
            translate_sqlite_error(error.orig) or error
            if engine.dialect.name == "sqlite"
            else _translate_postgres_error(engine, error)
        ) from error
    except DatabaseError as error:  # SQLite's driver has no narrower class for a damaged file
        raise translate_sqlite_error(error.orig) or error from error


def translate_sqlite_error(error: BaseException | None) -> LeadlineError | None:
    """Translate an error of SQLite's driver; None if it is a fault of ours."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return StorageFullError("The disk is full.")
    if name.startswith("SQLITE_READONLY"):
        return StorageReadOnlyError("The catalog's file can only be read.")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CatalogUnavailableError(f"The catalog was locked for over {BUSY_SECONDS} seconds.")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CatalogDamagedError(f"The catalog's file is damaged ({error}).")
    if name.startswith("SQLITE_CANTOPEN"):
        return CatalogAccessError("The catalog's file cannot be opened.", hint="Check that its folder is writable.")
    return None


def _translate_postgres_error(engine: Engine, error: DBAPIError) -> LeadlineError:
    """Translate an error of PostgreSQL, quoting the server alone: the statement and its values belong in no message."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == _DISK_FULL:
        return StorageFullError("The disk of the catalog's database is full.", hint="Free space on its server's disk.")
    said = " ".join(str(error.orig).split())
    where = engine.url.render_as_string(hide_password=True)
    if not state and any(refusal in said for refusal in _REFUSALS):
        return CatalogAccessError(f"The catalog's database at {where} refused: {said}.")
    if state.startswith(_LIMIT_EXCEEDED) or state == _CANCELLED:
        return CatalogLimitError(f"The catalog's database at {where} gave up: {said}.")
    return CatalogUnavailableError(f"The catalog's database at {where} does not answer: {said}.")


def _enable_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    """Keep a write-ahead log. SQLite refuses the change at once, whatever its busy timeout, while another writes."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            if not busy or time.monotonic() > until:
                raise
            time.sleep(_RETRY_INTERVAL_SECONDS)
        else:
            return


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
        connection.isolation_level = None  # the driver would begin transactions by itself, and too late
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        _enable_write_ahead_log(cursor)
        cursor.execute("PRAGMA synchronous = FULL")  # a commit that returned is on the disk
        cursor.execute("PRAGMA foreign_keys = ON")
        # guard: sqlite-secure-delete
        cursor.execute("PRAGMA secure_delete = ON")  # what is deleted or changed leaves nothing in freed pages
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if connection.get_execution_options().get("leadline_immediate", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # A deferred BEGIN takes no lock; sent by the driver itself it costs short queries less time.
            driver.execute("BEGIN")
