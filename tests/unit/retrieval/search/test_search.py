import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Condition, Conditions
from ingest.storage.errors import FilterError
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.layout import NO_LAYOUT, Layout, TableSpan, build_pages
from ingest.storage.texts.texts import Texts, compute_byte_spans
from retrieval.encoders.port import DenseVector, HashingEmbedder
from retrieval.errors import QueryError
from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.port import IndexedChunk
from retrieval.search import metadata_filter
from retrieval.search.requests import Fusion
from retrieval.search.search import Mode, Searcher, SearchRequest
from tests.support.fixed_generation import FixedGeneration
from tests.support.memory_index import MemoryIndex


class Shown:
    """Says which versions are shown, and which it would hide if it had noticed them in time."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.hidden: list[str] = []
        self.after_hidden: Callable[[], None] = lambda: None
        self.described: dict[str, Mapping[str, Any]] = {}
        self.readers: dict[str, frozenset[str]] = {}

    def load_corpus_version(self, tenant_id: str) -> int:
        return 1

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        hidden = self.hidden
        self.after_hidden()
        return hidden

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        return {
            version: VisibleVersion(
                version, f"doc-{version}", "default", f"Title {version}", {}, self.readers.get(version)
            )
            for version in version_ids
            if self.shown.get(version) == tenant_id
        }

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        return set()

    def has_access_lists(self, tenant_id: str) -> bool:
        return bool(self.readers)

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        shown = [version for version, tenant in self.shown.items() if tenant == tenant_id]
        found = [f"doc-{version}" for version in shown if self.wanted(self.described.get(version, {}), conditions)]
        return [each for each in found if not document_ids or each in document_ids][:limit]

    def wanted(self, described: Mapping[str, Any], conditions: Conditions) -> bool:
        """Years alone: what filters mean is the catalog's business, and tested there."""
        year = described.get("year")
        return all(
            year is not None and all((year >= bound) is (name == "gte") for name, bound, _ in each.bounds)
            if each.bounds
            else not each.one_of or f"n:{year}" in each.one_of
            for each in conditions
            if isinstance(each, Condition)
        )


class Shelf:
    """A searcher over texts that are put in one by one, each a version of its own with a chunk a line."""

    def __init__(self, folder: Path, embedder: HashingEmbedder | None = None) -> None:
        self.index, self.shown = MemoryIndex(), Shown()
        self.embedder = embedder or HashingEmbedder()
        self.texts = Texts(DirectoryBlobs(folder))
        self.searcher = Searcher(FixedGeneration(self.index, self.embedder), self.shown, self.texts)

    def put(
        self, version: str, text: str, *, tenant: str = "ann", dense: bool = True, layout: Layout = NO_LAYOUT
    ) -> None:
        chunks: list[Chunk] = []
        position = 0
        for line in text.split("\n"):
            chunks.append(Chunk(len(chunks), position, position + len(line), (), None))
            position += len(line) + 1
        self.texts.save(version, text, title=None, chunks=chunks, layout=layout)
        indexed = [
            IndexedChunk(
                f"{version}-{c.ordinal}", tenant, "default", f"doc-{version}", version, c.ordinal, c.start, c.end,
                *span,
                page=None, heading_path=(),
            )
            for c, span in zip(chunks, compute_byte_spans(text, chunks), strict=True)
        ]  # fmt: skip
        lines = [text[c.start : c.end] for c in chunks]
        self.index.upsert_chunks(indexed, [Bm25Encoder().encode_document(line) for line in lines])
        if dense:
            self.index.set_dense_vectors([c.id for c in indexed], self.embedder.embed_documents(lines).vectors)
        self.shown.shown[version] = tenant

    def find(self, query: str, **options: object) -> list[str]:
        request = SearchRequest("ann", query, **options)  # type: ignore[arg-type]
        return [hit.chunk_id for hit in self.searcher.search(request).hits]


def test_a_hit_says_its_place_and_has_the_header_of_the_table_in_whose_rows_it_begins(shelf: Shelf) -> None:
    lines = ["| town | people |", "| --- | --- |", "| Oslo | 709037 |", "| Bergen | 291940 |"]
    text = "\n".join(lines)
    table = TableSpan(0, text.index("\n| Oslo"), len(text))
    shelf.put("v1", text, layout=Layout(places=build_pages([0]), tables=(table,)))
    (found,) = shelf.searcher.search(SearchRequest("ann", "Bergen", mode=Mode.BM25)).hits
    assert (found.passage.text, found.passage.page, found.passage.place) == (lines[3], 1, "page 1")
    assert found.passage.table_header == "\n".join(lines[:2])


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_hits_carry_text_span_title_and_the_ranks_of_each_retriever(shelf: Shelf) -> None:
    shelf.put("v1", "naïve whales swim\nships sail")
    (hit, *_) = shelf.searcher.search(SearchRequest("ann", "naïve whales")).hits
    assert (hit.passage.text, hit.passage.start, hit.passage.end) == ("naïve whales swim", 0, 17)
    assert (hit.passage.title, hit.passage.rank) == ("Title v1", 1)
    assert {name: why.rank for name, why in hit.why.items()} == {"bm25": 1, "dense": 1}
    assert hit.passage.cosine == pytest.approx(hit.why["dense"].score)


def test_a_version_that_the_catalog_does_not_show_is_never_shown_whatever_the_index_holds(shelf: Shelf) -> None:
    shelf.put("v1", "whales swim")
    shelf.put("v2", "whales swim far")
    del shelf.shown.shown["v2"]
    for mode in Mode:
        assert shelf.find("whales swim far", mode=mode) == ["v1-0"]


def test_hidden_hits_make_room_for_those_behind_them(shelf: Shelf) -> None:
    for number in range(30):
        shelf.put(f"gone{number}", "whales whales whales")
        del shelf.shown.shown[f"gone{number}"]
    shelf.put("here", "whales and other fish")
    assert shelf.find("whales", top_k=3) == ["here-0"]


def test_a_document_replaced_in_the_middle_of_a_search_is_found_in_its_new_version(shelf: Shelf) -> None:
    shelf.put("old", "whales swim")
    shelf.put("new", "whales dive")
    del shelf.shown.shown["new"]
    shelf.shown.hidden = ["new"]

    def swap() -> None:
        shelf.shown.shown, shelf.shown.hidden = {"new": "ann"}, ["old"]

    shelf.shown.after_hidden = swap
    assert shelf.find("whales") == ["new-0"]


def test_a_document_deleted_in_the_middle_of_a_search_is_no_hit(shelf: Shelf) -> None:
    shelf.put("gone", "whales swim")
    shelf.put("here", "whales and other fish")
    shelf.texts.delete("gone")
    (hit,) = shelf.searcher.search(SearchRequest("ann", "whales")).hits
    assert (hit.chunk_id, hit.passage.rank) == ("here-0", 1)


def test_another_tenants_words_are_not_found(shelf: Shelf) -> None:
    shelf.put("theirs", "whales swim", tenant="bob")
    assert shelf.find("whales swim") == []


def test_the_cap_per_document_lets_other_documents_through(shelf: Shelf) -> None:
    shelf.put("long", "\n".join(f"whales swim {n}" for n in range(20)))
    shelf.put("short", "whales")
    assert len([hit for hit in shelf.find("whales swim", top_k=5) if hit.startswith("long")]) >= 4
    found = shelf.find("whales swim", top_k=5, per_document=1)
    assert sorted(hit.partition("-")[0] for hit in found) == ["long", "short"]


def test_a_document_without_vectors_yet_is_found_beside_one_with_them(shelf: Shelf) -> None:
    shelf.put("old", "whales swim")
    shelf.put("new", "whales dive", dense=False)
    assert set(shelf.find("whales")) == {"old-0", "new-0"}
    assert shelf.find("whales", mode=Mode.DENSE) == ["old-0"]


def test_hybrid_ranks_what_both_retrievers_find_first(shelf: Shelf) -> None:
    shelf.put("both", "the white whale")
    shelf.put("one", "white paint")
    assert shelf.find("white whale")[0] == "both-0"


def test_what_resembles_the_best_passage_goes_before_what_does_not(shelf: Shelf) -> None:
    shelf.put("z-best", "whale harpoon boat")
    shelf.put("y-akin", "harpoon boat")
    shelf.put("x-far", "cake sugar")
    without = shelf.find("whale")
    hits = shelf.searcher.search(SearchRequest("ann", "whale", feedback=True)).hits
    assert [hit.chunk_id for hit in hits] == ["z-best-0", "y-akin-0", "x-far-0"]
    assert [hit.why["feedback"].rank for hit in hits] == [1, 2, 3]
    assert set(without) == {hit.chunk_id for hit in hits}
    margins = [hit.why["feedback"].score - hit.why["dense"].score for hit in hits]
    assert margins[1] > margins[2] + 0.1  # nothing that was asked is in either; the best passage tells them apart


@pytest.mark.parametrize("fusion", Fusion)
@pytest.mark.parametrize("mode", Mode)
def test_the_first_hits_do_not_depend_on_how_many_are_asked_for(tmp_path: Path, mode: Mode, fusion: Fusion) -> None:
    shelf, chance = Shelf(tmp_path), random.Random(5)
    words = [f"word{n}" for n in range(40)]
    for number in range(260):
        shelf.put(f"v{number}", " ".join(chance.choices(words, k=12)))
    request = SearchRequest("ann", " ".join(words[:9]), mode=mode, fusion=fusion, top_k=200)
    hits = shelf.searcher.search(request).hits
    every = [hit.chunk_id for hit in hits]
    assert len(set(every)) == 200
    for few in (1, 10, 99, 101):
        assert [hit.chunk_id for hit in shelf.searcher.search(replace(request, top_k=few)).hits] == every[:few]
    scores = [hit.passage.score for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_feedback_and_fusion_are_for_hybrid_searches_only(shelf: Shelf) -> None:
    shelf.put("v1", "the white whale\nwhite paint")
    for mode in (Mode.BM25, Mode.DENSE):
        (hit, *_) = shelf.searcher.search(SearchRequest("ann", "white whale", mode)).hits
        assert set(hit.why) == {mode.value}


def test_each_fusion_gives_its_own_scores(shelf: Shelf) -> None:
    shelf.put("v1", "the white whale\nwhite paint\na whale")
    (hit, *_) = shelf.searcher.search(SearchRequest("ann", "white whale", fusion=Fusion.RRF)).hits
    assert hit.passage.score == pytest.approx(2 / 61)
    assert shelf.find("white whale", fusion=Fusion.CONVEX)[0] == hit.chunk_id


def test_feedback_from_a_passage_without_a_vector_is_left_out(shelf: Shelf) -> None:
    shelf.put("a", "white whale", dense=False)
    shelf.put("vectors", "green cake")
    (hit, *_) = shelf.searcher.search(SearchRequest("ann", "white whale", fusion=Fusion.RRF)).hits
    assert (hit.chunk_id, set(hit.why)) == ("a-0", {"bm25"})


def test_one_mode_asks_only_its_own_retriever(tmp_path: Path) -> None:
    class Counting(HashingEmbedder):
        asked = 0

        def embed_query(self, text: str) -> DenseVector:
            self.asked += 1
            return super().embed_query(text)

    embedder = Counting()
    shelf = Shelf(tmp_path, embedder)
    shelf.put("v1", "whales swim")
    shelf.find("whales")  # the first search measures the encoder's cosines
    embedder.asked = 0
    shelf.find("whales", mode=Mode.BM25)
    assert embedder.asked == 0
    shelf.find("whales", mode=Mode.HYBRID)
    assert embedder.asked == 1


@pytest.mark.parametrize(
    "options",
    [
        {"query": " \n"},
        {"query": "x" * 8001},
        {"query": "half a \ud83d"},
        {"top_k": 0},
        {"top_k": 201},
        {"per_document": 0},
        {"diversity": 1.5},
        {"diversity": float("nan")},
        {"expand_chars": 0},
        {"expand_chars": 10**7},
        {"filters": {"year": {"above": 3}}},
    ],
)
def test_a_search_that_cannot_be_done_says_why(shelf: Shelf, options: dict[str, object]) -> None:
    with pytest.raises((QueryError, FilterError)) as caught:
        shelf.searcher.search(SearchRequest("ann", **{"query": "x", **options}))  # type: ignore[arg-type]
    assert caught.value.hint


def test_filters_leave_the_documents_whose_attributes_match(shelf: Shelf) -> None:
    for version, year in (("old", 1815), ("new", 1851)):
        shelf.put(version, f"whales of {version}")
        shelf.shown.described[version] = {"year": year}
    assert shelf.find("whales", filters={"year": {"gte": 1850}}) == ["new-0"]
    assert shelf.find("whales", filters={"year": {"gte": 1800}}, documents=("doc-old",)) == ["old-0"]
    assert len(shelf.find("whales")) == 2


def test_filters_that_leave_nothing_find_nothing(shelf: Shelf) -> None:
    shelf.put("v1", "whales swim")
    for filters in ({"year": 1851}, {"absent": {"lt": "2024-01-01"}}):
        assert shelf.find("whales", filters=filters) == []


def test_a_filter_that_leaves_many_documents_finds_what_a_short_list_of_them_would(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        shelf.put(f"v{number}", "whales " * (1 + number % 7))
        shelf.shown.described[f"v{number}"] = {"year": number}
    filters = {"year": {"gte": 55}}
    named = shelf.find("whales", filters=filters, top_k=3)
    assert len(named) == 3
    monkeypatch.setattr(metadata_filter, "MAX_NAMED_DOCUMENTS", 0)
    assert shelf.find("whales", filters=filters, top_k=3) == named
    monkeypatch.setattr(metadata_filter, "_MAX_CANDIDATES", 1)  # candidates run out, so all documents are named
    assert shelf.find("whales", filters=filters, top_k=3) == named


@pytest.mark.parametrize("in_index", [True, False])
def test_what_is_closed_is_found_by_its_readers_alone_whatever_the_index_knows(shelf: Shelf, in_index: bool) -> None:
    shelf.put("open", "whales swim")
    shelf.put("closed", "whales swim too")
    shelf.shown.readers["closed"] = frozenset({"user:eve"})
    if in_index:
        shelf.index.set_readers("ann", "closed", {"user:eve"})
    assert shelf.find("whales", readers=frozenset({"group:hr"})) == ["open-0"]
    assert shelf.find("whales", readers=frozenset()) == ["open-0"]
    assert set(shelf.find("whales", readers=frozenset({"user:eve"}))) == {"open-0", "closed-0"}
    assert set(shelf.find("whales")) == {"open-0", "closed-0"}


def test_what_changed_while_the_index_was_asked_is_judged_by_what_is_so_now(shelf: Shelf) -> None:
    shelf.put("v1", "whales swim")
    shelf.shown.described["v1"] = {"year": 1851}

    def change() -> None:
        shelf.shown.described["v1"] = {"year": 1815}
        shelf.shown.readers["v1"] = frozenset({"user:eve"})

    assert shelf.find("whales", filters={"year": 1851}, readers=frozenset({"user:bob"})) == ["v1-0"]
    shelf.shown.after_hidden = change
    assert shelf.find("whales", filters={"year": 1851}) == []
    assert shelf.find("whales", readers=frozenset({"user:bob"})) == []


def test_diversity_brings_what_is_unlike_the_hits_before(shelf: Shelf) -> None:
    shelf.put("twins", "white whale\nwhite whale")
    shelf.put("other", "whale bone and old ships")
    assert shelf.find("white whale", top_k=2) == ["twins-0", "twins-1"]
    assert shelf.find("white whale", top_k=2, diversity=0.6) == ["twins-0", "other-0"]


def test_grouped_hits_of_a_document_stand_together_and_documents_are_counted(shelf: Shelf) -> None:
    shelf.put("long", "white whale\nwhale\nwhale ahoy\nwhale bone\nthe whale")
    shelf.put("short", "white whale white")
    shelf.put("third", "a whale")
    found = shelf.find("white whale", top_k=2, grouped=True)
    assert [hit.partition("-")[0] for hit in found] == ["short"] + ["long"] * 3
    assert len(shelf.find("white whale", top_k=3, grouped=True, per_document=1)) == 3


def test_a_hit_is_widened_within_its_limit_and_hits_that_meet_are_merged(shelf: Shelf) -> None:
    shelf.put("v1", "calm sea\nwhite whale\nwhale bone\ngreen cake\ncold rain")
    search = shelf.searcher.search(SearchRequest("ann", "white whale", Mode.BM25, expand_chars=22))
    (hit,) = search.hits
    assert (hit.chunk_id, hit.merged) == ("v1-1", ("v1-2",))
    assert hit.passage.text == "white whale\nwhale bone\ngreen cake"
    assert (hit.passage.start, hit.passage.end) == (9, 42)


def test_the_words_that_matched_are_named_as_they_were_asked(shelf: Shelf) -> None:
    shelf.put("v1", "the whale swims")
    (hit,) = shelf.searcher.search(SearchRequest("ann", "the Swimming whales, sharks", explain=True)).hits
    assert hit.matched == ("Swimming", "whales")


@pytest.mark.parametrize("query", ["the of and", "?!… —", "🐋🐋", "\x00", "क्या यह", "'", "a" * 8000, "\u202e\ufeff"])
@pytest.mark.parametrize("mode", Mode)
def test_a_query_without_words_of_use_is_a_result_like_any(shelf: Shelf, query: str, mode: Mode) -> None:
    shelf.put("v1", "whales swim")
    assert set(shelf.find(query, mode=mode, explain=True, expand_chars=100, diversity=0.5)) <= {"v1-0"}


def test_stages_are_timed_and_sum_to_the_total(shelf: Shelf) -> None:
    shelf.put("v1", "whales swim")
    timings = dict(shelf.searcher.search(SearchRequest("ann", "whales")).timings_ms)
    total = timings.pop("total")
    assert set(timings) == {"embed", "engine", "fuse", "show", "read"}
    assert np.isclose(sum(timings.values()), total, atol=0.01)
