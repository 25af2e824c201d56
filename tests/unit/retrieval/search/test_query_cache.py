"""The query cache alone: what a result is kept under, how much is kept, and for how long."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import QueryError
from retrieval.search.query_cache import CacheCounts, CachedSearcher
from retrieval.search.requests import ExtraQuery, Fusion, SearchRequest
from retrieval.search.reranking import RerankOutcome
from retrieval.search.search import Mode, SearchResult
from tests.unit.retrieval.search.test_search import Shelf

ASKED = SearchRequest("ann", "white whale")
# Another value of every member of a request.
OTHERWISE: dict[str, Any] = {
    "tenant_id": "bob",
    "query": "white whales",
    "mode": Mode.BM25,
    "top_k": 9,
    "per_document": 1,
    "fusion": Fusion.RRF,
    "feedback": True,
    "collections": ("default",),
    "documents": ("doc-v1",),
    "filters": {"year": 1851},
    "diversity": 0.5,
    "grouped": True,
    "expand_chars": 100,
    "explain": True,
    "rerank": False,
    "rerank_depth": 7,
    "for_answer": True,
    "also": (ExtraQuery("ships", Mode.DENSE),),
    "readers": frozenset({"user:eve"}),
}


class Numbers:
    """Corpus numbers that a test counts up."""

    def __init__(self) -> None:
        self.now = {"ann": 1, "bob": 1}

    def load_corpus_version(self, tenant_id: str) -> int:
        return self.now[tenant_id]


class Cached:
    """A shelf with a cache before it, and its clock."""

    def __init__(self, folder: Path, **bounds: Any) -> None:  # noqa: ANN401 - of the cache
        self.shelf, self.numbers, self.seconds = Shelf(folder), Numbers(), 0.0
        self.searcher = CachedSearcher(self.shelf.searcher, self.numbers, clock=lambda: self.seconds, **bounds)
        self.shelf.put("v1", "the white whale\nwhite paint")

    def cached(self, request: SearchRequest = ASKED) -> bool:
        return self.searcher.search(request).cached


@pytest.fixture
def cached(tmp_path: Path) -> Cached:
    return Cached(tmp_path)


def test_the_same_search_again_has_the_same_hits_and_says_where_they_are_from(cached: Cached) -> None:
    first, again = cached.searcher.search(ASKED), cached.searcher.search(ASKED)
    assert (first.cached, again.cached) == (False, True)
    assert again.hits == first.hits == cached.shelf.searcher.search(ASKED).hits
    assert set(again.timings_ms) == {"cache", "total"}
    assert first.timings_ms["total"] == pytest.approx(
        sum(value for stage, value in first.timings_ms.items() if stage != "total"), abs=0.01
    )


@pytest.mark.parametrize("member", [field.name for field in fields(SearchRequest)])
def test_every_member_of_a_request_is_a_part_of_its_key(cached: Cached, member: str) -> None:
    cached.searcher.search(ASKED)
    assert cached.cached()
    assert not cached.cached(replace(ASKED, **{member: OTHERWISE[member]}))
    assert cached.cached()


def test_values_that_python_takes_for_equal_are_told_apart_in_filters(cached: Cached) -> None:
    cached.cached(replace(ASKED, filters={"flag": 1}))
    assert not cached.cached(replace(ASKED, filters={"flag": True}))
    assert not cached.cached(replace(ASKED, filters={"flag": "1"}))


def test_another_tenants_hits_are_never_shown(cached: Cached) -> None:
    assert cached.searcher.search(ASKED).hits
    assert cached.searcher.search(replace(ASKED, tenant_id="bob")).hits == ()


def test_what_was_found_in_an_earlier_corpus_is_not_found_again_and_not_kept(cached: Cached) -> None:
    cached.searcher.search(ASKED)
    kept = cached.searcher.size_bytes
    cached.numbers.now["ann"] += 1
    assert not cached.cached()
    assert cached.searcher.size_bytes == kept


def test_another_tenants_changes_end_nothing(cached: Cached) -> None:
    cached.searcher.search(ASKED)
    cached.numbers.now["bob"] += 1
    cached.searcher.search(replace(ASKED, tenant_id="bob"))
    assert cached.cached()


def test_what_changes_during_a_search_is_found_by_the_next(cached: Cached) -> None:
    def change() -> None:
        cached.numbers.now["ann"] += 1
        cached.shelf.shown.after_hidden = lambda: None

    cached.shelf.shown.after_hidden = change
    assert not cached.cached()
    assert not cached.cached()
    assert cached.cached()


def test_a_search_that_a_newer_one_has_overtaken_keeps_nothing(cached: Cached) -> None:
    def overtake() -> None:
        cached.shelf.shown.after_hidden = lambda: None
        cached.numbers.now["ann"] += 1
        cached.searcher.search(replace(ASKED, query="paint"))

    cached.shelf.shown.after_hidden = overtake
    cached.searcher.search(ASKED)
    kept = cached.searcher.size_bytes
    assert cached.cached(replace(ASKED, query="paint"))
    cached.numbers.now["ann"] += 1
    cached.cached(replace(ASKED, query="paint"))
    assert cached.searcher.size_bytes == kept


def test_what_a_failed_reranking_left_is_not_kept(cached: Cached) -> None:
    numbered = Numbered(cached.shelf)
    searcher = CachedSearcher(numbered, cached.numbers)  # type: ignore[arg-type]
    numbered.reranked = RerankOutcome("judge", 2, "rerank_late", "It took too long.")
    searcher.search(ASKED)
    assert not searcher.search(ASKED).cached
    numbered.reranked = RerankOutcome("judge", 2)
    searcher.search(ASKED)
    assert searcher.search(ASKED).cached


class Numbered:
    """A searcher whose generation a test sets: the one it is asked for, and the one that a search then uses."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.generation, self.searched = shelf, 1, 1
        self.reranked: RerankOutcome | None = None

    def search(self, request: SearchRequest) -> SearchResult:
        return replace(self.shelf.searcher.search(request), generation=self.searched, reranked=self.reranked)


def test_the_generation_of_the_index_is_a_part_of_the_key(cached: Cached) -> None:
    numbered = Numbered(cached.shelf)
    searcher = CachedSearcher(numbered, cached.numbers)  # type: ignore[arg-type]
    searcher.search(ASKED)
    assert searcher.search(ASKED).cached
    numbered.generation = numbered.searched = 2
    assert not searcher.search(ASKED).cached


def test_what_was_found_in_another_generation_than_was_asked_for_is_not_kept(cached: Cached) -> None:
    numbered = Numbered(cached.shelf)
    numbered.searched = 2  # a switch came between
    searcher = CachedSearcher(numbered, cached.numbers)  # type: ignore[arg-type]
    searcher.search(ASKED)
    assert not searcher.search(ASKED).cached


def test_the_longest_unused_goes_when_there_is_no_room(tmp_path: Path) -> None:
    cached = Cached(tmp_path, max_bytes=12_000)
    first, second, third = (replace(ASKED, query=word) for word in ("white", "whale", "paint"))
    cached.cached(first)
    cached.cached(second)
    assert cached.cached(first)
    cached.cached(third)
    assert (cached.cached(first), cached.cached(third)) == (True, True)
    assert cached.searcher.size_bytes <= 12_000
    assert not cached.cached(second)


def test_a_result_that_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cached = Cached(tmp_path, max_bytes=2_000)
    cached.cached()
    assert not cached.cached()
    assert cached.searcher.size_bytes == 0


def test_nothing_is_kept_longer_than_its_time(tmp_path: Path) -> None:
    cached = Cached(tmp_path, max_age_seconds=60)
    cached.cached()
    cached.seconds = 60
    assert cached.cached()
    cached.seconds = 61
    assert not cached.cached()
    assert cached.cached()


def test_with_no_room_at_all_the_catalog_is_not_asked(tmp_path: Path) -> None:
    cached = Cached(tmp_path, max_bytes=0)
    cached.numbers.now = {}
    assert not cached.cached()
    assert "cache" not in cached.searcher.search(ASKED).timings_ms


def test_a_search_that_cannot_be_done_is_refused_each_time(cached: Cached) -> None:
    for _ in range(2):
        with pytest.raises(QueryError):
            cached.searcher.search(replace(ASKED, top_k=0))


def test_each_tenant_is_told_of_its_own_searches(cached: Cached) -> None:
    cached.cached()
    cached.cached()
    cached.cached(replace(ASKED, tenant_id="bob"))
    assert cached.searcher.get_cache_counts("ann") == CacheCounts(hits=1, misses=1)
    assert cached.searcher.get_cache_counts("bob") == CacheCounts(hits=0, misses=1)
