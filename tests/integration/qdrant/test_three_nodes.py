"""Three real nodes with two copies of everything, each node killed in turn while chunks are written and searched."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import pytest

from retrieval.index.copies import ReplicaRepair, Replicas
from retrieval.index.server.qdrant_server_index import QdrantServerIndex
from retrieval.index.server.settings import QdrantServerSettings
from retrieval.index.stores import ServerStore
from tests.support.cluster import wait_until
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.installations import OURS
from tests.support.qdrant_server import ANN, DIMENSION, PATIENTLY
from tests.support.vector_servers import QdrantCluster, program

pytestmark = pytest.mark.slow

_AWAY_SECONDS = 5.0
# A node that is back gets what it missed from the others.
_MADE_GOOD_SECONDS = 10.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[QdrantCluster]:
    made = QdrantCluster(program(), tmp_path, nodes=3)
    made.start()
    yield made
    made.stop()


@contextmanager
def _busy(index: QdrantServerIndex) -> Iterator[tuple[list[str], list[Exception]]]:
    """Write and search all the time, and yield the ids of what is written and whatever failed."""
    done = threading.Event()
    written: list[str] = []
    failed: list[Exception] = []

    def repeat(work: Callable[[int], None]) -> None:
        for number in count():
            if done.is_set():
                return
            try:
                work(number)
            except Exception as error:  # noqa: BLE001 - whatever it is, a write or a search failed
                failed.append(error)

    def write(number: int) -> None:
        chunk = indexed_chunk(str(number))
        put_words(index, {chunk: "whale"})
        index.set_dense_vectors([chunk.id], np.ones((1, DIMENSION), np.float32))
        written.append(chunk.id)

    def search(_: int) -> None:
        index.search(ANN, sparse_vector=None, dense_vector=np.ones(DIMENSION, np.float32), limit=5)

    threads = [threading.Thread(target=repeat, args=[work]) for work in (write, search)]
    for thread in threads:
        thread.start()
    try:
        yield written, failed
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.timeout(600)
def test_nothing_fails_or_is_lost_while_any_one_node_is_away(cluster: QdrantCluster, name: str) -> None:
    settings = QdrantServerSettings(
        collection=name, shard_number=6, replication_factor=2, search_retries=PATIENTLY, work_retries=PATIENTLY
    )
    index = QdrantServerIndex(cluster.urls, dimension=DIMENSION, api_key=None, settings=settings)
    with _busy(index) as (written, failed):
        for node in cluster.nodes:
            before = len(written)
            node.kill()
            time.sleep(_AWAY_SECONDS)
            assert len(written) > before
            node.start()
            time.sleep(_MADE_GOOD_SECONDS)
    assert failed == []
    assert index.count_chunks("ann", "v1", embedded_only=True) == len(written)
    index.close()


@pytest.mark.timeout(600)
def test_a_node_that_is_lost_for_good_is_replaced_and_its_copies_are_made_again(
    cluster: QdrantCluster, name: str
) -> None:
    settings = QdrantServerSettings(
        collection=name, shard_number=6, replication_factor=2, search_retries=PATIENTLY, work_retries=PATIENTLY
    )
    store = ServerStore(cluster.urls, OURS, api_key=None, settings=settings)
    index = store.open_index(1, DIMENSION)
    chunks = {indexed_chunk(str(number)): "whale" for number in range(200)}
    put_words(index, chunks)
    index.set_dense_vectors([chunk.id for chunk in chunks], np.ones((len(chunks), DIMENSION), np.float32))
    assert _copies(store).describe() == "All 6 shards have 2 active replicas."

    identifier = int(httpx.get(f"{cluster.nodes[2].url}/cluster").json()["result"]["peer_id"])
    cluster.take_away(3)
    wait_until(
        lambda: [node.id for node in _copies(store).unreachable_nodes] == [identifier],
        what="the node is said to be away",
    )
    assert _copies(store).list_missing_replicas() == []

    cluster.replace(3)
    wait_until(
        lambda: len(_copies(store).list_missing_replicas()) == 4, what="the new node has joined, and has no copies"
    )
    ReplicaRepair(store).create_missing_replicas(1, lambda _done, _all: None)
    assert _copies(store).describe() == "All 6 shards have 2 active replicas."
    index.close()

    cluster.take_away(2)  # the next node that goes away is no outage
    again = store.open_index(1, DIMENSION)
    assert again.count_chunks("ann", "v1", embedded_only=True) == len(chunks)
    again.close()
    cluster.bring_back(2)


def _copies(store: ServerStore) -> Replicas:
    copies = store.find_replicas(1)
    assert copies is not None
    return copies
