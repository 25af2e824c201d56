"""Searches with a reranker: what it is given, what it changes, and what holds all the same."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import QueryError, RerankerUnavailableError
from retrieval.rerank.port import CorpusSnapshot
from retrieval.search.reranking import Reranking
from retrieval.search.search import Mode, Searcher, SearchRequest, SearchResult
from tests.support.fixed_generation import FixedGeneration
from tests.unit.retrieval.search.test_search import Shelf


class Shortest:
    """Prefers short passages, and keeps what it was given."""

    fingerprint = "shortest"

    def __init__(self) -> None:
        self.given: list[list[str]] = []
        self.before: Callable[[], object] = lambda: None

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        self.given.append(list(passages))
        self.before()
        return [-float(len(passage)) for passage in passages]

    def close(self) -> None:
        return None


class Reranked:
    """A shelf whose searches are reranked."""

    def __init__(self, folder: Path, *, answers_only: bool = False) -> None:
        self.shelf, self.reranker = Shelf(folder), Shortest()
        shelf, self.reranking = self.shelf, Reranking(self.reranker, answers_only=answers_only)
        generation = FixedGeneration(shelf.index, shelf.embedder)
        self.searcher = Searcher(generation, shelf.shown, shelf.texts, self.reranking)

    def search(self, query: str, **options: object) -> SearchResult:
        return self.searcher.search(SearchRequest("ann", query, **options))  # type: ignore[arg-type]

    def find(self, query: str, **options: object) -> list[str]:
        return [hit.chunk_id for hit in self.search(query, **options).hits]


@pytest.fixture
def reranked(tmp_path: Path) -> Iterator[Reranked]:
    made = Reranked(tmp_path)
    yield made
    made.reranking.close()


def test_hits_are_in_the_rerankers_order_and_say_so(reranked: Reranked) -> None:
    reranked.shelf.put("long", "the white whale swims in the sea")
    reranked.shelf.put("short", "a whale")
    result = reranked.search("white whale swims")
    assert [hit.chunk_id for hit in result.hits] == ["short-0", "long-0"]
    first = result.hits[0]
    assert (first.why["rerank"].rank, first.why["rerank"].score) == (1, first.passage.score)
    assert first.why["dense"].rank == 2
    assert result.reranked is not None
    assert (result.reranked.model, result.reranked.passages, result.reranked.failure) == ("shortest", 2, "")
    timings = dict(result.timings_ms)
    assert "rerank" in timings
    assert np.isclose(sum(timings.values()) - timings["total"], timings["total"], atol=0.01)


@pytest.mark.parametrize("mode", Mode)
def test_passages_are_read_with_their_title_in_every_mode(reranked: Reranked, mode: Mode) -> None:
    reranked.shelf.put("v1", "the white whale")
    reranked.find("whale", mode=mode)
    assert reranked.reranker.given == [["Title v1\nthe white whale"]]


def test_candidates_behind_those_that_were_read_keep_their_order(reranked: Reranked) -> None:
    for number in range(6):
        reranked.shelf.put(f"v{number}", "whale " * (number + 1) + "and more" * (6 - number))
    before = reranked.find("whale", rerank=False)
    assert reranked.reranker.given == []
    after = reranked.find("whale", rerank_depth=2)
    assert sorted(after[:2]) == sorted(before[:2])
    assert after[2:] == before[2:]
    assert [len(given) for given in reranked.reranker.given] == [2]


def test_what_may_not_be_shown_is_not_read_and_takes_nobodys_place(reranked: Reranked) -> None:
    shelf = reranked.shelf
    shelf.put("theirs", "whale whale whale", tenant="bob")
    shelf.put("gone", "whale whale")
    shelf.put("deleted", "whale whale ahoy")
    shelf.put("here", "the whale of a passage")
    del shelf.shown.shown["gone"]
    shelf.texts.delete("deleted")
    assert reranked.find("whale", rerank_depth=2) == ["here-0"]
    assert reranked.reranker.given == [["Title here\nthe whale of a passage"]]
    assert reranked.find("whale", documents=("doc-theirs",)) == []


def test_a_document_that_goes_while_its_passages_are_read_is_no_hit(reranked: Reranked) -> None:
    reranked.shelf.put("v1", "whales swim")
    reranked.shelf.put("v2", "whales swim far")
    reranked.reranker.before = lambda: reranked.shelf.shown.shown.pop("v1", None)
    assert reranked.find("whales") == ["v2-0"]


def test_the_cap_per_document_and_diversity_hold_after_reranking(reranked: Reranked) -> None:
    reranked.shelf.put("twins", "a whale\na whale\nthe white whale")
    reranked.shelf.put("other", "whale bone and old ships")
    assert reranked.find("whale", per_document=1) == ["twins-0", "other-0"]
    assert set(reranked.find("whale", top_k=2, diversity=0.9)) == {"twins-0", "other-0"}


def test_a_failure_leaves_the_hits_as_they_were(reranked: Reranked) -> None:
    reranked.shelf.put("long", "the white whale swims in the sea")
    reranked.shelf.put("short", "a whale")

    def fail() -> None:
        raise RerankerUnavailableError("The server is away.")

    reranked.reranker.before = fail
    result = reranked.search("white whale swims")
    assert [hit.chunk_id for hit in result.hits] == reranked.find("white whale swims", rerank=False)
    assert result.reranked is not None
    assert result.reranked.failure == "reranker_unavailable"
    assert result.reranked.detail == RerankerUnavailableError.public_detail
    assert "rerank" not in result.hits[0].why


def test_nothing_found_is_nothing_to_read(reranked: Reranked) -> None:
    result = reranked.search("whale")
    assert (result.hits, reranked.reranker.given) == ((), [])


def test_a_search_that_insists_on_a_reranker_needs_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put("v1", "whales swim")
    assert shelf.searcher.search(SearchRequest("ann", "whales")).reranked is None
    with pytest.raises(QueryError, match="No reranker"):
        shelf.find("whales", rerank=True)


@pytest.mark.parametrize("depth", [0, -1, 201])
def test_a_depth_that_cannot_be_is_refused(reranked: Reranked, depth: int) -> None:
    with pytest.raises(QueryError, match="rerank_depth"):
        reranked.find("whale", rerank_depth=depth)


def test_a_reranker_for_answers_reads_for_them_and_for_searches_that_ask_for_it(tmp_path: Path) -> None:
    made = Reranked(tmp_path, answers_only=True)
    made.shelf.put("long", "the white whale swims in the sea")
    made.shelf.put("short", "a whale")
    asked = [made.search("white whale swims", **options) for options in ({}, {"for_answer": True}, {"rerank": True})]
    assert [result.reranked is not None for result in asked] == [False, True, True]
    assert made.search("white whale swims", for_answer=True, rerank=False).reranked is None
    made.reranking.close()
