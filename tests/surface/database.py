"""Describes the catalog's tables as each database would be told to make them."""

from collections.abc import Iterator

from sqlalchemy import Dialect, MetaData, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable


def describe_database(metadata: MetaData, newest_migration: str | None) -> dict[str, list[str]]:
    """Return the statements for each database, by name of the file that records them."""
    dialects: dict[str, Dialect] = {"postgresql": postgresql.dialect(), "sqlite": sqlite.dialect()}  # type: ignore[no-untyped-call]
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    written = {
        f"database_{name}": [line for table in tables for line in _table(table, dialect)]
        for name, dialect in dialects.items()
    }
    return {**written, "migrations": [f"newest {newest_migration}"]}


def _table(table: Table, dialect: Dialect) -> Iterator[str]:
    made = str(CreateTable(table).compile(dialect=dialect))
    yield from (line.rstrip().replace("\t", "    ") for line in made.strip().splitlines())
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield str(CreateIndex(index).compile(dialect=dialect))
    yield ""
