"""A sync of a source with many items: each of its statements touches only the items that it is about."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, event, insert, select

from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.db.schema import source_items
from ingest.storage.sources.rounds import hash_item_id
from tests.support.catalogs import migrated_sqlite
from tests.support.scripted_source import SyncBench

_BATCH = 100


def count_steps(engine: Engine, act: Callable[[], object]) -> int:
    """Count the hundreds of steps of SQLite's virtual machine that an action takes."""
    steps = [0]

    def count() -> None:
        steps[0] += 1

    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.set_progress_handler(count, 100))
    act()
    return steps[0]


def measure(home: Path, known: int) -> tuple[int, int]:
    """Return the steps of recording a batch as unchanged, and of removing one, in a source with so many items."""
    engine = open_database(migrated_sqlite(home / f"{known}.sqlite"))
    bench = SyncBench(engine, home / f"{known}")
    bench.catalog.ensure_tenant("ann")
    record = bench.create()
    bench.source.put("a", "text")
    bench.sync(record)
    with write_transaction(engine) as connection:
        row = dict(connection.execute(select(source_items)).mappings().one())
        keys = [{**row, "key": hash_item_id(f"{number}"), "document_id": None} for number in range(known)]
        connection.execute(insert(source_items), keys)
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    sync = bench.rounds.start_round(job)
    ids = [f"{number}" for number in range(_BATCH)]
    recorded = count_steps(engine, lambda: bench.rounds.record_listed(job, sync, _BATCH, ids))
    removed = count_steps(engine, lambda: bench.rounds.remove_next_items(job, sync))
    engine.dispose()
    return recorded, removed


def test_a_batch_takes_as_long_however_many_items_the_source_has(tmp_path: Path) -> None:
    few, many = measure(tmp_path, 1_000), measure(tmp_path, 10_000)
    assert many[0] < 2 * few[0] + 50
    assert many[1] < 2 * few[1] + 50
