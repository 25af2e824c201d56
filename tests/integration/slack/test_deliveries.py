"""Exactly one reply to each question, whatever Slack sends twice, refuses, loses or ends."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.slack.conftest import METRICS_TOKEN, Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER, LAMP
from tests.support.slack_double import Fault
from tests.support.slack_posts import BOT
from tests.support.slack_sender import Sender

pytestmark = pytest.mark.slow


def test_deliveries_that_come_again_late_or_out_of_order_are_one_question(workspace: Workspace) -> None:
    event = workspace.slack.says("U0ANN", workspace.channel, f"<@{BOT}> {KEEPER}")
    mention = workspace.slack.event({**event["event"], "type": "app_mention"})  # of the same message, another event
    with ThreadPoolExecutor(4) as pool:
        sent = [
            pool.submit(workspace.sender.event, each, retry=number % 3)
            for number, each in enumerate([event, mention] * 4)
        ]
    assert {each.result().status_code for each in sent} == {200}
    thread = event["event"]["ts"]
    assert len(workspace.answered(thread)) == 1
    workspace.sender.event(event, retry=3)  # after it was answered, as after an outage of Slack's
    workspace.sender.event(mention)
    workspace.quiet()
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_what_is_not_signed_by_slack_now_is_refused(workspace: Workspace) -> None:
    event = workspace.slack.says("U0ANN", workspace.channel, f"<@{BOT}> {KEEPER}")
    forger = Sender(workspace.harbour.url, "another secret")
    assert forger.event(event).status_code == 401
    forger.close()
    assert workspace.sender.event(event, at=time.time() - 301).status_code == 401
    workspace.quiet()
    assert workspace.finals() == []
    assert workspace.sender.event(event).status_code == 200
    assert len(workspace.answered()) == 1


def test_questions_of_one_thread_are_answered_in_turn(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.says("U0BOB", LAMP, thread=thread)
    first, second = workspace.answered(thread, count=2)
    assert "kept it" in first.text
    assert "1871" in second.text


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(429, retry_after=1), id="busy for a moment"),
        pytest.param(Fault(429, retry_after=6), id="busy for longer than a call waits"),
        pytest.param(Fault(500), id="failed"),
        pytest.param(Fault(500, done=True), id="done, and then failed"),
        pytest.param(Fault(503, done=True), id="done, and then away"),
    ],
)
@pytest.mark.parametrize("method", ["chat.postMessage"])
def test_a_post_that_fails_is_made_once(workspace: Workspace, method: str, fault: Fault) -> None:
    workspace.slack.faults[method].append(fault)
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    assert [each.edits for each in workspace.slack.replies(workspace.channel)] == [int(fault.done)]


@pytest.mark.parametrize("method", ["users.info", "conversations.members", "assistant.threads.setStatus"])
def test_what_is_asked_of_slack_before_may_fail(workspace: Workspace, method: str) -> None:
    workspace.slack.faults[method].append(Fault(500))
    workspace.slack.person(f"U0{workspace.channel}")  # nobody has asked for it before
    workspace.slack.channels[workspace.channel]["members"].append(f"U0{workspace.channel}")
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    assert len(workspace.slack.replies(workspace.channel)) == 1


@pytest.mark.usefixtures("who_reads_along")
def test_a_stream_shows_what_is_written_and_ends_as_the_whole_reply(workspace: Workspace) -> None:
    before = workspace.slack.calls["chat.appendStream"]
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    wait_until(
        lambda: any(each.streaming_since for each in workspace.slack.replies(workspace.channel)),
        what="a stream has begun",
    )
    wait_until(lambda: workspace.slack.calls["chat.appendStream"] > before, what="it has grown")
    workspace.hurries()
    (reply,) = workspace.answered(thread)
    assert len(workspace.slack.replies(workspace.channel)) == 1
    assert (reply.streaming_since, reply.edits) == (None, 1)
    assert workspace.slack.refused == []


@pytest.mark.usefixtures("who_reads_along")
def test_a_stream_that_slack_ends_loses_nothing(workspace: Workspace) -> None:
    workspace.slack.streams_for = 1.5
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    try:
        wait_until(lambda: "not_in_streaming_state" in str(workspace.slack.refused), what="the stream has ended")
        workspace.hurries()
        (reply,) = workspace.answered(thread)
    finally:
        workspace.slack.streams_for = 300.0
    assert len(workspace.slack.replies(workspace.channel)) == 1
    assert "Ada Brandt kept it" in str(reply.blocks)


@pytest.mark.usefixtures("who_reads_along")
def test_whatever_slack_says_while_a_reply_streams_it_ends_whole_and_once(workspace: Workspace) -> None:
    faults = {
        "chat.startStream": Fault(500, done=True),
        "chat.appendStream": Fault(error="message_not_in_streaming_state"),
        "chat.stopStream": Fault(503),
        "chat.update": Fault(error="a_word_that_nobody_knows"),
    }
    channels = [f"{workspace.channel}{number}" for number in range(len(faults))]
    for channel, (method, fault) in zip(channels, faults.items(), strict=True):
        workspace.slack.channel(channel, "U0ANN")
        workspace.slack.faults[f"{method} {channel}"].append(fault)
        workspace.says("U0ANN", f"<@{BOT}> {KEEPER}", channel=channel)
    wait_until(lambda: all(map(workspace.slack.replies, channels)), what="each reply is begun")
    wait_until(
        lambda: not any(workspace.slack.faults[f"{list(faults)[at]} {channels[at]}"] for at in (0, 1)),
        what="what happens to streams that go on has happened",
    )
    workspace.hurries()
    for channel in channels:
        workspace.answered(channel=channel)
        (reply,) = workspace.slack.replies(channel)
        assert "Ada Brandt kept it" in str(reply.blocks)


@pytest.mark.usefixtures("who_reads_along")
def test_starting_streams_too_often_is_answered_by_a_plain_message(workspace: Workspace) -> None:
    workspace.slack.faults["chat.startStream"].append(Fault(429, retry_after=30))
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    wait_until(lambda: not workspace.slack.faults["chat.startStream"], what="a stream was to be started")
    workspace.hurries()
    workspace.answered(thread)
    (reply,) = workspace.slack.replies(workspace.channel)
    assert reply.edits == 0


def test_questions_without_a_reply_are_a_metric(workspace: Workspace) -> None:
    def waiting() -> str:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        found = workspace.harbour.client.http.get("/metrics", headers=headers).raise_for_status().text
        return next(line for line in found.splitlines() if line.startswith("leadline_slack_questions "))

    workspace.model.pause.clear()
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    assert waiting() == "leadline_slack_questions 1.0"
    workspace.model.pause.set()
    workspace.answered(thread)
    assert waiting() == "leadline_slack_questions 0.0"


def test_a_channel_that_is_gone_is_given_up(workspace: Workspace) -> None:
    event = workspace.slack.says("U0ANN", workspace.channel, f"<@{BOT}> {KEEPER}")
    del workspace.slack.channels[workspace.channel]
    assert workspace.sender.event(event).status_code == 200
    workspace.quiet()
    assert workspace.slack.replies(workspace.channel) == []
