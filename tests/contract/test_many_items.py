"""A source with many items: statements of its syncs and lists touch only the items that they are about."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, event, insert, select

from ingest.storage.db.database import open_database, read_transaction, write_transaction
from ingest.storage.db.schema import source_items
from ingest.storage.queue.records import Failure, JobKind
from ingest.storage.sources.failed_documents import count_failed_documents
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


def measure_failed(home: Path, known: int) -> tuple[int, int]:
    """Return the steps of counting and of listing one failed document of a source with so many items."""
    engine = open_database(migrated_sqlite(home / f"{known}.sqlite"))
    bench = SyncBench(engine, home / f"{known}")
    bench.catalog.ensure_tenant("ann")
    record = bench.create()
    bench.source.put("a", "text")
    bench.sync(record)
    (job,) = bench.jobs.claim(JobKind.INGEST)
    bench.jobs.fail(job, Failure("parse_failed", "The file is broken."))
    with write_transaction(engine) as connection:
        row = dict(connection.execute(select(source_items)).mappings().one())
        # The keys of these come before that of the failed one.
        keys = [{**row, "key": f"{number:08}", "document_id": f"{number}"} for number in range(known)]
        connection.execute(insert(source_items), keys)
    found: list[object] = []

    def count() -> None:
        with read_transaction(engine) as connection:
            found.append(count_failed_documents(connection, "ann"))

    counted = count_steps(engine, count)
    listed = count_steps(
        engine, lambda: found.append(len(bench.sources.list_items("ann", record.id, only_failed=True)))
    )
    assert found == [{record.id: 1}, 1]
    engine.dispose()
    return counted, listed


def test_failed_documents_are_found_as_fast_however_many_items_the_source_has(tmp_path: Path) -> None:
    few, many = measure_failed(tmp_path, 1_000), measure_failed(tmp_path, 10_000)
    assert many[0] < 2 * few[0] + 50
    assert many[1] < 2 * few[1] + 50
