"""What a thread shows while its question is answered: Slack's double over HTTP, a real catalog, and a clock to turn."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from api.languages.catalogue import Texts
from api.slack.errors import SlackError
from api.slack.replies.blocks import SlackMessage, build_section_block
from api.slack.replies.live import STREAM_SECONDS, LiveProgress
from api.slack.replies.reply import Reply
from api.slack.replies.steps import DETAILS_CHARS, MAX_STEPS, TITLE_CHARS, RunSteps
from api.slack.replies.waiting import ask_for_decision
from api.slack.web import SlackWeb
from ingest.storage.accounts.tenants import Tenants
from ingest.storage.answers.run_records import Run, RunEvent, RunSpending
from ingest.storage.db.database import open_database
from ingest.storage.slack.records import IncomingQuestion, Surface, Workspace
from ingest.storage.slack.store import SlackStore
from tests.support.catalogs import migrated_sqlite
from tests.support.slack_double import BOT_TOKEN, Fault, SlackDouble, slack_double
from tests.support.slack_posts import BOT
from tests.support.slack_sender import TEAM

CHANNEL = "C0LONG"
ANSWER = [SlackMessage([build_section_block("Ada Brandt kept it.")], "Ada Brandt kept it.")]


class Clock:
    """Seconds of the epoch, which stand still until somebody turns them."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Thread:
    """One question in a thread, being answered by one process."""

    slack: SlackDouble
    clock: Clock
    store: SlackStore
    workspace: Workspace
    ts: str
    logged: list[RunEvent] = field(default_factory=list)
    is_paused: bool = False
    worked: float = 0.0
    language: str = "en"
    reply: Reply = field(init=False)
    live: LiveProgress = field(init=False)

    async def take(self) -> None:
        """Take the question, as a process does, and begin."""
        (question,) = self.store.claim()

        async def run(work: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - of any function
            return work(*arguments)

        web = SlackWeb(BOT_TOKEN, self.slack.url)
        self.reply = Reply(web, self.store, self.workspace, question, run, CHANNEL, Texts(self.language))
        await self.reply.recover_message()
        self.live = LiveProgress(self.reply, clock=self.clock)
        await self.live.start()

    async def happens(self, kind: str, **body: Any) -> None:  # noqa: ANN401 - JSON
        """Log an event of the run, and let the process look; one that holds the question no more does not."""
        if kind == "budget":
            await self.goes_on()
        self.logged.append(RunEvent(len(self.logged) + 1, kind, body, self.clock()))
        self.live.show_event(self.logged[-1])
        if kind == "paused":
            await self.waits(body)
        elif not self.is_paused:
            await self.live.refresh_message()

    async def passes(self, seconds: float) -> None:
        """Let time pass, in which the process looks every five seconds."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + 5)
            if not self.is_paused:
                await self.live.refresh_message()

    async def waits(self, met: dict[str, Any]) -> None:
        """Ask what becomes of a run that has `met` its limits, as `_Delivery` does, and hold the question no more."""
        nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(Run) if field.default is MISSING)
        about = {
            "limits": met["limits"],
            "seconds": met["seconds"],
            "spent": RunSpending(met["calls"]),
            "progress": met,
        }
        self.worked, self.is_paused = met["seconds"], True
        await ask_for_decision(self.live, self.reply, Run(**{**nothing, **about}), wait_days=7.0)
        self.store.pause(self.reply.question)

    async def goes_on(self) -> None:
        """Take the question again, as any process does once somebody has let its run go on."""
        self.is_paused = False
        await self.take()
        self.live.set_elapsed_seconds(self.worked)
        for event in self.logged:
            self.live.show_event(event)

    async def finish(self, messages: Sequence[SlackMessage] = ANSWER, *, anew: bool = False) -> None:
        await self.live.end_stream()
        await self.reply.finish_reply(messages, at_end=anew)
        await self.live.end_session()

    @property
    def shown(self) -> str:
        return self.slack.shown(CHANNEL, self.ts)

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.slack.replies(CHANNEL, self.ts)]


@pytest.fixture
def thread(tmp_path: Path) -> Iterator[Thread]:
    engine = open_database(migrated_sqlite(tmp_path / "catalog.sqlite"))
    with slack_double() as slack:
        clock = Clock()
        slack.clock = clock
        slack.channel(CHANNEL, "U0ANN")
        tenant = Tenants(engine).create("Harbour").id
        store = SlackStore(engine, clock=clock)
        workspace = Workspace(TEAM, tenant, "Harbour", BOT, "")
        store.install_workspace(workspace)
        ts = slack.says("U0ANN", CHANNEL, f"<@{BOT}> Who kept the lighthouse?")["event"]["ts"]
        store.store_question(
            IncomingQuestion(TEAM, tenant, CHANNEL, ts, ts, "U0ANN", Surface.CHANNEL, "Who kept the lighthouse?"),
            {"one"},
        )
        yield Thread(slack, clock, store, workspace, ts)
    engine.dispose()


def test_a_short_run_shows_its_status_and_no_card(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(5)
        assert thread.slack.replies(CHANNEL) == []
        assert thread.shown.split("\n")[:2] == ["    (Leadline has searched the documents…)", "    (button: Stop)"]
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]
    assert thread.slack.sessions[CHANNEL, thread.ts] == ["processing", "active"]
    assert "Stop" not in thread.shown
    assert thread.slack.refused == []


def test_a_longer_run_shows_a_card_a_step_and_no_failed_one(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(12)
        await thread.happens("reading", titles=["Harbour", "Orders of 1871"])
        await thread.passes(6)
        (message,) = thread.slack.replies(CHANNEL)
        assert [(task["title"], task["status"], task["details"]) for task in message.tasks.values()] == [
            ("Search the documents: 3 passages found", "complete", ""),
            ("Read 2 passages", "in_progress", "Harbour, Orders of 1871"),
        ]
        await thread.happens("reading", titles=["Harbour", "Orders of 1871", "Lamps"])
        await thread.passes(6)
        await thread.live.end_stream()
        assert [task["title"] for task in message.tasks.values()][1] == "Read 3 passages"
        assert not message.is_broken
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]
    assert thread.slack.refused == []


def test_cards_are_few_and_short_and_hold_no_link() -> None:
    steps = RunSteps(Texts("en"))
    for number in range(3 * MAX_STEPS):
        steps.add_event(
            "working", {"step": f"Judging {number} " + "by https://evil.example/ <!here> " * 20, "done": 1, "total": 2}
        )
    steps.add_event("reading", {"titles": ["@here [x](https://evil.example)" * 30]})
    cards = steps.build_cards()
    assert len(cards) == MAX_STEPS
    assert [card.state for card in cards].count("in_progress") == 1
    for card in cards:
        assert len(card.title) <= TITLE_CHARS + 100
        assert len(card.details) <= DETAILS_CHARS + 100
        assert not any(bad in card.title + card.details for bad in ("://", "<", "@here", "](", "evil.example"))


def test_a_stream_that_is_about_to_end_goes_on_as_updates_and_loses_nothing(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        written = ""
        for number in range(60):
            piece = f"Word {number} stands here. "
            await thread.happens("draft", **{"from": len(written), "text": piece})
            written += piece
            await thread.passes(5)
            (message,) = thread.slack.replies(CHANNEL)
            assert not message.is_broken
            assert message.streaming_since is None or thread.clock.now - message.streaming_since < 300
        await thread.passes(10)
        assert all(f"Word {number} stands" in thread.shown for number in range(60))
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]
    assert thread.slack.refused == []
    assert thread.slack.calls["chat.update"] <= 300 / 10


def test_a_stream_that_slack_ends_early_goes_on_as_updates(thread: Thread) -> None:
    thread.slack.streams_for = 20.0

    async def go() -> None:
        await thread.take()
        await thread.happens("draft", **{"from": 0, "text": "The keeper was "})
        await thread.passes(25)
        await thread.happens("draft", **{"from": 15, "text": "Ada Brandt. "})
        await thread.passes(15)
        assert "The keeper was Ada Brandt." in thread.shown
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


@pytest.mark.parametrize("error", ["invalid_chunks", "unknown_method", "invalid_arguments"])
def test_where_no_cards_are_taken_there_is_the_status_and_the_text(thread: Thread, error: str) -> None:
    thread.slack.faults["chat.startStream"].append(Fault(error=error))

    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(100)
        assert thread.slack.replies(CHANNEL) == []
        assert (
            "(Leadline has searched the documents…)" in thread.shown
        )  # though Slack takes a status away after two minutes
        await thread.passes(100)
        assert "(Leadline has searched the documents…)" in thread.shown
        await thread.happens("draft", **{"from": 0, "text": "The keeper was Ada Brandt. "})
        await thread.passes(2)
        assert thread.texts == ["The keeper was Ada Brandt. "]
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


def test_a_run_that_nobody_works_on_says_that_it_waits(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(70)
        thread.clock.now += 10
        await thread.live.refresh_message(is_queued=True)
        assert "Waiting in the queue, after 1 minute" in thread.shown
        await thread.passes(10)
        assert "Looking for the answer for 1 minute" in thread.shown
        await thread.finish()

    asyncio.run(go())


def test_where_streams_may_not_be_started_a_message_shows_the_cards(thread: Thread) -> None:
    thread.slack.faults["chat.startStream"].append(Fault(429, retry_after=30))

    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(60)
        assert "Search the documents: 3 passages found" in thread.shown
        assert thread.slack.calls["chat.startStream"] == 1
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


def test_an_answer_that_comes_late_is_a_new_message_of_which_people_are_told(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(STREAM_SECONDS)
        assert not thread.live.exceeded_stream_duration(thread.clock())
        await thread.passes(60)
        assert thread.live.exceeded_stream_duration(thread.clock())
        (shown,) = thread.slack.replies(CHANNEL)
        await thread.finish(anew=True)
        (reply,) = thread.slack.replies(CHANNEL)
        assert reply.ts != shown.ts

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


@pytest.mark.parametrize("fault", [Fault(500), Fault(500, done=True), Fault(429, retry_after=30)])
def test_a_late_answer_is_one_message_though_deleting_fails(thread: Thread, fault: Fault) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(30)
        thread.slack.faults["chat.delete"].append(fault)
        with pytest.raises(SlackError):
            await thread.finish(anew=True)
        thread.clock.now += 40
        await thread.take()
        await thread.finish(anew=True)

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


def test_where_nothing_may_be_deleted_the_earlier_message_says_where_the_reply_is(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.passes(30)
        thread.slack.faults["chat.delete"].append(Fault(error="compliance_exports_prevent_deletion"))
        await thread.finish(anew=True)

    asyncio.run(go())
    assert thread.texts == ["The reply is further down in this conversation.", "Ada Brandt kept it."]


@pytest.mark.parametrize("error", ["edit_window_closed", "cant_update_message", "some_other_word"])
def test_a_message_that_may_not_be_changed_is_posted_anew(thread: Thread, error: str) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("draft", **{"from": 0, "text": "The keeper was "})
        thread.slack.faults["chat.update"].append(Fault(error=error))
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


@pytest.mark.parametrize("gone", [0, 1])
def test_what_was_deleted_in_slack_is_posted_again_in_order_and_once(thread: Thread, gone: int) -> None:
    parts = [SlackMessage([build_section_block(f"Part {number}.")], f"Part {number}.") for number in range(3)]

    async def go() -> None:
        await thread.take()
        await thread.finish(parts)
        thread.slack.deletes_message(CHANNEL, thread.reply.messages[gone])
        await thread.finish(parts)  # as after a crash before the question had ended
        assert thread.texts == ["Part 0.", "Part 1.", "Part 2."]
        known = thread.store.find_question(thread.reply.question.id)
        assert known is not None
        assert list(known.posted.messages) == [each.ts for each in thread.slack.replies(CHANNEL)]
        before = thread.slack.calls["chat.postMessage"]
        await thread.finish(parts)
        assert thread.slack.calls["chat.postMessage"] == before

    asyncio.run(go())


def test_a_stream_that_was_deleted_in_slack_ends_as_one_reply(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("draft", **{"from": 0, "text": "The keeper was "})
        thread.slack.deletes_message(CHANNEL, thread.reply.messages[0])
        await thread.happens("draft", **{"from": 15, "text": "Ada Brandt. "})
        await thread.passes(40)
        assert thread.texts == []
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_blocks_too_long"])
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
def test_a_reply_whose_blocks_are_refused_is_given_in_plain_ones(thread: Thread, method: str, error: str) -> None:
    async def go() -> None:
        await thread.take()
        if method == "chat.update":
            await thread.happens("draft", **{"from": 0, "text": "The keeper was "})
        thread.slack.faults[method].append(Fault(error=error))
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


def test_an_attempt_after_a_crash_ends_the_stream_that_was_left(thread: Thread) -> None:
    async def go() -> None:
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.happens("draft", **{"from": 0, "text": "The keeper was "})
        thread.clock.now += 40  # its process is dead, and its lease runs out
        await thread.take()
        await thread.happens("retrieved", passages=3)
        await thread.happens("draft", **{"from": 0, "text": "The keeper was Ada "})
        await thread.passes(15)
        (message,) = thread.slack.replies(CHANNEL)
        assert message.streaming_since is None
        assert "The keeper was Ada" in thread.shown
        assert "Something went wrong" not in thread.shown
        await thread.finish()

    asyncio.run(go())
    assert thread.texts == ["Ada Brandt kept it."]


def test_a_run_of_twenty_minutes_minute_by_minute(thread: Thread, golden: Callable[[str], None]) -> None:
    """Its events are those of a real run that met its limit of 15 minutes: `record_twenty_minutes` tells of it."""
    logged = [json.loads(line) for line in (Path(__file__).parent / "twenty_minutes.jsonl").read_text().splitlines()]
    minutes = int(logged[-1][0] // 60)
    written: list[str] = []

    async def go() -> None:
        begun = thread.clock()
        await thread.take()
        for minute in range(1, minutes + 1):
            until = begun + minute * 60 + 5  # what has changed is drawn within five seconds
            while logged and begun + logged[0][0] < until:
                at, kind, body = logged.pop(0)
                await thread.passes(begun + at - thread.clock())
                await thread.happens(kind, **body)
            await thread.passes(until - thread.clock())
            written.append(f"After {minute} min\n{thread.shown}")
        for at, kind, body in logged:
            await thread.passes(begun + at - thread.clock())
            await thread.happens(kind, **body)
        assert thread.live.exceeded_stream_duration(thread.clock())
        await thread.finish(anew=True)
        written.append(f"Then\n{thread.shown}")

    asyncio.run(go())
    golden("\n".join(written))
    assert "Something went wrong" not in "".join(written)
    assert thread.texts == ["Ada Brandt kept it."]
    assert thread.slack.refused == []
    assert thread.slack.calls["chat.startStream"] == 1
    assert thread.slack.calls["chat.update"] <= minutes * 60 / 10
