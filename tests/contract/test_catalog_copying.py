"""A catalog is copied as of one moment, from either database into an SQLite file and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.answers.run_records import RunRequest
from ingest.storage.answers.runs import Runs
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.db.schema import metadata
from ingest.storage.db.schema import runs as run_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.copying import copy_catalog
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.queue.records import JobKind
from ingest.storage.sealing import Sealing
from tests.support.catalogs import accept, embedded, searchable


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(build_sqlite_url(tmp_path / "copy.sqlite"))
    yield made
    made.dispose()


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in metadata.sorted_tables
        }


def test_every_row_is_copied_there_and_back_and_numbering_goes_on(
    engine: Engine, catalog: Catalog, jobs: Jobs, copy: Engine
) -> None:
    accept(catalog, "ünïcode 🐋")
    searchable(jobs)
    embedded(jobs)
    accept(catalog, "b", tenant="bob")
    ApiKeys(engine).issue_key("ann", "a key")
    before = rows(engine)
    assert copy_catalog(engine, copy) == sum(map(len, before.values()))
    assert rows(copy) == before
    catalog.delete_document("ann", catalog.list_documents("ann")[0].id)
    accept(catalog, "c")
    copy_catalog(copy, engine)
    assert rows(engine) == before
    later = accept(catalog, "d").document  # its job gets a number that no copied one has
    assert later.id in {job.document_id for job in jobs.claim(JobKind.INGEST, limit=10)}


def test_how_far_files_are_sealed_stays_with_the_files(engine: Engine, copy: Engine) -> None:
    InstallationRecord(engine).record_sealing(Sealing.BOUND)
    copy_catalog(engine, copy)
    assert InstallationRecord(copy).load_sealing() is Sealing.MIXED
    InstallationRecord(copy).record_sealing(Sealing.BINDING)
    copy_catalog(copy, engine)
    assert InstallationRecord(engine).load_sealing() is Sealing.BOUND


def test_an_absent_value_stays_absent(engine: Engine, copy: Engine) -> None:
    Runs(engine).create(RunRequest("ann", "Where is land?"))
    copy_catalog(engine, copy)
    with copy.connect() as connection:
        assert connection.execute(select(run_rows.c.id).where(run_rows.c.answer.is_(None))).all()


def test_what_is_committed_after_the_copy_began_is_not_in_it(engine: Engine, catalog: Catalog, copy: Engine) -> None:
    accept(catalog, "a")
    more = (f"{number}" for number in range(1_000))

    def go_on(done: int, total: int) -> None:
        accept(catalog, next(more))

    copy_catalog(engine, copy, go_on)
    assert [row[0] for row in rows(copy)["documents"]] == [catalog.list_documents("ann")[0].id]
    assert len({row[0] for row in rows(copy)["versions"]}) == 1
    assert len(rows(engine)["documents"]) > 1
