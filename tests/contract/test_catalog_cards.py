"""The catalog's cards: recorded with a version, added to versions of earlier releases, and gone with the document."""

import io
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, delete, insert, select, update

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.db.schema import cards as card_table
from ingest.storage.documents.cards.records import CardDraft, LackingVersion, StoredCard
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import EmbedReport, IngestReport
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.copying import copy_catalog
from ingest.storage.operations.tenant_data import TenantData, TenantRemoval, remove_tenant_rows
from ingest.storage.queue.records import Job, JobKind
from tests.support.catalogs import accept, arrival, at_once, searchable
from tests.support.postgres import disposed

MAKER = "card-1/words"
FIRST = CardDraft(MAKER, "english", b"\x00\xff first words")
OTHER = CardDraft(MAKER, "german", b"andere")


def finish(jobs: Jobs, card: CardDraft | None = FIRST) -> Job:
    """Carry the next ingest job to its end, with a card."""
    (job,) = jobs.claim(JobKind.INGEST)
    assert jobs.finish_ingest([IngestReport(job, None, None, 4, 2, card=card)]) == []
    return job


def ingested(catalog: Catalog, jobs: Jobs, content: str, card: CardDraft | None = FIRST, tenant: str = "ann") -> str:
    """Accept a document and finish its ingest; returns its version."""
    version = accept(catalog, content, tenant=tenant).document.version.id
    assert finish(jobs, card).version_id == version
    return version


def rows(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(select(card_table.c.version_id)).scalars())


def find_document(catalog: Catalog, version: str) -> str:
    return next(each.id for each in catalog.list_documents("ann") if each.version.id == version)


def drafts(lacking: Sequence[LackingVersion], draft: CardDraft = FIRST) -> dict[LackingVersion, CardDraft]:
    return dict.fromkeys(lacking, draft)


def test_a_card_is_recorded_in_the_commit_that_makes_its_version_searchable(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)
    version = accept(catalog, "a").document.version.id
    assert (cards.load_cards([version], MAKER), cards.count_lacking(MAKER)) == ({}, 0)
    finish(jobs)
    assert cards.load_cards([version, "unknown"], MAKER) == {version: StoredCard("english", FIRST.terms)}
    assert cards.count_lacking(MAKER) == 0
    assert cards.load_cards([version], "card-2/words") == {}  # terms by other rules would be misread


def test_a_worker_that_lost_its_job_records_no_card(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    document = accept(catalog, "a").document
    (job,) = jobs.claim(JobKind.INGEST)
    catalog.delete_document("ann", document.id)
    assert jobs.finish_ingest([IngestReport(job, None, None, 4, 1, card=FIRST)]) == [job]
    assert rows(engine) == set()


def test_a_repeated_ingest_replaces_the_card(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    cards = Cards(engine)
    version = ingested(catalog, jobs, "a")
    jobs.requeue_ingest(version)
    assert cards.load_cards([version], MAKER) == {version: StoredCard("english", FIRST.terms)}
    finish(jobs, OTHER)
    assert cards.load_cards([version], MAKER) == {version: StoredCard("german", OTHER.terms)}


def test_many_cards_are_loaded_in_one_call(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    version = ingested(catalog, jobs, "a")
    unknown = [f"unknown-{number}" for number in range(40_000)]
    assert Cards(engine).load_cards([*unknown, version], MAKER).keys() == {version}


def test_versions_of_earlier_releases_are_listed_in_pages_counted_and_given_cards(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)
    for content in "abc":
        accept(catalog, content)
        searchable(jobs)
    ingested(catalog, jobs, "d")
    first, second, third = cards.list_lacking(MAKER, "", 10)
    assert first.document_id == find_document(catalog, first.version_id)
    assert cards.list_lacking(MAKER, "", 2) == [first, second]
    assert cards.list_lacking(MAKER, second.version_id, 2) == [third]
    assert cards.count_lacking(MAKER) == 3
    assert cards.add_missing(MAKER, drafts([first, third])) == 2
    assert cards.list_lacking(MAKER, "", 10) == [second]
    assert cards.count_lacking(MAKER) == 1


def test_versions_with_a_card_by_other_rules_lack_one_and_get_a_new_one(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)
    version = ingested(catalog, jobs, "a")
    (lacking,) = cards.list_lacking("card-2/words", "", 10)
    newer = CardDraft("card-2/words", "english", b"newer")
    assert cards.add_missing("card-2/words", {lacking: newer}) == 1
    assert cards.load_cards([version], "card-2/words") == {version: StoredCard("english", b"newer")}
    assert rows(engine) == {version}


def test_documents_without_a_text_and_deleted_and_replaced_ones_lack_no_card(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)

    def list_lacking() -> set[str]:
        return {each.version_id for each in cards.list_lacking(MAKER, "", 10)}

    accept(catalog, "waiting")
    jobs.claim(JobKind.INGEST)
    replaced, deleted = (accept(catalog, content).document for content in ("old", "gone"))
    searchable(jobs)
    searchable(jobs)
    assert list_lacking() == {replaced.version.id, deleted.version.id}
    catalog.delete_document("ann", deleted.id)
    newer = catalog.replace_document(arrival("new"), replaced.id, None).document.version.id
    assert list_lacking() == {replaced.version.id}
    finish(jobs, None)
    assert list_lacking() == {replaced.version.id, newer}
    for job in jobs.claim(JobKind.EMBED, limit=5):
        jobs.finish_embed([EmbedReport(job, 12, chunks_indexed=2)])
    assert list_lacking() == {newer}


def test_missing_cards_change_search_only_for_tenants_that_get_some(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)
    for tenant in ("ann", "bob"):
        accept(catalog, "a", tenant=tenant)
        searchable(jobs)
    lacking = {each.tenant_id: each for each in cards.list_lacking(MAKER, "", 10)}
    before = {tenant: catalog.load_corpus_version(tenant) for tenant in ("ann", "bob")}
    assert cards.add_missing(MAKER, drafts([lacking["ann"]])) == 1
    assert cards.add_missing(MAKER, {}) == 0
    after = {tenant: catalog.load_corpus_version(tenant) for tenant in ("ann", "bob")}
    assert after["ann"] > before["ann"]
    assert after["bob"] == before["bob"]


def test_a_document_that_was_deleted_in_the_meantime_gets_no_card(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    cards = Cards(engine)
    for content in "ab":
        accept(catalog, content)
        searchable(jobs)
    first, second = cards.list_lacking(MAKER, "", 10)
    catalog.delete_document("ann", first.document_id)
    assert cards.add_missing(MAKER, drafts([first, second])) == 1
    assert rows(engine) == {second.version_id}


def test_a_version_that_was_ingested_again_in_the_meantime_keeps_its_new_card(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)
    version = ingested(catalog, jobs, "a", None)
    (lacking,) = cards.list_lacking(MAKER, "", 10)
    jobs.requeue_ingest(version)
    finish(jobs, OTHER)
    assert cards.add_missing(MAKER, drafts([lacking])) == 0
    assert cards.load_cards([version], MAKER) == {version: StoredCard("german", OTHER.terms)}


def test_a_deletion_and_a_missing_card_at_once_leave_no_card(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    cards = Cards(engine)
    for number in range(10):
        document = accept(catalog, f"{number}").document
        searchable(jobs)
        lacking = cards.list_lacking(MAKER, "", 10)
        ends = at_once(
            partial(cards.add_missing, MAKER, drafts(lacking)), partial(catalog.delete_document, "ann", document.id)
        )
        assert ends[0] in (0, 1), ends
        assert not isinstance(ends[1], Exception), ends
        assert rows(engine) == set()


def test_a_card_is_deleted_with_its_document(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    version, other = (ingested(catalog, jobs, content) for content in "ab")
    catalog.delete_document("ann", find_document(catalog, version))
    assert rows(engine) == {other}


def test_a_card_is_deleted_when_the_content_of_its_version_is_removed(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    version, other = (ingested(catalog, jobs, content) for content in "ab")
    catalog.delete_derived_records(version)
    assert rows(engine) == {other}


def test_cards_of_documents_that_the_previous_release_removed_are_deleted(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    removed, kept, lost = (ingested(catalog, jobs, content) for content in "abc")
    with engine.begin() as connection:
        left = connection.execute(select(card_table).where(card_table.c.version_id == removed)).mappings().one()
        connection.execute(update(card_table).where(card_table.c.version_id == lost).values(version_id="removed"))
    catalog.delete_document("ann", find_document(catalog, removed))
    with engine.begin() as connection:  # the previous release knows nothing of cards
        connection.execute(insert(card_table).values(**left))
    assert Cards(engine).delete_orphans() == 2
    assert rows(engine) == {kept}


def test_the_card_of_a_version_that_the_previous_release_replaced_and_removed_is_deleted(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    old = ingested(catalog, jobs, "old")
    new = catalog.replace_document(arrival("new"), find_document(catalog, old), None).document.version.id
    finish(jobs)
    assert Cards(engine).delete_orphans() == 0  # the old version is searched until the new one is ready
    for job in jobs.claim(JobKind.EMBED, limit=5):
        jobs.finish_embed([EmbedReport(job, 12, chunks_indexed=2)])
    assert Cards(engine).delete_orphans() == 1
    assert rows(engine) == {new}


def test_cards_go_with_their_tenant(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    ingested(catalog, jobs, "a")
    theirs = ingested(catalog, jobs, "a", tenant="bob")
    assert remove_tenant_rows(engine, "nobody") == {}
    TenantData(engine).delete("ann")
    assert TenantRemoval(engine).run_removal_step()
    assert rows(engine) == {theirs}


def test_a_tenants_export_has_no_cards_because_they_are_made_from_its_documents(
    engine: Engine, catalog: Catalog, jobs: Jobs, tmp_path: Path
) -> None:
    blobs = DirectoryBlobs(tmp_path)
    document = accept(catalog, "a").document
    blobs.put("blob-a", b"the original")
    finish(jobs)
    file = io.BytesIO()
    counts = TenantData(engine).export("ann", file, blobs.iter_blocks)
    assert (counts["documents"], counts["originals"]) == (1, 1)
    with zipfile.ZipFile(file) as archive:
        assert "cards.jsonl" not in archive.namelist()
        assert document.id in archive.read("documents.jsonl").decode()


def test_a_backup_of_the_catalog_has_the_cards(engine: Engine, catalog: Catalog, jobs: Jobs, tmp_path: Path) -> None:
    version = ingested(catalog, jobs, "a")
    with disposed(open_database(build_sqlite_url(tmp_path / "copy.sqlite"))) as copy:
        copy_catalog(engine, copy)
        assert Cards(copy).load_cards([version], MAKER) == {version: StoredCard("english", FIRST.terms)}
        with engine.begin() as connection:
            connection.execute(delete(card_table))
        copy_catalog(copy, engine)
    assert Cards(engine).load_cards([version], MAKER) == {version: StoredCard("english", FIRST.terms)}
