"""Listings of documents: what names are found by, every order in pages, filters, and who sees what."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.records import Role
from ingest.storage.documents.cards.records import CardField, FacetCount
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.listing import EVERYTHING, LISTING_START, DocumentFilter
from ingest.storage.documents.records import DocumentChange, ListOrder, VersionState
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import arrival, arrive, embedded, searchable

SIZES = {"Note 10": 30, "note 9": 10, "Zebra": 20, "äpfel": 20, "Ahorn": 5}


def names(catalog: Catalog, named: str, readers: frozenset[str] | None = None) -> list[str]:
    return [each.name for each in catalog.list_documents("ann", DocumentFilter(named=named), readers=readers)]


def paged(catalog: Catalog, order: ListOrder, *, limit: int = 2) -> list[str]:
    shown: list[str] = []
    after = LISTING_START
    while page := catalog.listing.list_page("ann", DocumentFilter(), None, order=order, after=after, limit=limit):
        shown += [document.name.removesuffix(".txt") for document, _ in page]
        after = page[-1][1]
    return shown


def test_names_are_found_by_any_characters_of_them_in_either_case_and_none_is_a_pattern(catalog: Catalog) -> None:
    for name in ("Plan_2025", "plan 2025", "100%", "Straße", "Ｗｉｄｅ", "ЁЛКА"):
        arrive(catalog, name)
    assert names(catalog, "PLAN") == ["Plan_2025.txt", "plan 2025.txt"]
    assert names(catalog, "n_2") == ["Plan_2025.txt"]
    assert names(catalog, "%") == ["100%.txt"]
    assert names(catalog, "STRASSE") == ["Straße.txt"]
    assert names(catalog, "wide") == ["Ｗｉｄｅ.txt"]
    assert names(catalog, "ёл") == ["ЁЛКА.txt"]
    assert names(catalog, "plan  2025") == ["plan 2025.txt"]
    assert names(catalog, "nowhere") == []


def test_a_title_is_found_once_it_is_known_and_no_longer_when_another_was_given(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog, "whale")
    assert names(catalog, "title") == []
    searchable(jobs)
    assert names(catalog, "TITLE") == ["whale.txt"]
    assert names(catalog, "txt title") == []
    catalog.change_document("ann", document.id, DocumentChange(title="The Ship", changed=frozenset({"title"})), None)
    assert names(catalog, "title") == []
    assert names(catalog, "the ship") == ["whale.txt"]
    catalog.delete_document("ann", document.id)
    assert names(catalog, "") == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ListOrder.OLDEST, ["Note 10", "note 9", "Zebra", "äpfel", "Ahorn"]),
        (ListOrder.NEWEST, ["Ahorn", "äpfel", "Zebra", "note 9", "Note 10"]),
        (ListOrder.NAME, ["Ahorn", "äpfel", "note 9", "Note 10", "Zebra"]),
        (ListOrder.NAME_DOWN, ["Zebra", "Note 10", "note 9", "äpfel", "Ahorn"]),
        (ListOrder.SIZE, ["Ahorn", "note 9", "Zebra", "äpfel", "Note 10"]),
        (ListOrder.SIZE_DOWN, ["Note 10", "Zebra", "äpfel", "note 9", "Ahorn"]),
        (ListOrder.STATE, ["note 9", "Zebra", "äpfel", "Ahorn", "Note 10"]),
        (ListOrder.STATE_DOWN, ["Note 10", "Zebra", "äpfel", "Ahorn", "note 9"]),
    ],
)
def test_pages_follow_every_order_and_equals_keep_that_of_arrival(
    catalog: Catalog, jobs: Jobs, order: ListOrder, expected: Sequence[str]
) -> None:
    for name, size in SIZES.items():
        made = arrival(name)
        catalog.accept_upload(type(made)(**{**vars(made), "size_bytes": size}))
        if name == "Note 10":
            searchable(jobs)
            document = catalog.list_documents("ann")[0]
            catalog.change_document(
                "ann", document.id, DocumentChange(title="Note 10", changed=frozenset({"title"})), None
            )
            embedded(jobs)
        elif name == "note 9":
            (job,) = jobs.claim(JobKind.INGEST)
            jobs.fail(job, Failure("x", "x"))
    assert paged(catalog, order) == expected
    assert paged(catalog, order, limit=5) == expected


def test_filters_go_together_and_sums_and_counts_are_those_of_what_is_shown(catalog: Catalog, jobs: Jobs) -> None:
    first = arrive(catalog, "a", collection="books")
    searchable(jobs)
    arrive(catalog, "b", collection="books")
    arrive(catalog, "c")
    arrive(catalog, "d", tenant="bob", collection="books")
    waiting = DocumentFilter(collection="books", states=[VersionState.ACCEPTED])
    assert [each.name for each in catalog.list_documents("ann", waiting)] == ["b.txt"]
    assert catalog.list_documents("ann", DocumentFilter(collection="books", media_types=["application/pdf"])) == []
    books = DocumentFilter(collection="books", media_types=["text/plain"])
    assert catalog.listing.count_documents("ann", books, None) == 2
    total = catalog.listing.compute_listing_total("ann", books, None)
    assert (total.documents, total.size_bytes, total.chunks, total.through) == (2, 6, 2, 2)
    assert catalog.listing.list_sequences_and_ids("ann", books, None, after=0, last_sequence=1, limit=5) == [
        (1, first.id)
    ]
    assert catalog.listing.count_media_types("ann", None) == {"text/plain": 3}
    assert catalog.listing.compute_listing_total("ann", DocumentFilter(named="none"), None).documents == 0


def test_readers_see_in_every_listing_what_they_see_elsewhere(catalog: Catalog, engine: Engine) -> None:
    closed, plan = arrive(catalog, "closed"), arrive(catalog, "plan", collection="hr")
    arrive(catalog, "open")
    close = DocumentChange(readers=frozenset({"user:eve"}), changed=frozenset({"readers"}))
    catalog.change_document("ann", closed.id, close, None)
    Grants(engine).grant_role("ann", "hr", "user:ivy", Role.READER)
    for person, expected in (
        ("user:eve", {"closed.txt", "open.txt"}),
        ("user:ivy", {"plan.txt", "open.txt"}),
        ("user:cy", {"open.txt"}),
    ):
        readers = frozenset({person})
        assert set(names(catalog, "", readers)) == expected
        assert catalog.listing.count_documents("ann", DocumentFilter(), readers) == len(expected)
        assert catalog.listing.compute_listing_total("ann", DocumentFilter(), readers).documents == len(expected)
        assert len(
            catalog.listing.list_sequences_and_ids("ann", DocumentFilter(), readers, after=0, last_sequence=9, limit=9)
        ) == len(expected)
        assert sum(catalog.listing.count_media_types("ann", readers).values()) == len(expected)
    assert names(catalog, "plan", frozenset({"user:eve"})) == []
    assert set(names(catalog, "", frozenset({"scope:admin"}))) == {"plan.txt", "open.txt"}
    catalog.change_document("ann", closed.id, DocumentChange(readers=None, changed=frozenset({"readers"})), None)
    assert names(catalog, "closed", frozenset({"user:cy"})) == ["closed.txt"]
    assert plan.id in {each.id for each in catalog.list_documents("ann")}


def test_listings_and_facets_are_restricted_by_metadata_and_cards(engine: Engine, catalog: Catalog, jobs: Jobs) -> None:
    cards = Cards(engine)
    fields = {
        "lease": {"kind": "contract", "subjects": ["Acme"], "periods": ["2022-Q4"]},
        "loan": {"kind": "contract", "subjects": ["Acme", "Borealis"], "dates": ["2023-04-01"]},
        "minutes": {"kind": "minutes", "periods": ["2023"]},
    }
    for name, card in fields.items():
        document = arrive(catalog, name)
        searchable(jobs)
        metadata = DocumentChange({"name": name}, changed=frozenset({"metadata"}))
        catalog.change_document("ann", document.id, metadata, None)
        cards.change_card("ann", document.id, card)

    def find(filters: dict[str, Any]) -> list[str]:
        wanted = DocumentFilter(conditions=parse_conditions(filters))
        found = [each.name.removesuffix(".txt") for each in catalog.list_documents("ann", wanted)]
        assert catalog.listing.count_documents("ann", wanted, None) == len(found)
        counts = cards.count_facets("ann", wanted, None, [CardField.KIND])[CardField.KIND]
        assert sum(each.documents for each in counts) == len(found)
        identifiers = [each.id for each in catalog.list_documents("ann", wanted)]
        assert sorted(catalog.list_matching_documents("ann", wanted.conditions)) == sorted(identifiers)
        active = catalog.list_active_documents("ann", conditions=wanted.conditions)
        assert [each.document_id for each in active] == identifiers
        return found

    assert find({"$card": {"kind": "contract"}}) == ["lease", "loan"]
    assert find({"$card": {"kind": {"not": "contract"}}}) == ["minutes"]
    assert find({"$card": {"periods": {"gte": 2023}}}) == ["minutes"]
    assert find({"$card": {"periods": {"gte": "2022-Q4", "lt": "2023"}}}) == ["lease"]
    assert find({"$card": {"dates": {"lt": "2023-05-01"}, "subjects": "Borealis"}}) == ["loan"]
    assert find({"$any": [{"$card": {"kind": "minutes"}}, {"name": "lease"}]}) == ["lease", "minutes"]
    assert find({"kind": "contract"}) == [], "metadata is not a card"
    assert find({"$card": {"kind": "letter"}}) == []
    facets = cards.count_facets("ann", EVERYTHING, None, [CardField.KIND, CardField.SUBJECTS])
    assert facets == {
        CardField.KIND: [FacetCount("contract", 2), FacetCount("minutes", 1)],
        CardField.SUBJECTS: [FacetCount("Acme", 2), FacetCount("Borealis", 1)],
    }
    assert cards.count_facets("ann", EVERYTHING, None, [CardField.KIND], limit=1)[CardField.KIND] == [
        FacetCount("contract", 2)
    ]
    assert cards.count_facets("bob", EVERYTHING, None, [CardField.KIND]) == {CardField.KIND: []}
