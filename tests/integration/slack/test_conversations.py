"""Conversations in Slack over a real service: slack-bolt and slack-sdk talk to a double, and a model is scripted."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.slack.conftest import PUBLIC_URL, Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import COUNT, KEEPER, LAMP
from tests.support.slack_double import Fault
from tests.support.slack_posts import BOT

pytestmark = pytest.mark.slow

Golden = Callable[[str], None]
NOTHING = "Who painted the ceiling?"


def written(workspace: Workspace, channel: str | None = None) -> str:
    """The transcript with names for what differs from run to run."""
    text = workspace.slack.transcript(channel or workspace.channel)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "DOCUMENT", text)
    return re.sub(r"C0QUAY\d+", "C0QUAY", text)


def test_a_mention_is_answered_in_its_thread_and_a_follow_up_needs_none(workspace: Workspace, golden: Golden) -> None:
    def shown() -> list[str]:
        return [status for channel, _, status in workspace.slack.statuses if channel == workspace.channel]

    workspace.model.judging.clear()
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    wait_until(lambda: "is checking each sentence…" in shown(), what="the status says that it is checked")
    workspace.model.judging.set()
    workspace.answered(thread)
    workspace.says("U0BOB", LAMP, thread=thread)
    workspace.answered(thread, count=2)
    golden(written(workspace))
    assert workspace.slack.refused == []
    assert shown()[0] == "is looking for the answer…"


def test_a_direct_message_a_count_and_its_table(workspace: Workspace, golden: Golden) -> None:
    thread = workspace.says("U0ANN", COUNT, channel=workspace.direct)
    workspace.answered(thread, channel=workspace.direct)
    golden(written(workspace, workspace.direct))
    assert workspace.slack.refused == []


def test_a_command_is_answered_in_direct_messages(workspace: Workspace, golden: Golden) -> None:
    taken = workspace.sender.command("U0ANN", KEEPER, trigger="1.1.one")
    assert taken.text == "I am working on it, and will answer in our direct messages."
    workspace.answered(channel="D0ANN")
    golden(written(workspace, "D0ANN"))
    assert "Write a question" in workspace.sender.command("U0ANN", " ", trigger="1.1.two").text


def test_an_unsupported_sentence_is_told_by_an_alert(workspace: Workspace, golden: Golden) -> None:
    workspace.model.support = "not_supported"
    thread = workspace.says("U0ANN", f"<@{BOT}> {LAMP}")
    workspace.answered(thread)
    golden(written(workspace))


def test_people_read_the_bot_in_the_language_that_they_use_slack_in(workspace: Workspace, golden: Golden) -> None:
    workspace.slack.person("U0EMIL", "emil@harbour.example", locale="de-DE")
    workspace.slack.channels[workspace.channel]["members"].append("U0EMIL")
    workspace.model.support = "not_supported"
    thread = workspace.says("U0EMIL", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    workspace.model.support = "supported"
    workspace.says("U0ANN", LAMP, thread=thread)
    workspace.answered(thread, count=2)
    workspace.slack.channel("D0EMIL", "U0EMIL", kind="im")
    file = workspace.slack.uploads("U0EMIL", "notiz.canvas", b"x", mode="quip", filetype="quip")
    workspace.shares("U0EMIL", file, channel="D0EMIL")
    workspace.quiet()
    opened = {"type": "app_home_opened", "user": "U0EMIL", "tab": "home", "channel": "D0EMIL"}
    assert workspace.sender.event(workspace.slack.event(opened)).status_code == 200
    assert "Channel wählen" in str(workspace.slack.views["U0EMIL"])
    taken = workspace.sender.command("U0EMIL", " ", trigger=f"1.9.{workspace.channel}")
    assert taken.text.startswith("Schreiben Sie eine Frage")
    golden(written(workspace) + written(workspace, "D0EMIL"))
    assert workspace.slack.refused == []


TABLE = "| Keeper | Year |\n|---|---|\n| Ada Brandt | 1871 |\n\n"


def test_a_table_is_shown_as_a_table_and_in_plain_blocks_where_slack_has_none(workspace: Workspace) -> None:
    workspace.model.wrapped = TABLE
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    (reply,) = workspace.answered(thread)
    assert [[cell["text"] for cell in row] for row in _table(reply.blocks)["rows"]][1] == ["Ada Brandt", "1871"]
    assert "|" not in reply.text
    workspace.slack.faults[f"chat.postMessage {workspace.channel}"].append(Fault(error="invalid_attachments"))
    again = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    (simple,) = workspace.answered(again)
    assert not any(block["type"] == "table" for block in simple.blocks)
    assert "Ada Brandt | 1871" in str(simple.blocks)


def test_a_thumb_is_kept_as_the_apis_feedback(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    (reply,) = workspace.answered(thread)
    buttons = next(block for block in reply.blocks if block["type"] == "context_actions")["elements"][0]
    for button in ("positive_button", "negative_button"):
        value = buttons[button]["value"]
        assert workspace.sender.press("U0BOB", buttons["action_id"], value, workspace.channel).is_success
    said = workspace.harbour.services.answers.feedback.list_latest("default")
    assert [(each.author, each.verdict.rating) for each in said][:1] == [("slack:U0BOB", "down")]


def test_what_turns_to_others_or_comes_from_programs_is_no_question(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    workspace.says("U0ANN", "<@U0BOB> did you know?", thread=thread)
    workspace.says("U0BOB", "Has anybody seen the tide table?")
    for extra in ({"subtype": "message_changed"}, {"bot_id": "B1"}, {"subtype": "channel_join"}, {"user": BOT}):
        event = workspace.slack.says("U0ANN", workspace.channel, f"<@{BOT}> {KEEPER}", thread=thread)
        event["event"] |= extra
        assert workspace.sender.event(event).status_code == 200
    workspace.quiet()
    assert len(workspace.finals()) == 1


def test_a_question_is_stopped_by_slacks_own_button_once(workspace: Workspace) -> None:
    workspace.model.pause.clear()
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    store = workspace.harbour.services.slack.store
    wait_until(
        lambda: any(each.run_id for each in store.list_unfinished_questions("T0HARBOUR", workspace.channel, thread)),
        what="the run has begun",
    )
    for _ in range(2):  # pressed twice
        assert workspace.sender.event(workspace.slack.stops("U0ANN", workspace.channel, thread)).status_code == 200
    (reply,) = workspace.answered(thread)
    workspace.model.pause.set()
    assert reply.text == "This question was stopped before it was answered. You can ask it again."
    sessions = workspace.slack.sessions[workspace.channel, thread]
    assert (sessions[0], sessions[-1]) == ("processing", "active")
    assert workspace.slack.refused == []


@pytest.mark.usefixtures("who_reads_along")
def test_a_stream_that_is_stopped_says_so_in_its_place(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    wait_until(
        lambda: any(each.streaming_since and each.tasks for each in workspace.slack.replies(workspace.channel)),
        what="a stream with cards has begun",
    )
    assert workspace.sender.event(workspace.slack.stops("U0ANN", workspace.channel, thread)).status_code == 200
    (reply,) = workspace.answered(thread)
    assert "was stopped" in reply.text
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_stop_that_comes_late_changes_no_answer_and_ends_the_session(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    (reply,) = workspace.answered(thread)
    before, edits = reply.blocks, reply.edits
    sessions = workspace.slack.sessions[workspace.channel, thread]
    sessions.append("processing")  # as if Slack had not heard that the work was over
    assert workspace.sender.event(workspace.slack.stops("U0ANN", workspace.channel, thread)).status_code == 200
    wait_until(lambda: sessions[-1] == "active", what="the session is over")
    workspace.quiet()
    (after,) = workspace.slack.replies(workspace.channel)
    assert (after.blocks, after.edits) == (before, edits)


def test_links_lead_to_the_portal_at_the_span_and_to_nothing_else(workspace: Workspace) -> None:
    workspace.model.wrapped = (
        "<!channel> <@U0BOB> @here #general [click](https://evil.example) ![x](https://evil.example/x.png) "
        "evil.example <https://evil.example|safe> mailto:a@evil.example "
    )
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    (reply,) = workspace.answered(thread)
    texts = [reply.text, *re.findall(r'"text": "((?:[^"\\]|\\.)*)"', str(reply.blocks).replace("'", '"'))]
    for text in texts:
        for link in re.findall(r"<([^>|]*)", text):
            assert link.startswith(f"{PUBLIC_URL}/library/"), text
        assert "evil.example" not in re.sub(r"`[^`]*`", "", text), text
        assert not re.search(r"[@#](channel|here|general|U0)", text), text
    urls = [each["url"] for card in _cards(reply.blocks) for each in card.get("actions", ())]
    assert urls
    assert all(url.startswith(f"{PUBLIC_URL}/library/") for url in urls)


def test_nothing_found_says_what_was_searched(workspace: Workspace, golden: Golden) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {NOTHING}")
    workspace.answered(thread)
    golden(written(workspace))


def _table(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return next(block for block in blocks if block["type"] == "table")


def _cards(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [card for block in blocks if block["type"] == "carousel" for card in block["elements"]]
