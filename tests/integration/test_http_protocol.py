"""Bounds of the server itself, as the command line starts it: how long a head may take, and how many may connect."""

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from api.admission.services import Services
from api.cli.serving import ApiServer
from tests.support.raw_http import answer, connected, head
from tests.support.service import running


@contextmanager
def serving(services: Services) -> Iterator[tuple[ApiServer, str]]:
    """A server in a thread, with the bounds of the settings, and its address."""
    addresses: list[str] = []
    server = ApiServer(services, addresses.append)
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
) -> Iterator[tuple[ApiServer, str]]:
    """The settings are the parameter's; heads may otherwise take longer than any busy machine needs."""
    monkeypatch.setattr(ApiServer, "capture_signals", _no_signals)  # they belong to the main thread
    bounds: dict[str, Any] = {
        "head_seconds": 600.0,
        "connections_at_once": 4,
        "leave_seconds": 600.0,
        **getattr(request, "param", {}),
    }
    with running(tmp_path, port=0, **bounds) as (services, _), serving(services) as started:
        yield started


@pytest.fixture
def url(server: tuple[ApiServer, str]) -> str:
    return server[1]


@contextmanager
def _no_signals(_: object) -> Iterator[None]:
    yield


HEAD_SECONDS = 2.0
slow_heads = pytest.mark.parametrize("server", [{"head_seconds": HEAD_SECONDS}], indirect=True, ids=["slow heads"])


def with_settings(**settings: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", [settings], indirect=True, ids=["settings"])


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


def test_a_new_connection_takes_the_place_of_the_one_that_waited_the_longest(url: str) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(url)) for _ in range(4)]
        for connection in (*held, held[0]):
            connection.sendall(head("GET", "/health/live"))
            assert answer(connection)[0] == 200
        new = stack.enter_context(connected(url))
        new.sendall(head("GET", "/health/live"))
        assert answer(new)[0] == 200
        assert held[1].recv(1) == b""
        held[0].sendall(head("GET", "/health/live"))
        assert answer(held[0])[0] == 200


def test_health_is_answered_while_every_other_connection_is_at_work(url: str) -> None:
    with ExitStack() as stack:
        for number in range(3):
            unfinished = head("POST", "/v1/sign-in", Content_Length="9", X_Forwarded_For=f"192.0.2.{number}")
            stack.enter_context(connected(url)).sendall(unfinished)
        deadline = time.monotonic() + 60
        while (found := _ask(url, "/docs"))[0] != 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert found[2]["code"] == "service_busy"
        for path in ("/health/live", "/health/ready"):
            assert _ask(url, path)[0] == 200


@with_settings(connections_at_once=1)
def test_a_connection_without_room_is_answered_with_503_and_retry_after(url: str) -> None:
    with connected(url) as busy:
        busy.sendall(head("POST", "/v1/sign-in", Content_Length="100", Expect="100-continue"))
        assert busy.recv(64).startswith(b"HTTP/1.1 100")  # it is at work
        with connected(url) as second:
            status, headers, body = answer(second)
        assert (status, body["code"], headers["retry-after"]) == (503, "service_busy", "2")


@with_settings(connections_of_address=2, trusted_proxies="10.1.1.1")
def test_one_address_has_so_many_connections_at_most(url: str) -> None:
    with connected(url), connected(url), connected(url) as third:
        status, _, body = answer(third)
        assert (status, body["code"]) == (503, "service_busy")
        assert "This address" in body["detail"]


@with_settings(connections_of_address=2, trusted_proxies="127.0.0.0/8")
def test_a_trusted_proxy_may_have_any_number_of_connections(url: str) -> None:
    with connected(url), connected(url):
        assert _ask(url, "/health/live")[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health/live HTTP/1.1\nHost: test\n\n",
        b"GET /health/live HTTP/1.1\r\nHost: test\nX-A: b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: test\r\nX-A: b\r\n c\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["lines end with LF", "one line ends with LF", "folded header", "two lengths of the body"],
)
def test_a_head_that_proxies_read_in_different_ways_is_refused(url: str, sent: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(sent)
        assert _until_closed(connection).startswith(b"HTTP/1.1 400 ")


@slow_heads
def test_a_client_that_still_sends_a_malformed_request_sees_why_it_is_refused(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"GET /" + b"a" * 200_000)
        connection.sendall(b"b" * 2_000_000 + b" HTTP/1.1\r\nHost: test\r\n\r\n")
        status, headers, _ = answer(connection)
        assert (status, headers["connection"]) == (400, "close")
        assert connection.recv(1) == b""  # although this client has not closed its side


@slow_heads
def test_a_client_that_goes_on_sending_a_malformed_request_loses_its_connection(url: str) -> None:
    with connected(url) as connection, pytest.raises(OSError):
        deque(map(connection.sendall, repeat(b"a" * 1_000_000)))


@with_settings(connections_at_once=40)
def test_what_follows_malformed_requests_is_discarded_on_a_few_connections_only(url: str) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(connected(url, seconds=30)) for _ in range(9)]
        for connection in opened:
            connection.sendall(b"GET / HTTP/1.1\n\n")
            assert b"HTTP/1.1 400 " in connection.recv(65_536)
        opened[0].sendall(bytes(16 * 1024**2))  # more than the kernel keeps
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            opened[-1].sendall(bytes(16 * 1024**2))


def test_a_second_request_on_a_connection_is_read_as_strictly(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("GET", "/health/live") + b"GET /health/live HTTP/1.1\nHost: test\n\n")
        assert b"HTTP/1.1 400 " in _until_closed(connection)


@with_settings(connections_at_once=40)
def test_many_bodies_that_go_on_after_their_refusal_are_not_read_for_nothing(url: str) -> None:
    with ExitStack() as stack:
        for _ in range(9):
            last = stack.enter_context(connected(url, seconds=5))
            last.sendall(head("POST", "/v1/search", Content_Length="400000000"))
            assert answer(last)[0] == 401
        with pytest.raises(TimeoutError):
            last.sendall(bytes(64 * 1024**2))  # more than the kernel keeps


def _until_closed(connection: socket.socket) -> bytes:
    """Return what comes until the connection is closed, or silent for ten seconds."""
    connection.settimeout(10)
    came = bytearray()
    with suppress(TimeoutError):
        while block := connection.recv(65_536):
            came += block
    return bytes(came)


def _ask(url: str, path: str) -> tuple[int, dict[str, str], Any]:
    with connected(url) as connection:
        connection.sendall(head("GET", path, Connection="close"))
        return answer(connection)


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


def test_who_leaves_serves_on_says_so_and_closes_each_connection_after_its_answer(
    server: tuple[ApiServer, str],
) -> None:
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
