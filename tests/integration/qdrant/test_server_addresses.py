"""A vector server behind several addresses, or behind a name that has several, while one of them is away."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from retrieval.errors import IndexUnavailableError
from retrieval.index.port import IndexReader
from tests.support.cluster import wait_until
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.qdrant_server import ANN, DIMENSION, PATIENTLY, opened
from tests.support.vector_servers import VectorServer

pytestmark = pytest.mark.slow

_NAME = "vectors.test"


@dataclass
class Searches:
    """Searches one after another, and how they ended."""

    failed: list[Exception] = field(default_factory=list)
    ended: int = 0

    def end_what_is_under_way(self) -> None:
        """Wait until the search of this moment, and another one, has ended."""
        before = self.ended
        wait_until(lambda: self.ended >= before + 2, what="two searches have ended")


@contextmanager
def _searching(index: IndexReader) -> Iterator[Searches]:
    """Search all the time."""
    searches = Searches()
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            try:
                index.search(ANN, sparse_vector=None, dense_vector=np.ones(DIMENSION, np.float32), limit=5)
            except IndexUnavailableError as error:
                searches.failed.append(error)
            searches.ended += 1

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield searches
    finally:
        done.set()
        thread.join()


def test_searches_and_writes_go_on_while_any_one_of_two_addresses_is_away(double: VectorServer, name: str) -> None:
    with faulty_proxy(double.url) as one, faulty_proxy(double.url) as two:
        # Written as a person might: white space, and a slash at the end.
        index = opened(f"{one.url}/, {two.url}", name)
        written = {}
        with _searching(index) as searches:
            for number, away in enumerate((one, two, one, two)):
                away.away = True
                chunk = indexed_chunk(str(number))
                put_words(index, {chunk: "whale"})
                index.set_dense_vectors([chunk.id], np.ones((1, DIMENSION), np.float32))
                written[chunk.id] = chunk
                searches.end_what_is_under_way()
                away.away = False
                searches.end_what_is_under_way()  # none meets both addresses away, one after the other
        assert searches.failed == []
        assert index.load_chunks(ANN, list(written)) == written
        one.away = two.away = True
        with pytest.raises(IndexUnavailableError, match="does not respond") as raised:
            index.count_chunks("ann", "v1")
        assert all(f"curl {each.url}/readyz" in raised.value.hint for each in (one, two))
        index.close()


def test_a_process_starts_while_one_of_the_addresses_is_away(double: VectorServer, name: str) -> None:
    with socket.socket() as taken, faulty_proxy(double.url) as there:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for url in (f"{nobody},{there.url}", f"{there.url},{nobody}"):
            index = opened(url, name)
            index.require_ready()
            index.close()


def _resolving_to(*found: str) -> Callable[..., Any]:
    """A resolver that knows one name more."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str | bytes | None, port: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if host != _NAME:
            return resolve(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in found]

    return getaddrinfo


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has every address of 127.0.0.0/8")
def test_searches_and_writes_go_on_while_any_address_of_a_name_is_away(
    double: VectorServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _resolving_to("127.0.0.2", "127.0.0.3"))
    with ExitStack() as two, ExitStack() as three:

        def serve(stack: ExitStack, host: str, port: int = 0) -> FaultyProxy:
            return stack.enter_context(faulty_proxy(double.url, host=host, port=port))

        second = serve(two, "127.0.0.2")
        port = int(second.url.rpartition(":")[2])
        third = serve(three, "127.0.0.3", port)
        index = opened(f"http://{_NAME}:{port}", name, retries=PATIENTLY)
        with _searching(index) as searches:
            for number, (gone, stack) in enumerate(((second, two), (third, three))):
                gone.away = True  # connections that are open break
                stack.close()  # and no other can be made
                put_words(index, {indexed_chunk(str(number)): "whale"})
                host = gone.url.removeprefix("http://").partition(":")[0]
                serve(stack, host, port)
        assert searches.failed == []
        assert index.count_chunks("ann", "v1") == 2
        index.close()
