"""Tools that answer questions. A call returns the answer itself or, if answering takes long, the id of a run."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from mcp.server.context import ServerRequestContext
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.admission.admission import SLOT
from api.admission.current_caller import CurrentCaller
from api.admission.services import Services
from api.answers.answer_events import build_event_body
from api.answers.answer_work import AnswerWork, start_run
from api.answers.asking import CallerQuestion, require_collections
from api.answers.schemas import QuestionIn
from api.answers.steps import describe_step
from api.http import sse
from api.languages.catalogue import Texts
from api.mcp.places import Capacity
from api.mcp.schemas import AskArguments, AskedOut, CancelArguments, RunArguments
from api.runs.routes import build_run_out
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.answers.run_records import Run
from rlm.events import Completed, Delta, Drafted, Event, Routed
from rlm.requests import StrategyName

Context = ServerRequestContext[Any, Request]


class _LongAnswerError(Exception):
    """The question was routed to a strategy that takes minutes."""


async def answer_question(
    services: Services, caller: Principal, arguments: AskArguments, context: Context, capacity: Capacity
) -> AskedOut:
    """Answer the question, or start a run. If the client disconnects, answering stops, whereas a run continues."""
    await run_in_threadpool(require_collections, services, caller, arguments.collections)
    asking = await run_in_threadpool(CallerQuestion, services, caller, _build_question(arguments))
    if not arguments.background:
        request = _require_request(context)
        request.scope[SLOT].release()  # The answer runs in its own thread, so it needs no slot for requests.
        work = AnswerWork(request, services, caller, capacity.threads, asking)
        with suppress(_LongAnswerError):
            async with _ProgressReporter(context) as progress:
                answer = await work.wait_for_answer(
                    partial(_report_event, progress.report_message, may_wait=arguments.background is False)
                )
            if answer is None:
                raise asyncio.CancelledError  # The client disconnected.
            return AskedOut.from_answer(answer)
        arguments = arguments.model_copy(update={"strategy": StrategyName.RECURSIVE})
    run = await run_in_threadpool(_start_run, services, caller, _build_question(arguments))
    return await run_in_threadpool(_build_run_result, services, caller, run)


async def get_run_result(
    services: Services, caller: Principal, arguments: RunArguments, context: Context, capacity: Capacity
) -> AskedOut:
    """Return a run's progress, and its answer once there is one. Waits up to `wait_seconds` for the run to finish."""
    found = await run_in_threadpool(
        services.answers.runs.load_run, caller.tenant_id, arguments.run, caller.visible_owner
    )
    if arguments.wait_seconds and not found.has_ended:
        request = _require_request(context)
        current = CurrentCaller.from_request(request, caller, Scope.READ)
        await request.scope[SLOT].move_to(capacity.streams)
        found = await _wait_for_run_end(services, found, current, time.monotonic() + arguments.wait_seconds)
        caller = await current.refresh_principal()
    return await run_in_threadpool(_build_run_result, services, caller, found)


def cancel_run(services: Services, caller: Principal, arguments: CancelArguments) -> AskedOut:
    return _build_run_result(
        services, caller, services.answers.runs.cancel(caller.tenant_id, arguments.run, caller.visible_owner)
    )


async def _wait_for_run_end(services: Services, run: Run, current_caller: CurrentCaller, deadline: float) -> Run:
    """Wait until the run is finished or the deadline has passed.

    Raises an error as soon as the caller is no longer allowed to see the run.
    """
    changed = asyncio.Event()
    with services.events.feed.watch(run.tenant_id, run.id, sse.build_change_callback(changed)):
        while not run.has_ended and services.accepting and (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await sse.wait_for_change(changed, lambda: services.accepting)
            changed.clear()
            caller = await current_caller.refresh_principal()
            run = await run_in_threadpool(
                services.answers.runs.load_run, caller.tenant_id, run.id, caller.visible_owner
            )
    return run


def _build_question(arguments: AskArguments) -> QuestionIn:
    same = ("question", "collections", "documents", "filters", "strategy", "conversation", "budget", "confirm")
    return QuestionIn(**{name: getattr(arguments, name) for name in same})


def _start_run(services: Services, caller: Principal, question: QuestionIn) -> Run:
    return start_run(services, caller, question, CallerQuestion(services, caller, question))


def _build_run_result(services: Services, caller: Principal, run: Run) -> AskedOut:
    return AskedOut.from_run(build_run_out(services, caller, run))


def _require_request(context: Context) -> Request:
    if context.request is None:
        raise RuntimeError("tools can only be called over HTTP")
    return context.request


def _report_event(report: Callable[[str], None], event: Event, *, may_wait: bool) -> None:
    """Report an event as progress. Raises `_LongAnswerError` if the question needs a run."""
    if isinstance(event, Routed) and event.strategy == StrategyName.RECURSIVE and not may_wait:
        raise _LongAnswerError
    if words := _describe_event(event):
        report(words)


def _describe_event(event: Event) -> str:
    if isinstance(event, Completed | Delta | Drafted):
        return ""
    return describe_step(*build_event_body(event), Texts("en"))


class _ProgressReporter:
    """Reports progress to the client inside a `with` block. `report` may be called from any thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[str] = asyncio.Queue()

    def report_message(self, message: str) -> None:
        with suppress(RuntimeError):  # The loop may be closed.
            self._loop.call_soon_threadsafe(self._told.put_nowait, message)

    async def __aenter__(self) -> "_ProgressReporter":
        self._reporting = asyncio.create_task(self._send_reports())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reporting.cancel()
        with suppress(asyncio.CancelledError):
            await self._reporting

    async def _send_reports(self) -> None:
        number = 0
        while True:
            words, number = await self._told.get(), number + 1
            await self._context.session.report_progress(number, None, words)
