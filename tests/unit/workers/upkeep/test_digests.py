"""Upkeep adds digests to versions of earlier releases, a little at a time."""

from pathlib import Path

import pytest
from sqlalchemy import delete

from ingest.storage.db.schema import content_digests
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.errors import ContentChangedError, TextLostError
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from tests.support.books import book
from tests.support.worker_fixture import WorkerFixture
from workers.upkeep.digests import DigestFiller

TABLE = "id,name\n1,Ann\n2,Bob\n"


class Clock:
    """Each look takes `step` seconds."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def of_earlier_release(worker: WorkerFixture, *texts: tuple[str, str]) -> list[str]:
    """Versions that are ready, and have no digests."""
    made = [worker.upload(text, name).version.id for text, name in texts]
    worker.work_off()
    with worker.engine.begin() as connection:
        connection.execute(delete(content_digests))
    return made


def test_digests_are_added_to_every_text_map_and_table_and_then_compared(worker: WorkerFixture) -> None:
    text, table = of_earlier_release(worker, (book(1), "a.md"), (TABLE, "people.csv"))
    digests = ContentDigests(worker.engine)
    assert DigestFiller(digests, worker.blobs).run_step(10) == 2
    assert digests.count_undigested_versions() == 0
    assert set(digests.load_digests([table])[table]) == {
        "text.txt",
        "text.json",
        "tables.json",
        "tables.profiles.json",
        "tables.0.parquet",
    }
    texts, tables = Texts(worker.blobs, digests), RecordTables(worker.blobs, digests)
    assert texts.read(text) == worker.texts.read(text)
    assert tables.load_rows(table, 0, [1])[0].values[1] == "Ann"
    path = worker.blobs.resolve_path(f"tables/{table[:2]}/{table}.0.parquet")
    path.write_bytes(path.read_bytes().replace(b"Ann", b"Eve"))
    with pytest.raises(ContentChangedError, match="table of document"):
        tables.load_rows(table, 0, [1])
    worker.blobs.resolve_path(f"text/{text[:2]}/{text}.txt").unlink()
    with pytest.raises(TextLostError):
        texts.read(text)


def test_a_step_takes_about_as_long_as_it_may_and_the_next_one_goes_on(worker: WorkerFixture) -> None:
    of_earlier_release(worker, *((book(number), f"{number}.md") for number in range(5)))
    digests = ContentDigests(worker.engine)
    clock = Clock(step=1.0)
    filler = DigestFiller(digests, worker.blobs, clock=clock)
    left = []
    while filler.run_step(3):
        left.append(digests.count_undigested_versions())
    assert len(left) > 1
    assert left[-1] == 0


def test_a_text_that_is_missing_gets_no_digest_and_holds_up_no_other(worker: WorkerFixture) -> None:
    versions = of_earlier_release(worker, *((book(number), f"{number}.md") for number in range(3)))
    lost = sorted(versions)[0]
    worker.blobs.resolve_path(f"text/{lost[:2]}/{lost}.txt").unlink()
    digests = ContentDigests(worker.engine)
    assert DigestFiller(digests, worker.blobs).run_step(10) == 2
    assert [each.version_id for each in digests.list_undigested_versions("", 10)] == [lost]


def test_when_nothing_lacks_digests_the_catalog_is_not_asked_again_for_an_hour(worker: WorkerFixture) -> None:
    digests, clock = ContentDigests(worker.engine), Clock()
    filler = DigestFiller(digests, worker.blobs, clock=clock)
    assert filler.run_step(1) == 0
    of_earlier_release(worker, (book(1), "a.md"))
    clock.now += 3_000
    assert filler.run_step(1) == 0
    clock.now += 700
    clock.step = 0.1
    assert filler.run_step(1) == 1


def test_the_digests_of_a_new_version_are_there_when_it_is_searchable(worker: WorkerFixture, tmp_path: Path) -> None:
    document = worker.upload(TABLE, "people.csv")
    worker.work_off()
    found = ContentDigests(worker.engine).load_digests([document.version.id])[document.version.id]
    assert {"text.txt", "text.json", "tables.json", "tables.0.parquet"} <= found.keys()


def test_digests_go_with_the_document(worker: WorkerFixture) -> None:
    document = worker.upload(TABLE, "people.csv")
    worker.work_off()
    worker.deleter.delete_document("ann", document.id)
    assert ContentDigests(worker.engine).load_digests([document.version.id]) == {}
