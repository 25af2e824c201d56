"""Leftovers that the catalog explains are removed; what it does not know is put aside, and comes back when claimed."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from ingest.storage.blobs.quarantine import Quarantine, UpkeepLimits
from ingest.storage.db.schema import unknown_versions
from ingest.storage.documents.records import VersionState
from ingest.storage.operations.installation import MARK_FILE
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.tables.store import RecordTables
from tests.support.books import book
from tests.support.record_tables import parsed_from
from tests.support.worker_fixture import WorkerFixture
from workers.upkeep.leftovers import FORGOTTEN_SECONDS, NOTICE_NAME, CleanupResult, UnusedContentCleaner

DAY = 86_400.0


def rounds(worker: WorkerFixture, **limits: float) -> UnusedContentCleaner:
    made = UpkeepLimits(**limits)
    return UnusedContentCleaner(
        worker.record, UnusedContent(worker.engine), worker.generations, worker.blobs, worker.texts, made
    )


def ready(worker: WorkerFixture, text: str, name: str) -> str:
    document = worker.upload(text, name)
    worker.work_off()
    assert worker.state(document) is VersionState.READY
    return document.id


def age(path: Path, seconds: float = FORGOTTEN_SECONDS + 60) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def stray_points(worker: WorkerFixture, count: int = 1) -> None:
    """Chunks of versions that the catalog has never had."""
    chunk = next(iter(worker.index.kept.values()))
    for number in range(count):
        stray = type(chunk)(**{**vars(chunk), "id": f"stray{number}", "version_id": f"unknown{number}"})
        worker.index.upsert_chunks([stray], [worker.generations.made.sparse.encode_document("stray")])


def seen_before(worker: WorkerFixture, seconds: float) -> None:
    with worker.engine.begin() as connection:
        connection.execute(update(unknown_versions).values(since=unknown_versions.c.since - seconds))


def days_before(worker: WorkerFixture, days: float) -> None:
    """Let everything that is aside have been put there so many days ago."""
    for folder in list(worker.blobs.resolve_path("quarantine").iterdir()):
        earlier = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY))
        folder.rename(folder.with_name(earlier))


def test_chunks_written_after_their_document_was_deleted_and_collected_are_removed(worker: WorkerFixture) -> None:
    gone, kept = ready(worker, book(1), "gone.md"), ready(worker, book(2), "kept.md")
    version = worker.catalog.load_document("ann", gone).version
    late = {i: c for i, c in worker.index.kept.items() if c.version_id == version.id}
    worker.deleter.delete_document("ann", gone)
    worker.index.upsert_chunks(
        list(late.values()), [worker.generations.made.sparse.encode_document("late")] * len(late)
    )
    worker.texts.save(version.id, "late", title=None, chunks=())
    assert rounds(worker).clean_up().orphan_chunks == len(late) > 0
    assert set(worker.index.count_chunks_by_version()) == {worker.catalog.load_document("ann", kept).version.id}
    assert version.id not in "".join(worker.blobs.iter_keys("text"))
    assert rounds(worker).clean_up() == CleanupResult()


def test_chunks_of_a_version_that_the_catalog_never_knew_stay_for_days_and_then_go(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    stray_points(worker)
    assert rounds(worker).clean_up() == rounds(worker).clean_up() == CleanupResult()
    seen_before(worker, 6.9 * DAY)
    assert rounds(worker).clean_up() == CleanupResult()
    seen_before(worker, 0.2 * DAY)
    assert rounds(worker).clean_up().orphan_chunks == 1
    assert "stray0" not in worker.index.kept
    assert len(worker.index.kept) > 1


def test_a_version_that_went_and_came_again_is_kept_for_days_again(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    stray_points(worker)
    rounds(worker).clean_up()
    seen_before(worker, 8 * DAY)
    worker.index.delete_version("ann", "unknown0")
    rounds(worker).clean_up()
    stray_points(worker)
    assert rounds(worker).clean_up() == CleanupResult()


def test_files_that_nobody_recorded_are_put_aside_when_they_are_old_and_listed(worker: WorkerFixture) -> None:
    document = ready(worker, book(1), "a.md")
    RecordTables(worker.blobs).save("unknown", parsed_from("id,name\n1,Ann\n2,Bob", "text/csv"))
    worker.texts.save("unknown", "text", title=None, chunks=())
    strays = {
        "original/ab/forgotten",
        *(k for f in ("text", "tables") for k in worker.blobs.iter_keys(f) if "unknown" in k),
    }
    worker.blobs.put("original/ab/forgotten", b"bytes")
    worker.blobs.put("original/ab/arriving", b"bytes")
    kept = worker.catalog.load_document("ann", document).version.blob_key
    for key in (*strays, kept):
        age(worker.blobs.resolve_path(key))
    assert rounds(worker).clean_up() == CleanupResult(put_aside=len(strays))
    assert worker.blobs.read("original/ab/arriving") == b"bytes"
    assert worker.blobs.read(kept)
    with pytest.raises(KeyError):
        worker.blobs.read("original/ab/forgotten")
    assert set(Quarantine(worker.blobs).load_quarantine_dates()) == strays
    (manifest,) = worker.blobs.resolve_path("quarantine").glob("*/manifest-*.jsonl")
    assert manifest.read_text().count('"key"') == len(strays)


def test_what_was_put_aside_goes_after_its_days(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    worker.blobs.put("original/ab/forgotten", b"bytes")
    age(worker.blobs.resolve_path("original/ab/forgotten"))
    rounds(worker).clean_up()
    days_before(worker, 7)
    assert rounds(worker).clean_up() == CleanupResult()
    days_before(worker, 8)
    assert rounds(worker).clean_up() == CleanupResult(files=1)
    assert Quarantine(worker.blobs).load_quarantine_dates() == {}


def test_what_is_aside_and_belongs_to_a_document_comes_back_even_after_its_days(worker: WorkerFixture) -> None:
    document = ready(worker, book(1), "a.md")
    version = worker.catalog.load_document("ann", document).version
    text = worker.texts.read(version.id)
    keys = [version.blob_key, *worker.blobs.iter_keys("text")]
    Quarantine(worker.blobs).quarantine_files(keys)
    days_before(worker, 30)
    assert rounds(worker).clean_up() == CleanupResult(put_back=len(keys))
    assert worker.texts.read(version.id) == text
    assert worker.blobs.read(version.blob_key) == book(1).encode()


def test_a_round_that_would_put_aside_a_large_share_touches_nothing_and_says_so(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    for number in range(11):
        worker.blobs.put(f"original/ab/{number}", b"bytes")
        age(worker.blobs.resolve_path(f"original/ab/{number}"))
    worker.blobs.put("incoming/left", b"half")
    age(worker.blobs.resolve_path("incoming/left"))
    done = rounds(worker).clean_up()
    assert "11 of 12 originals" in done.stopped
    assert (done.files, done.put_aside, done.orphan_chunks) == (0, 0, 0)
    assert worker.record.load_notices()[NOTICE_NAME] == done.stopped
    assert worker.blobs.read("incoming/left") == b"half"
    assert rounds(worker, share=1.0).clean_up() == CleanupResult(files=1, put_aside=11)
    assert worker.record.load_notices() == {}


def test_a_round_that_finds_many_unknown_versions_in_the_index_touches_nothing(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    stray_points(worker, 11)
    assert "11 of 12 versions in the index" in rounds(worker, quarantine_days=0).clean_up().stopped
    assert UnusedContent(worker.engine).load_first_seen_times() == {}
    assert "stray10" in worker.index.kept


def test_a_large_share_is_not_put_aside_little_by_little(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    for batch in range(2):
        for number in range(6):
            worker.blobs.put(f"original/ab/{batch}-{number}", b"bytes")
            age(worker.blobs.resolve_path(f"original/ab/{batch}-{number}"))
        stopped = rounds(worker).clean_up().stopped
        assert bool(stopped) == bool(batch), stopped


def test_a_round_between_parts_of_two_installations_touches_nothing(worker: WorkerFixture) -> None:
    ready(worker, book(1), "a.md")
    worker.blobs.put("original/ab/forgotten", b"bytes")
    age(worker.blobs.resolve_path("original/ab/forgotten"))
    worker.blobs.resolve_path(MARK_FILE).write_text("another")
    assert "installation another" in rounds(worker).clean_up().stopped
    assert worker.blobs.read("original/ab/forgotten") == b"bytes"
