"""A catalog and a blob folder that belong together are tied by an id; those that do not are refused."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.schema import installation
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import InstallationMismatchError
from ingest.storage.operations.installation import MARK, read_mark, refuse_foreign, require_tied, tie
from ingest.storage.operations.installation_record import InstallationRecord
from tests.support.catalogs import accept, at_once


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
def record(engine: Engine) -> InstallationRecord:
    return InstallationRecord(engine)


def forget_id(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(installation))


def stored(engine: Engine, blobs: DirectoryBlobs, content: str = "a") -> None:
    key = f"original/ab/{content}"
    accept(Catalog(engine), content, blob=key)
    blobs.put(key, content.encode())


def test_a_new_installation_gets_one_id_for_all_its_parts(record: InstallationRecord, blobs: DirectoryBlobs) -> None:
    made = tie(record, blobs)
    assert made.id == record.id() == read_mark(blobs.path(MARK).parent) == require_tied(record, blobs)
    assert tie(record, blobs).id == made.id


def test_processes_that_start_at_once_agree_on_the_id(record: InstallationRecord, blobs: DirectoryBlobs) -> None:
    made = at_once(*[lambda: tie(record, blobs).id] * 6)
    assert set(made) == {record.id()}


def test_another_ones_blobs_are_refused_and_stay_another_ones(
    record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    ours = tie(record, blobs).id
    blobs.path(MARK).write_text("another")
    said = f"installation {ours}.* installation another"
    with pytest.raises(InstallationMismatchError, match=said) as refused:
        tie(record, blobs)
    assert "leadline installation adopt" in refused.value.hint
    with pytest.raises(InstallationMismatchError, match=said):
        refuse_foreign(record, blobs.path(MARK).parent)
    with pytest.raises(InstallationMismatchError, match=said):
        require_tied(record, blobs)
    assert (record.id(), read_mark(blobs.path(MARK).parent)) == (ours, "another")


def test_parts_from_a_release_without_ids_are_tied_if_the_catalog_knows_the_originals(
    engine: Engine, record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    stored(engine, blobs)
    blobs.put("original/ab/stray", b"of an upload that was never recorded")
    assert tie(record, blobs).id == record.id() == read_mark(blobs.path(MARK).parent)


def test_an_older_catalog_of_a_release_without_ids_takes_the_id_of_its_blobs(
    engine: Engine, record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    stored(engine, blobs)
    before = tie(record, blobs).id
    forget_id(engine)
    assert tie(record, blobs).id == before


def test_an_empty_catalog_is_not_put_before_full_blobs(record: InstallationRecord, blobs: DirectoryBlobs) -> None:
    blobs.put("original/ab/x", b"of another catalog")
    with pytest.raises(InstallationMismatchError, match="knows none"):
        tie(record, blobs)
    assert (record.id(), read_mark(blobs.path(MARK).parent)) == (None, None)


def test_a_full_catalog_is_not_put_before_an_empty_folder(
    engine: Engine, record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    stored(engine, blobs)
    tie(record, blobs)
    with pytest.raises(InstallationMismatchError, match="holds no original"):
        tie(record, DirectoryBlobs(blobs.path(MARK).parent / "not mounted"))


def test_notices_are_kept_until_they_are_withdrawn(record: InstallationRecord) -> None:
    record.notice("upkeep", "first")
    record.notice("upkeep", "second")
    assert record.notices() == {"upkeep": "second"}
    record.withdraw_notice("upkeep")
    record.withdraw_notice("upkeep")
    assert record.notices() == {}
