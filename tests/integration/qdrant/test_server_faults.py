"""The server adapter when answers are lost, servers are busy, away, killed, or not Qdrant at all."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from retrieval.errors import ChunksMissingError, IndexLostError, IndexRefusedError, IndexUnavailableError, RetryPolicy
from tests.support.faulty_proxy import ANSWER_LOST, CUT, Fault, FaultyProxy, faulty_proxy
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.qdrant_server import ANN, DIMENSION, PATIENTLY, SOON, opened
from tests.support.replica_answers import CHUNK_DENIED, NO_ACTIVE_REPLICA, READ_FAILED, WRITE_FAILED
from tests.support.vector_servers import VectorServer, vector_server

pytestmark = pytest.mark.slow


def qdrant(result: object, *, status: object = "ok") -> bytes:
    return json.dumps({"result": result, "status": status, "time": 0.0}).encode()


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


def test_a_write_whose_answer_is_lost_is_sent_again_and_written_once(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    proxy.faults = {
        f"PUT /collections/{name}/points": [ANSWER_LOST, CUT],
        f"PUT /collections/{name}/points/vectors": [ANSWER_LOST],
        f"POST /collections/{name}/points/delete": [ANSWER_LOST],
    }
    chunks = [indexed_chunk(str(number)) for number in range(3)]
    put_words(index, {chunk: "whale" for chunk in chunks})
    index.set_dense_vectors([chunk.id for chunk in chunks], np.eye(3, DIMENSION, dtype=np.float32))
    assert (index.count_chunks("ann", "v1"), index.count_chunks("ann", "v1", embedded_only=True)) == (3, 3)
    assert proxy.seen.count(f"PUT /collections/{name}/points") == 3
    assert index.delete_version("ann", "v1") == 3
    assert index.count_chunks("ann", "v1") == 0
    index.close()


def test_setting_up_goes_on_when_its_answers_are_lost(proxy: FaultyProxy, name: str) -> None:
    proxy.faults = {
        f"PUT /collections/{name}": [ANSWER_LOST],
        f"PUT /collections/{name}/index": [ANSWER_LOST, CUT],
        f"GET /collections/{name}": [CUT],
    }
    opened(proxy.url, name).close()
    assert not any(proxy.faults.values())


def test_a_node_that_has_not_heard_of_the_new_collection_is_asked_again(proxy: FaultyProxy, name: str) -> None:
    unknown = Fault(status=404, body=qdrant(None, status={"error": "Not found: Collection doesn't exist!"}))
    proxy.faults[f"GET /collections/{name}"] = [unknown, unknown]
    opened(proxy.url, name).close()
    assert proxy.seen.count(f"GET /collections/{name}") == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(proxy: FaultyProxy, name: str, status: int) -> None:
    index = opened(proxy.url, name)
    busy = Fault(status=status, body=qdrant(None, status={"error": "busy"}))
    proxy.faults[f"POST /collections/{name}/points/count"] = [busy, busy]
    assert index.count_chunks("ann", "v1") == 0
    index.close()


def test_a_search_is_given_up_sooner_than_a_workers_read(proxy: FaultyProxy, name: str) -> None:
    once = RetryPolicy(attempts=1, first_wait_seconds=0.01, longest_wait_seconds=0.01)
    index = opened(proxy.url, name, search_retries=once)
    proxy.faults = {
        f"POST /collections/{name}/points/query/batch": [CUT],
        f"POST /collections/{name}/points": [CUT, CUT],
        f"POST /collections/{name}/points/count": [CUT],
    }
    with pytest.raises(IndexUnavailableError):
        index.search(ANN, sparse_vector=None, dense_vector=np.ones(DIMENSION, np.float32), limit=5)
    with pytest.raises(IndexUnavailableError):
        index.load_chunks(ANN, [str(uuid.uuid4())])
    assert index.load_dense_vectors([str(uuid.uuid4())]) == {}
    assert index.count_chunks("ann", "v1") == 0
    index.close()


def test_the_server_may_say_how_long_to_wait(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    limited = Fault(status=429, headers={"Retry-After": "60"}, body=qdrant(None, status={"error": "rate limit"}))
    counting = f"POST /collections/{name}/points/count"
    proxy.faults[counting] = [limited]
    assert index.count_chunks("ann", "v1") == 0
    proxy.faults[counting] = [limited] * SOON.attempts
    with pytest.raises(IndexUnavailableError, match="is not accepting more requests: rate limit"):
        index.count_chunks("ann", "v1")
    index.close()


def test_a_write_that_was_only_acknowledged_is_not_taken_for_done(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    writing = f"PUT /collections/{name}/points"
    acknowledged = Fault(status=200, body=qdrant({"operation_id": 1, "status": "acknowledged"}))
    proxy.faults[writing] = [acknowledged]
    put_words(index, {indexed_chunk("a"): "whale"})
    assert index.count_chunks("ann", "v1") == 1
    proxy.faults[writing] = [acknowledged] * SOON.attempts
    with pytest.raises(IndexUnavailableError, match="has not applied a write yet"):
        put_words(index, {indexed_chunk("b"): "whale"})
    index.close()


def test_a_vector_that_the_server_let_pass_for_an_unknown_chunk_is_an_error(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    done = Fault(status=200, body=qdrant({"operation_id": 1, "status": "completed"}))
    proxy.faults[f"PUT /collections/{name}/points/vectors"] = [done]
    with pytest.raises(ChunksMissingError, match="Vectors were not stored for 1 of 1 chunks"):
        index.set_dense_vectors([str(uuid.uuid4())], np.ones((1, DIMENSION), np.float32))
    index.close()


@pytest.mark.parametrize("answer", [WRITE_FAILED, NO_ACTIVE_REPLICA, READ_FAILED])
def test_an_answer_that_names_replicas_is_an_outage_and_says_what_to_do(
    proxy: FaultyProxy, name: str, answer: str
) -> None:
    index = opened(proxy.url, name)
    away = Fault(status=500, body=qdrant(None, status={"error": answer}))
    writing, reading = f"PUT /collections/{name}/points", f"POST /collections/{name}/points/count"
    proxy.faults = {writing: [away], reading: [away]}
    put_words(index, {indexed_chunk("a"): "whale"})
    assert index.count_chunks("ann", "v1") == 1
    proxy.faults = {writing: [away] * SOON.attempts, reading: [away] * SOON.attempts}
    for attempt in (lambda: put_words(index, {indexed_chunk("b"): "whale"}), lambda: index.count_chunks("ann", "v1")):
        with pytest.raises(
            IndexUnavailableError, match=r"returned status 500.*LEADLINE_QDRANT_WRITE_CONSISTENCY"
        ) as raised:
            attempt()
        assert not isinstance(raised.value, IndexRefusedError)
    index.close()


def test_a_replica_that_denies_chunks_which_are_there_is_asked_again_and_is_an_outage(
    proxy: FaultyProxy, name: str
) -> None:
    index = opened(proxy.url, name)
    chunks = [indexed_chunk(str(number)) for number in range(3)]
    put_words(index, {chunk: "whale" for chunk in chunks})
    ids, vectors = [chunk.id for chunk in chunks], np.eye(3, DIMENSION, dtype=np.float32)
    denied = Fault(status=404, body=qdrant(None, status={"error": CHUNK_DENIED}))
    writing = f"PUT /collections/{name}/points/vectors"
    proxy.faults[writing] = [denied] * SOON.attempts
    with pytest.raises(IndexUnavailableError, match="has the chunks, but does not accept their vectors yet") as raised:
        index.set_dense_vectors(ids, vectors)
    assert not isinstance(raised.value, IndexRefusedError)
    proxy.faults[writing] = [denied] * (SOON.attempts - 1)
    index.set_dense_vectors(ids, vectors)
    assert index.count_chunks("ann", "v1", embedded_only=True) == 3
    index.close()


def test_vectors_for_chunks_that_are_gone_say_so(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    kept, gone = indexed_chunk("a"), indexed_chunk("b", version="v2")
    put_words(index, {kept: "whale", gone: "ship"})
    index.delete_version("ann", "v2")
    proxy.seen.clear()
    with pytest.raises(ChunksMissingError, match="Vectors were not stored for 1 of 2 chunks"):
        index.set_dense_vectors([kept.id, gone.id], np.eye(2, DIMENSION, dtype=np.float32))
    assert proxy.seen.count(f"PUT /collections/{name}/points/vectors") == 1
    index.close()


def test_a_refusal_is_told_in_the_servers_words_and_not_repeated(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    proxy.seen.clear()
    with pytest.raises(
        IndexUnavailableError, match='returned status 400: Bad request: Limit exceeded 20000 > 10000 for "li'
    ):
        index.search(ANN, sparse_vector=None, dense_vector=np.ones(DIMENSION, np.float32), limit=20_000)
    assert proxy.seen == [f"POST /collections/{name}/points/query/batch"]
    index.close()


@pytest.mark.parametrize("body", [b"<html>Welcome to nginx!</html>", b'{"result": {"points": 3}}', b'{"status": "ok"}'])
def test_what_does_not_answer_like_qdrant_is_told_apart(proxy: FaultyProxy, name: str, body: bytes) -> None:
    index = opened(proxy.url, name)
    proxy.faults[f"POST /collections/{name}/points/count"] = [Fault(status=200, body=body)]
    with pytest.raises(IndexUnavailableError, match=r"does not respond like a Qdrant server.*REST port"):
        index.count_chunks("ann", "v1")
    index.close()


def test_a_full_disk_of_the_server_is_told(proxy: FaultyProxy, name: str) -> None:
    index = opened(proxy.url, name)
    full = Fault(status=507, body=qdrant(None, status={"error": "No space left on device: WAL buffer size exceeds"}))
    proxy.faults[f"PUT /collections/{name}/points"] = [full]
    with pytest.raises(IndexUnavailableError, match=r"No space left.*Free disk space"):
        put_words(index, {indexed_chunk("a"): "whale"})
    index.close()


def test_a_server_that_stays_away_is_named(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(IndexUnavailableError) as raised:
            opened(url, name)
    assert url in raised.value.detail
    assert f"curl {url}/readyz" in raised.value.hint


def test_readiness_is_asked_once_and_says_what_is_wrong(
    double: VectorServer, client: QdrantClient, proxy: FaultyProxy, name: str
) -> None:
    index = opened(proxy.url, name)
    index.require_ready()
    proxy.seen.clear()
    proxy.faults[f"GET /collections/{name}"] = [CUT]
    with pytest.raises(IndexUnavailableError, match="does not respond"):
        index.require_ready()
    assert len(proxy.seen) == 1
    red = client.get_collection(name).model_copy(update={"status": models.CollectionStatus.RED}).model_dump(mode="json")
    proxy.faults[f"GET /collections/{name}"] = [Fault(status=200, body=qdrant(red))]
    with pytest.raises(IndexUnavailableError, match="status red"):
        index.require_ready()
    client.delete_collection(name)
    with pytest.raises(IndexLostError, match=r"does not have the index's collection.*leadline index rebuild"):
        index.require_ready()
    index.close()


def test_the_key_is_sent_and_a_wrong_one_is_told(tmp_path: Path, name: str) -> None:
    with vector_server(tmp_path / "data", api_key="right") as guarded:
        opened(guarded.url, name, api_key="right").close()
        for wrong in (None, "wrong"):
            with pytest.raises(IndexUnavailableError, match=r"401.*Check LEADLINE_QDRANT_API_KEY"):
                opened(guarded.url, name, api_key=wrong)


# Kills


def test_a_server_that_hangs_is_given_up(tmp_path: Path, name: str) -> None:
    with vector_server(tmp_path / "data", is_ended=True) as server:
        opened(server.url, name).close()
        once = RetryPolicy(attempts=1, first_wait_seconds=0.01, longest_wait_seconds=0.01)
        index = opened(server.url, name, retries=once, read_timeout_seconds=5)
        server.pause()
        with pytest.raises(IndexUnavailableError, match=r"does not respond \(ReadTimeout"):
            index.require_ready()
        with pytest.raises(IndexUnavailableError, match=r"does not respond \(ReadTimeout"):
            index.count_chunks("ann", "v1")
        server.kill()
        index.close()


def test_a_write_in_flight_while_the_server_is_killed_ends_well(tmp_path: Path, name: str) -> None:
    with vector_server(tmp_path / "data", is_ended=True) as server, faulty_proxy(server.url) as between:
        index = opened(between.url, name, retries=PATIENTLY)
        server.pause()
        written = indexed_chunk("a")
        writing = in_thread(lambda: put_words(index, {written: "whale"}))
        wait_until(lambda: f"PUT /collections/{name}/points" in between.seen)
        server.kill()
        server.restart()
        writing.join()
        assert index.load_chunks(ANN, [written.id]) == {written.id: written}
        index.close()


def test_a_long_write_survives_kills_of_the_server(tmp_path: Path, name: str) -> None:
    texts = {indexed_chunk(str(number)): f"whale {number}" for number in range(6_400)}
    with vector_server(tmp_path / "data", is_ended=True) as server:
        index = opened(server.url, name, retries=PATIENTLY)
        writing = in_thread(lambda: put_words(index, texts))
        for reached in (1, 2_000):
            wait_until(lambda reached=reached: index.count_chunks("ann", "v1") >= reached)  # type: ignore[misc]
            assert writing.is_alive()
            server.kill()
            server.restart()
        writing.join()
        assert {chunk.id for chunk in index.iter_version_chunks("ann", "v1")} == {chunk.id for chunk in texts}
        index.close()
