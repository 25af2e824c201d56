"""The index learns the readers of documents, also those that change while it is written to."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document, DocumentChange
from ingest.storage.jobs.jobs import Jobs
from retrieval.encoders.port import HashingEmbedder
from retrieval.errors import IndexUnavailableError
from tests.support.catalogs import arrive, migrated_sqlite, searchable
from tests.support.fixed_generation import FixedGeneration
from tests.support.memory_index import MemoryIndex
from tests.support.postgres import disposed
from workers.tasks.access import ReaderSync, write_permissions_of_new_points

EVE, BOB = frozenset({"user:eve"}), frozenset({"user:bob"})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with disposed(open_database(migrated_sqlite(tmp_path / "catalog.sqlite"))) as engine:
        Catalog(engine).ensure_tenant("ann")
        yield engine


class Interrupted(MemoryIndex):
    """Somebody changes the document just before each of the first writes arrives."""

    def __init__(self, catalog: Catalog, changes: list[frozenset[str] | None]) -> None:
        super().__init__()
        self._catalog, self._changes = catalog, changes

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        if self._changes:
            close(self._catalog, self._catalog.list_documents("ann")[0], self._changes.pop(0))
        super().set_readers(tenant_id, version_id, readers)


def close(catalog: Catalog, document: Document, readers: frozenset[str] | None) -> Document:
    change = DocumentChange(readers=readers, changed=frozenset({"readers"}))
    return catalog.change_document("ann", document.id, change, None)


def test_the_index_ends_with_the_readers_of_the_last_change(engine: Engine) -> None:
    catalog = Catalog(engine)
    document = arrive(catalog)
    searchable(Jobs(engine))
    index = Interrupted(catalog, [BOB, EVE])
    close(catalog, document, BOB)
    assert ReaderSync(catalog, FixedGeneration(index, HashingEmbedder())).sync_document(document.id)
    assert index.readers == {("ann", document.version.id): EVE}
    assert catalog.list_unsynced_readers() == []


def test_points_written_while_a_document_is_closed_are_closed_before_they_are_found(engine: Engine) -> None:
    catalog = Catalog(engine)
    document = arrive(catalog)
    pair = [(document.id, document.version.id)]
    index = Interrupted(catalog, [EVE])
    write_permissions_of_new_points(catalog, index, pair)
    assert index.readers == {}
    close(catalog, document, BOB)
    write_permissions_of_new_points(catalog, index, pair)
    assert index.readers == {("ann", document.version.id): EVE}


def test_an_index_that_was_away_gets_the_readers_when_it_is_back(engine: Engine) -> None:
    catalog, index = Catalog(engine), MemoryIndex()
    document = arrive(catalog)
    writer = ReaderSync(catalog, FixedGeneration(index, HashingEmbedder()))

    def away(name: str) -> None:
        raise IndexUnavailableError("The index is away.")

    index.fault = away
    close(catalog, document, EVE)
    assert not writer.sync_document(document.id)
    assert catalog.list_unsynced_readers() == [document.id]
    index.fault = lambda _: None
    assert writer.sync_all_documents() == 1
    assert index.readers == {("ann", document.version.id): EVE}
    assert (catalog.list_unsynced_readers(), writer.sync_all_documents()) == ([], 0)
