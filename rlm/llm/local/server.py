"""The language model's own process: an OpenAI-compatible server on a Unix socket.

    python -m rlm.llm.local.server --model FILE --uds SOCKET

It listens once the model is in memory. It ends on SIGTERM, and by itself when the process that started it is gone.
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
from rlm.llm.local.process import LOAD_FAILED, failure_file
from rlm.llm.local.protocol import (
    STREAM_END,
    ChatCompletionRequest,
    CompletionWriter,
    Engine,
    EngineLimits,
    Event,
    Failed,
    Finished,
    TextDelta,
    Ticket,
    error_status,
    server_sent_event,
)
from rlm.llm.profiles import LOCAL_QWEN

log = logging.getLogger("rlm.llm.local.server")

_GRACE_SECONDS = 2
_PARENT_POLL_SECONDS = 1.0
_HARD_EXIT_SECONDS = 5.0
_CLIENT_GONE = 499
"""The status nginx logs for a client that hung up; nobody receives it."""

Result = TypeVar("Result")


class _ClientGoneError(Exception):
    """The client hung up before there was anything to send."""


def create_app(engine: Engine, model_name: str) -> FastAPI:
    """Make the application around one model, which accepts any model name; `model_name` is the one it reports."""
    app = FastAPI(title="Leadline local language model", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(LanguageModelError, _refuse)
    app.add_exception_handler(_ClientGoneError, _no_answer)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": model_name, "object": "model", "created": 0, "owned_by": "leadline"}
        return {"object": "list", "data": [model]}

    @app.post("/v1/chat/completions")
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        events = _Events()
        ticket = engine.submit(body.to_engine_request(), events.put)
        writer = CompletionWriter(model_name)
        if body.stream:
            return await _streamed(ticket, events, writer, request, wants_usage=body.wants_usage)
        return await _whole(ticket, events, writer, request)

    return app


class _Events:
    """Passes events from the engine's thread to the loop that made this object."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def next(self) -> TextDelta | Finished:
        """Return the next event. Raises the engine's failure."""
        event = await self._queue.get()
        if isinstance(event, Failed):
            raise event.error
        return event


async def _whole(ticket: Ticket, events: _Events, writer: CompletionWriter, request: Request) -> Response:
    async def collect() -> dict[str, Any]:
        text = ""
        while not isinstance(event := await events.next(), Finished):
            text += event.text
        return writer.completion(text, event.reason, event.usage)

    try:
        return JSONResponse(await _unless_gone(request, collect()))
    finally:
        ticket.cancel()


async def _streamed(
    ticket: Ticket, events: _Events, writer: CompletionWriter, request: Request, *, wants_usage: bool
) -> Response:
    # The status line waits for the first event, so that the engine's refusals have an error status.
    try:
        first = await _unless_gone(request, events.next())
    except BaseException:
        ticket.cancel()
        raise
    return _TicketedStream(ticket, _stream(first, events, writer, wants_usage=wants_usage))


async def _stream(
    first: TextDelta | Finished, events: _Events, writer: CompletionWriter, *, wants_usage: bool
) -> AsyncIterator[bytes]:
    yield writer.delta("", first=True)
    event = first
    try:
        while not isinstance(event, Finished):
            yield writer.delta(event.text, first=False)
            event = await events.next()
    except LanguageModelError as error:
        yield server_sent_event(error_status(error)[1])
        return
    yield writer.end(event.reason)
    if wants_usage:
        yield writer.usage(event.usage)
    yield STREAM_END


class _TicketedStream(StreamingResponse):
    """A stream that gives its ticket back however it ends, also if the client hangs up."""

    def __init__(self, ticket: Ticket, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ticket.cancel()


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`. Raises `_ClientGoneError` if the client hangs up first."""
    working = asyncio.ensure_future(work)
    hanging_up = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({working, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise _ClientGoneError
    finally:
        for task in (working, hanging_up):
            task.cancel()
        await asyncio.gather(working, hanging_up, return_exceptions=True)


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _no_answer(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_CLIENT_GONE)


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LanguageModelError)
    status, body = error_status(error)
    retry_after = getattr(error, "retry_after_seconds", None)
    headers = {} if retry_after is None else {"Retry-After": str(round(retry_after))}
    return JSONResponse(body, status_code=status, headers=headers)


def main(arguments: Sequence[str]) -> int:
    """Serve until the engine breaks down, and return 1 or `LOAD_FAILED`. A signal ends the process inside."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if options.parent_pid is not None:
        threading.Thread(target=_end_with, args=(options.parent_pid,), name="parent-watch", daemon=True).start()

    try:
        server = _server(options)
    except LanguageModelError as error:
        log.error("The language model cannot be loaded: %s", error)
        said = json.dumps({"reason": error.detail, "hint": error.hint})
        failure_file(options.uds).write_text(said, encoding="utf-8")
        return LOAD_FAILED
    with _listen(options.uds) as listener:
        server.run(sockets=[listener])
    return 1


def _server(options: argparse.Namespace) -> uvicorn.Server:
    """Make the server around a loaded model. Raises `LanguageModelError`."""
    try:
        from rlm.llm.local.engine import OpenVINOEngine, load_pipeline
    except ImportError as error:
        raise LanguageModelUnavailableError(
            f"OpenVINO GenAI cannot be imported: {error}", hint="Install it: pip install 'leadline[embedded]'."
        ) from error

    def stop_serving() -> None:
        server.should_exit = True

    begun, limits = time.monotonic(), EngineLimits()
    engine = OpenVINOEngine(load_pipeline(options.model, limits), limits, on_broken=stop_serving)
    log.info("The language model is ready after %.1f s.", time.monotonic() - begun)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rlm.llm.local.server", description="Serve a GGUF model.")
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--uds", type=Path, required=True, help="where to create the Unix socket")
    parser.add_argument("--parent-pid", type=int, help="end when this process is no longer the parent")
    return parser


def _listen(path: Path) -> socket.socket:
    """Open a socket that only this user can reach, whatever the folder's permissions."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)
    return listener


def _end_with(parent_pid: int) -> None:
    # Not PR_SET_PDEATHSIG: that follows the thread that started us, and exists on Linux only.
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_SECONDS)
    log.warning("The process that started this one is gone.")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_HARD_EXIT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    logging.shutdown()
    # Not sys.exit: the engine steps in a thread that cannot be stopped.
    os._exit(exit_code)
