"""Bounds of the server itself, as the command line starts it: how long a head may take, and how many may connect."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from api.cli.serving import Server
from api.services import Services
from tests.support.raw_http import answer, connected, head
from tests.support.service import running


@contextmanager
def serving(services: Services) -> Iterator[tuple[Server, str]]:
    """A server in a thread, with the bounds of the settings, and its address."""
    addresses: list[str] = []
    server = Server(services, addresses.append)
    thread = threading.Thread(target=lambda: server.run())
    thread.start()
    try:
        while not addresses:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server, addresses[0]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, str]]:
    """Heads may take the parameter's seconds, and without one longer than any busy machine needs."""
    monkeypatch.setattr(Server, "capture_signals", _no_signals)  # they belong to the main thread
    bounds: dict[str, Any] = {
        "head_seconds": getattr(request, "param", 600.0),
        "connections_at_once": 4,
        "leave_seconds": 600.0,
    }
    with running(tmp_path, port=0, **bounds) as (services, _), serving(services) as started:
        yield started


@pytest.fixture
def url(server: tuple[Server, str]) -> str:
    return server[1]


@contextmanager
def _no_signals(_: object) -> Iterator[None]:
    yield


HEAD_SECONDS = 2.0
slow_heads = pytest.mark.parametrize("server", [HEAD_SECONDS], indirect=True, ids=["slow heads"])


@slow_heads
@pytest.mark.parametrize("begun", [b"", b"GET /health/live HTTP/1.1\r\nHost: te"], ids=["nothing", "half a head"])
def test_a_head_that_does_not_come_whole_closes_its_connection(url: str, begun: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(begun)
        assert connection.recv(1) == b""


@slow_heads
def test_an_idle_connection_is_kept_between_requests_and_a_slow_head_is_not(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("GET", "/health/live"))
        assert answer(connection)[0] == 200
        time.sleep(1.5 * HEAD_SECONDS)
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


@slow_heads
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


def test_who_leaves_serves_on_says_so_and_closes_each_connection_after_its_answer(server: tuple[Server, str]) -> None:
    leaving, url = server
    with connected(url) as kept:
        kept.sendall(head("GET", "/health/ready"))
        status, headers, _ = answer(kept)
        assert (status, headers.get("connection")) == (200, None)
        leaving.should_exit = True
        while leaving._services.accepting:
            time.sleep(0.01)
        with connected(url) as new:
            new.sendall(head("GET", "/health/ready"))
            status, headers, body = answer(new)
            assert (status, body["status"], headers["connection"]) == (503, "stopping", "close")
            assert new.recv(1) == b""
        kept.sendall(head("GET", "/health/live"))
        status, headers, _ = answer(kept)
        assert (status, headers["connection"]) == (200, "close")
        assert kept.recv(1) == b""
