"""Limits on requests: URL and headers are checked before any lookup, and the body is checked before it is parsed.

Pure ASGI middleware. Its errors are sent by `api.http.middleware.ProblemResponses`, which wraps it.
"""

import asyncio
import re
import time
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import BadRequestError, BodyTooLargeError, HeadTooLargeError, ServiceBusyError, SlowRequestError
from api.http.threads import Threads
from ingest.storage.counts import format_count
from ingest.storage.errors import InputError
from ingest.storage.inbound import check_text, parse_json

MAX_URL_BYTES = 16 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_QUERY_MEMBERS = 1_000

# Maximum size of a body that is parsed in the event loop. A larger body is parsed in a thread, because parsing it in
# the loop would delay all other requests.
_INLINE_PARSE_BYTES = 32 * 1024
_PARSER_THREADS = 2
_BAD_HEADER = re.compile(rb"[\0\r\n]")
# Matches requests whose bodies are files. The files are written to disk in blocks, and `Intake` limits their size.
_FILES = re.compile(r"(POST /v1/documents|POST /v1/files|PUT /v1/documents/[^/]+|PATCH /v1/uploads/[^/]+)/?")


def is_health_check(scope: Scope) -> bool:
    """Return whether the request is a health check, which needs no key and must not be delayed by any limit."""
    return bool(scope["path"].startswith("/health/"))


def has_file_body(scope: Scope) -> bool:
    """Return whether the body consists of one or more files, of any size."""
    return _FILES.fullmatch(f"{scope['method']} {scope['path']}") is not None


class HeadLimiter:
    """Rejects requests whose URL or headers are too large, and requests beyond the limit on open requests.

    Health checks are exempt.
    """

    def __init__(self, app: ASGIApp, *, requests_at_once: int) -> None:
        self._app = app
        self._most = requests_at_once
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_health_check(scope):
            await self._app(scope, receive, send)
            return
        _require_head_size(scope)
        if self._now >= self._most:
            raise ServiceBusyError(f"This process already has {self._now:,} open requests, which is its limit.")
        self._now += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now -= 1


class BodyLimiter:
    """Checks the path, query and headers, and reads bodies (except files) within size and time limits.

    JSON bodies are checked before the application parses them. Files are passed on block by block. Requests that arrive
    too slowly are rejected.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, idle_seconds: float, bytes_per_second: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._bytes_per_second = bytes_per_second
        self._parsers = Threads(_PARSER_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_health_check(scope):
            await self._app(scope, receive, send)
            return
        _check_path_and_headers(scope)
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
        # A number of more than 18 digits exceeds any limit, and a much longer number cannot be converted.
        if announced.isdigit() and (len(announced) > 18 or int(announced) > self._max_bytes):
            raise self._build_too_large_error()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b""  # The client disconnected, which the application will notice itself.
            body += message.get("body", b"")
            # guard: unannounced-body-size
            if len(body) > self._max_bytes:
                raise self._build_too_large_error()
            if not message.get("more_body", False):
                return bytes(body)

    def _build_too_large_error(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"The body of this request is limited to {self._max_bytes:,} bytes.")


class _TimedReceive:
    """A `receive` that raises `SlowRequestError` if the client sends nothing, or too little, for `idle_seconds`."""

    def __init__(self, receive: Receive, idle_seconds: float, bytes_per_second: int) -> None:
        self._receive = receive
        self._idle_seconds = idle_seconds
        self._least = int(bytes_per_second * idle_seconds)
        self._ended = False
        self._waited = 0.0
        self._came = 0

    async def __call__(self) -> Message:
        if self._ended:  # The body is complete, so only a disconnect can follow, without a time limit.
            return await self._receive()
        started = time.monotonic()
        try:
            # guard: slow-body
            message = await asyncio.wait_for(self._receive(), max(0.001, self._idle_seconds - self._waited))
        except TimeoutError as error:
            raise SlowRequestError(
                f"Fewer than {self._least:,} bytes of the body arrived within "
                f"{format_count(self._idle_seconds, 'second')}."
            ) from error
        self._waited += time.monotonic() - started
        self._came += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._came >= self._least:
            self._waited, self._came = 0.0, 0
        return message


def _require_head_size(scope: Scope) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL_BYTES:
        raise HeadTooLargeError(f"The URL is limited to {MAX_URL_BYTES:,} bytes.", status=414)
    headers = scope["headers"]
    # guard: one-authorization
    if sum(name == b"authorization" for name, _ in headers) > 1:
        raise BadRequestError("The request has several Authorization headers.", hint="Send one key or token.")
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadTooLargeError(
            f"A request is limited to {MAX_HEADERS} headers of {MAX_HEADER_BYTES:,} bytes in total."
        )


def _check_path_and_headers(scope: Scope) -> None:
    # Convert bytes that are not UTF-8 to lone surrogates, which `check_text` rejects.
    check_text(unquote_to_bytes(scope.get("raw_path") or b"").decode("utf-8", "surrogateescape"), "path")
    try:
        members = parse_qsl(
            scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MAX_QUERY_MEMBERS,
        )
    except ValueError as error:
        raise InputError("query", f"A query is limited to {MAX_QUERY_MEMBERS:,} parameters.") from error
    for name, value in members:
        check_text(value, f"query.{check_text(name, 'query')}")
    for header, content in scope["headers"]:
        if _BAD_HEADER.search(content):
            raise InputError(
                f"header.{header.decode('latin-1')}", "A header must be a single line without NUL characters."
            )


def _is_json_body(scope: Scope) -> bool:
    """Return whether the application would parse the body as JSON, which it also does without a content type."""
    kind = _get_header(scope, b"content-type").partition(b";")[0].strip().lower()
    return not kind or kind == b"application/json" or kind.endswith(b"+json")


def _get_header(scope: Scope, header_name: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == header_name), b"")


def _replay_body(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def receive_replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_replayed
