"""Migrations only add, so that the release before goes on with the catalog that the next one has migrated.

What is removed, renamed or made stricter says so: its module has `contract`, a sentence that names the release since
which nothing reads or writes it. docs/upgrading.md has the rules.
"""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from ingest.storage.db import database
from ingest.storage.db.database import build_sqlite_url, open_database

Schema = dict[str, dict[str, dict[str, Any]]]


def schema_of(engine: Engine) -> Schema:
    """The columns of each table, by their names."""
    found = inspect(engine)
    return {
        table: {str(column["name"]): dict(column) for column in found.get_columns(table)}
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def breaks(before: Schema, after: Schema) -> list[str]:
    """What a release that knows `before` could not do any more in `after`, each in some words."""
    found = []
    for table, columns in before.items():
        now = after.get(table)
        if now is None:
            found.append(f"table {table} is gone")
            continue
        found += [f"column {table}.{name} is gone" for name in columns if name not in now]
        for name, column in now.items():
            if column["nullable"] or column["default"] is not None or column.get("primary_key"):
                continue
            if name not in columns or columns[name]["nullable"]:
                found.append(f"column {table}.{name} must be given")
    return found


def test_what_a_migration_takes_from_the_release_before_it_is_marked_as_a_contract(tmp_path: Path) -> None:
    engine = open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))
    config = database._build_migration_config()
    unmarked: dict[str, list[str]] = {}
    after = schema_of(engine)
    for script in ScriptDirectory.from_config(config).walk_revisions():
        if script.down_revision is None:
            break
        with database._migration_transaction(engine) as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, str(script.down_revision))
        before = schema_of(engine)
        if (found := breaks(before, after)) and not getattr(script.module, "contract", ""):
            unmarked[script.revision] = found
        after = before
    engine.dispose()
    assert unmarked == {}


COLUMN = {"nullable": True, "default": None}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({}, ["table kept is gone"]),
        ({"kept": {}}, ["column kept.name is gone"]),
        ({"kept": {"renamed": COLUMN}}, ["column kept.name is gone"]),
        ({"kept": {"name": {**COLUMN, "nullable": False}}}, ["column kept.name must be given"]),
        ({"kept": {"name": COLUMN, "more": {"nullable": False, "default": None}}}, ["column kept.more must be given"]),
        ({"kept": {"name": COLUMN, "more": {"nullable": False, "default": "0"}}, "new": {"id": COLUMN}}, []),
    ],
)
def test_what_would_break_the_release_before_is_found(after: Schema, said: list[str]) -> None:
    assert breaks({"kept": {"name": COLUMN}}, after) == said
