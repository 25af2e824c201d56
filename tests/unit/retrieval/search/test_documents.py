"""The passages of the right document rank higher where documents resemble each other, and nowhere else."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.port import SearchScope
from retrieval.search.cards import CardRanker, draft_card
from retrieval.search.documents import DOCUMENT_WEIGHT, TWIN_CANDIDATES, lift_documents
from retrieval.search.ranking import CANDIDATES, QueryVectors, Ranking, Stopwatch, rank_chunks_for_queries
from retrieval.search.requests import ExtraQuery, Fusion
from retrieval.search.reranking import Reranking, reorder_candidates
from retrieval.search.search import Hit, Mode, Searcher, SearchRequest, SearchResult
from tests.fakes.memory_cards import MemoryCards
from tests.support.fixed_generation import FixedGeneration
from tests.unit.retrieval.search.test_search import Shelf

COMPANIES = ("Acme", "Borealis", "Cedar", "Dunlin", "Egret", "Fulmar")
SEGMENTS = ("boats", "cranes", "docks", "engines", "ferries", "gears", "hulls", "inks")
QUERY = "Did revenue of Dunlin from its segments increase in the year?"
SCOPE = SearchScope("ann")


class Library:
    """A searcher with cards, and one without that searches the same index."""

    def __init__(self, folder: Path) -> None:
        self.shelf, self.cards = Shelf(folder), MemoryCards()
        self.ranker = CardRanker(self.cards, Bm25Encoder(), lambda _: 1)
        self.plain = self.shelf.searcher
        self.lifting = self.build_searcher()

    def build_searcher(self, reranking: Reranking | None = None) -> Searcher:
        shelf = self.shelf
        generations = FixedGeneration(shelf.index, shelf.embedder)
        return Searcher(generations, shelf.shown, shelf.texts, reranking, cards=self.ranker)

    def put(self, version: str, *lines: str) -> None:
        text = "\n".join(lines)
        self.shelf.put(version, text)
        self.cards.drafts[version] = draft_card(text, Bm25Encoder())

    def put_reports(self, companies: Collection[str] = COMPANIES, copies: int = 1) -> None:
        """Reports that differ in their first line alone."""
        places = [(segment, number) for segment in SEGMENTS for number in range(copies)]
        said = [f"Revenue of the segment {segment} did increase in the year {number}" for segment, number in places]
        for company in companies:
            self.put(company.lower(), f"Annual report of {company}", *said)

    def search(self, query: str = QUERY, **options: Any) -> SearchResult:  # noqa: ANN401 - of a request
        return self.lifting.search(SearchRequest("ann", query, **options))

    def require_same(self, query: str = QUERY, **options: Any) -> None:  # noqa: ANN401 - of a request
        """Assert that cards change nothing in this search."""
        request = SearchRequest("ann", query, **options)
        hits = self.lifting.search(request).hits
        assert hits == self.plain.search(request).hits
        assert hits

    def lift(self, ranking: Ranking, query: str = QUERY) -> Ranking:
        shelf = self.shelf
        return lift_documents(shelf.index, shelf.shown.find_visible_versions, SCOPE, query, ranking, self.ranker)

    def rank(self, *versions: str) -> Ranking:
        """A ranking of all passages of these versions, in order."""
        chunks = [each for version in versions for each in self.shelf.index.kept if each.rpartition("-")[0] == version]
        return Ranking([(chunk, 1.0 - place / 1000) for place, chunk in enumerate(chunks)], (), ())


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def get_documents(hits: Collection[Hit]) -> list[str]:
    return [hit.passage.document_id for hit in hits]


def test_passages_of_the_document_that_the_query_names_come_first(library: Library) -> None:
    library.put_reports()
    request = SearchRequest("ann", QUERY, top_k=8)
    before = get_documents(library.plain.search(request).hits)
    assert before.count("doc-dunlin") <= 3
    found = library.search(top_k=8)
    assert set(get_documents(found.hits)) == {"doc-dunlin"}
    assert "documents" in found.timings_ms
    assert "documents" not in library.plain.search(request).timings_ms


def test_the_reason_of_a_hit_says_how_well_its_document_matches(library: Library) -> None:
    library.put_reports()
    hits = library.search(top_k=50).hits
    best, others = hits[:8], [hit for hit in hits if hit.passage.document_id != "doc-dunlin"]
    assert {(hit.why["document"].rank, hit.why["document"].score) for hit in best} == {(1, 1.0)}
    assert others
    assert all(hit.why["document"].rank > 1 and 0 <= hit.why["document"].score < 0.5 for hit in others)
    plain = library.plain.search(SearchRequest("ann", QUERY, top_k=50)).hits
    unlifted = {hit.chunk_id: hit.passage.score for hit in plain}
    for hit in hits:
        expected = unlifted[hit.chunk_id] + DOCUMENT_WEIGHT * hit.why["document"].score
        assert hit.passage.score == pytest.approx(expected)


def test_where_documents_do_not_resemble_each_other_the_ranking_stays_the_same_object(library: Library) -> None:
    for number, company in enumerate(COMPANIES):
        said = [f"{company} {SEGMENTS[(number + n) % 8]} number {number * 8 + n} {'x' * n}{number}" for n in range(8)]
        library.put(company.lower(), f"Annual report of {company}", *said)
    ranking = library.rank("acme", "borealis", "cedar")
    assert library.lift(ranking) is ranking
    library.require_same("Annual report of Dunlin about docks", top_k=50)
    assert library.cards.loaded == []
    assert all("document" not in hit.why for hit in library.search("Annual report of Dunlin about docks").hits)


def test_near_duplicates_within_one_document_do_not_count(library: Library) -> None:
    library.put("acme", "Annual report of Acme", *(["Revenue of all segments did increase in the year"] * 9))
    library.put("dunlin", "Annual report of Dunlin", "A quite different text about birds")
    ranking = library.rank("acme", "dunlin")
    assert library.lift(ranking) is ranking
    library.require_same(top_k=20)


@pytest.mark.parametrize(("twins", "lifts"), [(3, False), (4, True)])
def test_at_least_four_of_the_ten_best_passages_need_a_near_duplicate(
    library: Library, twins: int, lifts: bool
) -> None:
    shared = [f"Revenue of the segment {each} did increase in the year" for each in SEGMENTS[:twins]]
    own = [f"{word} {word}s {word}ing" for word in ("owl", "pear", "quay", "ring", "sail", "tide", "urn")]
    library.put("acme", *shared, *own[: 10 - twins])
    library.put("dunlin", *shared)
    ranking = library.rank("acme", "dunlin")
    assert len(ranking.best) == 10 + twins
    assert (library.lift(ranking, "owl") is not ranking) is lifts


@pytest.mark.parametrize(("places", "lifts"), [((6, 7, 8, 9), True), ((7, 8, 9), False), ((0, 7, 8, 9), True)])
def test_near_duplicates_of_the_last_of_the_ten_best_passages_count_as_those_of_the_first(
    library: Library, places: tuple[int, ...], lifts: bool
) -> None:
    lines = [f"{word} {word}s {word}ing" for word in ("oak", "owl", "pear", "quay", "ring", "sail", "tide", "urn")]
    lines += ["vane vanes vaning", "wharf wharfs wharfing"]
    library.put("acme", *lines)
    library.put("dunlin", *(lines[place] for place in places))
    ranking = library.rank("acme", "dunlin")
    assert (library.lift(ranking, "owl vane") is not ranking) is lifts


def test_a_passage_without_a_vector_has_no_near_duplicate(library: Library) -> None:
    library.put_reports()
    ranking = library.rank("acme", "dunlin")
    for chunk, _ in ranking.best[1:6]:
        del library.shelf.index.embeddings[chunk]
    assert library.lift(ranking) is ranking  # of the ten best, four have one, and the first line differs
    library.shelf.index.embeddings.clear()
    assert library.lift(ranking) is ranking


def test_without_the_card_of_every_candidate_nothing_is_lifted(library: Library) -> None:
    library.put_reports()
    del library.cards.drafts["fulmar"]
    library.require_same(top_k=50)
    ranking = library.rank("acme", "dunlin")
    assert library.lift(ranking) is not ranking
    ranking = library.rank("acme", "dunlin", "fulmar")
    assert library.lift(ranking) is ranking


def test_a_query_that_matches_no_card_lifts_nothing(library: Library) -> None:
    library.put_reports()
    ranking = library.rank("acme", "dunlin")
    assert library.lift(ranking, "zebra") is ranking


def test_candidates_that_may_not_be_seen_have_no_effect(library: Library) -> None:
    library.put_reports(copies=2)
    seen = library.rank("acme", "dunlin", "egret")
    expected = library.lift(seen)
    assert expected is not seen
    library.put_reports(("Hidden", "Dunlin-Hidden", "Dunlin-Dunlin"), copies=4)
    hidden = library.rank("hidden", "dunlin-hidden", "dunlin-dunlin")
    for version in ("hidden", "dunlin-hidden", "dunlin-dunlin"):
        del library.shelf.shown.shown[version]
    assert len(hidden.best) > TWIN_CANDIDATES
    mixed = replace(seen, best=[*((chunk, 2.0) for chunk, _ in hidden.best), *seen.best])
    found = library.lift(mixed)
    assert [each for each in found.best if each[1] < 2.0] == expected.best
    assert found.by_document == expected.by_document
    assert not set(library.cards.loaded) & {"hidden", "dunlin-hidden", "dunlin-dunlin"}


def test_near_duplicates_that_may_not_be_seen_do_not_count(library: Library) -> None:
    library.put_reports(("Acme", "Dunlin"))
    ranking = library.rank("acme", "dunlin")
    assert library.lift(ranking) is not ranking
    del library.shelf.shown.shown["dunlin"]
    assert library.lift(ranking) is ranking


@pytest.mark.parametrize(
    "options",
    [{"fusion": Fusion.RRF}, {"mode": Mode.BM25}, {"mode": Mode.DENSE}, {"documents": ("doc-dunlin",)}],
    ids=["rrf", "bm25", "dense", "one document"],
)
def test_other_rankings_are_never_lifted(library: Library, options: Mapping[str, Any]) -> None:
    library.put_reports()
    library.require_same(top_k=50, **options)
    found = library.search(top_k=50, **options)
    assert "documents" not in found.timings_ms
    assert all("document" not in hit.why for hit in found.hits)


def test_a_hybrid_search_whose_words_occur_nowhere_is_not_lifted(library: Library) -> None:
    library.put_reports()
    library.require_same("zebras", top_k=50)


def test_the_first_hits_and_scores_do_not_depend_on_the_number_of_hits(library: Library) -> None:
    library.put_reports(("Acme", "Borealis", "Dunlin"), copies=9)
    few, many = (library.search(top_k=number).hits for number in (20, 200))
    assert set(get_documents(few)) == {"doc-dunlin"}
    assert len(many) > 100
    assert [(hit.chunk_id, hit.passage.score, hit.why["document"]) for hit in few] == [
        (hit.chunk_id, hit.passage.score, hit.why["document"]) for hit in many[:20]
    ]
    scores = [hit.passage.score for hit in many]
    assert scores == sorted(scores, reverse=True)
    deep = [hit for hit in many if "document" not in hit.why]
    assert deep
    assert deep == list(many[-len(deep) :])


def test_groups_limits_filters_and_feedback_go_with_the_lift(library: Library) -> None:
    library.put_reports()
    grouped = library.search(top_k=2, grouped=True, per_document=3).hits
    assert get_documents(grouped)[:3] == ["doc-dunlin"] * 3
    assert len(grouped) == 6
    assert get_documents(library.search(top_k=3, per_document=1).hits)[0] == "doc-dunlin"
    assert set(get_documents(library.search(top_k=5, feedback=True).hits)) == {"doc-dunlin"}
    some = ("doc-acme", "doc-egret")
    assert set(get_documents(library.search(documents=some).hits)) == set(some)
    for number, company in enumerate(COMPANIES):
        library.shelf.shown.described[company.lower()] = {"year": 2000 + number}
    later = library.search("Acme Fulmar revenue of segments", filters={"year": {"gte": 2001}}, top_k=8).hits
    assert set(get_documents(later)) == {"doc-fulmar"}


def test_the_documents_of_several_queries_are_lifted_before_their_rankings_are_fused(library: Library) -> None:
    library.put_reports()
    for mode in (Mode.HYBRID, Mode.BM25):
        also = (ExtraQuery("Revenue of Dunlin", mode),)
        found = library.search(top_k=8, also=also).hits
        plain = library.plain.search(SearchRequest("ann", QUERY, top_k=8, also=also)).hits
        assert get_documents(found).count("doc-dunlin") > get_documents(plain).count("doc-dunlin")
        assert {"query_0", "query_1"} <= found[0].why.keys()
        assert found[0].why["document"].rank == 1


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("queries", [1, 3])
def test_a_lifted_ranking_names_the_documents_of_its_first_candidates_and_no_other_ranking_does(
    library: Library, queries: int, feedback: bool
) -> None:
    library.put_reports(("Acme", "Dunlin"), copies=9)
    index, embedder, sparse = library.shelf.index, library.shelf.embedder, Bm25Encoder()
    asked = [
        QueryVectors(query, sparse.encode_query(query), embedder.embed_query(query))
        for query in (QUERY, "Revenue of Dunlin", "segments of Acme")[:queries]
    ]
    lifted, plain = (
        rank_chunks_for_queries(
            index,
            SCOPE,
            asked,
            depth=150,
            fusion=Fusion.CONVEX,
            use_feedback=feedback,
            cosine_floor=0.0,
            stopwatch=Stopwatch(),
            lift=lift,
        )
        for lift in (lambda query, ranking: library.lift(ranking, query), None)
    )
    assert lifted.best != plain.best
    known = index.load_chunks(SCOPE, [chunk for chunk, _ in lifted.best])
    assert len(lifted.documents) >= CANDIDATES
    assert {chunk: known[chunk].document_id for chunk in lifted.documents} == lifted.documents
    assert set(lifted.documents).issuperset(chunk for chunk, _ in lifted.best[:CANDIDATES])
    assert (plain.documents, plain.by_document) == ({}, ())


class ShortFirst:
    """A reranker that prefers short passages, whatever document they are from."""

    fingerprint = "short-first"

    def score_passages(self, query: str, passages: Any, **options: object) -> list[float]:  # noqa: ANN401 - texts
        return [-float(len(passage.partition("\n")[2])) for passage in passages]  # without the title

    def close(self) -> None:
        return None


@pytest.mark.parametrize("weight", [1.0, 0.6])
@pytest.mark.parametrize("also", [(), (ExtraQuery("Revenue of Dunlin", Mode.HYBRID),)], ids=["one query", "two"])
def test_a_reranker_sorts_passages_within_their_documents_and_leaves_the_order_of_documents(
    library: Library, weight: float, also: tuple[ExtraQuery, ...]
) -> None:
    library.put_reports()
    reranking = Reranking(ShortFirst(), weight=weight, depth=50)
    request = SearchRequest("ann", QUERY, top_k=50, also=also)
    found = library.build_searcher(reranking).search(request)
    reranking.close()
    assert found.reranked is not None
    assert found.reranked.passages >= 40
    lifted = library.lifting.search(request).hits
    assert get_documents(found.hits) == get_documents(lifted)
    assert [hit.passage.score for hit in found.hits] == [hit.passage.score for hit in lifted]
    assert [hit.chunk_id for hit in found.hits] != [hit.chunk_id for hit in lifted]
    if weight == 1.0:
        for document in set(get_documents(found.hits)):
            lengths = [len(hit.passage.text) for hit in found.hits if hit.passage.document_id == document]
            assert lengths == sorted(lengths)


def test_where_nothing_is_lifted_a_reranker_orders_passages_across_documents(library: Library) -> None:
    library.put_reports()
    del library.cards.drafts["fulmar"]
    reranking = Reranking(ShortFirst(), depth=50)
    found = library.build_searcher(reranking).search(SearchRequest("ann", QUERY, top_k=20))
    reranking.close()
    lengths = [len(hit.passage.text) for hit in found.hits]
    assert lengths == sorted(lengths)
    assert len(set(get_documents(found.hits))) > 1


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), min_size=1), st.data(), st.floats(0.1, 1.0))
def test_reranking_keeps_the_document_and_the_score_of_every_place(
    documents: dict[str, int], data: st.DataObject, weight: float
) -> None:
    owners = {chunk: f"document {number}" for chunk, number in documents.items() if number}  # 0 stands for unknown
    best = [(chunk, 1.0 - place / 10) for place, chunk in enumerate(documents)]
    scores = {chunk: data.draw(st.floats(-5, 5)) for chunk in data.draw(st.sets(st.sampled_from([*documents])))}
    ranking = Ranking(best, (), (), documents=owners)
    found = reorder_candidates(ranking, scores, weight=weight)
    expected = [each for each in best if each[0] in scores] + [each for each in best if each[0] not in scores]
    assert sorted(chunk for chunk, _ in found.best) == sorted(documents)
    if owners:
        assert [(owners.get(chunk, chunk), score) for chunk, score in found.best] == [
            (owners.get(chunk, chunk), score) for chunk, score in expected
        ]
    assert [each.id for each in found.by_rerank] == [
        each.id for each in reorder_candidates(replace(ranking, documents={}), scores).by_rerank
    ]
