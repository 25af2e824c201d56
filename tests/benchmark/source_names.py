"""A source that lists a million names: the time, and the memory of the service's process, which must stay flat.

No item is read, because each announces a size above the limit. The first sync lists some names, and records that they
are refused. The others are copied into the catalog, and the second sync lists all of them.

python -m tests.benchmark.source_names --first 10000 --names 100000
"""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from sqlalchemy import insert, select

from api.cli.console_logging import configure_logging
from ingest.sources.port import SourceItem
from ingest.storage.db.database import build_sqlite_url, open_database, read_transaction, write_transaction
from ingest.storage.db.schema import source_items
from ingest.storage.sources.rounds import hash_item_id
from tests.benchmark.figures import AsJson, print_rows
from tests.support.hostile_sources import SCRIPTED, scripted_kind, wait_for_sync
from tests.support.scripted_source import ScriptedSource
from tests.support.service import running

app = typer.Typer(help=__doc__)

_PATIENCE_SECONDS = 4 * 3600.0
_SAMPLES = 10
_ROWS_AT_ONCE = 10_000


class _Names(ScriptedSource):
    """Lists so many names, and notes the memory of the process on the way."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.mebibytes: list[int] = []

    def list_items(self) -> Iterator[SourceItem]:
        self.mebibytes.clear()
        for number in range(self.count):
            if number % (self.count // _SAMPLES) == 0:
                self.mebibytes.append(psutil.Process().memory_info().rss >> 20)
            yield _build_item(number)


def _build_item(number: int) -> SourceItem:
    path = f"folder {number // 1000}/note {number}.txt"
    return SourceItem(path, path.rpartition("/")[2], "1", path=path, size_bytes=10**15)


def _copy_rows(database: Path, first: int, count: int) -> None:
    """Record the names from `first` to `count` as if a sync had refused them."""
    engine = open_database(build_sqlite_url(database))
    with read_transaction(engine) as connection:
        known = dict(connection.execute(select(source_items).limit(1)).mappings().one())
    for start in range(first, count, _ROWS_AT_ONCE):
        with write_transaction(engine) as connection:
            items = map(_build_item, range(start, min(start + _ROWS_AT_ONCE, count)))
            named = [
                {"key": hash_item_id(each.id), "item_id": each.id, "name": each.name, "path": each.path}
                for each in items
            ]
            connection.execute(insert(source_items), [known | each for each in named])
    engine.dispose()


@app.command()
def synchronize(
    names: Annotated[int, typer.Option(help="How many names the second sync lists.", min=1_000)] = 1_000_000,
    first: Annotated[int, typer.Option(help="How many names the first sync lists.", min=1_000)] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Print the seconds of two syncs, and the resident memory at each tenth of the list, in MiB."""
    configure_logging(logging.WARNING)
    source = _Names(first)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        stack.enter_context(scripted_kind(source))
        _, client = stack.enter_context(running(home))
        made = client.create_source("Names", SCRIPTED, {}, interval_seconds=0)
        rows: list[dict[str, Any]] = []
        for name in ("first sync", "second sync"):
            begun = time.monotonic()
            if rows:
                _copy_rows(home / "catalog.sqlite", first, names)
                source.count, begun = names, time.monotonic()
                client.sync_source(made.id)
            sync = wait_for_sync(client, made.id, seconds=_PATIENCE_SECONDS)
            counts = {each: count for each, count in sync.counts.model_dump().items() if count}
            took = round(time.monotonic() - begun, 1)
            rows.append({"": name, "state": sync.state, **counts, "seconds": took, "MiB": str(source.mebibytes)})
            begun = time.monotonic()
            client.source(made.id)
            rows[-1]["seconds to load the source"] = round(time.monotonic() - begun, 2)
    print_rows(rows, as_json)


if __name__ == "__main__":
    app()
