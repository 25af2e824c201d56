"""Takes up detached answers whose process was stopped, from the beginning of the answer.

Permissions and quotas are checked again, as if the question were asked now.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from starlette.concurrency import run_in_threadpool

from api.admission.current_caller import AnswerCaller, CurrentCaller, require_principal
from api.admission.services import Services
from api.answers.asking import CallerQuestion, require_collections
from api.answers.detached import DetachedAnswers, DetachedQuestion
from api.answers.schemas import QuestionIn
from api.http import sse
from api.http.problems import (
    AnswerInterruptedError,
    AnswersFullError,
    UnauthorizedError,
    build_internal_problem,
    build_problem,
)
from ingest.storage.accounts.records import Asker, Principal, Scope
from ingest.storage.answers.pending_records import MAX_ATTEMPTS, AnswerLease, PendingAnswer, PendingState
from ingest.storage.audit.records import Actor, ActorKind, set_current_actor
from ingest.storage.errors import LeadlineError

log = structlog.get_logger(__name__)

# Interval at which each process looks for interrupted answers. The query reads only answers in progress.
_LOOK_SECONDS = 2.0


@asynccontextmanager
async def take_up_interrupted_answers(services: Services, detached: DetachedAnswers) -> AsyncIterator[None]:
    """Take up interrupted answers until the block exits."""
    closing = asyncio.Event()
    task = asyncio.create_task(_TakingUp(services, detached).run_until(closing))
    try:
        yield
    finally:
        # Not cancelled: an answer between its claim and its start would wait for the end of a lease that nobody holds.
        closing.set()
        await task


class _TakingUp:
    def __init__(self, services: Services, detached: DetachedAnswers) -> None:
        self._services = services
        self._detached = detached
        self._interrupted = services.answers.interrupted

    async def run_until(self, closing: asyncio.Event) -> None:
        while not closing.is_set():
            try:
                while self._services.accepting and not closing.is_set() and await self._take_up_next():
                    pass
            except LeadlineError as error:  # The catalog is unavailable.
                log.warning("interrupted answers not taken up", error=repr(error))
            except Exception:  # The outermost handler of the task, which must not end.
                log.exception("interrupted answers not taken up")
            with suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), _LOOK_SECONDS)

    async def _take_up_next(self) -> bool:
        """Take up one answer. Return false if there is none that this process can take up now."""
        found = await run_in_threadpool(self._interrupted.find_next)
        if found is None or found.asker is None:
            return False
        # A machine that was suspended goes on with its own answers, and renews their leases within a second.
        if self._detached.is_working_on(found):
            return False
        # The question may be what kills the process, so its last attempt takes no other answer along.
        # guard: last-attempt-alone
        if found.attempt == MAX_ATTEMPTS - 1 and self._detached.has_resumed():
            return False
        set_current_actor(Actor(ActorKind.CALLER, found.asker.key_id, found.asker.user))
        with structlog.contextvars.bound_contextvars(tenant=found.tenant_id, key=found.asker.key_id, answer=found.id):
            asked = await run_in_threadpool(self._claim, found, found.asker)
            return asked is None or await self._start(asked)

    async def _start(self, asked: DetachedQuestion) -> bool:
        try:
            await self._detached.start(asked)
        except AnswersFullError:
            await run_in_threadpool(self._interrupted.release, asked.lease)
            return False
        except Exception as error:  # noqa: BLE001 - the answer ends with the error
            await run_in_threadpool(self._fail, asked.lease, error)
        return True

    def _claim(self, found: PendingAnswer, asker: Asker) -> DetachedQuestion | None:
        """Claim an answer. If it cannot be started again, end it and return None."""
        principal = self._services.accounts.askers.find_principal(asker)
        lease = self._interrupted.claim(found, found.readers if principal is None else principal.readers)
        if lease is None:
            return None
        try:
            return self._build_question(found, asker, principal, lease)
        except Exception as error:  # noqa: BLE001 - the answer ends with the error
            self._fail(lease, error)
            return None

    def _build_question(
        self, found: PendingAnswer, asker: Asker, principal: Principal | None, lease: AnswerLease
    ) -> DetachedQuestion:
        # guard: bounded-attempts-at-answer
        if found.attempt >= MAX_ATTEMPTS:
            raise AnswerInterruptedError(
                f"The service stopped {found.attempt} times while it answered this question, so the question may be "
                f"the cause."
            )
        # guard: resumed-answers-check-access
        caller = require_principal(principal, Scope.ASK)
        if caller.owner != found.owner:
            raise UnauthorizedError("The key that asked this question was replaced.", hint="Ask again.")
        log.info("answer taken up", attempt=found.attempt + 1)
        body = QuestionIn.model_validate(
            {**found.options, "question": found.question, "conversation": found.conversation_id, "detach": True}
        )
        require_collections(self._services, caller, body.collections)
        question = CallerQuestion(self._services, caller, body, lease=lease, asked=found.request)

        async def find_caller() -> Principal | None:
            return await run_in_threadpool(self._services.accounts.askers.find_principal, asker)

        current = AnswerCaller(CurrentCaller(caller, find_caller, Scope.ASK), caller)
        return DetachedQuestion(caller, body, question, current, asker, found.id, lease, is_new=False)

    def _fail(self, lease: AnswerLease, error: Exception) -> None:
        """End an answer with an error. After a transient error, give the answer back and raise the error."""
        if isinstance(error, sse.TRANSIENT_ERRORS):
            self._interrupted.release(lease)
            raise error
        if isinstance(error, LeadlineError):
            problem = build_problem(error)
        else:
            log.error("answer failed", exc_info=error)
            problem = build_internal_problem(lease.answer_id)
        self._services.answers.pending.end(lease, PendingState.FAILED, problem)
        self._services.answers.pending.delete_events(lease.tenant_id, lease.answer_id)
