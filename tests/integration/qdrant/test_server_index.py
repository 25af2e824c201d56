"""The server adapter over a process of its own: how it sets up, and what it sends."""

import json
import multiprocessing
import uuid
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from structlog.testing import capture_logs

from retrieval.errors import IndexMismatchError, IndexUnavailableError
from retrieval.index.port import SparseVector
from retrieval.index.server.qdrant_server_collection import MAX_CONDITIONS
from retrieval.index.server.qdrant_server_index import QdrantServerIndex
from retrieval.index.server.settings import QdrantServerSettings
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.qdrant_server import ANN, DIMENSION, opened
from tests.support.vector_servers import VectorServer, vector_server


def test_the_collection_is_made_for_many_tenants(double: VectorServer, client: QdrantClient, name: str) -> None:
    opened(double.url, name).close()
    config, schema = client.get_collection(name).config, client.get_collection(name).payload_schema
    assert config.params.vectors == {
        "dense": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE, on_disk=True)
    }
    assert config.params.sparse_vectors == {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    assert (config.hnsw_config.m, config.hnsw_config.payload_m) == (0, 16)
    params = {field: index.params for field, index in schema.items()}
    assert all(isinstance(found, models.KeywordIndexParams) for found in params.values())
    tenant_flags = {field: found.is_tenant for field, found in params.items() if found}  # type: ignore[union-attr]
    others = ("collection", "document", "version", "digest", "readers")
    assert tenant_flags == {"tenant": True, **dict.fromkeys(others, False)}
    assert config.strict_mode_config is not None
    assert config.strict_mode_config.enabled
    assert config.strict_mode_config.unindexed_filtering_retrieve is False


def test_what_a_deployment_chooses_is_what_the_collection_is_made_with(tmp_path: Path, name: str) -> None:
    chosen = QdrantServerSettings(
        collection=name,
        shard_number=6,
        replication_factor=3,
        write_consistency_factor=2,
        quantization="int8",
        ef_construct=200,
        indexing_threshold_kb=5_000,
    )
    with vector_server(tmp_path / "data", nodes=3) as server:
        QdrantServerIndex(server.url, dimension=DIMENSION, api_key=None, settings=chosen).close()
        with closing(QdrantClient(url=server.url, check_compatibility=False)) as client:
            config = client.get_collection(name).config
    assert (config.params.shard_number, config.params.replication_factor) == (6, 3)
    assert config.params.write_consistency_factor == 2
    assert config.hnsw_config.ef_construct == 200
    assert config.optimizer_config.indexing_threshold == 5_000
    int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    assert config.quantization_config == models.ScalarQuantization(scalar=int8)


def test_vectors_and_words_are_where_a_deployment_wants_them(
    double: VectorServer, client: QdrantClient, name: str
) -> None:
    chosen = QdrantServerSettings(collection=name, vectors="memory", words="disk")
    QdrantServerIndex(double.url, dimension=DIMENSION, api_key=None, settings=chosen).close()
    params = client.get_collection(name).config.params
    assert params.vectors["dense"].on_disk is False  # type: ignore[index]
    assert params.sparse_vectors is not None
    assert params.sparse_vectors["bm25"].index == models.SparseIndexParams(on_disk=True)


def test_a_collection_of_other_settings_is_used_and_the_difference_is_said(double: VectorServer, name: str) -> None:
    made = QdrantServerSettings(collection=name, quantization="int8", words="disk", ef_construct=50)
    asked = QdrantServerSettings(collection=name, shard_number=6, indexing_threshold_kb=5_000)
    with capture_logs() as logs:
        QdrantServerIndex(double.url, dimension=DIMENSION, api_key=None, settings=made).close()
        QdrantServerIndex(double.url, dimension=DIMENSION, api_key=None, settings=made).close()
    assert logs == []
    with capture_logs() as logs:
        QdrantServerIndex(double.url, dimension=DIMENSION, api_key=None, settings=asked).close()
    expected = [
        f"LEADLINE_QDRANT_{setting} is {wants}, but the collection {name} has {has}"
        for setting, wants, has in (
            ("SHARDS", 6, 1),
            ("QUANTIZATION", "none", "int8"),
            ("EF_CONSTRUCT", 100, 50),
            ("INDEXING_THRESHOLD_KB", 5_000, 20_000),
            ("WORDS", "memory", "disk"),
        )
    ]
    assert [(entry["log_level"], entry["differences"]) for entry in logs] == [("warning", expected)]
    assert "leadline index spread" in logs[0]["event"]


def test_more_copies_than_there_are_nodes_are_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    asked = QdrantServerSettings(collection=name, replication_factor=3, write_consistency_factor=2)
    for nodes in (1, 2):
        with vector_server(tmp_path / str(nodes), nodes=nodes) as server:
            with pytest.raises(IndexUnavailableError, match=rf"LEADLINE_QDRANT_REPLICAS is 3, .* has only {nodes}\."):
                QdrantServerIndex(server.url, dimension=DIMENSION, api_key=None, settings=asked)
            with (
                closing(QdrantClient(url=server.url, check_compatibility=False)) as client,
                pytest.raises(UnexpectedResponse, match="404"),
            ):
                client.get_collection(name)


def test_opening_again_finds_what_was_written(double: VectorServer, name: str) -> None:
    first, second = opened(double.url, name), opened(double.url, name)
    written = indexed_chunk("a")
    put_words(first, {written: "whale"})
    assert second.load_chunks(ANN, [written.id]) == {written.id: written}
    first.close()
    second.close()


@pytest.mark.slow
def test_processes_that_make_the_collection_at_once_all_get_it(double: VectorServer, client: QdrantClient) -> None:
    names = [uuid.uuid4().hex for _ in range(6)]
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    racers = [spawn.Process(target=_race, args=(double.url, names, barrier)) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert all(len(client.get_collection(name).payload_schema) == 6 for name in names)


def _race(url: str, names: list[str], barrier: Barrier) -> None:
    for name in names:
        barrier.wait(300)
        opened(url, name).close()


def test_the_next_start_completes_a_collection_half_made(double: VectorServer, client: QdrantClient, name: str) -> None:
    client.create_collection(
        name,
        {"dense": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    client.create_payload_index(name, "tenant", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD))
    opened(double.url, name).close()
    info = client.get_collection(name)
    assert set(info.payload_schema) == {"tenant", "collection", "document", "version", "digest", "readers"}
    assert info.payload_schema["tenant"].params == models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, is_tenant=True, enable_hnsw=True
    )
    assert info.config.strict_mode_config is not None
    assert info.config.strict_mode_config.enabled


def test_a_collection_of_another_encoder_is_refused_in_words(double: VectorServer, name: str) -> None:
    opened(double.url, name).close()
    with pytest.raises(IndexMismatchError, match=r"vectors of 8 dimensions compared by Cosine.* have 16"):
        opened(double.url, name, dimension=16)


@pytest.mark.parametrize(
    ("distance", "modifier", "words"),
    [
        (models.Distance.DOT, models.Modifier.IDF, "compared by Dot"),
        (models.Distance.COSINE, None, "does not apply idf to bm25"),
    ],
)
def test_a_collection_that_would_score_otherwise_is_refused(
    double: VectorServer,
    client: QdrantClient,
    name: str,
    distance: models.Distance,
    modifier: models.Modifier | None,
    words: str,
) -> None:
    client.create_collection(
        name,
        {"dense": models.VectorParams(size=DIMENSION, distance=distance)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=modifier)},
    )
    with pytest.raises(IndexMismatchError, match=words):
        opened(double.url, name)


def test_another_programs_collection_is_refused(double: VectorServer, client: QdrantClient, name: str) -> None:
    client.create_collection(name, {"image": models.VectorParams(size=3, distance=models.Distance.DOT)})
    with pytest.raises(IndexMismatchError, match="another program"):
        opened(double.url, name)


def test_a_server_that_is_too_old_is_refused(proxy: FaultyProxy, name: str) -> None:
    proxy.faults["GET /"] = [Fault(status=200, body=json.dumps({"title": "qdrant", "version": "1.18.2"}).encode())]
    with pytest.raises(IndexUnavailableError, match=r"Qdrant 1\.18\.2\. Leadline requires 1\.19\.0 or newer"):
        opened(proxy.url, name)
    assert proxy.seen == ["GET /"]


@pytest.mark.parametrize(
    "answer",
    [
        Fault(status=200, body=b"<html>Welcome to nginx!</html>"),
        Fault(status=404, body=b"<html>Not here</html>"),
        Fault(status=200, body=b'{"title": "another search engine", "version": "2.19.0"}'),
    ],
)
def test_an_address_that_is_not_qdrants_is_refused_with_what_to_do(
    proxy: FaultyProxy, name: str, answer: Fault
) -> None:
    proxy.faults["GET /"] = [answer]
    with pytest.raises(
        IndexUnavailableError, match=r"a Qdrant server.* LEADLINE_QDRANT_URL contains the address of Qdrant's"
    ):
        opened(proxy.url, name)
    assert proxy.seen == ["GET /"]


# Requests


def test_writes_wait_until_they_are_applied_in_one_order(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    put_words(index, {indexed_chunk("a"): "whale"})
    query, _ = proxy.last[f"PUT /collections/{name}/points"]
    assert set(query.split("&")) == {"wait=true", "ordering=medium", "timeout=60"}
    index.close()


def test_quantized_candidates_are_rescored_with_the_originals(proxy: FaultyProxy, name: str) -> None:
    settings = QdrantServerSettings(collection=name, quantization="int8")
    index = QdrantServerIndex(proxy.url, dimension=DIMENSION, api_key=None, settings=settings)
    index.search(ANN, sparse_vector=SparseVector((1,), (1.0,)), dense_vector=np.ones(DIMENSION, np.float32), limit=5)
    words, meaning = json.loads(proxy.last[f"POST /collections/{name}/points/query/batch"][1])["searches"]
    assert "params" not in words
    assert meaning["params"]["quantization"] == {"rescore": True, "oversampling": 2.0}
    index.close()


def test_words_are_counted_in_the_tenants_own_chunks_unless_all_are_its_own(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)

    def sent() -> dict[str, object]:
        index.search(
            ANN, sparse_vector=SparseVector((1,), (1.0,)), dense_vector=np.ones(DIMENSION, np.float32), limit=5
        )
        words, meaning = json.loads(proxy.last[f"POST /collections/{name}/points/query/batch"][1])["searches"]
        assert "params" not in meaning
        return dict(words)

    put_words(index, {indexed_chunk("a"): "whale"})
    assert "params" not in sent()
    put_words(index, {indexed_chunk("a", tenant="bob"): "whale"})
    assert sent()["params"] == {"idf": {"corpus": {"must": [{"key": "tenant", "match": {"value": "ann"}}]}}}
    index.close()


# Counting


def test_versions_are_counted_in_as_many_requests_however_many_tenants_there_are(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    for tenants in (3, 40):
        chunks = [indexed_chunk("x", tenant=f"t{number}", version=f"v{number}") for number in range(tenants)]
        put_words(index, {chunk: "words" for chunk in chunks})
        proxy.seen.clear()
        assert index.count_chunks_by_version() == {f"v{number}": 1 for number in range(tenants)}
        assert proxy.seen == [f"POST /collections/{name}/facet"]
    index.close()


def test_more_versions_than_a_request_counts_are_counted_page_by_page(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name, facet_values=3)
    versions = {f"v{number}": number % 3 + 1 for number in range(8)}
    chunks = [indexed_chunk(str(n), version=version) for version, count in versions.items() for n in range(count)]
    put_words(index, {chunk: "words" for chunk in chunks})
    proxy.seen.clear()
    assert index.count_chunks_by_version() == versions
    assert proxy.seen == [f"POST /collections/{name}/facet"] * 3
    many = {f"w{number}": 1 for number in range(3 * MAX_CONDITIONS)}
    put_words(index, {indexed_chunk("x", version=version): "words" for version in many})
    assert index.count_chunks_by_version() == versions | many
    assert f"POST /collections/{name}/points/scroll" in proxy.seen
    index.close()
