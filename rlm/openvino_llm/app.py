"""The HTTP face of an engine: health, the list of one model, and chat completions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from rlm.errors import LanguageModelError
from rlm.openvino_llm.generation import Event, Failed, Finished, TextDelta, Ticket
from rlm.openvino_llm.host import EngineHost
from rlm.openvino_llm.wire import (
    STREAM_END,
    ChatCompletionRequest,
    CompletionWriter,
    error_object,
    error_status,
    server_sent_event,
)

_CLIENT_GONE = 499
"""What nginx logs for a client that hung up; nobody receives it."""

Result = TypeVar("Result")


def create_app(host: EngineHost, model_name: str) -> FastAPI:
    """The application; `host` may still be loading."""
    app = FastAPI(title="Leadline local language model", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(LanguageModelError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)

    @app.get("/health")
    async def health() -> JSONResponse:
        state = host.health()
        return JSONResponse(state, status_code=200 if state["status"] == "ready" else 503)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": model_name, "object": "model", "created": 0, "owned_by": "leadline"}
        return {"object": "list", "data": [model]}

    @app.post("/v1/chat/completions")
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        if body.model != model_name:
            detail = f"There is no model {body.model!r} here, only {model_name!r}."
            error = error_object(detail, code="model_not_found", kind="invalid_request_error", param="model")
            return JSONResponse(error, status_code=404)
        events = _Events()
        ticket = host.engine().submit(body.to_generation_request(), events.put)
        writer = CompletionWriter(model_name)
        if body.stream:
            return await _streamed(ticket, events, writer, request, wants_usage=body.wants_usage)
        return await _whole(ticket, events, writer, request)

    return app


class _Events:
    """Events from the engine's thread, for the loop that made this object."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def next(self) -> Event:
        """The next event; raises what the engine failed with."""
        event = await self._queue.get()
        if isinstance(event, Failed):
            raise event.error
        return event


async def _whole(ticket: Ticket, events: _Events, writer: CompletionWriter, request: Request) -> Response:
    async def collect() -> dict[str, Any]:
        text = ""
        while isinstance(event := await events.next(), TextDelta):
            text += event.text
        assert isinstance(event, Finished)
        return writer.completion(text, event.reason, event.usage)

    try:
        completion = await _unless_gone(request, collect())
    finally:
        ticket.cancel()
    return Response(status_code=_CLIENT_GONE) if completion is None else JSONResponse(completion)


async def _streamed(
    ticket: Ticket, events: _Events, writer: CompletionWriter, request: Request, *, wants_usage: bool
) -> Response:
    # The status line waits for the first event, so that a request the engine refuses is answered with an error status.
    started = False
    try:
        first = await _unless_gone(request, events.next())
        if first is None:
            return Response(status_code=_CLIENT_GONE)
        response = _TicketedStream(ticket, _stream(first, events, writer, wants_usage=wants_usage))
        started = True
        return response
    finally:
        if not started:
            ticket.cancel()


async def _stream(
    first: Event, events: _Events, writer: CompletionWriter, *, wants_usage: bool
) -> AsyncIterator[bytes]:
    event = first
    yield writer.delta("", first=True)
    try:
        while isinstance(event, TextDelta):
            yield writer.delta(event.text, first=False)
            event = await events.next()
    except LanguageModelError as error:
        yield server_sent_event(error_status(error)[1])
        return
    assert isinstance(event, Finished)
    yield writer.end(event.reason)
    if wants_usage:
        yield writer.usage(event.usage)
    yield STREAM_END


class _TicketedStream(StreamingResponse):
    """A stream that gives its ticket back however it ends: at its end, or because the client hung up."""

    def __init__(self, ticket: Ticket, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ticket.cancel()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of `work`, or None when the client hangs up first."""
    working = asyncio.ensure_future(work)
    hanging_up = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({working, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, hanging_up):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, LanguageModelError):
                await task


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LanguageModelError)
    status, body = error_status(error)
    retry_after = getattr(error, "retry_after_seconds", None)
    headers = {} if retry_after is None else {"Retry-After": str(round(retry_after))}
    return JSONResponse(body, status_code=status, headers=headers)


async def _refuse_body(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"] if part != "body")
    body = error_object(f"{param}: {first['msg']}", code="invalid_request", kind="invalid_request_error", param=param)
    return JSONResponse(body, status_code=400)
