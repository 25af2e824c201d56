"""`/v1/answers`: ask, and get an answer whose citations were checked; whole, or as server-sent events."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import sse
from api.access import Caller, Served
from api.problems import internal, problem
from api.schemas import AnswerOut, QuestionIn
from ingest.errors import LeadlineError
from rlm.answering import AnswerScope
from rlm.questions import check_question
from rlm.strategies import Completed, Delta, Event, Planned, Reading, Retrieved, Routed, Working, complete

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/answers", tags=["answers"])


@router.post("", response_model=AnswerOut, responses={200: {"content": {sse.MEDIA_TYPE: {}}}})
async def ask(body: QuestionIn, request: Request, caller: Caller, served: Served) -> Response | AnswerOut:
    """Ask a question of your documents.

    With `stream`, or when only `text/event-stream` is accepted, events are sent as they happen: `routed` (the strategy
    and why), `retrieved` and `reading`, or `planned` and `working` of an answer that is computed from records, `delta`
    (a piece of the text, checked before it is sent), and last `completed` with the whole answer or `error` with a
    problem. Closing the connection ends the work.
    """
    question = check_question(body.question)
    scope = AnswerScope(caller.tenant_id, tuple(body.collections), tuple(body.documents))
    stop = threading.Event()
    events = await run_in_threadpool(
        served.answering.stream, question, scope, wanted=body.wanted(), cancelled=stop.is_set
    )
    if body.stream or request.headers.get("accept") == sse.MEDIA_TYPE:
        return StreamingResponse(_sse(request, events, stop), media_type=sse.MEDIA_TYPE)
    return AnswerOut.of(await run_in_threadpool(complete, events))


async def _sse(request: Request, events: Iterator[Event], stop: threading.Event) -> AsyncIterator[str]:
    """The events of a generator that runs in a thread, heartbeats in its silences, and an end when nobody listens."""
    queue: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def produce() -> None:
        try:
            for event in events:
                loop.call_soon_threadsafe(queue.put_nowait, _wire(event))
        except LeadlineError as error:
            loop.call_soon_threadsafe(queue.put_nowait, ("error", problem(error)))
        # The last boundary of a stream: its status went out long ago, so a defect becomes its last event.
        except Exception:
            log.exception("answer failed")
            loop.call_soon_threadsafe(queue.put_nowait, ("error", internal(request.scope.get("request_id", ""))))
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    producer = loop.run_in_executor(None, produce)
    try:
        number = 0
        while True:
            try:
                entry = await asyncio.wait_for(queue.get(), sse.HEARTBEAT_SECONDS)
            except TimeoutError:
                yield sse.HEARTBEAT
                continue
            if entry is None:
                break
            number += 1
            name, data = entry
            yield sse.event(name, data, number)
        await producer
    finally:
        stop.set()


def _wire(event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case Routed(strategy, reason, estimate):
            return "routed", {"strategy": strategy, "reason": reason, "estimate": estimate}
        case Retrieved(passages):
            titles = list(dict.fromkeys(passage.title for passage in passages))
            return "retrieved", {"passages": len(passages), "titles": titles}
        case Reading(call, passages):
            return "reading", {"call": call, "titles": [passage.title for passage in passages]}
        case Planned(steps, by):
            return "planned", {"steps": list(steps), "by": by}
        case Working(step, done, total):
            return "working", {"step": step, "done": done, "total": total}
        case Delta(text):
            return "delta", {"text": text}
        case Completed(answer):
            return "completed", AnswerOut.of(answer).model_dump(mode="json")
