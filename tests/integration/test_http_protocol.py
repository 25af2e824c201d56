"""Bounds of the server itself, as the command line starts it: how long a head may take, and how many may connect."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from api.cli.serving import Server
from api.services import Services
from tests.support.raw_http import answer, connected, head
from tests.support.service import running


@contextmanager
def serving(services: Services) -> Iterator[str]:
    """The address of a server in a thread, with the bounds of the settings."""
    addresses: list[str] = []
    server = Server(services, addresses.append)
    thread = threading.Thread(target=lambda: server.run())
    thread.start()
    try:
        while not addresses:
            assert thread.is_alive()
            time.sleep(0.01)
        yield addresses[0]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Server, "capture_signals", _no_signals)  # they belong to the main thread
    with (
        running(tmp_path, port=0, head_seconds=0.5, connections_at_once=4) as (services, _),
        serving(services) as address,
    ):
        yield address


@contextmanager
def _no_signals(_: object) -> Iterator[None]:
    yield


@pytest.mark.parametrize("begun", [b"", b"GET /health/live HTTP/1.1\r\nHost: te"], ids=["nothing", "half a head"])
def test_a_head_that_does_not_come_whole_closes_its_connection(url: str, begun: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(begun)
        assert connection.recv(1) == b""


def test_an_idle_connection_is_kept_between_requests_and_a_half_second_head_is_not(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("GET", "/health/live"))
        assert answer(connection)[0] == 200
        time.sleep(1)
        connection.sendall(head("GET", "/health/live"))
        assert answer(connection)[0] == 200
        connection.sendall(b"GET /hea")
        assert connection.recv(1) == b""


def test_above_the_most_connections_there_is_503_with_retry_after(url: str) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(url)) for _ in range(4)]
        for connection in held:
            connection.sendall(head("GET", "/health/live"))
            assert answer(connection)[0] == 200
        status, headers, body = answer(stack.enter_context(connected(url)))
        assert (status, body["code"], headers["retry-after"]) == (503, "service_busy", "2")


def test_a_body_that_goes_on_after_its_refusal_ends_the_connection(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("POST", "/v1/search", Content_Length="400000000"))
        assert answer(connection)[0] == 401
        deadline = time.monotonic() + 120
        with suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"x" * 65_536)
                time.sleep(0.02)
        assert time.monotonic() < deadline
