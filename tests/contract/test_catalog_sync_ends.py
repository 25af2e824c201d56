"""Syncs that end between the two commits of an item leave no document without an item, and lose none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ingest.storage import instrumentation
from ingest.storage.errors import LeaseLostError
from ingest.storage.queue.records import JobKind
from ingest.storage.sources.records import SourceRecord, SyncState
from tests.support.scripted_source import SyncBench


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> SyncBench:
    return SyncBench(engine, tmp_path)


@pytest.fixture
def record(bench: SyncBench) -> SourceRecord:
    return bench.create()


At = Callable[[str, Callable[[], object]], None]


@pytest.fixture
def at() -> Iterator[At]:
    """Act once, when a sync reaches a point."""

    def arm(point: str, act: Callable[[], object]) -> None:
        def hook(reached: str) -> None:
            if reached == point:
                instrumentation.set_fault_point_hook(None)
                act()

        instrumentation.set_fault_point_hook(hook)

    yield arm
    instrumentation.set_fault_point_hook(None)


def die() -> None:
    raise KeyboardInterrupt


def interrupt(bench: SyncBench, record: SourceRecord) -> None:
    """Run a sync that dies at the point that a test has armed, as with its process."""
    bench.sources.request_sync("ann", record.id)
    with pytest.raises(KeyboardInterrupt):
        bench.run(bench.claim())
    assert bench.jobs.requeue_lost_jobs(include_all_running=True) == 1


@pytest.mark.parametrize("change", ["changed", "removed", "renamed and changed"])
def test_what_an_interrupted_sync_accepted_goes_if_its_item_is_another_by_then(
    bench: SyncBench, record: SourceRecord, at: At, change: str
) -> None:
    bench.source.put("a", "text")
    bench.source.put("b", "other")
    at("sync.accepted", die)
    interrupt(bench, record)
    assert bench.names() == ["a.txt"]
    if change == "changed":
        bench.source.put("a", "new text")
    else:
        bench.source.remove("a")
    if change == "renamed and changed":
        bench.source.put("c", "new text")
    assert bench.work(record).state is SyncState.SUCCEEDED
    assert bench.names() == sorted(f"{each}.txt" for each in bench.source.items)
    items = bench.sources.list_items("ann", record.id)
    assert {each.document_id for each in items} == {each.id for each in bench.catalog.list_documents("ann")}


def test_what_a_cancelled_sync_accepted_goes_with_the_next_one(bench: SyncBench, record: SourceRecord, at: At) -> None:
    bench.source.put("a", "text")
    bench.sources.request_sync("ann", record.id)
    at("sync.accepted", lambda: bench.sources.cancel("ann", record.id))
    with pytest.raises(LeaseLostError):
        bench.run(bench.claim())
    bench.source.remove("a")
    assert bench.sync(record).state is SyncState.SUCCEEDED
    assert bench.names() == []


@pytest.mark.parametrize("removes_documents", [True, False])
def test_a_source_that_is_deleted_while_an_item_is_accepted_leaves_no_document_of_its_own(
    bench: SyncBench, record: SourceRecord, at: At, removes_documents: bool
) -> None:
    bench.source.put("a", "text")
    bench.source.put("b", "other")
    bench.sources.request_sync("ann", record.id)
    at("sync.accepted", lambda: bench.sources.delete("ann", record.id, removes_documents=removes_documents))
    with pytest.raises(LeaseLostError):
        bench.run(bench.claim())
    bench.run(bench.claim())
    owners = [each.uploaded_by for each in bench.catalog.list_documents("ann")]
    assert owners == ([] if removes_documents else ["user:ann"])


def test_an_item_that_is_accepted_after_its_source_was_purged_leaves_no_document(
    bench: SyncBench, record: SourceRecord, at: At
) -> None:
    bench.source.put("a", "text")
    bench.sources.request_sync("ann", record.id)

    def delete_and_purge() -> None:
        bench.sources.delete("ann", record.id, removes_documents=True)
        bench.run(bench.claim())
        assert bench.jobs.claim(JobKind.SYNC) == []

    at("sync.opened", delete_and_purge)
    with pytest.raises(LeaseLostError):
        bench.run(bench.claim())
    assert bench.names() == []


def test_an_item_whose_document_another_source_removes_in_between_is_read_again(
    bench: SyncBench, record: SourceRecord, at: At
) -> None:
    other = bench.create("other")
    bench.source.put("a", "same")
    bench.sync(other)
    bench.source.remove("a")

    def sync_other() -> None:
        kept = dict(bench.source.items)
        bench.source.items.clear()
        bench.sync(other)
        bench.source.items |= kept

    bench.source.put("b", "same")
    at("sync.accepted", sync_other)
    bench.sync(record)
    bench.sync(record)
    assert bench.names() == ["b.txt"]
