"""Answers questions queued in the catalog. Each question starts a run, and its reply is updated as the run progresses.

Any process can claim a question, and then has a lease on it. If the process dies, another one finds the question's run
and continues the same reply. A run that reaches its limits waits for a user's decision. Meanwhile, no process has a
lease on its question.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

import structlog

from api.admission.services import Services
from api.answers.answer_work import start_run
from api.answers.asking import CallerQuestion
from api.answers.schemas import AnswerOut, QuestionIn, extract_cited_document_ids
from api.answers.wording import describe_failure
from api.http import sse
from api.http.threads import Threads
from api.languages.catalogue import DEFAULT, Texts
from api.slack.errors import SlackBusyError, SlackError, SlackRefusedError
from api.slack.intake import cancel_question_run
from api.slack.leases import LeasedWorker
from api.slack.people import People
from api.slack.replies.blocks import SlackMessage
from api.slack.replies.failures import describe_error
from api.slack.replies.live import LiveProgress
from api.slack.replies.messages import build_answer_messages, build_failure_message, build_stopped_message
from api.slack.replies.reply import Reply
from api.slack.replies.waiting import ask_for_decision
from api.slack.web import OpenWeb
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import NEW_CONVERSATION
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.errors import CatalogUnavailableError, ConversationNotFoundError, LeadlineError, LeaseLostError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.slack.records import QuestionState, SlackQuestion, Surface
from rlm.errors import BudgetExhaustedError

log = structlog.get_logger(__name__)

_AT_ONCE = 32
_POLL_SECONDS = 1.0
_THREADS = 8
# Interval between checks of the channel's readers while an answer is being written.
_READERS_SECONDS = 30.0
_EVENTS_AT_ONCE = 100
# Maximum retry delay, and maximum age of a question. An older question is abandoned, because no one is waiting for its
# answer anymore.
_LONGEST_PAUSE_SECONDS, _GIVEN_UP_SECONDS = 300.0, 86_400.0
# Number of attempts with unexpected errors after which the question is closed with an error message.
_MAX_ATTEMPTS = 5


def build_answer_worker(services: Services, people: People, open_web: OpenWeb) -> LeasedWorker[SlackQuestion]:
    """Build the worker that answers all questions from Slack."""
    threads = Threads(_THREADS)
    attempt = partial(_AnswerAttempt, services, people, open_web, threads)
    return LeasedWorker(services, services.slack.store, attempt, threads, max_concurrent=_AT_ONCE)


class _AnswerAttempt:
    """One attempt at answering a question."""

    def __init__(
        self, services: Services, people: People, open_web: OpenWeb, threads: Threads, question: SlackQuestion
    ) -> None:
        self._served = services
        self._store = services.slack.store
        self._people = people
        self._open_web = open_web
        self._threads = threads
        self._question = question
        self._reply: Reply | None = None
        self._texts = Texts(DEFAULT)

    @property
    def about(self) -> Mapping[str, str]:
        return {"slack_question": self._question.id, "tenant": self._question.asked.tenant_id}

    async def execute(self) -> None:
        """Answer the question, pause it until a user decides, or requeue it for later. Does not raise."""
        try:
            await self._answer_question()
        except LeaseLostError:
            return
        except SlackRefusedError as error:
            log.warning("reply refused", reason=error.reason)
            await self._end_question(QuestionState.GIVEN_UP, error.reason)
        except (SlackError, CatalogUnavailableError) as error:
            await self._postpone_question(error)
        except Exception:
            log.exception("answering failed")
            await self._handle_unexpected_error()

    async def release(self) -> None:
        """Requeue the question, so that another process can claim it immediately."""
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.requeue, self._current_question, 0.0)

    async def _answer_question(self) -> None:
        asked = self._question.asked
        workspace = await self._threads.run(self._store.find_workspace, asked.team_id)
        if workspace is None:
            await self._end_question(QuestionState.GIVEN_UP, "workspace_gone")
            return
        web = self._open_web(workspace)
        channel = asked.channel
        if not asked.thread_ts:  # If the question came from a command or button, the answer is a direct message.
            channel = str((await web.call("conversations.open", users=asked.user_id))["channel"]["id"])
        reach_fault_point("slack.claimed")
        self._texts = await self._people.fetch_texts(web, workspace, asked.user_id)
        reply = self._reply = Reply(
            web, self._store, workspace, self._question, self._threads.run, channel, self._texts
        )
        await reply.recover_message()
        live = LiveProgress(reply)
        await live.start()
        readers = partial(self._people.fetch_principal, web, workspace, asked.channel, asked.user_id, asked.surface)
        caller = await readers()
        is_late = False
        try:
            run = await self._follow_run(live, await self._get_or_start_run(caller), readers)
            if run.state is RunState.PAUSED:
                if live.shows_text and await self._is_withheld(run, await readers()):
                    live.hide_contents()
                await self._pause_question(live, reply, run)
                return
            is_late = live.exceeded_stream_duration(run.ended_at)
            # Someone may have joined the channel since the run started.
            # guard: slack-readers-before-reply
            caller = await readers()
            messages = await self._threads.run(self._build_messages, caller, run)
        except LeaseLostError:
            raise
        except CatalogUnavailableError:
            raise
        except LeadlineError as error:
            if isinstance(error, SlackError):
                raise
            messages = [build_failure_message(*describe_error(error, self._texts), self._question.id, self._texts)]
        reach_fault_point("slack.answered")
        await live.end_stream()
        # After a long run, users are no longer watching, and Slack notifies them of new messages but not of edits.
        await reply.finish_reply(messages, at_end=is_late)
        reach_fault_point("slack.finished")
        await live.end_session()
        await self._end_question(QuestionState.ANSWERED)

    async def _pause_question(self, progress: LiveProgress, reply: Reply, run: Run) -> None:
        """Ask in the thread how to continue a run that has reached its limits, and pause the question until then."""
        reach_fault_point("slack.run_paused")
        await ask_for_decision(progress, reply, run, wait_days=self._served.settings.retention.paused_days)
        reach_fault_point("slack.asked_what_to_do")
        await self._threads.run(self._store.pause, self._current_question)
        reach_fault_point("slack.paused")

    async def _get_or_start_run(self, caller: Principal) -> Run:
        """Return the question's run, or start one if there is none. Concurrent processes start only one run."""
        question = self._question
        if question.run_id is not None:
            return await self._threads.run(self._served.answers.runs.load_run, caller.tenant_id, question.run_id)
        run = await self._threads.run(self._start_run, caller)
        reach_fault_point("slack.run_begun")
        self._set_question(await self._threads.run(self._store.record_run, self._current_question, run.id))
        reach_fault_point("slack.run_recorded")
        # Cancel the run if the question was stopped before the run existed.
        if await self._threads.run(self._store.is_question_stopped, question):
            await self._threads.run(cancel_question_run, self._served, self._current_question)
        return run

    def _start_run(self, caller: Principal) -> Run:
        question = self._question
        try:
            return self._start_conversation_run(
                caller, (question.asked.thread_ts and question.conversation_id) or NEW_CONVERSATION
            )
        except ConversationNotFoundError:  # The conversation was deleted or has expired.
            return self._start_conversation_run(caller, NEW_CONVERSATION)

    def _start_conversation_run(self, caller: Principal, conversation: str) -> Run:
        question = self._question
        body = QuestionIn(
            question=question.asked.text,
            conversation=conversation,
            collections=list(question.settings.searched_collections),
            strategy=question.settings.strategy,
            confirm=question.asked.confirmed,
            background=True,
            pause_on_budget=True,
        )
        run = start_run(self._served, caller, body, CallerQuestion(self._served, caller, body), f"slack:{question.id}")
        if run.conversation_id is not None and question.asked.thread_ts:
            self._store.record_conversation(question.asked, run.conversation_id)
        return run

    async def _follow_run(
        self, progress: LiveProgress, run: Run, fetch_reader: Callable[[], Awaitable[Principal]]
    ) -> Run:
        """Show the run's progress until it ends or pauses, and return the run."""
        seen, changed, checked_at = 0, asyncio.Event(), time.monotonic()
        if run.raised:
            progress.set_elapsed_seconds(run.seconds)
        with self._served.events.feed.watch(run.tenant_id, run.id, sse.build_change_callback(changed)):
            while True:
                changed.clear()
                logged = await self._threads.run(
                    partial(
                        self._served.answers.runs.list_events, run.tenant_id, run.id, after=seen, limit=_EVENTS_AT_ONCE
                    )
                )
                for event in logged:
                    seen = event.sequence
                    progress.show_event(event)
                run = await self._threads.run(self._served.answers.runs.load_run, run.tenant_id, run.id)
                if (run.has_ended and len(logged) < _EVENTS_AT_ONCE) or (
                    run.state is RunState.PAUSED and seen >= run.events
                ):
                    return run
                if progress.shows_text and time.monotonic() - checked_at >= _READERS_SECONDS:
                    checked_at = time.monotonic()
                    with suppress(SlackError):  # The readers are checked again later, and always before the reply.
                        # guard: slack-hide-from-newcomers
                        if await self._is_withheld(run, await fetch_reader()):
                            progress.hide_contents()
                await progress.refresh_message(is_queued=run.state is RunState.QUEUED)
                if not self._served.accepting:  # Poll until this task is cancelled, because the process is stopping.
                    await asyncio.sleep(_POLL_SECONDS)
                elif len(logged) < _EVENTS_AT_ONCE:
                    await sse.wait_for_change(changed, lambda: self._served.accepting)

    async def _is_withheld(self, run: Run, reader: Principal) -> bool:
        """Return whether the run uses documents that this reader may not see."""
        return bool(await self._threads.run(self._served.answers.runs.list_withheld_runs, [run.id], reader.readers))

    def _build_messages(self, caller: Principal, run: Run) -> list[SlackMessage]:
        question, texts = self._question, self._texts
        if run.state is RunState.CANCELLED:
            return [build_stopped_message(texts)]
        if run.answer is None:
            return [self._build_run_failure_message(run)]
        if self._served.answers.runs.list_withheld_runs([run.id], caller.readers):
            detail = texts.translate("The answer uses documents that not everybody here may see.")
            hint = texts.translate("Ask again. The new answer uses only documents that everybody here may see.")
            return [build_failure_message(detail, hint, question.id, texts)]
        run = self._served.answers.runs.mask_names(run, caller.readers)
        assert run.answer is not None
        document_ids = extract_cited_document_ids(run.answer)
        withheld = (
            self._served.answers.conversations.list_withheld_documents(document_ids, caller.readers)
            if document_ids
            else ()
        )
        answer = AnswerOut.from_body(
            run.answer, identifier=run.id, conversation=run.conversation_id, deleted_documents=withheld
        )
        in_public = question.asked.surface is Surface.CHANNEL
        base, text = self._served.settings.public_url, question.asked.text
        asked = None if question.asked.thread_ts else text
        return build_answer_messages(answer, base, question.id, texts, offer_private=in_public, question=asked)

    def _build_run_failure_message(self, run: Run) -> SlackMessage:
        """Build the message for a run that ended without an answer."""
        texts, failure, question_id = self._texts, run.failure, self._question.id
        if failure is None:
            detail = texts.translate("The run ended without an answer.")
            return build_failure_message(
                detail, texts.translate("Ask again, or reword the question."), question_id, texts
            )
        if failure.code == BudgetExhaustedError.code:  # A user let the run finish early, with its findings so far.
            detail = texts.translate("A limit was reached before there were any results.")
            return build_failure_message(detail, texts.translate("Ask again, or ask about less."), question_id, texts)
        if failure.code == "confirmation_required":
            hint = texts.translate("“Ask anyway” accepts this cost. You can also ask about less.")
            return build_failure_message(failure.detail, hint, question_id, texts, can_confirm=True)
        detail, hint = describe_failure(failure.code, failure.detail, failure.hint, texts)
        return build_failure_message(detail, hint, question_id, texts)

    async def _postpone_question(self, error: LeadlineError) -> None:
        """Requeue the question for a later retry, or give up if it is more than a day old."""
        if time.time() - self._question.since > _GIVEN_UP_SECONDS:
            await self._end_question(QuestionState.GIVEN_UP, error.code)
            return
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0 ** min(self._question.attempt, 10))
        if isinstance(error, SlackBusyError):
            pause = max(pause, error.seconds)
        log.warning("answering postponed", code=error.code, error=str(error), seconds=pause)
        # If this call fails, the lease expires and another process continues.
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.requeue, self._current_question, pause)

    async def _handle_unexpected_error(self) -> None:
        """Retry the question after an unexpected error, or close it with an error message after several attempts."""
        if self._question.attempt < _MAX_ATTEMPTS:
            await self._postpone_question(SlackError("unexpected error"))
            return
        detail = self._texts.translate("Something went wrong.")
        hint = self._texts.translate(
            "If it happens again, give this number to your administrator: {number}", number=self._question.id
        )
        with suppress(Exception):
            assert self._reply is not None
            await self._reply.finish_reply([build_failure_message(detail, hint, self._question.id, self._texts)])
        await self._end_question(QuestionState.ANSWERED, "internal")

    async def _end_question(self, state: QuestionState, error_code: str | None = None) -> None:
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.end_question, self._current_question, state, error_code)

    @property
    def _current_question(self) -> SlackQuestion:
        """The question in its latest recorded state."""
        return self._question if self._reply is None else self._reply.question

    def _set_question(self, question: SlackQuestion) -> None:
        self._question = question
        if self._reply is not None:
            self._reply.question = question
