"""`/v1/answers`: ask, and get an answer whose citations were checked; whole, or as server-sent events."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import sse
from api.access import AnswersAtOnce, Caller, Served
from api.problems import BadRequestError, internal, problem
from api.run_schemas import RunWithAnswerOut
from api.schemas import AnswerOut, QuestionIn
from api.services import Services
from ingest.catalog.keys import ApiKey
from ingest.documents import JobKind
from ingest.errors import LeadlineError
from ingest.runs import Run, RunRequest
from rlm.answering import UNASKED
from rlm.errors import LanguageModelUnavailableError
from rlm.events import Cell, Completed, Delta, Event, Planned, Reading, Retrieved, Routed, Working, complete
from rlm.llm.budgets import Limits
from rlm.requests import check_question
from rlm.runs.bodies import cell_body, limits_body

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
# Nobody sees it but the log; the name is that of nginx.
_CLIENT_CLOSED_REQUEST = 499

_Result = TypeVar("_Result")
# Starts what makes a stream's events in a thread.
_Start = Callable[[Callable[[], None]], asyncio.Future[None]]

router = APIRouter(prefix="/v1/answers", tags=["answers"])


@router.post(
    "",
    response_model=AnswerOut,
    responses={200: {"content": {sse.MEDIA_TYPE: {}}}, 202: {"model": RunWithAnswerOut}},
)
async def ask(
    body: QuestionIn,
    request: Request,
    caller: Caller,
    served: Served,
    threads: AnswersAtOnce,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Response | AnswerOut:
    """Ask a question of your documents.

    With `background` the answer is made by a run that goes on without this connection, and after a crash: `202`, with
    the run's address in `Location`. The same `Idempotency-Key` again is the same run (`200`), and with another
    question, scope, strategy or budget it is `422`.

    With `stream`, or when only `text/event-stream` is accepted, events are sent as they happen: `routed` (the strategy
    and why); `retrieved` and `reading` of one that reads passages; `planned` and `working` of one that is computed from
    records; `planned` and `reading` of a chain; `cell` (code that a model wrote, and what came of it) and `working`
    with the step `cells` of a recursive one; `delta` (a piece of the text, checked before it is sent); and last
    `completed` with the whole answer or `error` with a problem. Closing the connection ends the work, streamed or not.

    Where as many clients wait for answers as this process makes at once, one more is `429`; `background` is not. The
    last quarter of these places is for tenants for whom no answer is being made.
    """
    question = check_question(body.question)
    if body.background:
        return await run_in_threadpool(_begin, served, caller, body, question, idempotency_key)
    scope, stop = body.scope(caller.tenant_id), threading.Event()
    begin = partial(served.answering.stream, question, scope, wanted=body.wanted(), cancelled=stop.is_set)
    start = partial(threads.start, caller.tenant_id)
    if body.stream or request.headers.get("accept") == sse.MEDIA_TYPE:
        return await _streamed(request, start, begin, stop)
    answer = await _waited_for(request, start(lambda: complete(begin())), stop)
    return Response(status_code=_CLIENT_CLOSED_REQUEST) if answer is None else AnswerOut.of(answer)


def _begin(served: Services, caller: ApiKey, body: QuestionIn, question: str, key: str | None) -> Response:
    if body.stream:
        raise BadRequestError(
            "An answer is made in the background or streamed, not both.",
            hint="Ask with `background` alone, and follow GET /v1/runs/{id}/events.",
        )
    wanted, scope = body.wanted(), body.scope(caller.tenant_id)
    request = RunRequest(
        caller.tenant_id,
        question,
        scope.collections,
        scope.documents,
        wanted.strategy.value,
        None if wanted.limits is None else limits_body(wanted.limits),
        wanted.every_record,
        key,
    )
    known = served.runs.known(request)
    if known is not None:  # whatever it would cost by now
        return _run_response(known, created=False)
    try:
        unasked = served.answering.check(question, scope, wanted)
    except LanguageModelUnavailableError:  # a run waits for it, and spends no more than what need not be confirmed
        unasked = Limits() if wanted.confirm else UNASKED
    run, created = served.runs.create(replace(request, unasked=limits_body(unasked)))
    served.doorbell.ring(JobKind.RUN)
    return _run_response(run, created=created)


def _run_response(run: Run, *, created: bool) -> Response:
    out = RunWithAnswerOut.of(run).model_dump(mode="json")
    return JSONResponse(out, 202 if created else 200, {"Location": f"/v1/runs/{run.id}"})


async def _waited_for(request: Request, work: asyncio.Future[_Result], stop: threading.Event) -> _Result | None:
    """The result; None when nobody waits for it any more, and then what is under way is given up."""
    try:
        while not (await asyncio.wait({work}, timeout=_LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                stop.set()
                await asyncio.wait({work})
                work.exception()  # what giving up raises is nobody's
                return None
    except asyncio.CancelledError:  # the service ends, and its threads with it
        stop.set()
        raise
    return await work


async def _streamed(
    request: Request, start: _Start, begin: Callable[[], Iterator[Event]], stop: threading.Event
) -> Response:
    """The events of a generator that is made and runs in a thread. Raises what making it raises."""
    queue: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[bool] = loop.create_future()

    def produce() -> None:
        try:
            events = begin()
        except Exception as error:  # noqa: BLE001 - it is raised where the request waits
            loop.call_soon_threadsafe(begun.set_exception, error)
            return
        loop.call_soon_threadsafe(begun.set_result, True)
        try:
            for happened in events:
                loop.call_soon_threadsafe(queue.put_nowait, _wire(happened))
        except LeadlineError as error:
            loop.call_soon_threadsafe(queue.put_nowait, ("error", problem(error)))
        # The last boundary of a stream: its status went out long ago, so a defect becomes its last event.
        except Exception:
            log.exception("answer failed")
            loop.call_soon_threadsafe(queue.put_nowait, ("error", internal(request.scope.get("request_id", ""))))
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    producer = start(produce)
    if await _waited_for(request, begun, stop) is None:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return _Streaming(_sse(queue, producer), stop)


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


async def _sse(queue: asyncio.Queue[tuple[str, Any] | None], producer: asyncio.Future[None]) -> AsyncIterator[str]:
    """What comes from the queue until None, and heartbeats in its silences."""
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


def _wire(happened: Event) -> tuple[str, dict[str, Any]]:
    match happened:
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
        case Cell(turn):
            return "cell", cell_body(turn)
        case Delta(text):
            return "delta", {"text": text}
        case Completed(answer):
            return "completed", AnswerOut.of(answer).model_dump(mode="json")
