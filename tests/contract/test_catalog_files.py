"""Files without a collection, and collections as rows, on each database."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.records import Principal, Role, Scope
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collection_records import CollectionSettings
from ingest.storage.documents.collections import Collections
from ingest.storage.errors import (
    CollectionNotFoundError,
    NameTakenError,
    PreconditionFailedError,
    StoredFileNotFoundError,
)
from ingest.storage.operations.copying import CatalogCopies
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.uploads.files import FileRemoval, Files
from tests.support.catalogs import RemovedBlobs, accept, arrival, stored

ANN = Principal("ann", "x", "ann", user=None, scopes=frozenset({Scope.READ, Scope.WRITE}))
OTHER = replace(ANN, key_id="y")


def test_bytes_of_a_file_are_known_to_upkeep_and_backups_until_they_are_removed(engine: Engine) -> None:
    files, removed = Files(engine), RemovedBlobs()
    files.add(stored("file-1"))
    assert UnusedContent(engine).select_unknown_originals({"blob-of-file-1", "blob-never"}) == {"blob-never"}
    assert "blob-of-file-1" in {each.key for each in CatalogCopies(engine).list_files({})}
    removal = FileRemoval(engine, removed.remove)
    assert (removal.remove_deleted_files(), removed.keys) == (0, [])
    files.delete("ann", "file-1")
    with pytest.raises(StoredFileNotFoundError):
        files.load_file(ANN, "file-1")
    with pytest.raises(StoredFileNotFoundError):
        files.delete("ann", "file-1")
    assert "blob-of-file-1" not in {each.key for each in CatalogCopies(engine).list_files({})}
    assert (removal.remove_deleted_files(), removed.keys, removal.remove_deleted_files()) == (1, ["blob-of-file-1"], 0)


def test_a_file_is_its_owners_until_a_document_is_made_of_it(engine: Engine, catalog: Catalog) -> None:
    files = Files(engine)
    files.add(stored("file-1"))
    assert files.load_file(ANN, "file-1").name == "a.txt"
    for stranger in (OTHER, replace(ANN, tenant_id="bob")):
        with pytest.raises(StoredFileNotFoundError):
            files.load_file(stranger, "file-1")
        assert files.list_files(stranger) == []
    Collections(engine).create("ann", "open", CollectionSettings())
    document = catalog.accept_upload(replace(arrival(collection="open"), file_id="file-1")).document
    assert files.load_file(OTHER, "file-1").id == "file-1"
    assert [each.id for each in files.list_files(OTHER)] == ["file-1"]  # once, and not as a document besides
    assert files.load_document_files("ann", [document.id])[document.id].id == "file-1"
    assert files.find_document(OTHER, "open", "file-1") == document.id
    Grants(engine).grant_role("ann", "open", "user:eve", Role.READER)
    with pytest.raises(StoredFileNotFoundError):
        files.load_file(OTHER, "file-1")
    assert files.find_document(OTHER, "open", "file-1") is None


def test_no_document_is_made_of_a_file_or_in_a_collection_that_is_not_there(engine: Engine, catalog: Catalog) -> None:
    Files(engine).add(stored("file-1"))
    of_file = replace(arrival(collection="new"), file_id="file-1")
    with pytest.raises(CollectionNotFoundError):
        catalog.accept_upload(of_file)
    Collections(engine).create("ann", "new", CollectionSettings())
    Files(engine).delete("ann", "file-1")
    with pytest.raises(StoredFileNotFoundError):
        catalog.accept_upload(of_file)
    assert catalog.list_documents("ann") == []


def test_the_same_bytes_sent_as_an_upload_and_as_files_are_documents_apart(engine: Engine, catalog: Catalog) -> None:
    upload = accept(catalog).document
    for number in (1, 2):
        Files(engine).add(stored(f"file-{number}"))
    made = [catalog.accept_upload(replace(arrival(), file_id=f"file-{number}")) for number in (1, 2, 1)]
    assert [each.created for each in made] == [True, True, False]
    assert len({upload.id, *(each.document.id for each in made)}) == 3
    assert not accept(catalog).created


def test_files_and_documents_are_listed_together_by_age(engine: Engine, catalog: Catalog) -> None:
    for number in (3, 1, 2):
        Files(engine).add(replace(stored(f"file-{number}"), created_at=float(number)))
    document = accept(catalog).document.id  # now
    files = Files(engine)
    ids = [each.id for each in files.list_files(ANN)]
    assert ids == [document, "file-3", "file-2", "file-1"]
    assert [each.id for each in files.list_files(ANN, newest_first=False)] == ids[::-1]
    assert [each.id for each in files.list_files(ANN, after_id="file-3")] == ["file-2", "file-1"]
    assert [each.id for each in files.list_files(ANN, after_id=document, limit=1)] == ["file-3"]
    assert [each.id for each in files.list_files(ANN, newest_first=False, after_id="file-3")] == [document]
    with pytest.raises(StoredFileNotFoundError):
        files.list_files(ANN, after_id="file-9")


def test_a_collection_is_there_from_its_first_upload_grant_or_creation_until_it_is_deleted(
    engine: Engine, catalog: Catalog
) -> None:
    collections = Collections(engine)
    accept(catalog, collection="uploaded")
    Grants(engine).grant_role("ann", "granted", "user:eve", Role.READER)
    made = collections.create("ann", "made", CollectionSettings("Made", "For a test.", "direct", {"a": 1}))
    assert [each.name for each in collections.list_collections("ann")] == ["granted", "made", "uploaded"]
    assert collections.list_collections("bob") == []
    assert [each.name for each in collections.list_collections("ann", readers=frozenset())] == ["made", "uploaded"]
    assert [each.name for each in collections.list_collections("ann", order="oldest", after="uploaded")] == [
        "granted",
        "made",
    ]
    assert [each.name for each in collections.list_collections("ann", order="newest", before="uploaded", limit=1)] == [
        "granted"
    ]
    with pytest.raises(NameTakenError):
        collections.create("ann", "uploaded", CollectionSettings())
    assert collections.find_default_strategy("ann", "made") == "direct"
    changed = collections.change("ann", "made", CollectionSettings("Other"), {made.tag})
    with pytest.raises(PreconditionFailedError):
        collections.change("ann", "made", CollectionSettings("Late"), {made.tag})
    assert (changed.settings.title, changed.revision) == ("Other", 1)
    before = catalog.load_corpus_version("ann")
    receipt = collections.delete("ann", "uploaded", owner="key:x")
    assert (receipt.documents, receipt.versions, receipt.collected) == (1, 1, False)
    assert catalog.load_corpus_version("ann") > before
    assert collections.load_deletion("ann", "uploaded", owner="key:x") == receipt
    with pytest.raises(CollectionNotFoundError):
        collections.load_deletion("ann", "uploaded", owner="key:y")
    with pytest.raises(CollectionNotFoundError):
        collections.load_collection("ann", "uploaded")
    with pytest.raises(CollectionNotFoundError):
        collections.delete("ann", "uploaded", owner="key:x")
    assert catalog.list_documents("ann") == []
    again = collections.create("ann", "made-again", CollectionSettings())
    assert collections.delete("ann", "made-again", owner="key:x").documents == 0
    assert collections.create("ann", "made-again", CollectionSettings()).tag != again.tag


def test_a_large_collection_is_deleted_in_steps_and_with_all_its_documents(
    engine: Engine, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.storage.documents.collections._DELETED_AT_ONCE", 2)
    for number in range(5):
        accept(catalog, f"{number}", collection="large")
    kept = accept(catalog, "kept").document
    assert Collections(engine).delete("ann", "large", owner="key:x").documents == 5
    assert [each.id for each in catalog.list_documents("ann")] == [kept.id]
