"""The Qdrant double is honest: what the interface does not have is refused, and what it answered is kept."""

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter
from qdrant_client.http import models

from tests.support.qdrant_double import QdrantDouble, qdrant_double
from tests.support.qdrant_double.refusals import Refusal, read

# The real server passes over much that the double refuses, and has more endpoints.
pytestmark = [pytest.mark.slow, pytest.mark.double_only]

COLLECTION = {
    "vectors": {"dense": {"size": 2, "distance": "Cosine"}},
    "sparse_vectors": {"bm25": {"modifier": "idf"}},
    "strict_mode_config": {
        "enabled": True,
        "max_query_limit": 100,
        "max_timeout": 60,
        "unindexed_filtering_retrieve": False,
        "unindexed_filtering_update": False,
        "upsert_max_batchsize": 5,
        "search_max_batchsize": 2,
        "search_max_oversampling": 4.0,
        "filter_max_conditions": 3,
        "condition_max_size": 3,
        "max_payload_index_count": 1,
    },
}
WORD = {"query": {"indices": [1], "values": [1.0]}, "using": "bm25"}
MINE = {"must": [{"key": "tenant", "match": {"value": "ann"}}]}


@pytest.fixture
def at(double: QdrantDouble) -> str:
    """The URL of a fresh collection that has an index of tenants."""
    return made(double)


def made(double: QdrantDouble, **more: int) -> str:
    url = f"{double.url}/collections/{uuid.uuid4().hex}"
    assert httpx.put(url, json={**COLLECTION, **more}).json()["result"] is True
    index = {"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": True}}
    assert httpx.put(f"{url}/index?wait=true", json=index).json()["result"]["status"] == "completed"
    return url


def points(*names: str, tenant: str = "ann") -> dict[str, Any]:
    return {
        "points": [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
                "vector": {"dense": [0.1, 0.2], "bm25": {"indices": [1], "values": [0.1]}},
                "payload": {"tenant": tenant},
            }
            for name in names
        ]
    }


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"status", "time"}
    error: str = body["status"]["error"]
    return error


def test_a_field_that_the_interface_does_not_have_is_refused_however_deep(double: QdrantDouble, at: str) -> None:
    deep = {"must": [{"key": "tenant", "match": {"value": "ann", "fuzzy": 1}}]}
    size = {"vectors": {"dense": {"size": 2, "distance": "Cosine", "colour": "red"}}}
    assert "colour" in refused(httpx.put(f"{double.url}/collections/x", json=size), 400)
    refused(httpx.post(f"{at}/points/count", json={"filter": MINE, "sort": "id"}), 400)
    refused(httpx.post(f"{at}/points/count", json={"filter": deep}), 400)
    refused(httpx.put(f"{at}/points?wait=true", json={**points("a"), "upsert": True}), 400)
    assert httpx.post(f"{at}/points/count", json={}).json()["result"] == {"count": 0}


def test_a_field_that_the_clients_models_would_let_pass_is_refused() -> None:
    # Answers' models allow what they do not know; the comparison with what was read does not.
    with pytest.raises(Refusal, match=r"unknown field `payload_schema\.tenant\.colour`"):
        read(
            json.dumps({"payload_schema": {"tenant": {"data_type": "keyword", "points": 1, "colour": 1}}}).encode(),
            TypeAdapter(dict[str, dict[str, models.PayloadIndexInfo]]),
        )


def test_a_value_that_would_be_read_as_another_is_refused(at: str) -> None:
    assert "`limit` was read as 5" in refused(httpx.post(f"{at}/points/scroll", json={"limit": "5"}), 400)
    refused(httpx.post(f"{at}/points/scroll", json={"limit": "five"}), 400)
    refused(httpx.post(f"{at}/points/scroll", content=b"{"), 400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("points/scroll", {"order_by": "tenant"}),
        ("points/query", {"query": [1.0, 2.0], "using": "dense", "score_threshold": 0.5}),
        ("points/query", {"query": {"fusion": "dbsf"}, "prefetch": []}),
        ("points/count", {"filter": {"min_should": {"conditions": MINE["must"], "min_count": 1}}}),
        ("points/count", {"filter": {"must": [{"key": "tenant", "range": {"gt": 1}}]}}),
        ("facet", {"key": "tenant", "shard_key": "a"}),
    ],
)
def test_what_the_interface_has_and_the_double_does_not_act_on_is_refused(
    at: str, path: str, body: dict[str, Any]
) -> None:
    assert "the test double does not know" in refused(httpx.post(f"{at}/{path}", json=body), 400)


def test_endpoints_methods_and_parameters_it_does_not_have_are_refused(double: QdrantDouble, at: str) -> None:
    assert "has no GET /telemetry" in refused(httpx.get(f"{double.url}/telemetry"), 404)
    refused(httpx.get(f"{double.url}/docs"), 404)
    refused(httpx.post(f"{at}/points/search", json={}), 404)
    refused(httpx.post(f"{at}/index", json={}), 405)
    assert "consistency" in refused(httpx.post(f"{at}/points/count?consistency=all", json={}), 400)
    assert "wait=true only" in refused(httpx.put(f"{at}/points", json=points("a")), 400)
    refused(httpx.put(f"{at}/points?wait=true&ordering=none", json=points("a")), 400)
    assert "doesn't exist" in refused(httpx.post(f"{double.url}/collections/none/points/count", json={}), 404)


def test_a_collection_is_made_once(double: QdrantDouble, at: str) -> None:
    assert "already exists" in refused(httpx.put(at, json=COLLECTION), 409)
    refused(httpx.put(f"{double.url}/collections/..%5Cx", json=COLLECTION), 422)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("points/scroll", {"limit": 101}, "Limit exceeded 101 > 100"),
        ("points/count?timeout=61", {}, "Limit exceeded 61 > 60"),
        ("points/count", {"filter": {"must": [{"key": "page", "match": {"value": 1}}]}}, 'not found for "page"'),
        ("points/delete?wait=true", {"filter": {"must": [{"key": "page", "match": {"value": 1}}]}}, "Index required"),
        ("points/count", {"filter": {"must": MINE["must"] * 4}}, "Filter condition limit reached (4 > 3)"),
        ("points/count", {"filter": {"must": [{"has_id": [1, 2, 3, 4]}]}}, "Condition size limit reached (4 > 3)"),
        ("points/query/batch", {"searches": [{"query": [1.0, 2.0], "using": "dense"}] * 3}, "search batch size"),
        (
            "points/query",
            {"query": [1.0, 2.0], "using": "dense", "params": {"quantization": {"oversampling": 5.0}}},
            "oversampling",
        ),
        (
            "points/query",
            {**WORD, "params": {"idf": {"corpus": {"must": [{"key": "page", "match": {"value": 1}}]}}}},
            'not found for "page"',
        ),
    ],
)
def test_strict_mode_is_kept(at: str, path: str, body: dict[str, Any], words: str) -> None:
    assert words in refused(httpx.post(f"{at}/{path}", json=body), 400)


def test_strict_mode_bounds_writes_and_indexes(double: QdrantDouble, at: str) -> None:
    refused(httpx.put(f"{at}/points?wait=true", json=points(*"abcdef")), 400)
    index = {"field_name": "page", "field_schema": {"type": "keyword"}}
    refused(httpx.put(f"{at}/index?wait=true", json=index), 400)
    unknown = {**COLLECTION, "strict_mode_config": {"enabled": True, "read_rate_limit": 5}}
    assert "read_rate_limit" in refused(httpx.put(f"{double.url}/collections/x", json=unknown), 400)


def test_vectors_that_do_not_fit_are_refused(at: str) -> None:
    def vector(made: dict[str, Any]) -> httpx.Response:
        return httpx.put(f"{at}/points?wait=true", json={"points": [{"id": 1, "vector": made}]})

    assert "expected dim: 2, got 3" in refused(vector({"dense": [1.0, 2.0, 3.0]}), 400)
    assert "Not existing vector name" in refused(vector({"image": [1.0, 2.0]}), 400)
    assert "must be unique" in refused(vector({"bm25": {"indices": [1, 1], "values": [1.0, 2.0]}}), 422)
    assert "same length" in refused(vector({"bm25": {"indices": [1], "values": [1.0, 2.0]}}), 422)
    vectors = {"points": [{"id": 7, "vector": {"dense": [1.0, 2.0]}}]}
    missing = httpx.put(f"{at}/points/vectors?wait=true", json=vectors)
    assert refused(missing, 404) == "Not found: No point with id 7 found"


def test_answers_hold_what_the_clients_models_know_and_nothing_else(double: QdrantDouble, at: str) -> None:
    httpx.put(f"{at}/points?wait=true", json=points(*"abc"))
    everything = {"limit": 2, "with_vector": True, "with_payload": True}
    dense, sparse = {"query": [1.0, 0.0], "using": "dense"}, {"query": {"indices": [1], "values": [1.0]}}
    for answer, model in (
        (httpx.get(at), models.CollectionInfo),
        (httpx.get(f"{double.url}/cluster"), models.ClusterStatusOneOf),
        (httpx.get(f"{at}/cluster"), models.CollectionClusterInfo),
        (httpx.get(f"{double.url}/collections"), models.CollectionsResponse),
        (httpx.post(f"{at}/points/scroll", json=everything), models.ScrollResult),
        (httpx.post(f"{at}/points/count", json={}), models.CountResult),
        (httpx.post(f"{at}/facet", json={"key": "tenant"}), models.FacetResponse),
        (httpx.post(f"{at}/points/query", json={**dense, **everything}), models.QueryResponse),
        (httpx.post(f"{at}/points/query", json={**sparse, "using": "bm25"}), models.QueryResponse),
        (httpx.put(f"{at}/points?wait=true", json=points("d")), models.UpdateResult),
    ):
        body = answer.json()
        assert (set(body), body["status"]) == ({"result", "status", "time"}, "ok")
        read(json.dumps(body["result"]).encode(), TypeAdapter(model))


def test_words_are_counted_in_the_corpus_that_is_named_in_searches_and_prefetches(at: str) -> None:
    httpx.put(f"{at}/points?wait=true", json=points("a"))
    mine = {**WORD, "filter": MINE}
    by_corpus = {**mine, "params": {"idf": {"corpus": MINE}}}
    fused = {"query": {"rrf": {"k": 2}}, "prefetch": [by_corpus]}

    def score(query: dict[str, Any]) -> float:
        found = httpx.post(f"{at}/points/query", json=query).json()["result"]["points"]
        return float(found[0]["score"])

    alone = score(mine)
    httpx.put(f"{at}/points?wait=true", json=points("b", "c", "d", tenant="bob"))
    assert score(mine) != alone
    assert score(by_corpus) == alone
    assert score({**mine, "params": {"idf": "global"}}) == score(mine)
    assert score(fused) > 0
    assert "colour" in refused(httpx.post(f"{at}/points/query", json={**WORD, "params": {"idf": {"colour": 1}}}), 400)


def test_numbers_have_the_digits_of_32_bits(at: str) -> None:
    httpx.put(f"{at}/points?wait=true", json=points("a"))
    found = httpx.post(f"{at}/points/scroll", json={"with_vector": ["bm25"]}).json()["result"]["points"]
    assert found[0]["vector"]["bm25"] == {"indices": [1], "values": [0.1]}


def test_many_writers_and_readers_are_served_at_once(at: str) -> None:
    failures: list[str] = []

    def write(mine: int) -> None:
        for number in range(10):
            answers = (
                httpx.put(f"{at}/points?wait=true", json=points(f"{mine}-{number}"), timeout=60),
                httpx.post(f"{at}/points/query", json={"query": [1.0, 0.0], "using": "dense"}, timeout=60),
            )
            failures.extend(answer.text for answer in answers if answer.status_code != 200)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert httpx.post(f"{at}/points/count", json={"filter": MINE}).json()["result"]["count"] == 80


def test_a_kill_takes_nothing_that_was_answered(tmp_path: Path) -> None:
    with qdrant_double(tmp_path / "data") as server:
        at = made(server)
        url = server.url
        for name in "abc":
            httpx.put(f"{at}/points?wait=true", json=points(name))
        httpx.patch(at, json={"optimizers_config": {"indexing_threshold": 0}})
        before = httpx.get(at).json()["result"]
        server.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(at)
        (tmp_path / "data" / "half-made" / "shard").mkdir(parents=True)
        server.restart()
        assert server.url == url
        after = httpx.get(at).json()["result"]
        assert after["config"] == before["config"]
        assert after["config"]["optimizer_config"]["indexing_threshold"] == 0
        assert set(after["payload_schema"]) == {"tenant"}
        assert httpx.post(f"{at}/points/count", json={"filter": MINE}).json()["result"]["count"] == 3
        refused(httpx.get(f"{server.url}/collections/half-made"), 404)


def test_an_orderly_end_and_a_new_process_keep_everything_too(tmp_path: Path) -> None:
    with qdrant_double(tmp_path / "data") as server:
        at = made(server)
        httpx.put(f"{at}/points?wait=true", json=points("a"))
        server.restart()
        assert httpx.post(f"{at}/points/count", json={}).json()["result"]["count"] == 1
        assert httpx.delete(at).json()["result"] is True
        assert httpx.delete(at).json()["result"] is False
        server.restart()
        refused(httpx.get(at), 404)


def test_a_folder_that_another_one_serves_is_refused(tmp_path: Path) -> None:
    with qdrant_double(tmp_path / "data") as server:
        made(server)
        with pytest.raises(RuntimeError, match="did not start"), qdrant_double(tmp_path / "data"):
            pass


def test_claimed_nodes_go_away_are_removed_and_get_copies_in_steps(tmp_path: Path) -> None:
    with qdrant_double(tmp_path / "data", nodes=3) as server:
        at = made(server, shard_number=3, replication_factor=2)
        seen = httpx.get(f"{at}/cluster").json()["result"]
        read(json.dumps(seen).encode(), TypeAdapter(models.CollectionClusterInfo))
        assert len(seen["local_shards"]) + len(seen["remote_shards"]) == 6
        server.take_away(3)
        status = httpx.get(f"{server.url}/cluster").json()["result"]
        read(json.dumps(status).encode(), TypeAdapter(models.ClusterStatusOneOf1))
        assert list(status["message_send_failures"]) == ["http://node-3:6335/"]
        assert "there are shards on it" in refused(httpx.delete(f"{server.url}/cluster/peer/3"), 400)
        assert httpx.delete(f"{server.url}/cluster/peer/3?force=true").json()["result"] is True
        refused(httpx.delete(f"{server.url}/cluster/peer/3?force=true"), 404)
        joined = server.add_node()
        copy = {"replicate_shard": {"shard_id": 1, "from_peer_id": 2, "to_peer_id": joined}}
        assert httpx.post(f"{at}/cluster", json=copy).json()["result"] is True
        assert "already involved" in refused(httpx.post(f"{at}/cluster", json=copy), 400)
        states = [
            next(each["state"] for each in looked["remote_shards"] if each["peer_id"] == joined)
            for looked in (httpx.get(f"{at}/cluster").json()["result"] for _ in range(3))
        ]
        assert states == ["Partial", "Partial", "Active"]
        drop = {"drop_replica": {"shard_id": 1, "peer_id": joined}}
        assert "knows replicate_shard only" in refused(httpx.post(f"{at}/cluster", json=drop), 400)
