"""Answers the questions that wait in the catalog: each begins a run, and its reply grows as the run goes on.

Any process may take any question, holds it by a lease, and loses it when it dies; the next one finds the run by the
question's id and goes on with the same reply.
"""

import asyncio
import time
from contextlib import suppress
from functools import partial

import structlog

from api import sse
from api.answer_schemas import AnswerOut, QuestionIn, cited_documents
from api.answer_work import begin_run
from api.asking import Asking
from api.services import Services
from api.slack.errors import SlackBusyError, SlackError, SlackRefusedError
from api.slack.intake import cancel
from api.slack.live import Live, set_session
from api.slack.messages import Message, answer_messages, failure_message, stopped_message
from api.slack.people import People
from api.slack.reply import Reply
from api.slack.web import OpenWeb
from api.threads import Threads
from ingest.catalog.slack import LEASE_SECONDS, Slack
from ingest.conversations import NEW_CONVERSATION
from ingest.errors import CatalogUnavailableError, ConversationNotFoundError, LeadlineError, LeaseLostError
from ingest.faultpoints import reach
from ingest.identity import Principal
from ingest.runs import Run, RunState
from ingest.slack import QuestionState, SlackQuestion, Surface, Workspace

log = structlog.get_logger(__name__)

AT_ONCE = 32
_LOOK_SECONDS = 1.0
_THREADS = 8
_EVENTS_AT_ONCE = 100
_RENEWALS = 3  # in the time of a lease
# Pauses between attempts grow to this; a question is given up after a day, as no one waits for it any more.
_LONGEST_PAUSE_SECONDS, _GIVEN_UP_SECONDS = 300.0, 86_400.0
# After so many attempts that failed for no known reason, the question ends with a message that says so.
_ATTEMPTS = 5


class Deliveries:
    """Takes questions while it runs, so many at once. `wake` has it look at once; it looks every second besides."""

    def __init__(self, served: Services, store: Slack, people: People, open_web: OpenWeb) -> None:
        self._served = served
        self._store = store
        self._people = people
        self._open_web = open_web
        self._threads = Threads(_THREADS)
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._wake.set()

    def say_idle(self, workspace: Workspace, channel: str, thread_ts: str) -> None:
        """Tell Slack that nothing is being done in a thread, whose button somebody pressed nevertheless."""
        task = asyncio.create_task(set_session(self._open_web(workspace), channel, thread_ts, "active"))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def run(self) -> None:
        """Take questions until it is cancelled; those under way are then put back for another process."""
        try:
            while True:
                self._wake.clear()
                with suppress(CatalogUnavailableError):
                    await self._take()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _take(self) -> None:
        room = AT_ONCE - len(self._under_way)
        if room <= 0 or not self._served.accepting:
            return
        for question in await self._threads.run(partial(self._store.claim, limit=room)):
            task = asyncio.create_task(self._hold(question))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: self._wake.set())  # the next question of its thread may wait

    async def _hold(self, question: SlackQuestion) -> None:
        """Deliver a question while its lease is renewed; who loses the lease writes nothing more."""
        delivery = _Delivery(self._served, self._store, self._people, self._open_web, self._threads, question)
        with structlog.contextvars.bound_contextvars(slack_question=question.id, tenant=question.asked.tenant_id):
            work = asyncio.create_task(delivery.deliver())
            renewal = asyncio.create_task(self._renewed(question))
            try:
                await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    log.warning("a question from Slack is somebody else's by now")
            except asyncio.CancelledError:  # the process stops: another goes on at once
                await _ended(work, renewal)
                await delivery.hand_over()
                raise
            finally:
                await _ended(work, renewal)

    async def _renewed(self, question: SlackQuestion) -> None:
        """Renew the lease until it is lost, or was not renewed for all of its time."""
        renewed_at = time.monotonic()
        while time.monotonic() - renewed_at < LEASE_SECONDS:
            await asyncio.sleep(LEASE_SECONDS / _RENEWALS)
            try:
                await self._threads.run(self._store.renew, question)
                renewed_at = time.monotonic()
            except CatalogUnavailableError:
                continue
            except LeaseLostError:
                return


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Delivery:
    """One attempt at one question."""

    def __init__(
        self,
        served: Services,
        store: Slack,
        people: People,
        open_web: OpenWeb,
        threads: Threads,
        question: SlackQuestion,
    ) -> None:
        self._served = served
        self._store = store
        self._people = people
        self._open_web = open_web
        self._threads = threads
        self._question = question
        self._reply: Reply | None = None

    async def deliver(self) -> None:
        """End the question, or put it back for later. Raises nothing."""
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
        caller = await self._people.principal(web, workspace, asked.channel, asked.user_id, asked.surface)
        is_late = False
        try:
            run = await self._followed(live, await self._begun(caller))
            is_late = live.was_shown_for_long(run.ended_at)
            # Somebody may have come into the channel since the run began.
            caller = await self._people.principal(web, workspace, asked.channel, asked.user_id, asked.surface)
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

    async def _begun(self, caller: Principal) -> Run:
        """Return the question's run, which is begun once, whoever begins it."""
        question = self._question
        if question.run_id is not None:
            return await self._threads.run(self._served.runs.run, caller.tenant_id, question.run_id)
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
        )
        run = begin_run(self._served, caller, body, Asking(self._served, caller, body), f"slack:{question.id}")
        if run.conversation_id is not None and question.asked.thread_ts:
            self._store.conversation_begun(question.asked, run.conversation_id)
        return run

    async def _followed(self, live: Live, run: Run) -> Run:
        """Show what the run does until it has ended."""
        seen, changed = 0, asyncio.Event()
        with self._served.feed.watch(run.tenant_id, run.id, sse.waker(changed)):
            while True:
                changed.clear()
                logged = await self._threads.run(
                    partial(self._served.runs.events, run.tenant_id, run.id, after=seen, limit=_EVENTS_AT_ONCE)
                )
                for event in logged:
                    seen = event.sequence
                    live.show(event)
                run = await self._threads.run(self._served.runs.run, run.tenant_id, run.id)
                if run.ended and len(logged) < _EVENTS_AT_ONCE:
                    return run
                await live.refresh(waits=run.state is RunState.QUEUED)
                if not self._served.accepting:  # the process stops, and another goes on
                    await asyncio.sleep(_LOOK_SECONDS)
                elif len(logged) < _EVENTS_AT_ONCE:
                    await sse.until(changed, lambda: self._served.accepting)

    def _messages(self, caller: Principal, run: Run) -> list[Message]:
        question = self._question
        if run.state is RunState.CANCELLED:
            return [stopped_message()]
        if run.answer is None:
            failure = run.failure
            if failure is None:
                return [failure_message("The work ended without one.", "Ask again, or in other words.", question.id)]
            may_go_ahead = failure.code == "confirmation_required"
            hint = "The button accepts that; or ask about less." if may_go_ahead else failure.hint
            return [failure_message(failure.detail, hint, question.id, may_go_ahead=may_go_ahead)]
        if self._served.runs.withheld([run.id], caller.readers):
            hint = "Ask again: the answer is then made from what all who read it may see."
            return [failure_message("It rests on documents that not everybody here may see.", hint, question.id)]
        named = cited_documents(run.answer)
        withheld = self._served.conversations.withheld_documents(named, caller.readers) if named else ()
        answer = AnswerOut.of_body(run.answer, identifier=run.id, conversation=run.conversation_id, deleted=withheld)
        in_public = question.asked.surface is Surface.CHANNEL
        base, text = self._served.settings.public_url, question.asked.text
        asked = None if question.asked.thread_ts else text
        return answer_messages(answer, base, question.id, privately=in_public, asked=asked)

    async def _put_back(self, error: LeadlineError) -> None:
        """Try again later; a question that nobody waits for any more is given up."""
        if time.time() - self._question.created_at > _GIVEN_UP_SECONDS:
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
