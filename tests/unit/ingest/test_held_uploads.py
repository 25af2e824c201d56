"""Files that wait for the end of their request: what they take of quotas, and what becomes of them at the end."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.held_uploads import HeldUploads
from ingest.intake import Intake, UploadRequest
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.database import open_database
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import BacklogFullError, BatchNotFoundError, UploadError
from ingest.storage.quotas.records import Account, Quota, StorageQuotaExceededError
from ingest.storage.quotas.store import Quotas
from tests.support.catalogs import migrated_sqlite

REQUEST = UploadRequest("ann", "default", "unnamed")


class Kept:
    """An intake over a real catalog and real files; `waiting` documents are in its backlog."""

    def __init__(self, home: Path) -> None:
        self.engine = engine = open_database(migrated_sqlite(home / "catalog.sqlite"))
        self.catalog, self.quotas = Catalog(engine), Quotas(engine)
        self.catalog.ensure_tenant("ann")
        self.blobs = DirectoryBlobs(home / "blobs")
        self.intake = Intake(
            self.catalog,
            self.blobs,
            Batches(engine),
            max_bytes=1_000,
            backlog=lambda _: self.waiting,
            max_backlog=100,
            quotas=self.quotas,
        )
        self.waiting = 0

    @property
    def on_disk(self) -> int:
        return len(list((self.blobs.local_folder / "incoming").iterdir()))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.engine.dispose()


def outcomes(held: HeldUploads, description: UploadRequest = REQUEST) -> Iterator[str]:
    """The code of each refusal, or the collection of each document."""
    for _, outcome in held.accept_files(description):
        yield outcome.code if isinstance(outcome, UploadError) else outcome.document.collection


def hold(held: HeldUploads, *contents: bytes) -> None:
    for number, content in enumerate(contents):
        held.start_file(f"{number}.txt", "text/plain")
        held.write(content)
        held.finish_file()


def test_what_was_not_accepted_leaves_nothing(kept: Kept) -> None:
    with closing(HeldUploads(kept.intake, REQUEST)) as held:
        hold(held, b"one", b"two")
        held.start_file("3.txt", None)
        held.write(b"thr")
        assert kept.on_disk == 3
    assert kept.on_disk == 0
    assert kept.catalog.compute_state_totals("ann", None) == {}


def test_the_description_at_the_end_is_that_of_every_file(kept: Kept) -> None:
    with closing(HeldUploads(kept.intake, REQUEST)) as held:
        hold(held, b"one", b"", b"x" * 1_001, b"two")
        found = list(outcomes(held, replace(REQUEST, collection="staff")))
    assert found == ["staff", "empty_file", "file_too_large", "staff"]
    assert kept.on_disk == 0


def test_a_description_that_is_refused_accepts_none(kept: Kept) -> None:
    with closing(HeldUploads(kept.intake, REQUEST)) as held:
        hold(held, b"one", b"two")
        with pytest.raises(BatchNotFoundError):
            next(held.accept_files(replace(REQUEST, batch_id="none")))
    assert kept.on_disk == 0


def test_files_that_wait_take_room_of_the_quota_before_they_are_accepted(kept: Kept) -> None:
    """A form of many files could otherwise fill the disk with a thousand times what its tenant may keep."""
    kept.quotas.set_limits(Account("ann"), {Quota.BYTES: 100})
    with closing(HeldUploads(kept.intake, REQUEST)) as held:
        hold(held, b"a" * 60, b"b" * 60, b"c" * 40, b"d")
        sizes = sorted(each.stat().st_size for each in (kept.blobs.local_folder / "incoming").iterdir())
        refusals = [
            outcome for _, outcome in held.accept_files(REQUEST) if isinstance(outcome, StorageQuotaExceededError)
        ]
    assert sizes == [40, 60]
    assert len(refusals) == 2


def test_each_file_that_is_accepted_counts_in_the_backlog_of_the_next(kept: Kept) -> None:
    kept.waiting = 98
    with closing(HeldUploads(kept.intake, REQUEST)) as held:
        hold(held, b"one", b"two", b"three")
        found = []
        for _, outcome in held.accept_files(REQUEST):
            kept.waiting += 1
            found.append(type(outcome))
    assert found[2] is BacklogFullError
    assert BacklogFullError not in found[:2]
