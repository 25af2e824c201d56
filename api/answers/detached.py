"""Answers that continue when their clients disconnect.

A detached answer runs in a thread of this process, in the same way as an answer for a waiting client. Its question and
its events are stored, so that clients of every process can follow it. It ends if it is cancelled or deleted, or if its
caller loses access. If the process stops, another one takes it up (`api.answers.taking_up`).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.admission.access import get_account
from api.admission.admission import SESSION
from api.admission.current_caller import AnswerCaller, CurrentCaller
from api.admission.quota_headers import add_quota_headers
from api.admission.services import Services
from api.answers.answer_events import convert_event
from api.answers.asking import CallerQuestion
from api.answers.schemas import QuestionIn
from api.http import sse
from api.http.problems import AnswerInterruptedError, build_internal_problem, build_problem
from api.http.threads import AnswerThreads
from ingest.storage.accounts.provider_sessions import hash_secret
from ingest.storage.accounts.records import Asker, Principal, Scope
from ingest.storage.answers.pending import PendingAnswers
from ingest.storage.answers.pending_records import AnswerLease, NewPendingAnswer, PendingAnswer, PendingState
from ingest.storage.documents.records import UsedVersions
from ingest.storage.errors import LeadlineError
from ingest.storage.quotas.records import QuotaStatus
from rlm.events import Completed, Drafted, Event

log = structlog.get_logger(__name__)

# Interval at which an answer's process records that it is in progress, and checks whether it was cancelled.
_RENEW_SECONDS = 1.0
# Minimum time between two writes of events. Pieces of text in between are joined, so that a fast model does not cause
# more writes than a reader could notice.
_WRITE_SECONDS = 0.25
# Time for which the events of an answer that failed or was cancelled are still sent to its followers.
_LINGER_SECONDS = 2.0
# Maximum time that a shutdown waits for threads to stop.
_CLOSE_SECONDS = 10.0
# Members of a question that determine how it is answered, which are stored so that it can be asked again.
_OPTIONS = ("collections", "documents", "filters", "strategy", "confirm", "budget", "every_record")


@dataclass(frozen=True)
class DetachedQuestion:
    """A question for a detached answer, with its caller.

    `current` checks that the caller still has access, `asker` finds the caller again after a restart, and `on_granted`
    gets the remaining quotas. `is_new` is false if the question was stored by an earlier attempt.
    """

    caller: Principal
    body: QuestionIn
    question: CallerQuestion
    current: AnswerCaller
    asker: Asker
    request_id: str
    lease: AnswerLease
    on_granted: Callable[[Sequence[QuotaStatus]], None] = lambda _: None
    is_new: bool = True

    @classmethod
    def from_request(
        cls, request: Request, caller: Principal, body: QuestionIn, question: CallerQuestion
    ) -> "DetachedQuestion":
        secret = request.scope.get(SESSION)
        lease = question.lease = AnswerLease.create(caller.tenant_id, question.request.used.answer_id)
        return cls(
            caller,
            body,
            question,
            AnswerCaller(CurrentCaller.from_request(request, caller, Scope.ASK), caller),
            Asker.from_principal(caller, None if secret is None else hash_secret(secret)),
            request.scope.get("request_id", ""),
            lease,
            partial(add_quota_headers, request),
        )

    @property
    def answer_id(self) -> str:
        return self.lease.answer_id


class DetachedAnswers:
    """The detached answers in progress in this process."""

    def __init__(self, services: Services, threads: AnswerThreads) -> None:
        self._services = services
        self._threads = threads
        self._working: dict[AnswerLease, tuple[_DetachedAnswer, asyncio.Task[None]]] = {}

    async def start(self, asked: DetachedQuestion) -> None:
        """Store the question and start its answer. Raises quota errors, in which case nothing is stored."""
        answer = _DetachedAnswer(self._services, asked)
        started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        work = self._threads.start_answer(asked.caller.tenant_id, lambda: answer.run(started))
        task = asyncio.create_task(answer.watch(work))
        self._working[asked.lease] = answer, task
        task.add_done_callback(lambda _: self._working.pop(asked.lease, None))
        await asyncio.shield(started)

    def stop(self, answer_id: str) -> None:
        """Stop an answer of this process immediately. Answers of other processes stop when they check their state."""
        for lease, (answer, _) in list(self._working.items()):
            if lease.answer_id == answer_id:
                answer.stop_event.set()

    def is_working_on(self, found: PendingAnswer) -> bool:
        """Return whether this process holds the lease of an answer, even if the lease has lapsed."""
        return any(lease.token == found.lease for lease in self._working)

    def has_resumed(self) -> bool:
        """Return whether this process works on an answer that it has taken up."""
        return any(answer.is_resumed for answer, _ in self._working.values())

    async def close(self) -> None:
        """Stop all answers, and give them back for other processes."""
        working = list(self._working.values())
        for answer, _ in working:
            await answer.interrupt()
        if working:
            await asyncio.wait([task for _, task in working], timeout=_CLOSE_SECONDS)


class _DetachedAnswer:
    """One detached answer: its thread runs `run`, and the event loop runs `watch`."""

    def __init__(self, services: Services, asked: DetachedQuestion) -> None:
        self._services = services
        self._asked = asked
        self._pending = services.answers.pending
        self._ids = asked.caller.tenant_id, asked.answer_id
        self._writer = _EventWriter(self._pending, asked.lease, asked.question.request.used)
        self._closing = asyncio.Event()
        self.stop_event = threading.Event()

    @property
    def is_resumed(self) -> bool:
        return not self._asked.is_new

    def run(self, started: "asyncio.Future[bool]") -> None:
        """Start the work, report in `started` that it has started, and store its events and its answer."""
        loop = started.get_loop()
        try:
            events = self._start_events()
        except Exception as error:  # noqa: BLE001 - re-raised where the request waits
            try:
                if self._asked.is_new:  # Before the refusal is sent, so that nobody finds the question afterwards.
                    self._pending.delete(*self._ids, with_empty_conversation=True)
            finally:
                loop.call_soon_threadsafe(_set_exception, started, error)
            return
        loop.call_soon_threadsafe(_set_result, started)
        try:
            for event in events:
                if not self._handle_event(event):
                    self.stop_event.set()  # The events end at the strategy's next check, and settle the quotas.
        except LeadlineError as error:
            self._writer.write_events()
            self._end(PendingState.FAILED, build_problem(error))
        except Exception:  # The outermost handler of the thread.
            log.exception("answer failed")
            self._writer.write_events()
            self._end(PendingState.FAILED, build_internal_problem(self._asked.request_id))
        else:
            # An answer that was stored is no longer pending, so this changes only answers that ended early.
            self._end(PendingState.CANCELLED)

    async def watch(self, work: "asyncio.Future[None]") -> None:
        """Wait for the work. Stop it when it is cancelled, or when its caller loses access."""
        renewed_at = time.monotonic()
        while not (await asyncio.wait({work}, timeout=_WRITE_SECONDS))[0]:
            if self._writer.has_unwritten:
                await run_in_threadpool(self._writer.write_events)
            if time.monotonic() - renewed_at < _RENEW_SECONDS:
                continue
            renewed_at = time.monotonic()
            try:
                # guard: detached-answers-end-with-key
                await self._asked.current.require_access()
            except sse.TRANSIENT_ERRORS:
                pass
            except LeadlineError as error:
                self.stop_event.set()
                await run_in_threadpool(self._end, PendingState.FAILED, build_problem(error))
            with suppress(LeadlineError):
                if not await run_in_threadpool(self._pending.renew, self._asked.lease):
                    self.stop_event.set()
        if not work.cancelled() and (failure := work.exception()) is not None:
            log.error("answer failed", error=repr(failure))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), _LINGER_SECONDS)
        with suppress(LeadlineError):  # Maintenance removes them later.
            await run_in_threadpool(self._pending.delete_events, *self._ids)

    async def interrupt(self) -> None:
        """Stop the work because the process shuts down, and give it back for another process."""
        self._closing.set()
        with suppress(LeadlineError):  # The lease ends by itself after a while.
            await run_in_threadpool(self._services.answers.interrupted.release, self._asked.lease)
        self.stop_event.set()

    def _start_events(self) -> Any:  # noqa: ANN401 - a generator of events
        """Store the question, reserve quotas and return the events. Raises quota errors."""
        asked, services = self._asked, self._services
        request = asked.question.request
        if asked.is_new:
            self._store_question()
        account = get_account(asked.caller)
        metered = services.admission.meter.reserve_answer(account, request.wanted, asked.lease.token)
        asked.on_granted(metered.granted.standings)
        return metered.stream_events(
            lambda: services.asking.answering.stream(request, cancelled=self.stop_event.is_set, durability=metered)
        )

    def _store_question(self) -> None:
        asked = self._asked
        options = asked.body.model_dump(mode="json", include=set(_OPTIONS), exclude_unset=True)
        new = NewPendingAnswer(
            asked.answer_id,
            asked.caller.tenant_id,
            asked.question.ensure_conversation() or "",
            asked.question.request.question,
            asked.caller.owner,
            asked.caller.readers,
            options,
            asked.asker,
            asked.question.asked,
        )
        self._pending.start(new, asked.lease)

    def _handle_event(self, event: Event) -> bool:
        """Store an event or the answer. Return false if the answer was cancelled or deleted."""
        match event:
            case Drafted():
                return True
            case Completed(answer):
                if self.stop_event.is_set():
                    return False
                if self._asked.question.save_answer(answer).id is None:
                    self._end(PendingState.FAILED, build_problem(AnswerInterruptedError("The answer was not saved.")))
                return True
            case _:
                return self._writer.add_event(*convert_event(event, self._asked.question.save_answer))

    def _end(self, state: PendingState, problem: Mapping[str, Any] | None = None) -> None:
        try:
            self._pending.end(self._asked.lease, state, problem)
        except LeadlineError as error:  # The answer counts as interrupted after a while.
            log.warning("end of answer not stored", error=repr(error))


class _EventWriter:
    """Stores the events of an answer, at most four times a second. Thread-safe."""

    def __init__(self, pending: PendingAnswers, lease: AnswerLease, used: UsedVersions) -> None:
        self._pending = pending
        self._lease = lease
        self._used = used
        self._lock = threading.Lock()
        self._unwritten: list[tuple[str, Mapping[str, Any]]] = []
        self._written_at = 0.0

    @property
    def has_unwritten(self) -> bool:
        return bool(self._unwritten)

    def add_event(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Add an event, and write the events that are due. Return false if the answer is no longer in progress."""
        with self._lock:
            last = self._unwritten[-1] if self._unwritten else None
            if kind == "delta" and last is not None and last[0] == kind:
                self._unwritten[-1] = kind, {"text": last[1]["text"] + body["text"]}
            elif kind == "working" and last is not None and last[0] == kind:
                self._unwritten[-1] = kind, body
            else:
                self._unwritten.append((kind, body))
            if kind in ("delta", "working") and time.monotonic() - self._written_at < _WRITE_SECONDS:
                return True
        return self.write_events()

    def write_events(self) -> bool:
        """Write the events that were added. Return false if the answer is no longer in progress."""
        with self._lock:
            try:
                is_running = self._pending.append_events(self._lease, self._unwritten, self._used.work)
            except LeadlineError as error:  # Written with the next events.
                log.warning("events of answer not stored", error=repr(error))
                return True
            self._unwritten, self._written_at = [], time.monotonic()
            return is_running


def _set_result(started: "asyncio.Future[bool]") -> None:
    if not started.done():
        started.set_result(True)


def _set_exception(started: "asyncio.Future[bool]", error: BaseException) -> None:
    if not started.done():
        started.set_exception(error)


async def get_detached_answers(request: Request) -> DetachedAnswers:
    """Return this process's detached answers."""
    found: DetachedAnswers = request.app.state.detached_answers
    return found


Detached = Annotated[DetachedAnswers, Depends(get_detached_answers)]
