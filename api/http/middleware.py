"""Middleware for every request: adds a request id, writes a log line, and converts uncaught errors to problems."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterable

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import CLIENT_CLOSED_REQUEST, ProblemHandlers, ServiceBusyError, build_internal_problem
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Actor, ActorKind, actor_context
from ingest.storage.errors import LeadlineError

log = structlog.get_logger(__name__)

# Key of the ASGI scope under which `api.admission.admission.Authentication` stores the caller.
CALLER = "leadline.caller"
_EVENT_STREAM = b"text/event-stream"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STOPPED_DETAIL = "The service shut down before the response was ready."
_NOBODY = Actor(ActorKind.NOBODY)  # Actor of a request whose key has not been checked yet.
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
# Without the first, nginx holds events back until it has some kilobytes of them.
_STREAM_HEADERS = (
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache, no-store"),
)


class RequestContext:
    """Adds the request id, logs the request and handles uncaught errors. Pure ASGI, so that streams are not buffered.

    A client's `X-Request-Id` is used if it is well-formed. The id is logged and returned in the response. While the
    process is shutting down (`leaving`), every response closes its connection. A request that is cancelled because it
    exceeds `LEADLINE_DRAIN_SECONDS` gets a 503; if its response has already started, the connection is closed.
    """

    def __init__(self, app: ASGIApp, problems: ProblemHandlers, leaving: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._problems = problems
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _get_request_id(scope)
        scope["request_id"] = request_id
        status, started = 0, time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])  # The status may be an `HTTPStatus`.
                headers = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                # guard: leaving-closes-connections
                if self._leaving():
                    headers.append((b"connection", b"close"))
                present = {name for name, _ in headers}
                extra = _STREAM_HEADERS if _is_event_stream(headers) else _SAFE_HEADERS
                message["headers"] = headers + [header for header in extra if header[0] not in present]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), actor_context(_NOBODY, request_id):
            try:
                await self._serve_request(scope, receive, send_with_headers, lambda: status != 0)
            except ClientDisconnect:  # The client disconnected while sending.
                status = status or CLIENT_CLOSED_REQUEST
            # This is the outermost handler. An unexpected error is logged in full, and the client gets a problem.
            except Exception as error:
                # If an error is raised after the response has started, Starlette wraps the error.
                if status and isinstance(error.__cause__, LeadlineError):
                    log.error(
                        "response broken off", path=scope["path"], reason=str(error.__cause__), **_get_log_fields(scope)
                    )
                    raise
                log.exception("request failed", path=scope["path"], **_get_log_fields(scope))
                if status:
                    raise  # Let the server close the connection, so that the response does not look complete.
                request = Request(scope)
                await self._problems.build_problem_response(request, build_internal_problem(request_id))(
                    scope, receive, send_with_headers
                )
            finally:
                _log_request(scope, status, started)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send, has_started: Callable[[], bool]) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._leaving():
                raise
            # Without this handler, uvicorn would log the cancellation as an error with a traceback, and respond with
            # 500.
            log.warning(
                "response broken off",
                path=scope["path"],
                reason="the service is shutting down",
                **_get_log_fields(scope),
            )
            if not has_started():
                await self._problems.build_error_response(Request(scope), ServiceBusyError(_STOPPED_DETAIL))(
                    scope, receive, send
                )


class ProblemResponses:
    """Converts errors of the middleware that it wraps to problems. The application converts its own errors."""

    def __init__(self, app: ASGIApp, problems: ProblemHandlers) -> None:
        self._app = app
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_mark(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_mark)
        except LeadlineError as error:
            if started:
                raise
            await self._problems.build_error_response(Request(scope), error)(scope, receive, send)


def _get_request_id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value.startswith(_EVENT_STREAM) for name, value in headers)


def _log_request(scope: Scope, status: int, start_time: float) -> None:
    level = log.debug if scope["path"].startswith("/health") else log.info
    milliseconds = round((time.perf_counter() - start_time) * 1000, 1)
    level(
        "request", method=scope["method"], path=scope["path"], status=status, ms=milliseconds, **_get_log_fields(scope)
    )


def _get_log_fields(scope: Scope) -> dict[str, str | None]:
    caller: Principal | None = scope.get(CALLER)
    return {} if caller is None else {"tenant": caller.tenant_id, "key": caller.key_id}
