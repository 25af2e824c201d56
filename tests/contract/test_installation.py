"""A catalog and a blob folder that belong together are tied by an id; those that do not are refused."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.schema import installation
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import InstallationMismatchError
from ingest.storage.operations.installation import (
    MARK_FILE,
    bind_installation,
    read_folder_marker,
    require_compatible_folder,
    require_same_installation,
)
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
    made = bind_installation(record, blobs)
    assert (
        made.id
        == record.load_id()
        == read_folder_marker(blobs.resolve_path(MARK_FILE).parent)
        == require_same_installation(record, blobs)
    )
    assert bind_installation(record, blobs).id == made.id


def test_processes_that_start_at_once_agree_on_the_id(record: InstallationRecord, blobs: DirectoryBlobs) -> None:
    made = at_once(*[lambda: bind_installation(record, blobs).id] * 6)
    assert set(made) == {record.load_id()}


def test_another_ones_blobs_are_refused_and_stay_another_ones(
    record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    ours = bind_installation(record, blobs).id
    blobs.resolve_path(MARK_FILE).write_text("another")
    said = f"installation {ours}.* installation another"
    with pytest.raises(InstallationMismatchError, match=said) as refused:
        bind_installation(record, blobs)
    assert "leadline installation adopt" in refused.value.hint
    with pytest.raises(InstallationMismatchError, match=said):
        require_compatible_folder(record, blobs.resolve_path(MARK_FILE).parent)
    with pytest.raises(InstallationMismatchError, match=said):
        require_same_installation(record, blobs)
    assert (record.load_id(), read_folder_marker(blobs.resolve_path(MARK_FILE).parent)) == (ours, "another")


def test_parts_from_a_release_without_ids_are_tied_if_the_catalog_knows_the_originals(
    engine: Engine, record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    stored(engine, blobs)
    blobs.put("original/ab/stray", b"of an upload that was never recorded")
    assert (
        bind_installation(record, blobs).id
        == record.load_id()
        == read_folder_marker(blobs.resolve_path(MARK_FILE).parent)
    )


def test_an_older_catalog_of_a_release_without_ids_takes_the_id_of_its_blobs(
    engine: Engine, record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    stored(engine, blobs)
    before = bind_installation(record, blobs).id
    forget_id(engine)
    assert bind_installation(record, blobs).id == before


def test_an_empty_catalog_is_not_put_before_full_blobs(record: InstallationRecord, blobs: DirectoryBlobs) -> None:
    blobs.put("original/ab/x", b"of another catalog")
    with pytest.raises(InstallationMismatchError, match="has none of the"):
        bind_installation(record, blobs)
    assert (record.load_id(), read_folder_marker(blobs.resolve_path(MARK_FILE).parent)) == (None, None)


def test_a_full_catalog_is_not_put_before_an_empty_folder(
    engine: Engine, record: InstallationRecord, blobs: DirectoryBlobs
) -> None:
    stored(engine, blobs)
    bind_installation(record, blobs)
    with pytest.raises(InstallationMismatchError, match="contains no originals"):
        bind_installation(record, DirectoryBlobs(blobs.resolve_path(MARK_FILE).parent / "not mounted"))


def test_notices_are_kept_until_they_are_withdrawn(record: InstallationRecord) -> None:
    record.record_notice("upkeep", "first")
    record.record_notice("upkeep", "second")
    assert record.load_notices() == {"upkeep": "second"}
    record.withdraw_notice("upkeep")
    record.withdraw_notice("upkeep")
    assert record.load_notices() == {}
