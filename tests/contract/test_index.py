"""What every vector index must do: the embedded engine and the fake run the same suite."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.bm25 import Bm25Encoder
from retrieval.embedding import HashingEmbedder
from retrieval.errors import IndexUnavailableError
from retrieval.index import Index, IndexedChunk, Scope
from retrieval.qdrant_edge_index import QdrantEdgeIndex
from tests.support.compacted_index import CompactedIndex
from tests.support.memory_index import MemoryIndex

# Large enough that a single chunk is sealed when the index is compacted.
DIMENSION = 384
ENCODER, EMBEDDER = Bm25Encoder(), HashingEmbedder(DIMENSION)
ANN = Scope("ann")

Make = Callable[[], Index]


@pytest.fixture(params=["edge", "edge, compacted after every write", "memory"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    made: Index
    match request.param:
        case "memory":
            made = MemoryIndex()
        case "edge":
            made = QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION)
        case _:
            made = CompactedIndex(tmp_path / "i", dimension=DIMENSION)
    yield made
    made.close()


def chunk(name: str, *, tenant: str = "ann", version: str = "v1", collection: str = "default") -> IndexedChunk:
    identifier = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{tenant}/{version}/{name}"))
    return IndexedChunk(
        identifier, tenant, collection, f"doc-{version}", version, 3, 10, 20, 11, 22, 7, ("Part", "Chapter")
    )


def put(index: Index, texts: dict[IndexedChunk, str], *, dense: bool = True) -> None:
    index.upsert(list(texts), [ENCODER.document(text) for text in texts.values()])
    if dense:
        index.set_dense([c.id for c in texts], EMBEDDER.documents(list(texts.values())).vectors)


def find(index: Index, query: str, scope: Scope = ANN, limit: int = 10) -> tuple[list[str], list[str]]:
    by_bm25, by_dense = index.search(scope, sparse=ENCODER.query(query), dense=EMBEDDER.query(query), limit=limit)
    return [hit.id for hit in by_bm25], [hit.id for hit in by_dense]


def test_a_chunk_comes_back_as_it_was_written(index: Index) -> None:
    written = chunk("a")
    put(index, {written: "whales swim"})
    assert index.chunks(ANN, [written.id, str(uuid.uuid4())]) == {written.id: written}


def test_both_retrievers_rank_the_matching_chunk_first(index: Index) -> None:
    whale, ship = chunk("whale"), chunk("ship")
    put(index, {whale: "the white whale swims in the sea", ship: "a ship with three masts"})
    by_bm25, by_dense = find(index, "white whale")
    assert by_bm25 == [whale.id]
    assert by_dense[0] == whale.id


def test_a_chunk_without_a_vector_is_found_by_its_words_only(index: Index) -> None:
    whale = chunk("whale")
    put(index, {whale: "the white whale"}, dense=False)
    assert find(index, "whale") == ([whale.id], [])
    assert (index.count("ann", "v1"), index.count("ann", "v1", embedded_only=True)) == (1, 0)


def test_a_rare_word_weighs_more_than_a_common_one(index: Index) -> None:
    rare = chunk("rare")
    put(index, {rare: "harpoon forged", **{chunk(str(n)): "captain speaks" for n in range(20)}})
    assert find(index, "captain harpoon")[0][0] == rare.id


def test_no_query_sees_another_tenants_chunks(index: Index) -> None:
    mine, theirs = chunk("x"), chunk("x", tenant="bob")
    put(index, {mine: "the same words", theirs: "the same words"})
    assert find(index, "same words") == ([mine.id], [mine.id])
    assert index.chunks(ANN, [theirs.id]) == {}
    assert index.count("ann", "v1") == 1
    assert index.delete_version("ann", "v1") == 1
    assert find(index, "same words", Scope("bob")) == ([theirs.id], [theirs.id])


def test_hidden_versions_collections_and_documents_narrow_the_scope(index: Index) -> None:
    one, two = chunk("x", version="v1"), chunk("x", version="v2", collection="other")
    put(index, {one: "same words", two: "same words"})
    for scope in (
        Scope("ann", hidden_versions=("v2",)),
        Scope("ann", collections=("default",)),
        Scope("ann", documents=("doc-v1",)),
    ):
        assert find(index, "same words", scope) == ([one.id], [one.id])
        assert list(index.chunks(scope, [one.id, two.id])) == [one.id]


def test_writing_twice_is_writing_once(index: Index) -> None:
    texts = {chunk(name): f"word {name}" for name in "abc"}
    put(index, texts)
    put(index, texts)
    assert (index.count("ann", "v1"), index.count("ann", "v1", embedded_only=True)) == (3, 3)


def test_deleting_a_version_removes_all_of_it_and_then_nothing(index: Index) -> None:
    kept = chunk("k", version="v2")
    put(index, {**{chunk(name): "same words" for name in "abc"}, kept: "same words"})
    assert index.delete_version("ann", "v1") == 3
    assert index.delete_version("ann", "v1") == 0
    assert find(index, "same words") == ([kept.id], [kept.id])


def test_equal_scores_come_in_the_order_of_their_ids(index: Index) -> None:
    texts = {chunk(str(number)): "equal words" for number in range(30)}
    put(index, texts)
    ordered = sorted(c.id for c in texts)
    assert find(index, "equal words", limit=100) == (ordered, ordered)


def test_a_vector_for_an_unknown_chunk_is_an_error(index: Index) -> None:
    with pytest.raises(IndexUnavailableError):
        index.set_dense([str(uuid.uuid4())], np.ones((1, DIMENSION), np.float32))


def test_a_query_of_stop_words_finds_nothing_by_words(index: Index) -> None:
    put(index, {chunk("a"): "the whale"})
    assert find(index, "the of and")[0] == []


def test_the_engines_own_fusion_returns_as_many_as_asked(index: Index) -> None:
    put(index, {chunk(str(number)): f"words {number}" for number in range(20)})
    sparse, dense = ENCODER.query("words"), EMBEDDER.query("words")
    assert index.fused(ANN, sparse=sparse, dense=dense, limit=5, depth=20) == 5


def test_the_embedded_index_survives_being_closed(tmp_path: Path) -> None:
    index = QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION)
    written = chunk("a")
    put(index, {written: "whales swim"})
    index.close()
    again = QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION)
    assert find(again, "whales") == ([written.id], [written.id])
    again.close()


def test_a_second_opener_is_refused_with_the_next_step(tmp_path: Path) -> None:
    index = QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION)
    with pytest.raises(IndexUnavailableError, match="Another process"):
        QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION)
    index.close()
