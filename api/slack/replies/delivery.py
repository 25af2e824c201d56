"""Answers the questions that wait in the catalog: each begins a run, and its reply grows as the run goes on.

Any process may take any question, holds it by a lease, and loses it when it dies; the next one finds the run by the
question's id and goes on with the same reply. A run that meets its limits waits for somebody, and nobody holds its
question meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

import structlog

from api.admission.services import Services
from api.answers.answer_work import begin_run
from api.answers.asking import Asking
from api.answers.schemas import AnswerOut, QuestionIn, cited_documents
from api.http import sse
from api.http.threads import Threads
from api.slack.errors import SlackBusyError, SlackError, SlackRefusedError
from api.slack.intake import cancel
from api.slack.leases import LeasedWork
from api.slack.people import People
from api.slack.replies.live import Live
from api.slack.replies.messages import Message, answer_messages, failure_message, stopped_message
from api.slack.replies.reply import Reply
from api.slack.replies.waiting import ask_what_to_do
from api.slack.web import OpenWeb
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import NEW_CONVERSATION
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.errors import CatalogUnavailableError, ConversationNotFoundError, LeadlineError, LeaseLostError
from ingest.storage.instrumentation import reach
from ingest.storage.slack.records import QuestionState, SlackQuestion, Surface
from rlm.errors import BudgetExhaustedError

log = structlog.get_logger(__name__)

_AT_ONCE = 32
_LOOK_SECONDS = 1.0
_THREADS = 8
# Who reads along while an answer is written is looked at so often.
_READERS_SECONDS = 30.0
_EVENTS_AT_ONCE = 100
# Pauses between attempts grow to this; a question is given up after a day, as no one waits for it any more.
_LONGEST_PAUSE_SECONDS, _GIVEN_UP_SECONDS = 300.0, 86_400.0
# After so many attempts that failed for no known reason, the question ends with a message that says so.
_ATTEMPTS = 5
_NOTHING_YET = "Its limits were met before there was anything to answer with."


def deliveries(served: Services, people: People, open_web: OpenWeb) -> LeasedWork[SlackQuestion]:
    """Return the work on all questions; each is answered in as many attempts as it takes."""
    threads = Threads(_THREADS)
    attempt = partial(_Delivery, served, people, open_web, threads)
    return LeasedWork(served, served.slack.store, attempt, threads, at_once=_AT_ONCE)


class _Delivery:
    """One attempt at one question."""

    def __init__(
        self, served: Services, people: People, open_web: OpenWeb, threads: Threads, question: SlackQuestion
    ) -> None:
        self._served = served
        self._store = served.slack.store
        self._people = people
        self._open_web = open_web
        self._threads = threads
        self._question = question
        self._reply: Reply | None = None

    @property
    def about(self) -> Mapping[str, str]:
        return {"slack_question": self._question.id, "tenant": self._question.asked.tenant_id}

    async def make(self) -> None:
        """End the question, let it wait for somebody, or put it back for later. Raises nothing."""
        try:
            await self._answered()
        except LeaseLostError:
            return
        except SlackRefusedError as error:
            log.warning("Slack takes no reply", reason=error.reason)
            await self._end(QuestionState.GIVEN_UP, error.reason)
        except (SlackError, CatalogUnavailableError) as error:
            await self._put_back(error)
        except Exception:
            log.exception("a question from Slack was not answered")
            await self._failed_oddly()

    async def hand_over(self) -> None:
        """Let another process take the question at once."""
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.put_back, self._now, 0.0)

    async def _answered(self) -> None:
        asked = self._question.asked
        workspace = await self._threads.run(self._store.workspace, asked.team_id)
        if workspace is None:
            await self._end(QuestionState.GIVEN_UP, "workspace_gone")
            return
        web = self._open_web(workspace)
        channel = asked.channel
        if not asked.thread_ts:  # asked by a command or a button: the answer goes into direct messages
            channel = str((await web.call("conversations.open", users=asked.user_id))["channel"]["id"])
        reach("slack.claimed")
        reply = self._reply = Reply(web, self._store, workspace, self._question, self._threads.run, channel)
        await reply.recover()
        live = Live(reply)
        await live.begin()
        readers = partial(self._people.principal, web, workspace, asked.channel, asked.user_id, asked.surface)
        caller = await readers()
        is_late = False
        try:
            run = await self._followed(live, await self._begun(caller), readers)
            if run.state is RunState.PAUSED:
                await self._pause(live, reply, run)
                return
            is_late = live.was_shown_for_long(run.ended_at)
            # Somebody may have come into the channel since the run began.
            # guard: slack-readers-before-reply
            caller = await readers()
            messages = await self._threads.run(self._messages, caller, run)
        except LeaseLostError:
            raise
        except CatalogUnavailableError:
            raise
        except LeadlineError as error:
            if isinstance(error, SlackError):
                raise
            messages = [failure_message(*error.told, self._question.id)]
        reach("slack.answered")
        await live.end()
        # People have turned to other things by then: Slack tells them of a new message, and of no changed one.
        await reply.finish(messages, anew=is_late)
        reach("slack.finished")
        await live.leave()
        await self._end(QuestionState.ANSWERED)

    async def _pause(self, live: Live, reply: Reply, run: Run) -> None:
        """Ask in the thread what becomes of a run that has met its limits, and hold its question no longer."""
        reach("slack.run_paused")
        await ask_what_to_do(live, reply, run, wait_days=self._served.settings.retention.paused_days)
        reach("slack.asked_what_to_do")
        await self._threads.run(self._store.pause, self._now)
        reach("slack.paused")

    async def _begun(self, caller: Principal) -> Run:
        """Return the question's run, which is begun once, whoever begins it."""
        question = self._question
        if question.run_id is not None:
            return await self._threads.run(self._served.answers.runs.run, caller.tenant_id, question.run_id)
        run = await self._threads.run(self._begin, caller)
        reach("slack.run_begun")
        self._changed(await self._threads.run(self._store.began, self._now, run.id))
        reach("slack.run_recorded")
        if await self._threads.run(self._store.is_stopped, question):  # before the run was there to be cancelled
            await self._threads.run(cancel, self._served, self._now)
        return run

    def _begin(self, caller: Principal) -> Run:
        question = self._question
        try:
            return self._asked(caller, (question.asked.thread_ts and question.conversation_id) or NEW_CONVERSATION)
        except ConversationNotFoundError:  # it was deleted, or is forgotten by now
            return self._asked(caller, NEW_CONVERSATION)

    def _asked(self, caller: Principal, conversation: str) -> Run:
        question = self._question
        body = QuestionIn(
            question=question.asked.text,
            conversation=conversation,
            collections=list(question.settings.asked),
            strategy=question.settings.strategy,
            confirm=question.asked.confirmed,
            background=True,
            pause_on_budget=True,
        )
        run = begin_run(self._served, caller, body, Asking(self._served, caller, body), f"slack:{question.id}")
        if run.conversation_id is not None and question.asked.thread_ts:
            self._store.conversation_begun(question.asked, run.conversation_id)
        return run

    async def _followed(self, live: Live, run: Run, readers: Callable[[], Awaitable[Principal]]) -> Run:
        """Show what the run does until it has ended, or waits for somebody."""
        seen, changed, looked_at = 0, asyncio.Event(), time.monotonic()
        if run.raised:
            live.count_from(run.seconds)
        with self._served.events.feed.watch(run.tenant_id, run.id, sse.waker(changed)):
            while True:
                changed.clear()
                logged = await self._threads.run(
                    partial(self._served.answers.runs.events, run.tenant_id, run.id, after=seen, limit=_EVENTS_AT_ONCE)
                )
                for event in logged:
                    seen = event.sequence
                    live.show(event)
                run = await self._threads.run(self._served.answers.runs.run, run.tenant_id, run.id)
                if (run.ended and len(logged) < _EVENTS_AT_ONCE) or (
                    run.state is RunState.PAUSED and seen >= run.events
                ):
                    return run
                if live.shows_text and time.monotonic() - looked_at >= _READERS_SECONDS:
                    looked_at = time.monotonic()
                    with suppress(SlackError):  # they are asked for again, and before the reply
                        # guard: slack-hide-from-newcomers
                        if await self._is_withheld(run, await readers()):
                            live.close()
                await live.refresh(waits=run.state is RunState.QUEUED)
                if not self._served.accepting:  # the process stops, and another goes on
                    await asyncio.sleep(_LOOK_SECONDS)
                elif len(logged) < _EVENTS_AT_ONCE:
                    await sse.until(changed, lambda: self._served.accepting)

    async def _is_withheld(self, run: Run, reader: Principal) -> bool:
        """True if the run reads what this reader may not see."""
        return bool(await self._threads.run(self._served.answers.runs.withheld, [run.id], reader.readers))

    def _messages(self, caller: Principal, run: Run) -> list[Message]:
        question = self._question
        if run.state is RunState.CANCELLED:
            return [stopped_message()]
        if run.answer is None:
            failure = run.failure
            if failure is None:
                return [failure_message("The work ended without one.", "Ask again, or in other words.", question.id)]
            if failure.code == BudgetExhaustedError.code:  # somebody let it end with what it had
                return [failure_message(_NOTHING_YET, "Ask again, or about less.", question.id)]
            may_go_ahead = failure.code == "confirmation_required"
            hint = "The button accepts that; or ask about less." if may_go_ahead else failure.hint
            return [failure_message(failure.detail, hint, question.id, may_go_ahead=may_go_ahead)]
        if self._served.answers.runs.withheld([run.id], caller.readers):
            hint = "Ask again: the answer is then made from what all who read it may see."
            return [failure_message("It rests on documents that not everybody here may see.", hint, question.id)]
        named = cited_documents(run.answer)
        withheld = self._served.answers.conversations.withheld_documents(named, caller.readers) if named else ()
        answer = AnswerOut.of_body(run.answer, identifier=run.id, conversation=run.conversation_id, deleted=withheld)
        in_public = question.asked.surface is Surface.CHANNEL
        base, text = self._served.settings.public_url, question.asked.text
        asked = None if question.asked.thread_ts else text
        return answer_messages(answer, base, question.id, privately=in_public, asked=asked)

    async def _put_back(self, error: LeadlineError) -> None:
        """Try again later; a question that nobody waits for any more is given up."""
        if time.time() - self._question.since > _GIVEN_UP_SECONDS:
            await self._end(QuestionState.GIVEN_UP, error.code)
            return
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0 ** min(self._question.attempt, 10))
        if isinstance(error, SlackBusyError):
            pause = max(pause, error.seconds)
        log.warning("a question from Slack waits", code=error.code, error=str(error), seconds=pause)
        with suppress(LeaseLostError, CatalogUnavailableError):  # the lease runs out
            await self._threads.run(self._store.put_back, self._now, pause)

    async def _failed_oddly(self) -> None:
        """After a fault of ours, try again; after several, say so."""
        if self._question.attempt < _ATTEMPTS:
            await self._put_back(SlackError("a fault of ours"))
            return
        hint = f"Say the number {self._question.id} to whoever runs this service."
        with suppress(Exception):
            assert self._reply is not None
            await self._reply.finish([failure_message("Something went wrong here.", hint, self._question.id)])
        await self._end(QuestionState.ANSWERED, "internal")

    async def _end(self, state: QuestionState, error_code: str | None = None) -> None:
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.end, self._now, state, error_code)

    @property
    def _now(self) -> SlackQuestion:
        """The question as the catalog has it by now."""
        return self._question if self._reply is None else self._reply.question

    def _changed(self, question: SlackQuestion) -> None:
        self._question = question
        if self._reply is not None:
            self._reply.question = question
