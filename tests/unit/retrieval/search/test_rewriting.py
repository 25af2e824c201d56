"""Searching with further queries: which are used, how their rankings are fused, and what a failure leaves."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from retrieval.errors import EncoderError, QueryError
from retrieval.search.requests import ExtraQuery, Mode, Rewrite, SearchRequest
from retrieval.search.rewriting import MAX_QUERIES, MAX_QUERY_CHARS, RewritingSearcher
from tests.unit.retrieval.search.test_search import Shelf


class Scripted:
    """Gives the same further queries each time, or raises."""

    def __init__(self, *queries: str, error: Exception | None = None) -> None:
        self.queries, self.error = queries, error
        self.asked: list[tuple[str, str, Rewrite]] = []

    def rewrite_query(self, tenant_id: str, query: str, method: Rewrite) -> Sequence[str]:
        self.asked.append((tenant_id, query, method))
        if self.error:
            raise self.error
        return self.queries


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.put("whale", "the white whale")
    shelf.put("cetacean", "large marine mammals")
    shelf.put("ship", "a ship sails")
    return shelf


def test_what_only_a_further_query_finds_is_a_hit_and_says_so(shelf: Shelf) -> None:
    searcher = RewritingSearcher(shelf.searcher, Scripted("marine mammals"))
    request = SearchRequest("ann", "whale", Mode.BM25)
    found, rewritten = searcher.search(request, Rewrite.MULTI_QUERY)
    why = {hit.chunk_id: {name: reason.rank for name, reason in hit.why.items()} for hit in found.hits}
    assert why == {"whale-0": {"bm25": 1, "query_0": 1}, "cetacean-0": {"query_1": 1}}
    assert rewritten.queries == (ExtraQuery("marine mammals", Mode.BM25),)
    assert {hit.chunk_id for hit in shelf.searcher.search(request).hits} == {"whale-0"}


def test_what_several_queries_find_goes_first(shelf: Shelf) -> None:
    searcher = RewritingSearcher(shelf.searcher, Scripted("ship of mammals", "ship"))
    found, _ = searcher.search(SearchRequest("ann", "mammals and ship", Mode.BM25), Rewrite.DECOMPOSITION)
    best = found.hits[0]
    assert best.chunk_id == "ship-0"
    assert best.passage.score == pytest.approx(sum(1 / (60 + best.why[f"query_{n}"].rank) for n in range(3)))


def test_caps_and_the_catalogs_word_hold_for_what_further_queries_find(shelf: Shelf) -> None:
    shelf.put("theirs", "marine mammals", tenant="bob")
    shelf.put("hidden", "marine mammals far away")
    del shelf.shown.shown["hidden"]
    searcher = RewritingSearcher(shelf.searcher, Scripted("marine mammals", "ship"))
    request = SearchRequest("ann", "whale", Mode.BM25, documents=("doc-whale", "doc-cetacean", "doc-theirs"))
    found, _ = searcher.search(request, Rewrite.MULTI_QUERY)
    assert {hit.chunk_id for hit in found.hits} == {"whale-0", "cetacean-0"}
    assert len(searcher.search(SearchRequest("ann", "whale", top_k=1), Rewrite.MULTI_QUERY)[0].hits) == 1


def test_a_hypothetical_passage_is_compared_by_meaning_alone(shelf: Shelf) -> None:
    searcher = RewritingSearcher(shelf.searcher, Scripted("Whales are large marine mammals."))
    for mode, used in ((Mode.HYBRID, Mode.DENSE), (Mode.DENSE, Mode.DENSE), (Mode.BM25, Mode.BM25)):
        _, rewritten = searcher.search(SearchRequest("ann", "whale", mode), Rewrite.HYDE)
        assert [also.mode for also in rewritten.queries] == [used]


def test_further_queries_are_few_short_and_not_what_was_asked(shelf: Shelf) -> None:
    scripted = Scripted(" Whale? ", "", "sea\n  beast", "Sea beast", "x" * 5_000, *(f"query {n}" for n in range(20)))
    _, rewritten = RewritingSearcher(shelf.searcher, scripted).search(SearchRequest("ann", "whale"), Rewrite.STEP_BACK)
    assert [also.query for also in rewritten.queries[:2]] == ["sea beast", "x" * MAX_QUERY_CHARS]
    assert len(rewritten.queries) == MAX_QUERIES


@pytest.mark.parametrize(
    ("scripted", "said"),
    [
        (Scripted(error=EncoderError("gpu:8000 is slow.")), EncoderError.public_detail),
        (Scripted("whale"), "no new query"),
        (Scripted(), "no"),
    ],
)
def test_without_further_queries_the_search_is_as_it_was_asked_and_flagged(
    shelf: Shelf, scripted: Scripted, said: str
) -> None:
    found, rewritten = RewritingSearcher(shelf.searcher, scripted).search(SearchRequest("ann", "whale"), Rewrite.HYDE)
    assert said in rewritten.failure
    assert rewritten.queries == ()
    assert found.hits == shelf.searcher.search(SearchRequest("ann", "whale")).hits
    assert found.timings_ms["rewrite"] == rewritten.milliseconds


def test_a_search_that_cannot_be_done_is_not_rewritten(shelf: Shelf) -> None:
    scripted = Scripted("x")
    with pytest.raises(QueryError):
        RewritingSearcher(shelf.searcher, scripted).search(SearchRequest("ann", " "), Rewrite.HYDE)
    assert scripted.asked == []


def test_a_defect_is_not_taken_for_a_failed_rewrite(shelf: Shelf) -> None:
    searcher = RewritingSearcher(shelf.searcher, Scripted(error=ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        searcher.search(SearchRequest("ann", "whale"), Rewrite.HYDE)
