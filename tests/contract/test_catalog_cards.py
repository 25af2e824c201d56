"""The catalog's cards: recorded with a version, added to versions of earlier releases, and gone with the document."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.db.schema import card_edits, card_values
from ingest.storage.db.schema import cards as card_table
from ingest.storage.db.schema import documents as document_table
from ingest.storage.documents.attributes import build_metadata_conditions
from ingest.storage.documents.cards.records import (
    CardDraft,
    CardField,
    CardFields,
    CardLayer,
    FacetCount,
    LackingVersion,
    StoredCard,
)
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.cards.values import count_facets
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import DocumentChange, EmbedReport, IngestReport
from ingest.storage.errors import DocumentNotFoundError, MetadataError, PreconditionFailedError
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


REPORT = CardDraft(
    MAKER,
    "english",
    b"",
    CardFields(periods=("2023",), version="2"),
    CardFields(kind="report", subjects=("Acme", "Borealis"), periods=("2023-Q1",), dates=("2022-12-31",)),
)
LETTER = CardDraft(MAKER, "english", b"", CardFields(), CardFields(kind="letter", subjects=("Acme",)))


def finish_embedding(jobs: Jobs) -> None:
    for job in jobs.claim(JobKind.EMBED, limit=5):
        jobs.finish_embed([EmbedReport(job, 12, chunks_indexed=2)])


def count(
    engine: Engine, *names: CardField, readers: frozenset[str] | None = None, identifiers: Sequence[str] = ()
) -> dict[str, dict[str, int]]:
    found = count_facets(engine, "ann", DocumentFilter(identifiers=identifiers), readers, names)
    return {name: {each.value: each.documents for each in counts} for name, counts in found.items()}


def match(engine: Engine, filters: dict[str, Any], *, by_document: bool = False) -> set[str]:
    conditions = build_metadata_conditions("ann", parse_conditions(filters), by_document=by_document)
    with engine.connect() as connection:
        return set(connection.execute(select(document_table.c.id).where(*conditions)).scalars())


def list_times(catalog: Catalog) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(each.periods, each.dates) for each in catalog.list_active_documents("ann")]


def test_a_card_has_the_fields_of_its_layers_and_the_title_of_its_document(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    version = ingested(catalog, jobs, "a", REPORT)
    document, cards = find_document(catalog, version), Cards(engine)
    card = cards.load_document_cards("ann", [document, "unknown"])[document]
    assert (card.document_id, card.version_id, card.revision, card.tag) == (document, version, 0, version)
    assert card.fields == replace(REPORT.rules, version="2")
    assert (card.origins[CardField.PERIODS], card.origins[CardField.VERSION]) == (CardLayer.RULES, CardLayer.SOURCE)
    assert card.layers[CardLayer.SOURCE].periods == ("2023",)
    assert cards.load_document_cards("bob", [document]) == {}
    catalog.change_document("ann", document, DocumentChange(title="Mine", changed=frozenset({"title"})), None)
    card = cards.load_document_cards("ann", [document])[document]
    assert (card.fields.title, card.origins[CardField.TITLE], card.revision) == ("Mine", CardLayer.PERSON, 1)


def test_a_card_is_loaded_and_changed_only_for_readers_of_its_document(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cards = Cards(engine)
    catalog.ensure_tenant("ann")
    closed = catalog.accept_upload(replace(arrival("a"), readers=frozenset({"user:bob"}))).document.id
    finish(jobs, REPORT)
    eve = Principal("ann", "k", "eve", user="eve")
    assert cards.load_document_cards("ann", [closed], readers=eve.readers) == {}
    assert cards.load_document_cards("ann", [closed], readers=frozenset({"user:bob"})).keys() == {closed}
    with pytest.raises(DocumentNotFoundError):
        cards.change_card("ann", closed, {"kind": "open"}, caller=eve)
    assert count(engine, CardField.KIND, readers=eve.readers) == {"kind": {}}
    assert count(engine, CardField.KIND) == {"kind": {"report": 1}}


def test_what_a_person_edits_survives_a_new_version_and_comes_before_its_fields(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    document, cards = find_document(catalog, ingested(catalog, jobs, "a", REPORT)), Cards(engine)
    finish_embedding(jobs)
    before = catalog.load_corpus_version("ann")
    ann = Principal("ann", "k", "ann", user="ann")
    changed = cards.change_card("ann", document, {"kind": "annual report", "periods": ["2022"]}, caller=ann)
    assert catalog.load_corpus_version("ann") > before
    assert (changed.fields.kind, changed.fields.periods, changed.revision) == ("annual report", ("2022",), 1)
    catalog.replace_document(arrival("new"), document, None)
    finish(jobs, LETTER)
    assert list_times(catalog) == [(("2022",), ("2022-12-31",))]  # the new version is not active yet
    assert match(engine, {"$card": {"subjects": "Borealis"}}) == {document}
    finish_embedding(jobs)
    card = cards.load_document_cards("ann", [document])[document]
    assert card.fields == CardFields(kind="annual report", subjects=("Acme",), periods=("2022",))
    assert card.origins[CardField.SUBJECTS] is CardLayer.RULES
    assert list_times(catalog) == [(("2022",), ())]
    assert match(engine, {"$card": {"subjects": "Borealis"}}) == set()
    entry = Audit(engine).list_latest(AuditFilter("ann", action=Action.DOCUMENT_CHANGED))[0]
    assert entry.details == {"card": ["kind", "periods"]}


def test_a_change_needs_the_current_tag_and_a_valid_value(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    document, cards = find_document(catalog, ingested(catalog, jobs, "a", REPORT)), Cards(engine)
    first = cards.change_card("ann", document, {"title": "Mine", "subjects": []})
    assert first.tag == catalog.load_document("ann", document).tag
    assert (catalog.load_document("ann", document).title, first.fields.subjects) == ("Mine", ())
    with pytest.raises(PreconditionFailedError):
        cards.change_card("ann", document, {"kind": "x"}, if_match=[f"{first.version_id}"])
    with pytest.raises(MetadataError):
        cards.change_card("ann", document, {"dates": ["soon"]}, if_match=[first.tag])
    assert cards.load_document_cards("ann", [document])[document] == first
    second = cards.change_card("ann", document, {"title": None, "subjects": None}, if_match=[first.tag])
    assert (second.fields.title, second.fields.subjects) == (None, ("Acme", "Borealis"))
    with engine.connect() as connection:
        assert connection.execute(select(card_edits)).first() is None


def test_searches_get_the_words_that_people_and_models_wrote(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    version = ingested(catalog, jobs, "a", REPORT)
    document, cards = find_document(catalog, version), Cards(engine)
    assert cards.load_cards([version], MAKER)[version].written == ""
    with engine.begin() as connection:
        model = {"title": "Annual report", "subjects": ["Zephyr"], "kind": "report", "language": "en"}
        connection.execute(update(card_table).values(model=model))
    assert cards.load_cards([version], MAKER)[version].written == "Annual report\nreport\nZephyr"
    cards.change_card("ann", document, {"subjects": ["Merle", "Aurora"], "periods": ["2023-Q1"]})
    assert cards.load_cards([version], MAKER)[version].written.split("\n") == [
        "Annual report",
        "report",
        "Merle",
        "Aurora",
        "2023-Q1",
    ]
    cards.change_card("ann", document, {"title": "Mine", "subjects": None, "periods": None})
    assert cards.load_cards([version], MAKER)[version].written == "report\nZephyr", "searches know the document's title"


@pytest.mark.parametrize("by_document", [False, True])
def test_filters_select_documents_by_the_values_on_their_cards(
    engine: Engine, catalog: Catalog, jobs: Jobs, by_document: bool
) -> None:
    report = find_document(catalog, ingested(catalog, jobs, "a", REPORT))
    letter = find_document(catalog, ingested(catalog, jobs, "b", LETTER))
    ingested(catalog, jobs, "a", REPORT, tenant="bob")

    def select_documents(filters: dict[str, Any]) -> set[str]:
        return match(engine, filters, by_document=by_document) & {report, letter}

    assert select_documents({"$card": {"subjects": "Acme"}}) == {report, letter}
    assert (
        select_documents({"$card": {"kind": "Report"}}) == select_documents({"$card": {"kind": ["REPORT"]}}) == {report}
    )
    assert select_documents({"$card": {"kind": {"not": "Letter"}, "periods": "2023-Q1"}}) == {report}
    assert select_documents({"$card": {"subjects": "Acme", "kind": {"not": "letter"}}}) == {report}
    assert select_documents({"$card": {"periods": {"gte": 2023}}}) == {report}
    assert select_documents({"$card": {"periods": {"gte": 2024}}}) == set()
    assert select_documents({"$card": {"dates": {"gte": "2022-12-01", "lt": "2023-01-01"}}}) == {report}
    assert select_documents({"$any": [{"$card": {"kind": "letter"}}, {"$card": {"version": "2"}}]}) == {report, letter}


def test_facets_count_the_listed_documents_by_value(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    report, _ = (ingested(catalog, jobs, content, card) for content, card in (("a", REPORT), ("b", LETTER)))
    assert count(engine, CardField.SUBJECTS, CardField.KIND) == {
        "subjects": {"Acme": 2, "Borealis": 1},
        "kind": {"letter": 1, "report": 1},
    }
    assert count(engine, CardField.KIND, identifiers=[find_document(catalog, report)]) == {"kind": {"report": 1}}
    found = count_facets(engine, "ann", DocumentFilter(), None, [CardField.SUBJECTS], limit=1)
    assert found == {CardField.SUBJECTS: [FacetCount("Acme", 2)]}


def test_a_cancelled_document_has_no_values_and_a_deleted_one_no_edits(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    cancelled, deleted = (find_document(catalog, ingested(catalog, jobs, each, REPORT)) for each in "ab")
    for document in (cancelled, deleted):
        Cards(engine).change_card("ann", document, {"kind": "mine"})
    catalog.cancel_latest_version("ann", cancelled)
    assert match(engine, {"$card": {"kind": "mine"}}) == {deleted}
    catalog.delete_document("ann", deleted)
    with engine.connect() as connection:
        assert connection.execute(select(card_values)).all() == []
        assert connection.execute(select(card_edits.c.document_id)).scalars().all() == [cancelled]


def test_edits_and_values_that_the_previous_release_left_behind_are_deleted(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    document = find_document(catalog, ingested(catalog, jobs, "a", REPORT))
    Cards(engine).change_card("ann", document, {"kind": "mine"})
    tables = (card_edits, card_values)
    with engine.begin() as connection:
        left = {table: connection.execute(select(table)).mappings().all() for table in tables}
    catalog.delete_document("ann", document)
    with engine.begin() as connection:
        for table in tables:
            connection.execute(insert(table), [dict(row) for row in left[table]])
    assert count(engine, CardField.KIND) == {"kind": {}}
    Cards(engine).delete_orphans()
    with engine.connect() as connection:
        assert [connection.execute(select(table)).all() for table in tables] == [[], []]


def test_a_card_of_the_previous_release_has_no_fields_until_it_is_made_again(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    document = accept(catalog, "a").document
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.finish_ingest([IngestReport(job, "A title", None, 4, 2)])
    with engine.begin() as connection:  # the columns that the previous release knows
        values = {"version_id": document.version.id, "tenant_id": "ann", "maker": "card-1/words", "language": "english"}
        connection.execute(insert(card_table).values(**values, terms=b""))
    cards = Cards(engine)
    assert cards.load_document_cards("ann", [document.id])[document.id].fields == CardFields(title="A title")
    assert list_times(catalog) == [((), ())]
    (lacking,) = cards.list_lacking("card-1.1/words", "", 10)
    assert (lacking.name, lacking.media_type) == (document.name, document.media_type)
    assert cards.add_missing("card-1.1/words", {lacking: replace(REPORT, maker="card-1.1/words")}) == 1
    assert list_times(catalog) == [(("2023-Q1",), ("2022-12-31",))]
    assert count(engine, CardField.KIND) == {"kind": {"report": 1}}


def test_a_tenants_export_has_what_people_edited(engine: Engine, catalog: Catalog, jobs: Jobs, tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put("blob-a", b"the original")
    document = find_document(catalog, ingested(catalog, jobs, "a", REPORT))
    Cards(engine).change_card("ann", document, {"kind": "my own kind"})
    file = io.BytesIO()
    assert TenantData(engine).export("ann", file, blobs.iter_blocks)["card_edits"] == 1
    with zipfile.ZipFile(file) as archive:
        assert "my own kind" in archive.read("card_edits.jsonl").decode()
