"""Streams an answer to a waiting client while it is being generated, and stops the work if the client disconnects.

Events are formatted by an `EventFormatter`. The writer for our own format is here, and the writers for OpenAI's
protocols are in `api.openai`.
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

from api.admission.current_caller import LOOKUP_SECONDS, AnswerCaller
from api.answers.event_schemas import ANSWER_EVENTS
from api.answers.schemas import AnswerOut, FoundPassageOut
from api.http import sse
from api.http.problems import CLIENT_CLOSED_REQUEST, build_internal_problem, build_problem
from ingest.storage.errors import LeadlineError
from rlm.answers import Answer, convert_to_json_value
from rlm.events import Cell, Completed, Drafted, Event, Planned, Reading, Retrieved, Routed, Working
from rlm.runs.bodies import build_cell_body, build_planned_body, build_routed_body, build_working_body

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.5
# Maximum number of passages in an event: as many as fit on a screen while the answer is being written.
FOUND_PASSAGES = 12

_Result = TypeVar("_Result")
# A function that starts a thread, which produces the events of a stream.
Start = Callable[[Callable[[], None]], asyncio.Future[None]]
# A function that stores a completed answer and returns its wire form.
Keep = Callable[[Answer], AnswerOut]


class EventFormatter(Protocol):
    """Formats the events of one stream, in order, in the thread that produces them."""

    def format_event(self, event: Event) -> str:
        """Return an event in the protocol's format. The result may contain several events, or may be empty."""

    def format_failure(self, problem: Mapping[str, Any]) -> str:
        """Return the last event of a stream that failed."""


async def wait_for_result(
    request: Request, caller: AnswerCaller, work: asyncio.Future[_Result], stop_event: threading.Event
) -> _Result | None:
    """Return the result of the work, or None if the client disconnected and the work was stopped.

    If the caller is no longer allowed to get the answer, stop the work and raise the same errors as
    `AnswerCaller.require_access`.
    """
    try:
        while not (await asyncio.wait({work}, timeout=_POLL_SECONDS))[0]:
            if await request.is_disconnected():
                stop_event.set()
                await asyncio.wait({work})
                work.exception()  # Mark the exception as retrieved, because no other code awaits the work.
                return None
            # guard: answers-end-with-key
            await _require_access(caller)
    except LeadlineError:
        stop_event.set()
        work.add_done_callback(lambda given_up: given_up.cancelled() or given_up.exception())
        raise
    except asyncio.CancelledError:  # A shutdown cancels the work, as does MCP if the client disconnects.
        # guard: mcp-answer-ends-with-client
        stop_event.set()
        work.add_done_callback(lambda given_up: given_up.cancelled() or given_up.exception())
        raise
    return await work


async def stream_answer(
    request: Request,
    caller: AnswerCaller,
    start_thread: Start,
    create_events: Callable[[], Iterator[Event]],
    formatter: EventFormatter,
    stop_event: threading.Event,
) -> Response:
    """Stream the events of an iterator that is created and consumed in a thread.

    Errors from creating the iterator are raised. If the caller loses access, the work is stopped and the stream ends
    with the problem.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    started: asyncio.Future[bool] = loop.create_future()

    def send_entry(entry: str | None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, entry)

    def produce() -> None:
        try:
            events = create_events()
        except Exception as error:  # noqa: BLE001 - re-raised where the request waits
            loop.call_soon_threadsafe(started.set_exception, error)
            return
        loop.call_soon_threadsafe(started.set_result, True)
        try:
            for event in events:
                if not isinstance(event, Drafted):
                    send_entry(formatter.format_event(event))
        except LeadlineError as error:
            send_entry(formatter.format_failure(build_problem(error)))
        # This is the outermost handler of a stream. The status was already sent, so an unexpected error becomes the
        # last event.
        except Exception:
            log.exception("answer failed")
            send_entry(formatter.format_failure(build_internal_problem(request.scope.get("request_id", ""))))
        finally:
            send_entry(None)

    producer = start_thread(produce)
    if await wait_for_result(request, caller, started, stop_event) is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return _StoppingResponse(_stream_entries(queue, producer, caller, formatter), stop_event)


class _StoppingResponse(StreamingResponse):
    """A streaming response that stops the work if the client disconnects, even before the first event."""

    def __init__(self, events: AsyncIterator[str], stop_event: threading.Event) -> None:
        super().__init__(events, media_type=sse.MEDIA_TYPE)
        self._stop = stop_event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop.set()


async def _stream_entries(
    queue: asyncio.Queue[str | None], producer: asyncio.Future[None], caller: AnswerCaller, formatter: EventFormatter
) -> AsyncIterator[str]:
    """Yield queue entries until one is None or the caller loses access. While the queue is empty, yield heartbeats."""
    sent_at = time.monotonic()
    while True:
        entry: str | None = ""
        with suppress(TimeoutError):
            entry = await asyncio.wait_for(queue.get(), LOOKUP_SECONDS)
        try:
            # guard: answer-streams-end-with-key
            await _require_access(caller)
        except LeadlineError as error:
            yield formatter.format_failure(build_problem(error))
            return
        if entry is None:
            break
        if not entry and time.monotonic() - sent_at >= sse.HEARTBEAT_SECONDS:
            entry = sse.HEARTBEAT
        if entry:
            yield entry
            sent_at = time.monotonic()
    await producer


async def _require_access(caller: AnswerCaller) -> None:
    """Check the caller's access. The answer continues if the catalog or the identity provider is unavailable."""
    with suppress(*sse.TRANSIENT_ERRORS):
        await caller.require_access()


class AnswerEventFormatter:
    """Formats events in our own format, numbered from 1, and stores the completed answer."""

    def __init__(self, save_answer: Keep) -> None:
        self._keep = save_answer
        self._number = 0

    def format_event(self, event: Event) -> str:
        name, body = convert_event(event, self._keep)
        self._number += 1
        return sse.format_event(name, body, self._number)

    def format_failure(self, problem: Mapping[str, Any]) -> str:
        self._number += 1
        return sse.format_event("error", problem, self._number)


def convert_event(event: Event, save_answer: Keep) -> tuple[str, dict[str, Any]]:
    """Return an event's name and body. If the event completes the answer, store the answer."""
    if isinstance(event, Completed):
        return "completed", save_answer(event.answer).model_dump(mode="json")
    return build_event_body(event)


def build_event_body(event: Event) -> tuple[str, dict[str, Any]]:
    """Return the name and body of an event that does not complete the answer.

    Events that have no special case are sent with all of their fields.
    """
    name = type(event).__name__.lower()
    match event:
        case Retrieved(passages, query):
            titles = list(dict.fromkeys(passage.title for passage in passages))
            found = [{name: getattr(each, name) for name in FoundPassageOut.model_fields} for each in passages]
            members = {"query": query, "passages": len(passages), "titles": titles, "found": found[:FOUND_PASSAGES]}
        case Reading(call, passages):
            members = {"call": call, "titles": [passage.title for passage in passages]}
        case Cell(turn):
            members = build_cell_body(turn)
        case Routed():
            members = build_routed_body(event)
        case Planned():
            members = build_planned_body(event)
        case Working():
            members = build_working_body(event)
        case _:
            members = convert_to_json_value(asdict(event))
    return name, ANSWER_EVENTS[name].model_validate(members).model_dump(mode="json")
