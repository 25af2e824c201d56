"""A catalog's rows as of one moment are copied into another catalog, on either database.

So a backup of a PostgreSQL catalog is an SQLite file, which the migrations bring up to date before it is put back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import JSON, Connection, Engine, MetaData, Table, func, insert, select, text

from ingest.catalog.database import read, write
from ingest.catalog.tables import metadata

_AT_ONCE = 1_000


def copy_catalog(source: Engine, target: Engine, advanced: Callable[[int, int], None] = lambda done, all_: None) -> int:
    """Replace all rows of `target` by those of `source`, in one transaction; return how many there are.

    Writers of `source` go on meanwhile, and what they commit is not in the copy. Both have this release's schema.
    """
    tables, copied = _plain_tables(), 0
    with _snapshot(source) as reading, write(target) as writing:
        total = sum(reading.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)
        for table in reversed(tables):
            writing.execute(table.delete())
        for table in tables:
            rows = reading.execution_options(yield_per=_AT_ONCE).execute(select(table)).mappings()
            for some in rows.partitions():
                writing.execute(insert(table), [dict(row) for row in some])
                copied += len(some)
                advanced(copied, total)
        _advance_sequences(writing, tables)
    return copied


def _plain_tables() -> list[Table]:
    """Return the tables in the order of their references, with JSON columns that keep an absent value absent."""
    plain = MetaData()
    for table in metadata.sorted_tables:
        for column in table.to_metadata(plain).columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)
    return plain.sorted_tables


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees the catalog as it is at its first query, on SQLite because of the log of writes."""
    with read(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


def _advance_sequences(connection: Connection, tables: list[Table]) -> None:
    """Let PostgreSQL go on numbering after the copied rows; SQLite does so by itself."""
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
