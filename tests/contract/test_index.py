"""What every vector index must do: the embedded engine, the server and the fake run the same suite.

The server is the test double, which reads each request with the client's own models and refuses what they do not
describe; so whatever passes here was a request in Qdrant's own terms.
"""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from retrieval.encoders.port import HashingEmbedder
from retrieval.errors import ChunksMissingError, IndexRefusedError, IndexUnavailableError
from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.port import Index, IndexedChunk, ScoredChunk, SearchScope
from retrieval.index.server.qdrant_server_index import QdrantServerIndex
from retrieval.index.server.settings import QdrantServerSettings
from tests.support.compacted_index import CompactedIndex
from tests.support.index_chunks import indexed_chunk as chunk
from tests.support.index_chunks import put_words
from tests.support.memory_index import MemoryIndex
from tests.support.vector_servers import VectorServer, vector_server

# Large enough that a single chunk is sealed when the index is compacted.
DIMENSION = 384
ENCODER, EMBEDDER = Bm25Encoder(), HashingEmbedder(DIMENSION)
ANN = SearchScope("ann")
SENTENCES = (
    "the white whale swims in the sea",
    "a ship with three masts sails the sea at night",
    "the captain hates the white whale",
    "a harpoon is forged for the captain of the ship",
    "night falls over the harbour and the ship is gone",
)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorServer]:
    with vector_server(tmp_path_factory.mktemp("qdrant") / "data") as running:
        yield running


def make(kind: str, tmp_path: Path, double: VectorServer) -> Index:
    """An empty index of a kind."""
    if kind == "memory":
        return MemoryIndex()
    if kind == "edge":
        return QdrantEdgeIndex(tmp_path / "i", dimension=DIMENSION)
    if kind == "edge, compacted after every write":
        return CompactedIndex(tmp_path / "i", dimension=DIMENSION)
    quantization: Literal["none", "int8"] = "int8" if kind == "server, int8" else "none"
    settings = QdrantServerSettings(collection=uuid.uuid4().hex, quantization=quantization)
    return QdrantServerIndex(double.url, dimension=DIMENSION, api_key=None, settings=settings)


_COMPACTED = pytest.param("edge, compacted after every write", marks=pytest.mark.slow)


@pytest.fixture(params=["edge", _COMPACTED, "memory", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path, double: VectorServer) -> Iterator[Index]:
    made = make(request.param, tmp_path, double)
    yield made
    made.close()


def put(index: Index, texts: dict[IndexedChunk, str], *, dense: bool = True) -> None:
    put_words(index, texts)
    if dense:
        index.set_dense_vectors([c.id for c in texts], EMBEDDER.embed_documents(list(texts.values())).vectors)


def find(index: Index, query: str, scope: SearchScope = ANN, limit: int = 10) -> tuple[list[str], list[str]]:
    by_bm25, by_dense = index.search(
        scope, sparse_vector=ENCODER.encode_query(query), dense_vector=EMBEDDER.embed_query(query), limit=limit
    )
    return [hit.id for hit in by_bm25], [hit.id for hit in by_dense]


def test_a_chunk_comes_back_as_it_was_written(index: Index) -> None:
    written = chunk("a")
    put(index, {written: "whales swim"})
    assert index.load_chunks(ANN, [written.id, str(uuid.uuid4())]) == {written.id: written}


def test_a_chunk_without_page_and_headings_comes_back_too(index: Index) -> None:
    written = replace(chunk("a"), page=None, heading_path=())
    put(index, {written: "whales swim"})
    assert index.load_chunks(ANN, [written.id]) == {written.id: written}


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
    assert (index.count_chunks("ann", "v1"), index.count_chunks("ann", "v1", embedded_only=True)) == (1, 0)


def test_a_rare_word_weighs_more_than_a_common_one(index: Index) -> None:
    rare = chunk("rare")
    put(index, {rare: "harpoon forged", **{chunk(str(n)): "captain speaks" for n in range(20)}})
    assert find(index, "captain harpoon")[0][0] == rare.id


def test_no_tenants_words_move_another_tenants_scores(index: Index) -> None:
    falcon = chunk("3")
    put(index, {chunk(str(n)): "a falcon over the sea" if n == 3 else "the sea at night" for n in range(20)})

    def scored_by(query: str) -> dict[str, float]:
        return scores(index.search(ANN, sparse_vector=ENCODER.encode_query(query), dense_vector=None, limit=30)[0])

    alone = scored_by("falcon"), scored_by("sea")
    assert list(alone[0]) == [falcon.id]
    put(index, {chunk(str(n), tenant="bob"): "the sea at night" for n in range(20)})
    assert (scored_by("falcon"), scored_by("sea")) == alone
    put(index, {chunk(str(n), tenant="bob", version="v2"): "a falcon over the sea" for n in range(20)})
    assert (scored_by("falcon"), scored_by("sea")) == alone
    for version in ("v1", "v2"):
        index.delete_version("bob", version)
    assert (scored_by("falcon"), scored_by("sea")) == alone


def test_no_query_sees_another_tenants_chunks(index: Index) -> None:
    mine, theirs = chunk("x"), chunk("x", tenant="bob")
    put(index, {mine: "the same words", theirs: "the same words"})
    assert find(index, "same words") == ([mine.id], [mine.id])
    assert index.load_chunks(ANN, [theirs.id]) == {}
    assert index.count_chunks("ann", "v1") == 1
    assert index.delete_version("ann", "v1") == 1
    assert find(index, "same words", SearchScope("bob")) == ([theirs.id], [theirs.id])


def test_hidden_versions_collections_and_documents_narrow_the_scope(index: Index) -> None:
    one, two = chunk("x", version="v1"), chunk("x", version="v2", collection="other")
    put(index, {one: "same words", two: "same words"})
    for scope in (
        SearchScope("ann", hidden_versions=("v2",)),
        SearchScope("ann", collections=("default",)),
        SearchScope("ann", documents=("doc-v1",)),
    ):
        assert find(index, "same words", scope) == ([one.id], [one.id])
        assert list(index.load_chunks(scope, [one.id, two.id])) == [one.id]


def test_a_closed_version_is_found_by_its_readers_alone_by_words_and_by_meaning(index: Index) -> None:
    closed, opened = chunk("x", version="v1"), chunk("x", version="v2")
    put(index, {closed: "same words", opened: "same words"})
    index.set_readers("ann", "v1", {"user:eve", "group:hr"})
    for readers in (frozenset({"user:eve"}), frozenset({"group:hr", "user:bob"}), None):
        assert find(index, "same words", SearchScope("ann", readers=readers)) == (sorted([closed.id, opened.id]),) * 2
    for readers in (frozenset({"user:bob"}), frozenset[str]()):
        assert find(index, "same words", SearchScope("ann", readers=readers)) == ([opened.id], [opened.id])


def test_chunks_of_a_closed_collection_are_found_by_nobody_whom_it_is_closed_to(index: Index) -> None:
    closed, opened = chunk("x", version="v1", collection="staff"), chunk("x", version="v2", collection="open")
    put(index, {closed: "same words", opened: "same words"})
    scope = SearchScope("ann", closed=("staff",))
    assert find(index, "same words", scope) == ([opened.id], [opened.id])
    assert set(index.load_chunks(scope, [closed.id, opened.id])) == {opened.id}


def test_chunks_of_a_moved_document_are_found_in_their_new_collection_alone(index: Index) -> None:
    moved, other = chunk("x", version="v1"), chunk("x", version="v2")
    put(index, {moved: "same words", other: "same words"})
    index.set_readers("ann", "v1", {"user:eve"})
    index.set_collection("ann", "v1", "law")
    index.set_collection("bob", "v2", "law")
    old, new = SearchScope("ann", collections=("default",)), SearchScope("ann", collections=("law",))
    assert find(index, "same words", old) == ([other.id], [other.id])
    assert find(index, "same words", new) == ([moved.id], [moved.id])
    assert index.load_chunks(new, [moved.id, other.id])[moved.id].collection == "law"
    assert find(index, "same words", replace(new, readers=frozenset({"user:bob"}))) == ([], [])
    assert index.count_chunks("ann", "v1", embedded_only=True) == 1


def test_readers_can_be_none_at_all_and_everybody_again(index: Index) -> None:
    closed = chunk("x")
    put(index, {closed: "same words"})
    eve = SearchScope("ann", readers=frozenset({"user:eve"}))
    index.set_readers("ann", "v1", [])
    assert find(index, "same words", eve) == ([], [])
    index.set_readers("bob", "v1", None)
    assert find(index, "same words", eve) == ([], [])
    index.set_readers("ann", "v1", None)
    assert find(index, "same words", eve) == ([closed.id], [closed.id])
    assert index.count_chunks("ann", "v1", embedded_only=True) == 1


def test_writing_twice_is_writing_once(index: Index) -> None:
    texts = {chunk(name): f"word {name}" for name in "abc"}
    put(index, texts)
    put(index, texts)
    assert (index.count_chunks("ann", "v1"), index.count_chunks("ann", "v1", embedded_only=True)) == (3, 3)


def test_writing_a_chunk_late_leaves_its_vector(index: Index) -> None:
    texts = {chunk(name): f"word {name}" for name in "abc"}
    put(index, texts)
    put(index, texts, dense=False)
    assert index.count_chunks("ann", "v1", embedded_only=True) == 3


def test_the_vectors_of_chunks_come_back_for_those_that_have_one(index: Index) -> None:
    embedded, bare = chunk("embedded"), chunk("bare")
    put(index, {bare: "masts"}, dense=False)
    put(index, {embedded: "whales swim"})
    found = index.load_dense_vectors([embedded.id, bare.id, str(uuid.uuid4())])
    assert list(found) == [embedded.id]
    np.testing.assert_allclose(found[embedded.id], EMBEDDER.embed_query("whales swim"), rtol=1e-5)
    assert index.load_dense_vectors([]) == {}


def test_chunks_asked_for_are_compared_with_a_vector_best_first(index: Index) -> None:
    texts = {chunk(str(number)): text for number, text in enumerate(SENTENCES)}
    put(index, texts)
    bare = chunk("bare")
    put(index, {bare: "no vector yet"}, dense=False)
    query = EMBEDDER.embed_query(SENTENCES[2])
    _, every = index.search(ANN, sparse_vector=None, dense_vector=query, limit=10)
    some = [c.id for c in list(texts)[1:4]]

    compared = index.score_chunks_by_cosine(query, [*some, bare.id])

    assert [hit.id for hit in compared] == [hit.id for hit in every if hit.id in some]
    assert scores(compared) == pytest.approx({i: scores(every)[i] for i in some}, abs=1e-3)
    assert index.score_chunks_by_cosine(query, []) == []


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
    with pytest.raises((ChunksMissingError, IndexRefusedError)):
        index.set_dense_vectors([str(uuid.uuid4())], np.ones((1, DIMENSION), np.float32))


def test_a_query_of_stop_words_finds_nothing_by_words(index: Index) -> None:
    put(index, {chunk("a"): "the whale"})
    assert find(index, "the of and")[0] == []


def test_asking_for_nothing_finds_nothing(index: Index) -> None:
    put(index, {chunk("a"): "the whale"})
    assert index.search(ANN, sparse_vector=None, dense_vector=None, limit=5) == ([], [])
    assert (index.load_chunks(ANN, []), index.load_dense_vectors([])) == ({}, {})


def test_all_points_of_a_version_are_listed_in_the_order_of_their_ids(index: Index) -> None:
    texts = {chunk(str(number)): "same words" for number in range(2_100)}
    put(index, {**texts, chunk("x", version="v2"): "same words", chunk("y", tenant="bob"): "same words"}, dense=False)
    assert list(index.iter_version_chunks("ann", "v1")) == sorted(texts, key=lambda c: c.id)
    assert list(index.iter_version_chunks("ann", "v3")) == []


def test_vectors_come_back_as_they_were_given(index: Index) -> None:
    embedded, bare = chunk("a"), chunk("b")
    index.upsert_chunks([embedded, bare], [ENCODER.encode_document("whale"), ENCODER.encode_document("ship")])
    given = EMBEDDER.embed_documents(["the white whale"]).vectors
    index.set_dense_vectors([embedded.id], given)
    kept = index.load_dense_vectors([embedded.id, bare.id, str(uuid.uuid4())])
    assert list(kept) == [embedded.id]
    assert kept[embedded.id].dtype == np.float32
    np.testing.assert_allclose(kept[embedded.id], given[0], rtol=1e-6)


def test_a_vector_is_kept_with_length_one(index: Index) -> None:
    written = chunk("a")
    index.upsert_chunks([written], [ENCODER.encode_document("whale")])
    index.set_dense_vectors([written.id], np.full((1, DIMENSION), 3.0, np.float32))
    np.testing.assert_allclose(
        index.load_dense_vectors([written.id])[written.id], np.full(DIMENSION, DIMENSION**-0.5), rtol=1e-6
    )


def test_the_chunks_of_each_version_are_counted_and_their_tenant_is_known(index: Index) -> None:
    assert index.count_chunks_by_version() == {}
    put(index, {chunk(name): "words" for name in "abc"}, dense=False)
    put(index, {chunk("a", version="v2"): "words", chunk("a", tenant="bob", version="v3"): "words"}, dense=False)
    assert index.count_chunks_by_version() == {"v1": 3, "v2": 1, "v3": 1}
    assert [index.list_version_tenants(version) for version in ("v1", "v3", "v4")] == [["ann"], ["bob"], []]
    index.delete_version("ann", "v1")
    assert index.count_chunks_by_version() == {"v2": 1, "v3": 1}
    assert index.list_version_tenants("v1") == []


@pytest.mark.parametrize("others", [0, 150])  # a server counts few versions by their names, and many all at once
def test_the_chunks_of_several_versions_are_counted_at_once(index: Index, others: int) -> None:
    put_words(index, {chunk("a"): "whale", chunk("b"): "whale", chunk("c", version="v2"): "whale"})
    index.set_dense_vectors([chunk("a").id], EMBEDDER.embed_documents(["whale"]).vectors)
    asked = [("ann", "v1"), ("ann", "v2"), *(("ann", f"other-{n}") for n in range(others))]
    words, vectors = index.count_chunks_of_versions(asked), index.count_chunks_of_versions(asked, embedded_only=True)
    assert {version: count for version, count in words.items() if count} == {"v1": 2, "v2": 1}
    assert {version: count for version, count in vectors.items() if count} == {"v1": 1}
    assert index.count_chunks_of_versions([]) == {}


def test_more_chunks_than_a_batch_are_written_and_embedded(index: Index) -> None:
    texts = {chunk(str(number)): f"words {number}" for number in range(600)}
    put(index, texts)
    assert index.count_chunks("ann", "v1", embedded_only=True) == 600
    assert len(index.load_dense_vectors([c.id for c in texts])) == 600


def test_each_chunk_needs_its_vectors(index: Index) -> None:
    with pytest.raises(ValueError, match="sparse vector"):
        index.upsert_chunks([chunk("a")], [])
    with pytest.raises(ValueError, match="dense vector"):
        index.set_dense_vectors([chunk("a").id], np.ones((0, DIMENSION), np.float32))


def test_all_indexes_agree(tmp_path: Path, double: VectorServer) -> None:
    texts = {chunk(str(number)): text for number, text in enumerate(SENTENCES)}
    found = {}
    for kind in ("edge", "memory", "server", "server, int8"):
        index = make(kind, tmp_path, double)
        put(index, {**texts, chunk("theirs", tenant="bob"): "the white whale"})
        found[kind] = [
            index.search(
                ANN, sparse_vector=ENCODER.encode_query(text), dense_vector=EMBEDDER.embed_query(text), limit=20
            )
            for text in SENTENCES
        ]
        index.close()
    for kind in ("memory", "server", "server, int8"):
        for mine, edge in zip(found[kind], found["edge"], strict=True):
            for retriever in (0, 1):
                assert scores(mine[retriever]) == pytest.approx(scores(edge[retriever]), rel=1e-5, abs=1e-6)


def scores(hits: list[ScoredChunk]) -> dict[str, float]:
    return {hit.id: hit.score for hit in hits}


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


def test_a_vector_is_found_by_the_digest_of_its_text_in_its_own_tenant_only(index: Index) -> None:
    mine, theirs = chunk("mine", digest="same"), chunk("theirs", tenant="bob", digest="same")
    other, bare = chunk("other", digest="other"), chunk("bare", digest="bare")
    put(index, {mine: "the white whale", theirs: "a grey seal", other: "a ship"})
    put(index, {bare: "no vector yet"}, dense=False)
    put(index, {chunk("old"): "written before there were digests"})
    found = index.find_chunks_by_digest("ann", ["same", "bare", "nobody's"])
    assert {digest: hit.id for digest, (hit, _) in found.items()} == {"same": mine.id}
    np.testing.assert_allclose(found["same"][1], EMBEDDER.embed_query("the white whale"), atol=1e-6)
    assert index.find_chunks_by_digest("bob", ["same"])["same"][0] == theirs
    index.delete_version("ann", "v1")
    assert index.find_chunks_by_digest("ann", ["same", "other"]) == {}
