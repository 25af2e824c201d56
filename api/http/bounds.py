"""Bounds what a request may bring: its head before anything is looked up, its body before anything parses it.

These are pure ASGI wrappers. They raise our errors; `api.http.middleware.ProblemResponses`, around them, answers with
the matching responses.
"""

import asyncio
import re
import time
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import BadRequestError, BodyTooLargeError, HeadTooLargeError, ServiceBusyError, SlowRequestError
from api.http.threads import Threads
from ingest.storage.errors import InputError
from ingest.storage.inbound import check_text, parse_json

MAX_URL_BYTES = 16 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_QUERY_MEMBERS = 1_000

# Parsing more than this at once would keep every other request waiting; it is done in a thread.
_INLINE_PARSE_BYTES = 32 * 1024
_PARSER_THREADS = 2
_BAD_HEADER = re.compile(rb"[\0\r\n]")
# These bodies are files, written to disk block by block; `Intake` bounds them.
_FILES = re.compile(r"(POST /v1/documents|POST /v1/files|PUT /v1/documents/[^/]+|PATCH /v1/uploads/[^/]+)/?")


def is_health(scope: Scope) -> bool:
    """True for requests that no bound of ours may delay: orchestrators ask them, and without a key."""
    return bool(scope["path"].startswith("/health/"))


def has_file_body(scope: Scope) -> bool:
    """True if the body is one file or many, of any size."""
    return _FILES.fullmatch(f"{scope['method']} {scope['path']}") is not None


class HeadLimits:
    """Refuses a request whose URL or headers are too large, and any above so many at once but those of health."""

    def __init__(self, app: ASGIApp, *, requests_at_once: int) -> None:
        self._app = app
        self._most = requests_at_once
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_health(scope):
            await self._app(scope, receive, send)
            return
        _require_head_size(scope)
        if self._now >= self._most:
            raise ServiceBusyError(f"This process works on {self._now:,} requests already.")
        self._now += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now -= 1


class BodyLimits:
    """Checks path, query and headers, and reads a body that is no file whole: at most so many bytes, in so much time.

    A body of JSON is checked before anything else parses it. A file passes through block by block; a client that sends
    it too slowly is refused.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, idle_seconds: float, bytes_per_second: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._bytes_per_second = bytes_per_second
        self._parsers = Threads(_PARSER_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_health(scope):
            await self._app(scope, receive, send)
            return
        _check_head(scope)
        timed = _TimedReceive(receive, self._idle_seconds, self._bytes_per_second)
        if has_file_body(scope):
            await self._app(scope, timed, send)
            return
        body = await self._read_body(scope, timed)
        if body and _is_json_body(scope):
            if len(body) > _INLINE_PARSE_BYTES:
                await self._parsers.run(parse_json, body, "body")
            else:
                parse_json(body, "body")
        await self._app(scope, _replay_body(body, receive), send)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        announced = _get_header(scope, b"content-length")
        if announced.isdigit() and (len(announced) > 18 or int(announced) > self._max_bytes):
            raise self._build_too_large_error()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""  # the client is gone, and what comes next finds that
            body += message.get("body", b"")
            # guard: unannounced-body-size
            if len(body) > self._max_bytes:
                raise self._build_too_large_error()
            if not message.get("more_body", False):
                return bytes(body)

    def _build_too_large_error(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"The body of this request may have {self._max_bytes:,} bytes.")


class _TimedReceive:
    """A `receive` that raises `SlowRequestError` when the client is silent for too long, or slow for that long."""

    def __init__(self, receive: Receive, idle_seconds: float, bytes_per_second: int) -> None:
        self._receive = receive
        self._idle_seconds = idle_seconds
        self._least = int(bytes_per_second * idle_seconds)
        self._ended = False
        self._waited = 0.0
        self._came = 0

    async def __call__(self) -> Message:
        if self._ended:  # from here on only the client's leaving is waited for
            return await self._receive()
        begun = time.monotonic()
        try:
            # guard: slow-body
            message = await asyncio.wait_for(self._receive(), max(0.001, self._idle_seconds - self._waited))
        except TimeoutError as error:
            raise SlowRequestError(
                f"Less than {self._least:,} bytes of the body came in {self._idle_seconds:g} seconds."
            ) from error
        self._waited += time.monotonic() - begun
        self._came += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._came >= self._least:
            self._waited, self._came = 0.0, 0
        return message


def _require_head_size(scope: Scope) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL_BYTES:
        raise HeadTooLargeError(f"The URL may have {MAX_URL_BYTES:,} bytes.", status=414)
    headers = scope["headers"]
    # guard: one-authorization
    if sum(name == b"authorization" for name, _ in headers) > 1:
        raise BadRequestError("The request has several Authorization headers.", hint="Send one key or token.")
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadTooLargeError(f"The headers may be {MAX_HEADERS}, of {MAX_HEADER_BYTES:,} bytes together.")


def _check_head(scope: Scope) -> None:
    # Bytes that are no UTF-8 become halves of surrogate pairs, which are refused by name with the rest.
    check_text(unquote_to_bytes(scope.get("raw_path") or b"").decode("utf-8", "surrogateescape"), "path")
    try:
        members = parse_qsl(
            scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MAX_QUERY_MEMBERS,
        )
    except ValueError as error:
        raise InputError("query", f"A query may have {MAX_QUERY_MEMBERS:,} members.") from error
    for name, value in members:
        check_text(value, f"query.{check_text(name, 'query')}")
    for header, content in scope["headers"]:
        if _BAD_HEADER.search(content):
            raise InputError(f"header.{header.decode('latin-1')}", "A header must be one line without NUL.")


def _is_json_body(scope: Scope) -> bool:
    """True for what the application would take for JSON, which it does without a type, too."""
    kind = _get_header(scope, b"content-type").partition(b";")[0].strip().lower()
    return not kind or kind == b"application/json" or kind.endswith(b"+json")


def _get_header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")


def _replay_body(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def receive_replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_replayed
