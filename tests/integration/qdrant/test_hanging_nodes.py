"""A vector server with several addresses, one of which takes connections and never answers, as a stopped process does.

Two servers with the same chunks stand for two nodes with a copy each.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from retrieval.errors import IndexUnavailableError
from retrieval.index.port import IndexReader
from retrieval.index.server.qdrant_node import QdrantNode
from tests.support.cluster import wait_until
from tests.support.faulty_proxy import Fault, faulty_proxy
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.qdrant_server import ANN, DIMENSION, opened
from tests.support.vector_servers import VectorServer, vector_server

pytestmark = pytest.mark.slow

_TIMEOUT_SECONDS = 60
# One second until the probe, one for the probe, and some for a busy machine.
_SOON_SECONDS = 15.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VectorServer, VectorServer]]:
    folder: Path = tmp_path_factory.mktemp("pair")
    with vector_server(folder / "one", is_ended=True) as one, vector_server(folder / "two", is_ended=True) as two:
        yield one, two


@contextmanager
def _paused(server: VectorServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def _search(index: IndexReader) -> float:
    """Return how long a search takes, in seconds."""
    begun = time.monotonic()
    index.search(ANN, sparse_vector=None, dense_vector=np.ones(DIMENSION, np.float32), limit=5)
    return time.monotonic() - begun


def test_searches_and_writes_leave_a_node_that_hangs_long_before_their_timeout(
    pair: tuple[VectorServer, VectorServer], name: str
) -> None:
    for each in pair:  # the collection exists on both
        opened(each.url, name).close()
    index = opened(",".join(each.url for each in pair), name, read_timeout_seconds=_TIMEOUT_SECONDS)
    with closing(index), ThreadPoolExecutor(4) as threads:
        for number, hanging in enumerate(pair):
            chunk = indexed_chunk(str(number))
            for each in pair:
                with closing(opened(each.url, name)) as alone:
                    put_words(alone, {chunk: "whale"})
            with _paused(hanging):
                searches = [threads.submit(_search, index) for _ in range(4)]
                begun = time.monotonic()
                index.set_dense_vectors([chunk.id], np.ones((1, DIMENSION), np.float32))
                took = time.monotonic() - begun
                assert max([took, *(each.result() for each in searches)]) < _SOON_SECONDS
                assert index.count_chunks("ann", "v1", embedded_only=True) >= 1


def test_a_node_that_hangs_is_used_again_when_the_other_one_hangs(
    pair: tuple[VectorServer, VectorServer], name: str
) -> None:
    for each in pair:
        opened(each.url, name).close()
    one, two = pair
    with closing(opened(f"{one.url},{two.url}", name, read_timeout_seconds=_TIMEOUT_SECONDS)) as index:
        with _paused(one), _paused(two), pytest.raises(IndexUnavailableError, match="does not respond"):
            _search(index)
        for hanging in pair:
            with _paused(hanging):
                assert _search(index) < _SOON_SECONDS


def test_a_slow_request_goes_on_while_its_node_answers_probes(double: VectorServer, name: str) -> None:
    with faulty_proxy(double.url) as one, faulty_proxy(double.url) as two:
        index = opened(f"{one.url},{two.url}", name, read_timeout_seconds=_TIMEOUT_SECONDS)
        counting = f"POST /collections/{name}/points/count"
        held = threading.Event()
        for proxy in (one, two):
            proxy.faults[counting] = [Fault(passed_on=True, held_until=held)]
        with closing(index), ThreadPoolExecutor(1) as thread:
            counted = thread.submit(index.count_chunks, "ann", "v1")
            try:
                # The second probe shows that the request went on after the first.
                wait_until(lambda: [*one.seen, *two.seen].count("GET /readyz") >= 2, what="the node is probed twice")
            finally:
                held.set()
            assert counted.result() == 0
            assert [*one.seen, *two.seen].count(counting) == 1


def test_a_long_body_does_not_wait_for_a_node_that_does_not_read_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        node = QdrantNode(url, {})
        with (
            closing(node),
            httpx.Client(transport=node.build_transport(), timeout=_TIMEOUT_SECONDS) as client,
            pytest.raises(httpx.WriteTimeout, match="does not answer a probe"),
        ):
            client.put(url, content=bytes(1 << 25))
        assert node.is_avoided()
