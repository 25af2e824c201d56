"""The cards of documents that a reader may not see change no score, facet, card or line that the reader is shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.intake import Replacement, UploadRequest
from ingest.storage.documents.cards.records import FACETED_FIELDS, CardField, FacetCount
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.cards.values import count_facets
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import DocumentChange
from retrieval import build
from retrieval.search.cards import CardRanker
from retrieval.search.requests import ExtraQuery
from retrieval.search.search import Mode, Searcher, SearchRequest
from retrieval.search.visibility import CachedVisibility
from rlm.corpus.corpus import open_corpus
from rlm.requests import AnswerScope
from tests.support.generations_fixture import GenerationsFixture
from tests.support.installations import OURS
from workers.tasks.access import ReaderSync

OPEN = ("Acme", "Borealis", "Cedar", "Dunlin")
# Some are named like open documents, so that they would take a word's weight or a first place from those.
NAMES = (*OPEN, "Egret", "Acme Borealis Cedar Dunlin Egret")
SEGMENTS = ("boats", "cranes", "docks", "engines", "ferries", "gears")
EVE = frozenset({"user:eve"})
OTHERS = (frozenset({"user:bob"}), frozenset({"group:hr", "user:bob"}), frozenset[str]())
FILTERS: tuple[dict[str, Any], ...] = (
    {"$card": {"kind": "annual report"}},
    {"$card": {"kind": {"not": "letter"}, "dates": {"gte": "2023-05-02"}}},
    {"$any": [{"$card": {"subjects": ["Acme", "Egret"]}}, {"$card": {"dates": {"lt": "2023-05-02"}}}]},
)
QUERIES: tuple[dict[str, Any], ...] = (
    {"query": "By how much did revenue of Dunlin grow in boats?"},
    {"query": "revenue of Egret in docks", "feedback": True},
    {"query": "Borealis gears", "grouped": True},
    {"query": "revenue of Acme", "filters": FILTERS[0]},
    {"query": "revenue of Cedar", "also": (ExtraQuery("revenue of Acme", Mode.HYBRID),)},
)
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(NAMES), st.sampled_from(OTHERS)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.integers(0, 9)),
    st.tuples(st.just("edit"), st.sampled_from(NAMES), st.integers(0, 9)),
    st.tuples(st.just("close"), st.sampled_from(OTHERS), st.integers(0, 9)),
    st.tuples(st.just("open and close"), st.sampled_from(OTHERS), st.integers(0, 9)),
    st.tuples(st.just("change card"), st.sampled_from(NAMES), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.just(""), st.integers(0, 9)),
)


class World:
    """Open documents that resemble each other, and closed ones that come, change and go."""

    def __init__(self, home: Path) -> None:
        self.at = GenerationsFixture(home, build.build_embedded_store(home, OURS))
        at = self.at
        self.cards = Cards(at.engine)
        ranker = CardRanker(self.cards, at.sparse, at.catalog.load_corpus_version)
        self.searcher = Searcher(at.open, CachedVisibility(at.catalog), at.texts, cards=ranker)
        self.closed: list[str] = []
        self.identifiers: list[str] = []
        self.added = 0
        for name in OPEN:
            self.write(name, None)
        # While a tenant has no access list, the words of a deleted document count in BM25 until the index is compacted.
        self.write("Fulmar", OTHERS[0])
        self.shown, self.described = self.list_shown(), self.list_described()

    def write(self, name: str, readers: frozenset[str] | None, replaces: Replacement | None = None) -> str:
        """Upload a document that differs from others in its first line, or the new content of a document."""
        self.added += 1
        said = "\n\n".join(f"## Revenue\n\n{f'Revenue of {each} grew by nine percent. ' * 15}" for each in SEGMENTS)
        request = UploadRequest("ann", "default", f"scan{self.added}.md", readers=readers, replaces=replaces)
        with self.at.intake.receive_upload(request) as upload:
            day = f"{NAMES.index(name) + 1} May 2023" if name in NAMES else "9 May 2023"
            upload.write(f"# Annual report\n\n{day}\n\nReport {self.added} of {name}.\n\n{said}\n".encode())
            document = upload.accept().document
        self.at.work_off()
        self.identifiers.append(document.id)
        return document.id

    def change(self, document: str, **values: Any) -> None:  # noqa: ANN401 - of a document
        self.at.catalog.change_document("ann", document, DocumentChange(**values, changed=frozenset(values)), None)
        ReaderSync(self.at.catalog, self.at.open).sync_all_documents()

    def step(self, kind: str, value: Any, last: Any) -> None:  # noqa: ANN401 - of `STEPS`
        if kind == "add":
            self.closed.append(self.write(value, last))
            return
        if not self.closed:
            return
        document = self.closed[last % len(self.closed)]
        if kind == "rename":
            self.change(document, title=value)
        elif kind == "change card":
            self.cards.change_card("ann", document, {"subjects": [value], "dates": ["2020-02-02"], "title": value})
            ReaderSync(self.at.catalog, self.at.open).sync_all_documents()
        elif kind == "edit":
            self.write(value, None, Replacement(document, None))
        elif kind == "delete":
            self.closed.remove(document)
            self.at.deleter.delete_document("ann", document)
        else:
            if kind == "open and close":
                self.change(document, readers=EVE)
            self.change(document, readers=value)

    def list_shown(self) -> list[Any]:
        """All that a reader is shown by some searches, with every score and reason."""
        requests = [SearchRequest("ann", top_k=30, readers=EVE, **each) for each in QUERIES]
        return [[(hit, dict(hit.why)) for hit in self.searcher.search(request).hits] for request in requests]

    def list_described(self) -> dict[str, Any]:
        """All that a reader is shown of cards: their values, facets, filtered listings, and the lines in prompts."""
        filters = [DocumentFilter(conditions=parse_conditions(each)) for each in FILTERS]
        corpus = open_corpus(self.at.catalog, self.at.texts, AnswerScope("ann", readers=EVE))
        return {
            "cards": self.cards.load_document_cards("ann", self.identifiers, readers=EVE),
            "facets": count_facets(self.at.engine, "ann", DocumentFilter(), EVE, FACETED_FIELDS),
            "named": count_facets(self.at.engine, "ann", DocumentFilter(named="scan"), EVE, FACETED_FIELDS, limit=2),
            "lines": [document.line for document in corpus.documents],
            "filtered": [self.cards.count_facets("ann", each, EVE, FACETED_FIELDS) for each in filters],
            "listed": [self.at.catalog.list_documents("ann", each, readers=EVE) for each in filters],
            "totals": [self.at.catalog.listing.count_documents("ann", each, EVE) for each in filters],
        }

    def reset(self) -> None:
        while self.closed:
            self.step("delete", "", 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("home"))
    yield made
    made.at.open.close()
    made.at.engine.dispose()


def test_documents_are_lifted_in_this_world(world: World) -> None:
    assert all("document" in hits[0][1] for hits in world.shown)
    assert len({hit.passage.document_id for hits in world.shown for hit, _ in hits}) == len(OPEN)
    mine = world.write("Egret", EVE)
    assert world.list_shown() != world.shown
    world.at.deleter.delete_document("ann", mine)
    assert world.list_shown() == world.shown


def test_documents_are_described_in_this_world(world: World) -> None:
    described = world.described
    assert len(described["cards"]) == len(described["lines"]) == len(OPEN)
    assert described["lines"][1] == "scan2.md, dates 2023-05-02"
    assert [each.value for each in described["facets"][CardField.DATES]] == [f"2023-05-0{day}" for day in range(1, 5)]
    assert described["facets"][CardField.KIND] == [FacetCount("annual report", 4)]
    assert described["totals"] == [len(listed) for listed in described["listed"]] == [4, 3, 1]
    assert [each[CardField.DATES][0] for each in described["filtered"]] == [
        FacetCount("2023-05-01", 1),
        FacetCount("2023-05-02", 1),
        FacetCount("2023-05-01", 1),
    ]


@given(st.lists(STEPS, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_documents_that_a_reader_may_not_see_change_no_hit_score_or_reason(
    world: World, steps: list[tuple[str, Any, Any]]
) -> None:
    try:
        for step in steps:
            world.step(*step)
            assert world.list_shown() == world.shown
            assert world.list_described() == world.described
    finally:
        world.reset()
    assert world.list_shown() == world.shown
