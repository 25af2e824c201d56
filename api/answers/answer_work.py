"""Starts to answer a question, in the same way for every protocol.

If the client waits, the work runs in a metered thread and stops when the client disconnects. In the background, a
worker does the work as a run.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.admission.access import get_account
from api.admission.current_caller import AnswerCaller, CurrentCaller
from api.admission.quota_headers import add_quota_headers
from api.admission.services import Services
from api.answers.answer_events import EventFormatter, stream_answer, wait_for_result
from api.answers.asking import CallerQuestion
from api.answers.schemas import AnswerOut, QuestionIn
from api.http.threads import AnswerThreads
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.answers.run_records import Run, RunRequest
from ingest.storage.queue.records import JobKind
from rlm.answers import Answer
from rlm.estimates import build_unconfirmed_limits
from rlm.events import Completed, Delta, Event, collect_answer
from rlm.runs.bodies import build_limits_body


class AnswerWork:
    """Answers one question. Every protocol uses this class, so all answers are metered in the same way."""

    def __init__(
        self,
        request: Request,
        services: Services,
        caller: Principal,
        threads: AnswerThreads,
        caller_question: CallerQuestion,
    ) -> None:
        self._request = request
        self._services = services
        self._caller = caller
        self._current = AnswerCaller(CurrentCaller.from_request(request, caller, Scope.ASK), caller)
        self._asking = caller_question
        self._stop = threading.Event()
        self._start = partial(threads.start_answer, caller.tenant_id)

    async def wait_for_answer(self, on_event: Callable[[Event], None] = lambda _: None) -> AnswerOut | None:
        """Return the stored answer, or None if the client disconnected. Raises quota errors and errors from answering.

        `on_event` is called with each event in the worker thread. If it raises an error, the work stops and the error
        is raised here.
        """
        if (before := await run_in_threadpool(self._asking.find_previous_answer)) is not None:
            return before
        work = self._start(lambda: self._asking.save_answer(collect_answer(self._observe_events(on_event))))
        return await wait_for_result(self._request, self._current, work, self._stop)

    async def stream_events(self, formatter: EventFormatter) -> Response:
        """Return a response that streams the events. Raises quota errors.

        If the request is a repeat, the stream contains the text of the stored answer in one piece, and then the stored
        answer.
        """
        before = await run_in_threadpool(self._asking.find_previous_answer)
        begin = self.start_events if before is None else partial(_replay_events, before)
        return await stream_answer(self._request, self._current, self._start, begin, formatter, self._stop)

    def _observe_events(self, on_event: Callable[[Event], None]) -> Iterator[Event]:
        with closing(self.start_events()) as events:
            for event in events:
                on_event(event)
                yield event

    def start_events(self) -> Generator[Event, None, None]:
        """Start the work and return its events. Raises quota errors. Iterate all events, so that quotas are settled."""
        services, asked = self._services, self._asking.request
        metered = services.admission.meter.reserve_answer(get_account(self._caller), asked.wanted)
        add_quota_headers(self._request, metered.granted.standings)
        return metered.stream_events(
            lambda: services.asking.answering.stream(asked, cancelled=self._stop.is_set, durability=metered)
        )


def _replay_events(answer: AnswerOut) -> Iterator[Event]:
    yield Delta(answer.text)
    yield Completed(
        cast(Answer, None)
    )  # This result is unused, because event writers get the answer from `CallerQuestion.save_answer`.


def start_run(
    services: Services,
    caller: Principal,
    body: QuestionIn,
    caller_question: CallerQuestion,
    request_id: str | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Run:
    """Queue a run. If `request_id` was used before, return the run that the first request with this id started.

    Work that needs a model, including the choice of a strategy, is left to the worker. `asked` contains the members of
    the request that the protocol's replies repeat. Raises quota errors.
    """
    question = caller_question.request
    wanted, scope = question.wanted, question.scope
    request = RunRequest(
        caller.tenant_id,
        question.question,
        scope.collections,
        scope.documents,
        wanted.strategy.value,
        None if wanted.limits is None else build_limits_body(wanted.limits),
        wanted.every_record,
        request_id,
        history=[{"role": message.role, "text": message.text} for message in question.history],
        conversation=body.conversation,
        filters=scope.filters,
        owner=caller.owner,
        key_id=caller.key_id,
        readers=caller.readers,
        pauses=body.pause_on_budget,
        request=asked,
    )
    known = services.answers.runs.find_existing_run(request)
    if known is not None:  # A repeated request gets its run, even if quotas or limits would reject the question now.
        return known
    limits = build_unconfirmed_limits(is_confirmed=wanted.confirm, has_model_price=services.asking.model_costs)
    wants = services.admission.meter.build_quota_request(get_account(caller), wanted)
    # guard: runs-metered
    run, _ = services.answers.runs.create(
        replace(
            request,
            unasked=build_limits_body(limits),
            conversation_id=caller_question.ensure_conversation(),
            wanted=wants,
        )
    )
    services.work.doorbell.notify(JobKind.RUN)
    return run
