"""The two clients over one scripted transport: what the blocking one does, the one of an event loop does as well."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.answers.event_schemas import CheckingOut, DeltaOut
from api.client import (
    AsyncClient,
    Client,
    ForbiddenError,
    NoAnswerError,
    NotFoundError,
    QuotaError,
    RefusedError,
    ServerError,
    ServiceError,
    StateError,
    UnauthorizedError,
    UnavailableError,
)
from api.client.errors import IdempotencyError
from api.search.schemas import SearchIn

FOUND: dict[str, Any] = {
    "hits": [],
    "timings_ms": {},
    "cached": False,
    "reranked": None,
    "queries": ["whale"],
    "rewrite": None,
}
BUSY = {"status": 503, "code": "service_busy", "detail": "Busy.", "hint": "Later.", "request_id": "r1"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send requests again at once."""
    monkeypatch.setattr("api.client.retrying._backoff", lambda state: 0.0)
    monkeypatch.setattr("api.client.following._AGAIN_SECONDS", 0.0)


class Server:
    """Answers by a script, the last entry again and again, and remembers what it was sent."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self._script = list(script)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        return self._next(request)

    async def asynchronous(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(await request.aread())
        return self._next(request)

    def _next(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


class Both:
    """Does the same with a client of either kind."""

    def __init__(self, server: Server, *, blocking: bool, tries: int = 3) -> None:
        self._server, self._blocking, self._tries = server, blocking, tries

    def call(self, name: str, /, *args: Any, **members: Any) -> Any:  # noqa: ANN401 - of any method
        """The result of a method, or all that it yields."""
        if self._blocking:
            transport = httpx.MockTransport(self._server)
            with httpx.Client(base_url="http://leadline", transport=transport) as http:
                made = getattr(Client(http=http, tries=self._tries), name)(*args, **members)
                return list(made) if isinstance(made, Iterator) else made
        return asyncio.run(self._call(name, *args, **members))

    async def _call(self, name: str, /, *args: Any, **members: Any) -> Any:  # noqa: ANN401
        transport = httpx.MockTransport(self._server.asynchronous)
        async with httpx.AsyncClient(base_url="http://leadline", transport=transport) as http:
            made = getattr(AsyncClient(http=http, tries=self._tries), name)(*args, **members)
            return [each async for each in made] if isinstance(made, AsyncIterator) else await made

    def stream(self, most: int, *args: Any, **members: Any) -> list[Any]:  # noqa: ANN401
        """The first events of a streamed answer, of which the block is left then."""
        if self._blocking:
            transport = httpx.MockTransport(self._server)
            with (
                httpx.Client(base_url="http://leadline", transport=transport) as http,
                Client(http=http, tries=self._tries).stream_answer(*args, **members) as events,
            ):
                return [event for event, _ in zip(events, range(most), strict=False)]
        return asyncio.run(self._stream(most, *args, **members))

    async def _stream(self, most: int, *args: Any, **members: Any) -> list[Any]:  # noqa: ANN401
        found: list[Any] = []
        transport = httpx.MockTransport(self._server.asynchronous)
        async with (
            httpx.AsyncClient(base_url="http://leadline", transport=transport) as http,
            AsyncClient(http=http, tries=self._tries).stream_answer(*args, **members) as events,
        ):
            async for event in events:
                found.append(event)
                if len(found) == most:
                    break
        return found


Make = Callable[..., Both]


@pytest.fixture(params=[True, False], ids=["blocking", "async"])
def both(request: pytest.FixtureRequest) -> Make:
    return lambda server, **how: Both(server, blocking=request.param, **how)


def ok(body: Any = FOUND) -> httpx.Response:  # noqa: ANN401 - JSON
    return httpx.Response(200, json=body)


def busy(after: str = "0") -> httpx.Response:
    return httpx.Response(503, json=BUSY, headers={"Retry-After": after})


def events(*sent: str, closed: list[bool] | None = None) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Sent(sent, closed))


class Sent(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes piece by piece, and notes that it was closed."""

    def __init__(self, pieces: tuple[str, ...], closed: list[bool] | None) -> None:
        self._pieces, self._closed = pieces, closed

    def __iter__(self) -> Iterator[bytes]:
        yield from (piece.encode() for piece in self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece.encode()

    def close(self) -> None:
        if self._closed is not None:
            self._closed.append(True)

    async def aclose(self) -> None:
        self.close()


def test_a_search_sends_the_members_that_were_given_and_no_others(both: Make) -> None:
    server = Server(ok())
    assert both(server).call("search", "whale", top_k=3).queries == ["whale"]
    both(server).call("search", SearchIn(query="whale", top_k=3))
    assert server.bodies[0] == server.bodies[1] == b'{"query":"whale","top_k":3}'


def test_members_of_a_later_release_are_left_aside(both: Make) -> None:
    found = both(Server(ok({**FOUND, "invented_later": 1}))).call("search", "whale")
    assert not hasattr(found, "invented_later")


def test_a_service_that_is_busy_is_asked_again_when_it_said_with_the_same_key(both: Make) -> None:
    server = Server(busy(), busy(), ok({"id": "1"}))
    assert both(server).call("post", "/v1/webhooks", {"url": "https://x"}) == {"id": "1"}
    assert len({request.headers["Idempotency-Key"] for request in server.requests}) == 1
    assert len(server.requests) == 3


def test_a_request_is_given_up_after_its_tries(both: Make) -> None:
    server = Server(busy())
    with pytest.raises(UnavailableError, match=r"Busy\. Later\.") as caught:
        both(server).call("search", "whale")
    assert (caught.value.status, caught.value.problem, caught.value.request_id) == (503, "service_busy", "r1")
    assert len(server.requests) == 3


def test_nobody_waits_for_a_quota_that_is_renewed_tomorrow(both: Make) -> None:
    quota = {**BUSY, "status": 429, "code": "quota_exceeded"}
    server = Server(httpx.Response(429, json=quota, headers={"Retry-After": "40000"}))
    with pytest.raises(QuotaError) as caught:
        both(server).call("search", "whale")
    assert caught.value.retry_after_seconds == 40_000
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [lambda: httpx.ReadError("reset"), lambda: httpx.Response(502, text="<html>Bad gateway</html>")],
    ids=["reset", "502"],
)
def test_what_may_have_been_worked_on_is_sent_again_only_if_that_does_no_harm(
    both: Make, reply: Callable[[], httpx.Response | Exception]
) -> None:
    server = Server(reply(), ok())
    both(server).call("search", "whale")
    assert len(server.requests) == 2
    server = Server(reply(), ok({"id": "1"}))
    both(server).call("post", "/v1/webhooks", {})
    assert len({request.headers["Idempotency-Key"] for request in server.requests}) == 1
    server = Server(reply(), ok())
    with pytest.raises(ServiceError):
        both(server).call("patch", "/v1/documents/1", {})
    assert len(server.requests) == 1


def test_an_earlier_try_that_is_still_worked_on_is_waited_for(both: Make) -> None:
    under_way = httpx.Response(409, json={**BUSY, "status": 409, "code": "request_under_way"})
    server = Server(under_way, ok({"id": "1"}))
    assert both(server).call("post", "/v1/webhooks", {}) == {"id": "1"}
    assert len(server.requests) == 2


def test_what_never_reached_a_service_is_sent_again_and_told_without_numbers_or_names_of_python(both: Make) -> None:
    server = Server(httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(NoAnswerError, match="leadline up") as error:
        both(server).call("patch", "/v1/documents/1", {})
    assert error.value.detail.endswith(" did not respond: connection refused.")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, StateError),
        (412, StateError),
        (422, RefusedError),
        (428, StateError),
        (500, ServerError),
    ],
)
def test_a_problem_is_raised_as_its_kind_with_all_that_it_says(both: Make, status: int, kind: type[Exception]) -> None:
    body = {**BUSY, "status": status, "code": "some_code", "errors": [{"at": "body.query"}]}
    with pytest.raises(ServiceError) as caught:
        both(Server(httpx.Response(status, json=body))).call("search", "whale")
    assert type(caught.value) is kind
    assert (caught.value.detail, caught.value.hint, caught.value.body) == ("Busy.", "Later.", body)


def test_a_key_of_another_request_is_told_from_what_is_wrong_with_this_one(both: Make) -> None:
    body = {**BUSY, "status": 422, "code": "idempotency_key_reused"}
    with pytest.raises(IdempotencyError):
        both(Server(httpx.Response(422, json=body))).call("start_run", "whale?", idempotency_key="mine")


def test_a_listing_asks_for_its_pages_until_the_last(both: Make) -> None:
    pages = [{"rows": [{"n": 1}, {"n": 2}], "next_cursor": "two"}, {"rows": [{"n": 3}], "next_cursor": None}]
    server = Server(*map(ok, pages))
    assert [row["n"] for row in both(server).call("listed", "/v1/rows", "rows", named="x")] == [1, 2, 3]
    assert [dict(request.url.params) for request in server.requests] == [
        {"limit": "100", "named": "x"},
        {"limit": "100", "named": "x", "cursor": "two"},
    ]


def test_a_file_is_read_anew_for_each_try(both: Make, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"0123456789" * 60_000)
    server = Server(busy(), httpx.Response(422, json={**BUSY, "status": 422}))
    with pytest.raises(RefusedError):
        both(server).call("upload", tmp_path / "log.txt", metadata={"year": 1851}, readers=["user:ann"])
    assert [len(body) for body in server.bodies] == [600_000, 600_000]
    assert server.requests[0].headers["Content-Length"] == "600000"
    params = server.requests[0].url.params
    assert (params["name"], params["metadata"], params["readers"]) == ("log.txt", '{"year": 1851}', "user:ann")


def test_an_upload_goes_on_where_its_connection_broke(both: Make, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"0123456789" * 60_000)
    known = httpx.Response(404, json={**BUSY, "status": 404, "code": "document_not_found"})
    server = Server(
        httpx.Response(201, headers={"Location": "http://elsewhere/v1/uploads/u"}),
        httpx.ReadError("reset"),
        httpx.Response(200, headers={"Upload-Offset": "350000"}),
        httpx.Response(409, json={**BUSY, "status": 409, "code": "upload_offset"}),
        httpx.Response(200, headers={"Upload-Offset": "400000"}),
        httpx.Response(204, headers={"Upload-Offset": "600000", "Content-Location": "/v1/documents/d"}),
        known,
    )
    with pytest.raises(NotFoundError):
        both(server).call("upload_resumable", tmp_path / "log.txt", collection="logs")
    sent = [(request.method, request.url.path, request.headers.get("Upload-Offset")) for request in server.requests]
    assert sent == [
        ("POST", "/v1/uploads", None),
        ("PATCH", "/v1/uploads/u", "0"),
        ("HEAD", "/v1/uploads/u", None),
        ("PATCH", "/v1/uploads/u", "350000"),
        ("HEAD", "/v1/uploads/u", None),
        ("PATCH", "/v1/uploads/u", "400000"),
        ("GET", "/v1/documents/d", None),
    ]
    assert [len(body) for body in server.bodies] == [0, 600_000, 0, 250_000, 0, 200_000, 0]
    assert "collection bG9ncw==" in server.requests[0].headers["Upload-Metadata"]


def test_an_upload_of_which_nothing_arrives_is_given_up(both: Make) -> None:
    begun = httpx.Response(201, headers={"Location": "/v1/uploads/u"})
    nothing = httpx.Response(200, headers={"Upload-Offset": "0"})
    stuck: list[httpx.Response | Exception] = [httpx.ReadError("reset"), nothing] * 9
    server = Server(begun, *stuck)
    with pytest.raises(NoAnswerError):
        both(server).call("upload_resumable", b"text", name="a.txt")
    assert [request.method for request in server.requests].count("PATCH") == 6


def test_events_are_told_apart_whatever_their_text_has_and_unknown_ones_are_left_out(both: Make) -> None:
    server = Server(
        events(
            'id: 1\nevent: delta\ndata: {"text": "one\u2028li',
            'ne\x85"}\n\n: still at it\n\nid: 2\nevent: later\n',
            'data: {}\n\nid: 3\nevent: checking\ndata: {"sentences": 1, "invented_later": 2}\n\n',
        )
    )
    assert both(server).stream(9, "whale?") == [DeltaOut(text="one\u2028line\x85"), CheckingOut(sentences=1)]


def test_a_stream_that_ends_with_a_problem_raises_it(both: Make) -> None:
    problem = '{"status": 503, "code": "language_model_unavailable", "detail": "It is away.", "hint": "Wait."}'
    server = Server(events(f"id: 1\nevent: error\ndata: {problem}\n\n"))
    with pytest.raises(UnavailableError, match=r"It is away\. Wait\."):
        both(server).stream(9, "whale?")
    assert len(server.requests) == 1


def test_leaving_a_stream_closes_its_connection(both: Make) -> None:
    closed: list[bool] = []
    piece = 'id: 1\nevent: delta\ndata: {"text": "a"}\n\n'
    assert both(Server(events(piece, piece, piece, closed=closed))).stream(1, "whale?") == [DeltaOut(text="a")]
    assert closed


def test_a_follower_comes_back_after_what_it_has_seen_until_the_end(both: Make) -> None:
    server = Server(
        events(': still at it\n\nid: a\nevent: snapshot\ndata: {"n": 1}\n\n: still at it\n\n'),
        httpx.ReadError("reset"),
        events('id: b\nevent: progress\ndata: {"n": 2}\n\nid: c\nevent: end\ndata: {"n": 3}\n\n'),
    )
    assert both(server).call("follow", "/v1/things/1/events") == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [request.headers.get("Last-Event-ID") for request in server.requests] == [None, "a", "a"]


def test_a_follower_of_what_has_ended_and_was_seen_is_done(both: Make) -> None:
    assert both(Server(httpx.Response(204))).call("follow", "/v1/things/1/events") == []


def test_a_follower_of_what_is_not_there_is_told(both: Make) -> None:
    with pytest.raises(NotFoundError):
        both(Server(httpx.Response(404, json={**BUSY, "status": 404}))).call("follow", "/v1/things/1/events")
