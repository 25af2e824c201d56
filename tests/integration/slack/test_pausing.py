"""A run that meets its limits waits in its thread, nobody holds its question, and people decide by buttons."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from api.slack.replies.messages import GO_AHEAD
from api.slack.replies.waiting import FINISH, GO_ON, STOP
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.retention import Retention
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.slack.records import ChannelSettings, QuestionState
from tests.integration.slack.conftest import Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import COUNT, KEEPER, LAMP
from tests.support.slack_posts import BOT, Posted
from tests.support.slack_sender import TEAM

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run make so few calls unasked that it has to wait before there is an answer."""
    monkeypatch.setattr("rlm.estimates.MAX_UNCONFIRMED_CALLS", 1)


def waiting(workspace: Workspace, channel: str | None = None) -> Posted:
    """Wait until the channel's one message asks what to do, and nobody holds its question."""
    channel = channel or workspace.channel
    store = workspace.harbour.services.slack.store

    def is_paused() -> bool:
        asking = [each for each in workspace.slack.replies(channel) if each.decisions]
        found = [store.find_question(each.decisions[STOP].partition(":")[0]) for each in asking]
        return bool(found) and all(each is not None and each.state is QuestionState.PAUSED for each in found)

    wait_until(is_paused, what="the thread is asked what to do")
    (message,) = [each for each in workspace.slack.replies(channel) if each.decisions]
    return replace(message)


def press(workspace: Workspace, user: str, message: Posted, action: str) -> None:
    assert workspace.sender.press(user, action, message.decisions[action], message.channel).is_success


def told(workspace: Workspace, count: int = 1) -> list[tuple[str, str]]:
    """Wait for what people were told alone in the channel."""

    def found() -> list[tuple[str, str]]:
        return [(user, text) for channel, user, text in workspace.slack.whispers if channel == workspace.channel]

    wait_until(lambda: len(found()) >= count, what="somebody is told")
    return found()


def run_of(workspace: Workspace, message: Posted) -> Run:
    services = workspace.harbour.services
    question = services.slack.store.find_question(message.decisions[STOP].partition(":")[0])
    assert question is not None
    assert question.run_id is not None
    return services.answers.runs.load_run("default", question.run_id)


def written(workspace: Workspace) -> str:
    """The transcript with names for what differs from run to run."""
    text = workspace.slack.transcript(workspace.channel)
    text = re.sub(r"Read \d+ passages", "Read PASSAGES", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "DOCUMENT", text)
    return re.sub(r"<!date\^\d+\^([^|]*)\|[^>]*>", r"<!date^IN A WEEK^\1>", text)


def test_a_run_whose_limits_are_met_waits_and_goes_on_at_a_press(
    workspace: Workspace, golden: Callable[[str], None]
) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    assert message.streaming_since is None
    assert workspace.slack.sessions[workspace.channel, thread][-1] == "active"
    assert workspace.harbour.services.slack.store.count_open_questions() == 0  # nobody holds it
    before = written(workspace)
    press(workspace, "U0BOB", message, GO_ON)
    workspace.answered(thread)
    golden(f"{before}\nThen\n{written(workspace)}")
    assert len(workspace.slack.replies(workspace.channel)) == 1
    assert workspace.slack.refused == []


def test_each_press_allows_as_much_again_and_a_button_is_of_one_pause(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {COUNT}")
    first = waiting(workspace)
    press(workspace, "U0ANN", first, GO_ON)
    wait_until(
        lambda: first.decisions[GO_ON] not in str(workspace.slack.replies(workspace.channel)),
        what="it goes on",
    )
    second = waiting(workspace)
    press(workspace, "U0BOB", first, GO_ON)  # as it comes again, late
    assert told(workspace) == [("U0BOB", "Somebody else has already decided that.")]
    assert run_of(workspace, second).limits["calls"] == 2
    assert run_of(workspace, second).state is RunState.PAUSED
    while not workspace.finals(thread=thread):
        for each in workspace.slack.replies(workspace.channel, thread):
            if each.decisions:
                press(workspace, "U0BOB", each, GO_ON)
        time.sleep(0.2)
    workspace.answered(thread)
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_run_that_waits_answers_with_what_it_has_at_a_press(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    press(workspace, "U0ANN", message, FINISH)
    (reply,) = workspace.answered(thread)
    assert reply.text == "This question was not answered. A limit was reached before there were any results."
    assert run_of(workspace, message).limits["calls"] == 1


@pytest.mark.parametrize("native", [True, False])
def test_a_run_that_waits_is_stopped_by_either_button(workspace: Workspace, native: bool) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    if native:
        assert workspace.sender.event(workspace.slack.stops("U0ANN", workspace.channel, thread)).is_success
    else:
        press(workspace, "U0BOB", message, STOP)
    (reply,) = workspace.answered(thread)
    assert "was stopped" in reply.text
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_button_pressed_twice_or_by_two_people_has_one_effect_and_says_so(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    workspace.model.pause.clear()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda user: press(workspace, user, message, GO_ON), ["U0ANN", "U0BOB", "U0BOB", "U0ANN"]))
    told(workspace, 3)
    press(workspace, "U0BOB", message, FINISH)
    assert {text for _, text in told(workspace, 4)} == {"Somebody else has already decided that."}
    workspace.model.pause.set()
    workspace.answered(thread)
    assert len(told(workspace, 4)) == 4
    assert len(run_of(workspace, message).raised) == 1
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_button_of_what_has_ended_or_is_gone_says_so(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    run = run_of(workspace, message)
    press(workspace, "U0ANN", message, FINISH)
    (reply,) = workspace.answered(thread)
    before = list(reply.blocks)
    press(workspace, "U0BOB", message, GO_ON)
    assert told(workspace) == [("U0BOB", "This question has already ended.")]
    workspace.harbour.services.answers.runs.delete("default", run.id)
    press(workspace, "U0BOB", message, STOP)
    assert told(workspace, 2)[1:] == [("U0BOB", "This question can no longer be continued. Ask it again.")]
    workspace.quiet()
    (after,) = workspace.slack.replies(workspace.channel)
    assert after.blocks == before


def test_who_may_not_ask_in_a_channel_may_not_decide_there(workspace: Workspace) -> None:
    store = workspace.harbour.services.slack.store
    known = store.find_workspace(TEAM)
    assert known is not None
    store.set_channel_settings(known, workspace.channel, ChannelSettings(askers=("U0ANN",)), "U0ANN")
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    for action in (GO_ON, FINISH, STOP):
        press(workspace, "U0BOB", message, action)
    assert told(workspace, 3) == [("U0BOB", "Only people who may ask questions in this channel can decide that.")] * 3
    assert waiting(workspace) == message
    press(workspace, "U0ANN", message, GO_ON)
    assert len(workspace.answered(thread)) == 1


def test_what_a_quota_does_not_allow_is_told_and_the_run_waits_on(workspace: Workspace) -> None:
    quotas = workspace.harbour.services.admission.meter.quotas
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    account = Account("default", "")
    quotas.set_limits(account, {Quota.TOKENS_PER_DAY: 1})
    try:
        press(workspace, "U0ANN", message, GO_ON)
        ((_, text),) = told(workspace)
    finally:
        quotas.set_limits(account, {Quota.TOKENS_PER_DAY: None})
    assert text == "Today’s questions are used up. Your administrator can raise the limit."
    assert waiting(workspace) == message
    press(workspace, "U0ANN", message, GO_ON)
    assert len(workspace.answered(thread)) == 1


def test_a_run_on_which_nobody_decides_answers_with_what_it_has_in_the_end(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    kept = Retention(paused_days=1e-9)
    services = workspace.harbour.services
    until = time.time() + services.settings.retention.paused_days * 24 * 3600
    assert any(abs(int(at) - until) < 120 for at in re.findall(r"<!date\^(\d+)\^", str(message.blocks)))
    engine = open_database(build_sqlite_url(services.settings.home / "catalog.sqlite"))
    assert Expiry(engine).delete_expired_records(kept)["paused runs"] == 1
    engine.dispose()
    (reply,) = workspace.answered(thread)
    assert "A limit was reached before" in reply.text
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_question_that_waits_keeps_no_follow_up_waiting(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    monkeypatch.setattr("rlm.estimates.MAX_UNCONFIRMED_CALLS", 500)
    workspace.says("U0BOB", LAMP, thread=thread)
    (second,) = workspace.answered(thread)
    assert "1871" in second.text
    press(workspace, "U0BOB", message, GO_ON)
    first, _ = workspace.answered(thread, count=2)
    assert "Ada Brandt kept it" in str(first.blocks)
    assert len(workspace.slack.replies(workspace.channel)) == 2


def test_what_people_have_confirmed_waits_at_its_limits_too(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    message = waiting(workspace)
    question = message.decisions[STOP].partition(":")[0]
    press(workspace, "U0ANN", message, STOP)
    workspace.answered(thread)
    assert workspace.sender.press("U0ANN", GO_AHEAD, question, workspace.channel).is_success
    press(workspace, "U0BOB", waiting(workspace), GO_ON)
    _, reply = workspace.answered(thread, count=2)
    assert "Ada Brandt kept it" in str(reply.blocks)


def test_a_command_that_waits_says_what_was_asked(workspace: Workspace) -> None:
    before = len(workspace.slack.replies("D0ANN"))
    workspace.sender.command("U0ANN", KEEPER, trigger=f"1.1.{workspace.channel}")
    message = waiting(workspace, "D0ANN")
    assert f"You asked: {KEEPER}" in str(message.blocks)
    press(workspace, "U0ANN", message, GO_ON)
    workspace.answered(channel="D0ANN", count=before + 1)
    assert len(workspace.slack.replies("D0ANN")) == before + 1
