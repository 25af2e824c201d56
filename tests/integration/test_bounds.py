"""Bounds before work, over a real server: what a request may bring, who is asked first, and who waits for whom."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import create_engine, text

from api.admission.services import Services
from ingest.storage.db.database import build_sqlite_url
from ingest.storage.errors import DocumentNotFoundError
from rlm.llm.budgets import Limits
from tests.support.raw_http import answer, connected, head
from tests.support.service import listening, running

LARGE = 400_000_000


@contextmanager
def served(home: Path, **settings: object) -> Iterator[tuple[Services, httpx.Client]]:
    """A service on a port, and a client of it with a key."""
    with running(home, language_model=None, **settings) as (services, _), listening(services) as (url, key):
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120, limits=limits) as http:
            yield services, http


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, httpx.Client]]:
    with served(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def http(shared: tuple[Services, httpx.Client]) -> httpx.Client:
    return shared[1]


def bearer(http: httpx.Client) -> str:
    return str(http.headers["Authorization"])


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert response.headers["content-type"] == "application/problem+json"
    assert body["request_id"] == response.headers["x-request-id"]
    return body


@pytest.mark.parametrize("path", ["/v1/search", "/v1/answers", "/v1/batches", "/v1/documents", "/v1/nothing"])
def test_a_request_without_a_key_is_refused_before_its_body_comes(http: httpx.Client, path: str) -> None:
    for length in ({"Content_Length": str(LARGE)}, {"Transfer_Encoding": "chunked"}):
        with connected(str(http.base_url)) as connection:
            connection.sendall(head("POST", path, Content_Type="application/json", **length))
            status, headers, body = answer(connection)
            assert (status, body["code"]) == (401, "unauthorized")
            assert headers["www-authenticate"] == "Bearer"


def test_a_wrong_key_is_refused_before_what_is_wrong_with_the_body(http: httpx.Client) -> None:
    for content in (b"[" * 100_000, b"x" * 2_000_000, b'{"query": "\\ud800"}'):
        wrong = http.post("/v1/search", content=content, headers={"Authorization": "Bearer ll_no_key"})
        refused(wrong, 401, "unauthorized")


def test_a_body_above_the_limit_is_refused_unread_and_counted_where_no_length_is_announced(http: httpx.Client) -> None:
    with connected(str(http.base_url)) as connection:
        connection.sendall(head("POST", "/v1/search", Authorization=bearer(http), Content_Length=str(LARGE)))
        status, _, body = answer(connection)
        assert (status, body["code"]) == (413, "body_too_large")

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    refused(http.post("/v1/answers", content=pieces()), 413, "body_too_large")


def test_an_upload_may_be_larger_than_other_bodies(http: httpx.Client) -> None:
    response = http.post("/v1/documents", content=b"words and more words\n" * 100_000)
    assert response.status_code == 202


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/status?collection=" + "x" * 20_000, 414, "head_too_large"),
        ("/v1/documents/" + "y" * 20_000, 414, "head_too_large"),
    ],
)
def test_a_long_url_is_refused(http: httpx.Client, path: str, status: int, code: str) -> None:
    refused(http.get(path), status, code)


def test_many_or_long_headers_are_refused(http: httpx.Client) -> None:
    refused(http.get("/v1/status", headers={"X-Long": "x" * 40_000}), 431, "head_too_large")
    refused(http.get("/v1/status", headers={f"X-{n}": "1" for n in range(120)}), 431, "head_too_large")


def test_a_request_with_two_keys_is_refused(http: httpx.Client) -> None:
    twice = {"Authorization": bearer(http), "authorization": "Bearer ll_other"}
    with connected(str(http.base_url)) as connection:
        connection.sendall(head("GET", "/v1/status", **twice))
        status, _, body = answer(connection)
    assert (status, body["code"]) == (400, "bad_request")


def documents(http: httpx.Client) -> list[str]:
    return [document["id"] for document in http.get("/v1/documents").json()["documents"]]


@pytest.mark.parametrize("value", [r'"\ud800"', r'"nul\u0000"', "NaN", "1e999", "[" * 30_000 + "]" * 30_000])
def test_metadata_nobody_can_keep_is_refused_and_nothing_of_it_is_stored(http: httpx.Client, value: str) -> None:
    before = documents(http)
    files: Any = [("metadata", (None, f'{{"x": {value}}}')), ("files", ("a.md", b"some words"))]
    body = refused(http.post("/v1/documents", files=files), 422, "invalid_request")
    assert body["errors"][0]["at"].startswith("metadata")
    assert documents(http) == before


def test_a_background_question_about_half_a_surrogate_pair_is_no_run(http: httpx.Client) -> None:
    question = b'{"question": "what?", "background": true, "collections": ["\\ud800"]}'
    body = refused(
        http.post("/v1/answers", content=question, headers={"Content-Type": "application/json"}), 422, "invalid_request"
    )
    assert body["errors"][0]["at"] == "body.collections.0"
    assert http.get("/v1/runs").status_code == 200


def test_a_deeply_nested_body_is_refused_with_its_place(http: httpx.Client) -> None:
    for content in (b"[" * 200_000, b'{"filters":' + b'{"a":' * 5_000):
        response = http.post("/v1/search", content=content, headers={"Content-Type": "application/json"})
        assert "nested" in refused(response, 422, "invalid_request")["detail"]


def test_listings_survive_what_was_stored_before_it_was_checked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home) as (_, http):
        found = http.post("/v1/documents", params={"name": "a.md"}, content=b"words").json()
        run = http.post("/v1/answers", json={"question": "what?", "background": True}).json()
        metadata = json.dumps({"x": "\ud800", "n": float("nan"), "deep": [float("inf"), "\udfff"]})
        engine = create_engine(build_sqlite_url(home / "catalog.sqlite"))
        with engine.begin() as connection:
            connection.execute(text("UPDATE documents SET attributes = :it"), {"it": metadata})
            connection.execute(text("UPDATE runs SET collections = :it"), {"it": json.dumps(["\ud800"])})
        engine.dispose()
        (listed,) = http.get("/v1/documents").json()["documents"]
        assert listed["metadata"] == {"x": "\ufffd", "n": None, "deep": [None, "\ufffd"]}
        assert http.get(f"/v1/documents/{found['id']}").json()["metadata"] == listed["metadata"]
        (shown,) = http.get("/v1/runs").json()["runs"]
        assert shown["collections"] == ["\ufffd"]
        assert http.get(f"/v1/runs/{run['id']}").status_code == 200
        assert http.delete(f"/v1/documents/{found['id']}").status_code == 200


@pytest.mark.parametrize(
    "target",
    ["/v1/documents/a%00b", "/v1/documents/%ED%A0%80", "/v1/status?collection=%00", "/v1/status?collection=%ff"],
)
def test_urls_are_valid_unicode_without_nul(http: httpx.Client, target: str) -> None:
    with connected(str(http.base_url)) as connection:
        connection.sendall(head("GET", target, Authorization=bearer(http)))
        status, _, body = answer(connection)
        assert (status, body["code"]) == (422, "invalid_request")


class Gate:
    """Work that stays until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.opened = threading.Event()
        self._error = error or RuntimeError("let go")
        self.entered = 0
        self._lock = threading.Lock()

    def __call__(self, *_: object, **__: object) -> object:
        with self._lock:
            self.entered += 1
        assert self.opened.wait(600)
        raise self._error


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@contextmanager
def many(count: int, request: Callable[[], httpx.Response], gate: Gate) -> Iterator[list[Any]]:
    """So many requests side by side; they are let go at the end of the block."""
    with ThreadPoolExecutor(count) as threads:
        futures = [threads.submit(request) for _ in range(count)]
        try:
            yield futures
        finally:
            gate.opened.set()


@pytest.mark.slow
def test_health_and_other_tenants_are_answered_while_one_key_has_all_its_searches_hanging(tmp_path: Path) -> None:
    with served(tmp_path, work_at_once=8, searches_at_once=8, search_turn_seconds=1) as (services, http):
        gate = Gate()
        hanging = cast(
            Any, type("Hanging", (), {"search": gate, "counts": services.asking.searcher.get_cache_counts})()
        )
        services.asking = replace(services.asking, searcher=hanging)
        services.documents.catalog.ensure_tenant("other")
        _, key = services.keys.issue_key("other", "test")
        with many(60, lambda: http.post("/v1/search", json={"query": "whale"}), gate) as futures:
            eventually(lambda: gate.entered >= 4)
            with httpx.Client(base_url=http.base_url, timeout=120) as other:
                assert other.get("/health/live").status_code == 200
                assert other.get("/health/ready").status_code == 200
                listing = other.get("/v1/documents", headers={"Authorization": f"Bearer {key}"})
                assert listing.status_code == 200
                refused(other.get("/v1/documents", headers={"Authorization": "Bearer ll_x_y"}), 401, "unauthorized")
            eventually(lambda: any(future.done() for future in futures))
            done = next(future for future in futures if future.done()).result()
            refused(done, 429, "too_many_requests")
            assert int(done.headers["retry-after"]) > 0
            assert gate.entered <= 6  # three quarters of the places


def test_a_tenant_with_many_searches_leaves_another_its_share_of_them(tmp_path: Path) -> None:
    with served(tmp_path, work_at_once=8, searches_at_once=2, search_turn_seconds=120) as (services, http):
        gate = Gate(DocumentNotFoundError("let go"))
        services.asking = replace(services.asking, searcher=cast(Any, SimpleNamespace(search=gate)))
        services.documents.catalog.ensure_tenant("other")
        _, key = services.keys.issue_key("other", "test")
        theirs = {"Authorization": f"Bearer {key}"}
        with many(1, lambda: http.post("/v1/search", json={"query": "whale"}, headers=theirs), gate):
            eventually(lambda: gate.entered == 1)
            with many(3, lambda: http.post("/v1/search", json={"query": "whale"}), gate):
                eventually(lambda: gate.entered == 2)
                # Other requests have slots of their own, so they do not wait for the searches.
                assert http.get("/v1/documents").status_code == 200
                store = http.post("/v1/vector_stores", json={"name": "ships"}).json()["id"]
                with many(1, lambda: _search_store(http, store), gate):
                    assert http.get("/v1/documents", headers=theirs).status_code == 200
                    assert gate.entered == 2
        assert gate.entered == 5


def test_searches_in_every_slot_leave_threads_for_other_requests(tmp_path: Path) -> None:
    with served(tmp_path, searches_at_once=40, search_turn_seconds=120) as (services, http):
        gate = Gate(DocumentNotFoundError("let go"))  # It is not logged with its stack.
        services.asking = replace(services.asking, searcher=cast(Any, SimpleNamespace(search=gate)))
        services.documents.catalog.ensure_tenant("other")
        _, key = services.keys.issue_key("other", "test")
        theirs = {"Authorization": f"Bearer {key}"}
        with (
            many(20, lambda: http.post("/v1/search", json={"query": "whale"}, headers=theirs), gate),
            many(20, lambda: http.post("/v1/search", json={"query": "whale"}), gate),
        ):
            eventually(lambda: gate.entered == 40)
            assert http.get("/v1/documents").status_code == 200


def _search_store(http: httpx.Client, store: str) -> httpx.Response:
    return http.post(f"/v1/vector_stores/{store}/search", json={"query": "whale"})


@pytest.mark.slow
def test_rewrites_hold_no_thread_that_others_need(tmp_path: Path) -> None:
    with served(tmp_path, work_at_once=4, answers_at_once=8, turn_seconds=120) as (services, http):
        gate = Gate()
        hanging = cast(Any, SimpleNamespace(rewrite_query=gate, compute_limits=lambda: Limits(calls=2, tokens=1_000)))
        services.asking = replace(services.asking, rewriter=hanging)
        with many(30, lambda: http.post("/v1/search", json={"query": "whale", "rewrite": "hyde"}), gate) as futures:
            eventually(lambda: gate.entered + sum(future.done() for future in futures) == 30)
            assert gate.entered >= 6
            for _ in range(8):
                assert http.post("/v1/search", json={"query": "whale"}).status_code == 200
            refused(next(future for future in futures if future.done()).result(), 429, "answers_full")


@pytest.mark.slow
def test_a_background_question_is_queued_while_every_place_for_answers_is_taken(tmp_path: Path) -> None:
    with served(tmp_path, answers_at_once=1, runs_at_once=1) as (services, http):
        gate = Gate()
        answering = services.asking.answering
        hanging = cast(Any, type("Hanging", (), {"stream": gate, "state": answering.get_state})())
        services.asking = replace(services.asking, answering=hanging)
        with many(1, lambda: http.post("/v1/answers", json={"question": "what?"}), gate):
            eventually(lambda: gate.entered == 1)
            run = http.post("/v1/answers", json={"question": "what?", "background": True})
            assert run.status_code == 202
            assert gate.entered == 1  # nothing was planned in the request


def test_streams_are_bounded_for_a_tenant_and_in_all(tmp_path: Path) -> None:
    with served(tmp_path, streams_at_once=3, streams_of_tenant=2) as (services, http):
        batch = http.post("/v1/batches", json={}).json()["id"]
        services.documents.catalog.ensure_tenant("other")
        other = {"Authorization": f"Bearer {services.keys.issue_key('other', 'test')[1]}"}
        theirs = http.post("/v1/batches", json={}, headers=other).json()["id"]
        with ExitStack() as open_streams:
            for _ in range(2):
                found = open_streams.enter_context(http.stream("GET", f"/v1/batches/{batch}/events"))
                assert found.status_code == 200
            third = http.get(f"/v1/batches/{batch}/events")
            refused(third, 429, "streams_full")
            assert int(third.headers["retry-after"]) > 0
            last = open_streams.enter_context(http.stream("GET", f"/v1/batches/{theirs}/events", headers=other))
            assert last.status_code == 200
            refused(http.get(f"/v1/batches/{theirs}/events", headers=other), 429, "streams_full")
        eventually(lambda: _opens(http, batch))


def _opens(http: httpx.Client, batch: str) -> bool:
    with http.stream("GET", f"/v1/batches/{batch}/events") as found:
        return found.status_code == 200


def test_a_body_that_trickles_is_given_up(tmp_path: Path) -> None:
    with served(tmp_path, body_idle_seconds=0.5, body_bytes_per_second=1000) as (_, http):
        for method, path in (("POST", "/v1/search"), ("POST", "/v1/documents?name=a.md")):
            with connected(str(http.base_url)) as connection:
                connection.sendall(head(method, path, Authorization=bearer(http), Content_Length="1000000"))
                over = threading.Event()

                def trickle(connection: socket.socket = connection, over: threading.Event = over) -> None:
                    while not over.wait(0.05):
                        try:
                            connection.sendall(b"x")
                        except OSError:
                            return

                thread = threading.Thread(target=trickle)
                thread.start()
                try:
                    status, _, body = answer(connection)
                finally:
                    over.set()
                    thread.join()
                assert (status, body["code"]) == (408, "request_timeout")
        assert http.get("/v1/documents").json()["documents"] == []


def test_above_the_most_requests_at_once_there_is_503_and_health_goes_on(tmp_path: Path) -> None:
    with served(tmp_path, requests_at_once=2) as (services, http):
        gate = Gate()
        services.asking = replace(services.asking, searcher=cast(Any, type("Hanging", (), {"search": gate})()))
        with many(2, lambda: http.post("/v1/search", json={"query": "whale"}), gate):
            eventually(lambda: gate.entered == 2)
            busy = http.get("/v1/documents")
            refused(busy, 503, "service_busy")
            assert int(busy.headers["retry-after"]) > 0
            assert http.get("/health/live").status_code == 200
