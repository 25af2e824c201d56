"""The stages of a search load each chunk once, and what they may see is decided each time."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from retrieval.index.port import IndexedChunk, SearchScope
from retrieval.search.loaded_chunks import LoadedChunks
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.memory_index import MemoryIndex
from tests.unit.retrieval.search.test_documents import Library


class CountingIndex(MemoryIndex):
    """Remembers the ids of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        self.asked.append(list(chunk_ids))
        return super().load_chunks(scope, chunk_ids)


ANN = SearchScope("ann")


@pytest.fixture
def index() -> CountingIndex:
    return CountingIndex()


def test_each_chunk_is_loaded_once_whether_it_is_there_or_not(index: CountingIndex) -> None:
    one, two = indexed_chunk("one"), indexed_chunk("two")
    put_words(index, {one: "whales", two: "ships"})
    loaded = LoadedChunks(index, ANN)
    assert loaded.load_chunks(ANN, [one.id, "missing"]) == {one.id: one}
    assert loaded.load_chunks(ANN, [two.id, "missing", one.id]) == {two.id: two, one.id: one}
    assert list(loaded.load_chunks(ANN, [two.id, one.id])) == [two.id, one.id]
    assert index.asked == [[one.id, "missing"], [two.id]]


def test_chunks_loaded_in_one_scope_are_not_returned_in_another(index: CountingIndex) -> None:
    mine, theirs = indexed_chunk("x"), indexed_chunk("x", tenant="bob")
    put_words(index, {mine: "whales", theirs: "whales"})
    loaded = LoadedChunks(index, ANN)
    both = [mine.id, theirs.id]
    assert loaded.load_chunks(ANN, both) == {mine.id: mine}
    assert loaded.load_chunks(SearchScope("bob"), both) == {theirs.id: theirs}
    assert loaded.load_chunks(SearchScope("ann", hidden_versions=(mine.version_id,)), both) == {}
    assert loaded.load_chunks(ANN, both) == {mine.id: mine}


def test_a_version_that_is_hidden_during_a_search_is_no_hit_although_its_chunks_are_loaded(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.put_reports()
    shown, looked_up = library.shelf.shown, list[set[str]]()
    find_visible = shown.find_visible_versions

    def hide_after_the_first_lookup(tenant_id: str, version_ids: set[str]) -> object:
        looked_up.append(set(version_ids))
        if len(looked_up) == 2:
            del shown.shown["dunlin"]
        return find_visible(tenant_id, version_ids)

    shown.find_visible_versions = hide_after_the_first_lookup  # type: ignore[method-assign,assignment]
    hits = library.search(top_k=5).hits
    assert hits
    assert "dunlin" in looked_up[0]
    assert all(hit.passage.version_id != "dunlin" for hit in hits)
