"""The language model's own process: an OpenAI-compatible server on a Unix socket.

    python -m rlm.llm.local.server --model FILE --uds SOCKET

The server starts listening when the model is in memory. It exits on SIGTERM, or when its parent process has exited.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from rlm.errors import LanguageModelError, LanguageModelUnavailableError
from rlm.llm.local.process import LOAD_FAILED, get_failure_path
from rlm.llm.local.protocol import (
    STREAM_END,
    ChatCompletionRequest,
    CompletionWriter,
    Engine,
    EngineLimits,
    Event,
    FailedEvent,
    FinishedEvent,
    TextDelta,
    Ticket,
    build_error_response,
    format_server_sent_event,
)
from rlm.llm.profiles import LOCAL_QWEN

log = logging.getLogger("rlm.llm.local.server")

_GRACE_SECONDS = 2  # Time that uvicorn gives requests in progress to finish at a shutdown.
_PARENT_POLL_SECONDS = 1.0
_HARD_EXIT_SECONDS = 5.0  # Time after SIGTERM until the process is forced to exit.
_CLIENT_GONE = 499
"""The status that nginx logs for a client that disconnected; nobody receives it."""

Result = TypeVar("Result")


class _ClientDisconnectedError(Exception):
    """The client disconnected before the response started."""


def create_app(engine: Engine, model_name: str) -> FastAPI:
    """Create the application that serves one model. It accepts any model name in requests and reports `model_name`."""
    app = FastAPI(title="Leadline local language model", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(LanguageModelError, _handle_error)
    app.add_exception_handler(_ClientDisconnectedError, _handle_disconnect)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": model_name, "object": "model", "created": 0, "owned_by": "leadline"}
        return {"object": "list", "data": [model]}

    @app.post("/v1/chat/completions")
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        events = _EventQueue()
        ticket = engine.submit(body.to_engine_request(), events.put)
        writer = CompletionWriter(model_name)
        if body.stream:
            return await _build_streamed_response(ticket, events, writer, request, wants_usage=body.wants_usage)
        return await _build_whole_response(ticket, events, writer, request)

    return app


class _EventQueue:
    """Passes events from the engine's thread to the event loop that created this object."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def get_next_event(self) -> TextDelta | FinishedEvent:
        """Return the next event. If the request failed in the engine, its error is raised."""
        event = await self._queue.get()
        if isinstance(event, FailedEvent):
            raise event.error
        return event


async def _build_whole_response(
    ticket: Ticket, events: _EventQueue, writer: CompletionWriter, request: Request
) -> Response:
    async def collect() -> dict[str, Any]:
        text = ""
        while not isinstance(event := await events.get_next_event(), FinishedEvent):
            text += event.text
        return writer.build_completion(text, event.reason, event.usage)

    try:
        return JSONResponse(await _run_unless_disconnected(request, collect()))
    finally:
        ticket.cancel()


async def _build_streamed_response(
    ticket: Ticket, events: _EventQueue, writer: CompletionWriter, request: Request, *, wants_usage: bool
) -> Response:
    # Send the status line only after the first event, so that a rejection by the engine gets an error status.
    try:
        first = await _run_unless_disconnected(request, events.get_next_event())
    except BaseException:
        ticket.cancel()
        raise
    return _TicketedStream(ticket, _iter_stream_events(first, events, writer, wants_usage=wants_usage))


async def _iter_stream_events(
    first_event: TextDelta | FinishedEvent, events: _EventQueue, writer: CompletionWriter, *, wants_usage: bool
) -> AsyncIterator[bytes]:
    yield writer.build_delta_event("", is_first=True)
    event = first_event
    try:
        while not isinstance(event, FinishedEvent):
            yield writer.build_delta_event(event.text, is_first=False)
            event = await events.get_next_event()
    except LanguageModelError as error:
        yield format_server_sent_event(build_error_response(error)[1])
        return
    yield writer.build_end_event(event.reason)
    if wants_usage:
        yield writer.build_usage_event(event.usage)
    yield STREAM_END


class _TicketedStream(StreamingResponse):
    """A stream that cancels its ticket when it ends for any reason, including when the client disconnects."""

    def __init__(self, ticket: Ticket, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ticket.cancel()


async def _run_unless_disconnected(request: Request, coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `coroutine`. Raises `_ClientDisconnectedError` if the client disconnects first."""
    working = asyncio.ensure_future(coroutine)
    hanging_up = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({working, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise _ClientDisconnectedError
    finally:
        for task in (working, hanging_up):
            task.cancel()
        await asyncio.gather(working, hanging_up, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _handle_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_CLIENT_GONE)


async def _handle_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LanguageModelError)
    status, body = build_error_response(error)
    retry_after = getattr(error, "retry_after_seconds", None)
    headers = {} if retry_after is None else {"Retry-After": str(round(retry_after))}
    return JSONResponse(body, status_code=status, headers=headers)


def main(arguments: Sequence[str]) -> int:
    """Serve until the engine fails, then return 1. Return `LOAD_FAILED` if the model cannot be loaded.

    If the process receives a signal, it exits inside uvicorn and this function does not return.
    """
    options = _build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if options.parent_pid is not None:
        threading.Thread(
            target=_exit_when_parent_exits, args=(options.parent_pid,), name="parent-watch", daemon=True
        ).start()

    try:
        server = _build_server(options)
    except LanguageModelError as error:
        log.error("language model not loaded: %s", error)
        said = json.dumps({"reason": error.detail, "hint": error.hint})
        get_failure_path(options.uds).write_text(said, encoding="utf-8")
        return LOAD_FAILED
    with _open_listening_socket(options.uds) as listener:
        server.run(sockets=[listener])
    return 1


def _build_server(options: argparse.Namespace) -> uvicorn.Server:
    """Build the server around a loaded model. Raises `LanguageModelError` if the model cannot be loaded."""
    try:
        from rlm.llm.local.engine import OpenVINOEngine, load_pipeline
    except ImportError as error:
        raise LanguageModelUnavailableError(
            f"OpenVINO GenAI cannot be imported: {error}", hint="Run pip install './leadline[embedded]'."
        ) from error

    def stop_serving() -> None:
        server.should_exit = True

    begun, limits = time.monotonic(), EngineLimits()
    engine = OpenVINOEngine(load_pipeline(options.model, limits), limits, on_broken=stop_serving)
    log.info("language model ready after %.1f s", time.monotonic() - begun)
    config = uvicorn.Config(
        create_app(engine, LOCAL_QWEN.name),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    return server


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rlm.llm.local.server", description="Serve a GGUF model.")
    parser.add_argument("--model", type=Path, required=True, help="path of the GGUF file")
    parser.add_argument("--uds", type=Path, required=True, help="path at which to create the Unix socket")
    parser.add_argument("--parent-pid", type=int, help="exit when this process is no longer the parent")
    return parser


def _open_listening_socket(path: Path) -> socket.socket:
    """Open a socket that only this user can access, regardless of its folder's permissions."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)
    return listener


def _exit_when_parent_exits(parent_pid: int) -> None:
    # Do not use PR_SET_PDEATHSIG, because it is tied to the thread that started this process and exists only on Linux.
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_SECONDS)
    log.warning("parent process is gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_HARD_EXIT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    logging.shutdown()
    # Do not use `sys.exit`, because the engine's thread cannot be stopped and would keep the process alive.
    os._exit(exit_code)
