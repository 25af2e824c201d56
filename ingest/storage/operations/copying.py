"""Copies a consistent snapshot of a catalog to another SQLite or PostgreSQL catalog, and lists the files it names.

Therefore a backup of a PostgreSQL catalog is an SQLite file. Migrations bring it up to date before it is restored.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, Engine, MetaData, Table, func, insert, select, text

from ingest.storage.db.database import (
    build_clock_expression,
    build_sqlite_url,
    open_database,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import blob_sealing, documents, files, jobs, metadata, staged_entries, versions
from ingest.storage.digests import Digest, build_file_key
from ingest.storage.documents.digests import load_digests
from ingest.storage.documents.records import SEARCHABLE_STATES, VersionState
from ingest.storage.texts.texts import build_positions_key, build_text_keys

_BATCH_ROWS = 1_000
# States in which a version's content is removed, unless the version is still active.
_GONE_STATES = (VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED)

# Function that reports progress: the number of copied rows and the total number of rows.
Copied = Callable[[int, int], None]


@dataclass(frozen=True)
class CatalogFile:
    """A file named in the catalog, with its SHA-256 as hexadecimal digits. If `required` is false, it may be absent.

    Texts and tables from earlier releases have no SHA-256 until a background task adds it.
    """

    key: str
    sha256: str | None = None
    required: bool = True


class CatalogCopies:
    """Saves copies of a catalog as SQLite files, and loads them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save_copy(self, path: Path, report_progress: Copied) -> None:
        """Copy the current catalog to a new file while readers and writers continue.

        SQLite copies the catalog with its own backup function in a single step, because a long-lived reader would
        prevent the write-ahead log from being truncated after a deletion.
        """
        if self._engine.dialect.name != "sqlite":
            with _open_catalog_file(path) as target:
                copy_catalog(self._engine, target, report_progress)
            return
        _copy_sqlite_pages(self._engine, path)
        with _open_catalog_file(path) as target, read_transaction(target) as connection:
            rows = _count_rows(connection, _build_plain_tables())
        report_progress(rows, rows)

    def load_copy(self, path: Path, report_progress: Copied) -> None:
        """Replace the catalog with a copy, in one transaction. The copy is migrated to this release's schema first."""
        with _open_catalog_file(path) as source:
            copy_catalog(source, self._engine, report_progress)

    def count_documents(self) -> int:
        """Count the documents, including deleted ones."""
        with read_transaction(self._engine) as connection:
            return connection.execute(select(func.count()).select_from(documents)).scalar_one()

    def has_running_jobs(self) -> bool:
        """Return whether any job is held by a worker."""
        with read_transaction(self._engine) as connection:
            held = (
                select(jobs.c.id)
                .where(jobs.c.state == "running", jobs.c.lease_until > build_clock_expression(connection))
                .limit(1)
            )
            return connection.execute(held).first() is not None

    def list_files(self, table_keys: Mapping[str, Sequence[str]]) -> list[CatalogFile]:
        """List the files named in the catalog. `table_keys` maps version ids to the keys of their record tables."""
        return _list_files(self._engine, table_keys)


def list_files_of_copy(path: Path, table_keys: Mapping[str, Sequence[str]]) -> list[CatalogFile]:
    """List the files named in a copy of a catalog. See `CatalogCopies.list_files`."""
    with _open_catalog_file(path) as engine:
        return _list_files(engine, table_keys)


def _list_files(engine: Engine, table_keys: Mapping[str, Sequence[str]]) -> list[CatalogFile]:
    """List the originals of live documents and files, and the derived files of their versions.

    Files of a version that its digests do not name are omitted, because nothing reads them.
    """
    searched = versions.c.state.in_(SEARCHABLE_STATES) | (documents.c.active_version_id == versions.c.id)
    query = (
        select(
            versions.c.id,
            versions.c.blob_key,
            versions.c.content_sha256,
            versions.c.state,
            func.coalesce(searched, False).label("searched"),
        )
        .join(documents, documents.c.id == versions.c.document_id)
        .where(documents.c.deleted_at.is_(None))
        .order_by(versions.c.id)
    )
    found: list[CatalogFile] = []
    with read_transaction(engine) as connection:
        rows = connection.execute(query).all()
        for at in range(0, len(rows), _BATCH_ROWS):
            some = rows[at : at + _BATCH_ROWS]
            digests = load_digests(connection, [row.id for row in some])
            for row in some:
                if row.state not in _GONE_STATES or row.searched:
                    found.append(CatalogFile(row.blob_key, row.content_sha256))
                derived = _list_recorded_files(row.id, digests.get(row.id, {})) or _list_expected_files(
                    row.id, table_keys.get(row.id, ())
                )
                # If a version is not searchable yet, its files may be incomplete and its digests are not recorded.
                found += derived if row.searched else [CatalogFile(each.key, required=False) for each in derived]
        staged = select(staged_entries.c.blob_key, staged_entries.c.content_sha256).order_by(staged_entries.c.blob_key)
        found += [CatalogFile(row.blob_key, row.content_sha256) for row in connection.execute(staged)]
        sent = select(files.c.blob_key, files.c.content_sha256).where(files.c.deleted_at.is_(None))
        found += [
            CatalogFile(row.blob_key, row.content_sha256) for row in connection.execute(sent.order_by(files.c.id))
        ]
    return found


def _list_recorded_files(version_id: str, digests: Mapping[str, Digest]) -> list[CatalogFile]:
    """List a version's derived files according to its digests. Empty for versions from earlier releases."""
    return [CatalogFile(build_file_key(version_id, file), digest.sha256.hex()) for file, digest in digests.items()]


def _list_expected_files(version_id: str, table_keys: Sequence[str]) -> list[CatalogFile]:
    """List the derived files of a version without digests: its text, its map, and optional files."""
    optional = (build_positions_key(version_id), *table_keys)
    return [*map(CatalogFile, build_text_keys(version_id)), *(CatalogFile(key, required=False) for key in optional)]


def _copy_sqlite_pages(engine: Engine, path: Path) -> None:
    with engine.connect() as connection, closing(sqlite3.connect(path)) as target:
        driver: Any = connection.connection.driver_connection
        driver.backup(target)


@contextmanager
def _open_catalog_file(path: Path) -> Iterator[Engine]:
    engine = open_database(build_sqlite_url(path))
    try:
        yield engine
    finally:
        engine.dispose()


def copy_catalog(source: Engine, target: Engine, report_progress: Copied = lambda done, total: None) -> int:
    """Replace all rows of `target` with the rows of `source`, in one transaction, and return their number.

    The state of sealing is not copied, because it describes the files of `source`. Writers of `source` may continue;
    their later commits are not in the copy. Both catalogs must have this release's schema.
    """
    tables, copied = _build_plain_tables(), 0
    with _open_snapshot(source) as reading, write_transaction(target) as writing:
        total = _count_rows(reading, tables)
        for table in reversed(tables):
            writing.execute(table.delete())
        for table in tables:
            rows = reading.execution_options(yield_per=_BATCH_ROWS).execute(select(table)).mappings()
            for some in rows.partitions():
                writing.execute(insert(table), [dict(row) for row in some])
                copied += len(some)
                report_progress(copied, total)
        _advance_sequences(writing, tables)
    return copied


def _count_rows(connection: Connection, tables: Iterable[Table]) -> int:
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


def _build_plain_tables() -> list[Table]:
    """Build the tables to copy, ordered by their foreign keys.

    Their JSON columns store an absent value as SQL NULL, as the source does, rather than as a JSON null.
    """
    plain = MetaData()
    for table in metadata.sorted_tables:
        # guard: sealing-stays-with-files
        if table.name == blob_sealing.name:
            continue
        for column in table.to_metadata(plain).columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)
    return plain.sorted_tables


@contextmanager
def _open_snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees the catalog as of its first query, which SQLite's write-ahead log ensures."""
    with read_transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


def _advance_sequences(connection: Connection, tables: list[Table]) -> None:
    """Advance PostgreSQL's sequences past the copied rows. SQLite needs no such step."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        column = table.autoincrement_column
        if column is None or column.autoincrement is not True:
            continue
        highest = connection.execute(select(func.max(column))).scalar()
        if highest is not None:
            sequence = "SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"
            connection.execute(text(sequence), {"table": table.name, "column": column.name, "highest": highest})
