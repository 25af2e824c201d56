"""Streams an answer that a client waits for: its events as they happen, and stops the work if the client goes.

Events are written by an `EventWriter`: ours here, those of other protocols in `api.openai`.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.admission.current_caller import LOOKUP_SECONDS, AnswersCaller
from api.answers.event_schemas import ANSWER_EVENTS
from api.answers.schemas import AnswerOut
from api.http import sse
from api.http.problems import CLIENT_CLOSED_REQUEST, internal, problem
from ingest.storage.errors import LeadlineError
from rlm.answers import Answer, as_json
from rlm.events import Cell, Completed, Drafted, Event, Reading, Retrieved
from rlm.runs.bodies import cell_body

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5

_Result = TypeVar("_Result")
# Starts a thread that makes a stream's events.
Start = Callable[[Callable[[], None]], asyncio.Future[None]]
# Keeps a whole answer, and returns it in the form that is sent.
Keep = Callable[[Answer], AnswerOut]


class EventWriter(Protocol):
    """Writes the events of one stream, in order, in the thread that makes them."""

    def event(self, happened: Event) -> str:
        """Return an event as it is sent, which may be several or none of the protocol's."""

    def failed(self, problem: Mapping[str, Any]) -> str:
        """Return what ends a stream that has failed."""


async def waited_for(
    request: Request, caller: AnswersCaller, work: asyncio.Future[_Result], stop: threading.Event
) -> _Result | None:
    """Return the result; None if nobody waits for it any more, and then the work under way is given up.

    Raises what `AnswersCaller.require` does, and gives the work up, once its caller may not have the answer.
    """
    try:
        while not (await asyncio.wait({work}, timeout=_LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                stop.set()
                await asyncio.wait({work})
                work.exception()  # errors of giving up concern nobody
                return None
            # guard: answers-end-with-key
            await _require(caller)
    except LeadlineError:
        stop.set()
        work.add_done_callback(lambda given_up: given_up.cancelled() or given_up.exception())
        raise
    except asyncio.CancelledError:  # the service ends, or the protocol has seen the client go
        # guard: mcp-answer-ends-with-client
        stop.set()
        work.add_done_callback(lambda given_up: given_up.cancelled() or given_up.exception())
        raise
    return await work


async def streamed(
    request: Request,
    caller: AnswersCaller,
    start: Start,
    begin: Callable[[], Iterator[Event]],
    writer: EventWriter,
    stop: threading.Event,
) -> Response:
    """Stream the events of a generator that is made and runs in a thread. Raises the errors of making it.

    Once its caller may not have the answer, the stream ends with that problem, and the work is given up.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[bool] = loop.create_future()

    def send(entry: str | None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, entry)

    def produce() -> None:
        try:
            events = begin()
        except Exception as error:  # noqa: BLE001 - it is raised where the request waits
            loop.call_soon_threadsafe(begun.set_exception, error)
            return
        loop.call_soon_threadsafe(begun.set_result, True)
        try:
            for happened in events:
                if not isinstance(happened, Drafted):
                    send(writer.event(happened))
        except LeadlineError as error:
            send(writer.failed(problem(error)))
        # The last boundary of a stream: its status went out long ago, so a defect becomes its last event.
        except Exception:
            log.exception("answer failed")
            send(writer.failed(internal(request.scope.get("request_id", ""))))
        finally:
            send(None)

    producer = start(produce)
    if await waited_for(request, caller, begun, stop) is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return _Streaming(_sse(queue, producer, caller, writer), stop)


class _Streaming(StreamingResponse):
    """Stops the work when nobody listens any more, even before its first event was asked for."""

    def __init__(self, events: AsyncIterator[str], stop: threading.Event) -> None:
        super().__init__(events, media_type=sse.MEDIA_TYPE)
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop.set()


async def _sse(
    queue: asyncio.Queue[str | None], producer: asyncio.Future[None], caller: AnswersCaller, writer: EventWriter
) -> AsyncIterator[str]:
    """Yield the queue's contents until None or until the caller may not have them, and heartbeats during silences."""
    said_at = time.monotonic()
    while True:
        entry: str | None = ""
        with suppress(TimeoutError):
            entry = await asyncio.wait_for(queue.get(), LOOKUP_SECONDS)
        try:
            # guard: answer-streams-end-with-key
            await _require(caller)
        except LeadlineError as error:
            yield writer.failed(problem(error))
            return
        if entry is None:
            break
        if not entry and time.monotonic() - said_at >= sse.HEARTBEAT_SECONDS:
            entry = sse.HEARTBEAT
        if entry:
            yield entry
            said_at = time.monotonic()
    await producer


async def _require(caller: AnswersCaller) -> None:
    """Raise what `caller.require` does, but for an unavailable catalog or identity provider, which say nothing."""
    with suppress(*sse.AWAY):
        await caller.require()


class AnswerEvents:
    """Writes our own events, numbered from 1; a completed answer is kept."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._number = 0

    def event(self, happened: Event) -> str:
        name, body = _wire(happened, self._keep)
        self._number += 1
        return sse.event(name, body, self._number)

    def failed(self, problem: Mapping[str, Any]) -> str:
        self._number += 1
        return sse.event("error", problem, self._number)


def _wire(happened: Event, keep: Keep) -> tuple[str, dict[str, Any]]:
    """Return the name and the body of an event; a completed answer is kept.

    An event without its own case has the members that it has inside.
    """
    name = type(happened).__name__.lower()
    match happened:
        case Completed(answer):
            return name, keep(answer).model_dump(mode="json")
        case Retrieved(passages, query):
            titles = list(dict.fromkeys(passage.title for passage in passages))
            members = {"query": query, "passages": len(passages), "titles": titles}
        case Reading(call, passages):
            members = {"call": call, "titles": [passage.title for passage in passages]}
        case Cell(turn):
            members = cell_body(turn)
        case _:
            members = as_json(asdict(happened))
    return name, ANSWER_EVENTS[name].model_validate(members).model_dump(mode="json")
