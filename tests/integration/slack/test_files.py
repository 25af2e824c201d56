"""Files in Slack: what people share becomes documents that those who read the channel may ask about, and goes again."""

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from api.slack.manifest import SHORTCUT
from ingest.storage.accounts.records import Role
from ingest.storage.slack.records import ChannelSettings
from tests.integration.slack.conftest import Workspace
from tests.integration.slack.test_conversations import written
from tests.support.harbour import KEEPER, LAMP
from tests.support.slack_double import BOT_TOKEN, Fault
from tests.support.slack_posts import BOT
from tests.support.slack_sender import TEAM

pytestmark = pytest.mark.slow

Golden = Callable[[str], None]
LAMPS = b"# Lamps\n\nThe keeper of the lighthouse was Ada Brandt. The lamp of number %d burned whale oil.\n"
_numbers = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def known(served: object, slack: object) -> None:
    """Cat, of whom there is a user, so that it can be given documents."""
    served.services.accounts.users.create("default", "cat@harbour.example", [])  # type: ignore[attr-defined]
    slack.person("U0CAT", "cat@harbour.example")  # type: ignore[attr-defined]


@pytest.fixture
def private(workspace: Workspace) -> str:
    """A private channel with Ann and Cat in it."""
    channel = workspace.channel.replace("QUAY", "HOLD")
    workspace.slack.channel(channel, "U0ANN", "U0CAT", kind="group")
    return channel


@pytest.fixture
def direct(workspace: Workspace) -> str:
    """Cat's direct messages with the bot, new in each test."""
    channel = workspace.channel.replace("C0QUAY", "D0CAT")
    workspace.slack.channel(channel, "U0CAT", kind="im")
    return channel


@pytest.fixture
def lamps() -> bytes:
    """The content of a file that was never shared before."""
    return LAMPS % next(_numbers)


def link(workspace: Workspace, **settings: Any) -> None:  # noqa: ANN401 - the channel's settings
    """Set the test's channel up, as its members do in the app's home."""
    store = workspace.harbour.services.slack.store
    team = store.find_workspace(TEAM)
    assert team is not None
    store.set_channel_settings(team, workspace.channel, ChannelSettings(**settings), "U0ANN")


def told(workspace: Workspace, channel: str | None = None) -> str:
    """What the bot's messages say in the end; there is one for each message with files."""
    workspace.quiet()
    return "\n".join(each.text for each in workspace.finals(channel))


def documents(workspace: Workspace) -> list[dict[str, object]]:
    found: list[dict[str, object]] = workspace.harbour.client.get("/v1/documents?collection=slack&limit=500")[
        "documents"
    ]
    return found


def transcript(workspace: Workspace, channel: str | None = None) -> str:
    text = re.sub(r"(C0HOLD|D0CAT)\d+", r"\1", written(workspace, channel))
    text = re.sub(r"number \d+", "number N", text)
    return re.sub(r"Receipt: \S+", "Receipt: RECEIPT", text)


def test_a_file_shared_by_name_is_read_and_can_be_asked_about(
    workspace: Workspace, golden: Golden, lamps: bytes
) -> None:
    link(workspace, collections=("dock",))
    file = workspace.slack.uploads("U0ANN", "lamps.md", lamps)
    thread = workspace.shares("U0ANN", file, text=f"<@{BOT}>")
    assert "is ready, in the collection dock" in told(workspace)
    workspace.harbour.model.requests.clear()
    workspace.says("U0BOB", KEEPER, thread=thread)
    workspace.answered(thread, count=2)
    golden(transcript(workspace))
    assert lamps.decode().splitlines()[2] in str(workspace.harbour.model.requests)
    assert workspace.slack.refused == []


def test_a_question_with_its_file_waits_until_that_is_read(workspace: Workspace, golden: Golden, lamps: bytes) -> None:
    workspace.harbour.model.requests.clear()
    file = workspace.slack.uploads("U0ANN", "lamps.md", lamps)
    thread = workspace.shares("U0ANN", file, text=f"<@{BOT}> {KEEPER}")
    workspace.answered(thread, count=2)
    golden(transcript(workspace))
    assert lamps.decode().splitlines()[2] in str(workspace.harbour.model.requests)


def test_a_file_in_direct_messages_is_its_sharers_alone(
    workspace: Workspace, direct: str, golden: Golden, lamps: bytes
) -> None:
    workspace.shares("U0CAT", workspace.slack.uploads("U0CAT", "diary.md", lamps), channel=direct)
    told(workspace, direct)
    golden(transcript(workspace, direct))
    (document,) = [each for each in documents(workspace) if each["name"] == "diary.md"]
    assert document["readers"] == ["user:cat@harbour.example"]


def test_a_file_of_somebody_unknown_in_direct_messages_is_for_nobody(
    workspace: Workspace, golden: Golden, lamps: bytes
) -> None:
    workspace.slack.person("U0DAN", "dan@elsewhere.example")
    workspace.slack.channel("D0DAN", "U0DAN", kind="im")
    file = workspace.slack.uploads("U0DAN", "notes.md", lamps)
    workspace.shares("U0DAN", file, channel="D0DAN")
    told(workspace, "D0DAN")
    golden(transcript(workspace, "D0DAN"))
    assert workspace.slack.files[file].fetched == 0


def test_a_linked_channel_takes_every_file_and_answers_nobody_unasked(
    workspace: Workspace, golden: Golden, lamps: bytes
) -> None:
    link(workspace, files_to="quay")
    first = workspace.slack.uploads("U0ANN", "one.md", lamps)
    second = workspace.slack.uploads("U0ANN", "two.md", lamps + b"\nMore.\n")
    thread = workspace.shares("U0ANN", first, second, text="Have a look")
    workspace.quiet()
    workspace.says("U0BOB", "Thank you! Shall we meet?", thread=thread)
    workspace.quiet()
    golden(transcript(workspace))
    assert workspace.harbour.client.get("/v1/documents?collection=quay")["documents"][0]["readers"] is None


def test_files_of_a_channel_that_is_not_linked_are_left_alone(workspace: Workspace, lamps: bytes) -> None:
    file = workspace.slack.uploads("U0ANN", "lamps.md", lamps)
    workspace.shares("U0ANN", file, text="For Bob")
    workspace.quiet()
    assert workspace.slack.replies(workspace.channel) == []
    assert workspace.slack.files[file].fetched == 0


REFUSALS: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "a picture": ("cat.jpg", b"\x00\x01\x02\x03 no type that is known", {}),
    "a link": ("plan.gdoc", b"x", {"mode": "external", "is_external": True, "url_private": "https://docs.example/x"}),
    "a canvas": ("notes", b"x", {"mode": "quip", "filetype": "quip"}),
    "hidden": ("old.md", b"x", {"mode": "hidden_by_limit"}),
    "large": ("large.md", b"x", {"size": 1 << 50}),
    "empty": ("empty.md", b"", {}),
    "elsewhere": ("stolen.md", b"x", {"url_private_download": "https://evil.example/files-pri/x"}),
    "sent on": ("moved.md", b"# Moved\n\nText.\n", {"_redirect": "https://evil.example/x"}),
}


def test_what_cannot_be_taken_is_refused_in_words(workspace: Workspace, golden: Golden) -> None:
    files = [workspace.slack.uploads("U0ANN", name, content, **facts) for name, content, facts in REFUSALS.values()]
    before = len(workspace.slack.tokens)
    workspace.shares("U0ANN", *files, text=f"<@{BOT}>")
    told(workspace)
    golden(transcript(workspace))
    assert set(workspace.slack.tokens[before:]) == {f"Bearer {BOT_TOKEN}"}


def test_a_file_that_is_larger_than_slack_says_is_refused_while_it_is_read(
    workspace: Workspace, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace.harbour.services.work.intake, "_max_bytes", 1_000)
    monkeypatch.setattr(workspace.harbour.services.settings, "max_upload_bytes", 1_000)
    file = workspace.slack.uploads("U0ANN", "grown.md", b"word " * 1_000, size=10)
    workspace.shares("U0ANN", file, text=f"<@{BOT}>")
    told(workspace)
    golden(transcript(workspace))


def test_a_damaged_file_is_told_with_what_to_do(workspace: Workspace, golden: Golden) -> None:
    broken = b"%PDF-1.7\n1 0 obj << /Type /Catalog >>\nendobj\nnothing more"
    workspace.shares("U0ANN", workspace.slack.uploads("U0ANN", "broken.pdf", broken), text=f"<@{BOT}>")
    told(workspace)
    golden(transcript(workspace))


def test_a_file_of_which_the_event_tells_nothing_is_asked_for(workspace: Workspace, lamps: bytes) -> None:
    file = workspace.slack.uploads("U0ANN", "connected.md", lamps, file_access="visible")
    event = workspace.slack.shares("U0ANN", workspace.channel, file, text=f"<@{BOT}>")
    event["event"]["files"] = [{"id": file, "created": 0, "mode": "file_access", "file_access": "check_file_info"}]
    assert workspace.sender.event(event).status_code == 200
    assert "connected.md` is ready" in told(workspace)


def test_a_shortcut_on_somebodys_file_takes_it_in(workspace: Workspace, lamps: bytes) -> None:
    file = workspace.slack.uploads("U0ANN", "lamps.md", lamps)
    message = workspace.slack.shares("U0ANN", workspace.channel, file)["event"]
    payload: dict[str, Any] = {
        "type": "message_action",
        "callback_id": SHORTCUT,
        "trigger_id": f"7.{workspace.channel}",
    }
    payload |= {"team": {"id": TEAM}, "user": {"id": "U0BOB"}, "channel": {"id": workspace.channel}}
    assert workspace.sender.form({"payload": json.dumps({**payload, "message": message})}).is_success
    assert "is ready" in told(workspace)
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_files_are_for_those_who_may_ask_and_only_where_files_are_taken(
    workspace: Workspace, lamps: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = workspace.slack.uploads("U0BOB", "lamps.md", lamps)
    link(workspace, askers=("U0ANN",), files_to="slack")
    workspace.shares("U0BOB", file, text=f"<@{BOT}>")
    monkeypatch.setattr(workspace.harbour.services.settings, "slack_files", False)
    workspace.shares("U0ANN", file)
    workspace.quiet()
    assert workspace.slack.replies(workspace.channel) == []
    assert workspace.slack.files[file].fetched == 0


def test_a_collection_that_not_everybody_may_read_takes_no_file(workspace: Workspace, lamps: bytes) -> None:
    grants = workspace.harbour.services.accounts.grants
    grants.grant_role("default", "closed", "user:cat@harbour.example", Role.WRITER)
    link(workspace, files_to="closed")
    workspace.slack.channels[workspace.channel]["members"].append("U0CAT")
    workspace.shares("U0CAT", workspace.slack.uploads("U0CAT", "lamps.md", lamps))
    assert "Not everybody in this channel may read the collection" in told(workspace)


@pytest.mark.parametrize("of", ["file", "message"])
def test_deletion_in_slack_deletes_the_document(workspace: Workspace, golden: Golden, lamps: bytes, of: str) -> None:
    file = workspace.slack.uploads("U0ANN", f"gone {of}.md", lamps)
    thread = workspace.shares("U0ANN", file, text=f"<@{BOT}>")
    assert "is ready" in told(workspace)
    (document,) = [each for each in documents(workspace) if each["name"] == f"gone {of}.md"]
    event = (
        workspace.slack.deletes_file(file)
        if of == "file"
        else workspace.slack.deletes_message(workspace.channel, thread)
    )
    for _ in range(3):
        assert workspace.sender.event(event).status_code == 200
    said = told(workspace)
    assert f"gone {of}" not in said
    assert workspace.harbour.services.documents.catalog.load_deletion("default", str(document["id"])).id in said
    golden(transcript(workspace))
    (share,) = workspace.harbour.services.slack.files.list_shares(TEAM, workspace.channel)
    assert [each.name for each in share.files] == [""]


def test_a_document_stays_as_long_as_its_file_is_shared_or_came_from_elsewhere(
    workspace: Workspace, lamps: bytes
) -> None:
    other = f"{workspace.channel}B"
    workspace.slack.channel(other, "U0ANN")
    file, again = (workspace.slack.uploads("U0ANN", "twice.md", lamps) for _ in range(2))
    first = workspace.shares("U0ANN", file, text=f"<@{BOT}>")
    workspace.quiet()
    workspace.shares("U0ANN", file, again, text=f"<@{BOT}>", channel=other)
    workspace.quiet()
    assert len([each for each in documents(workspace) if each["name"] == "twice.md"]) == 1
    workspace.sender.event(workspace.slack.deletes_message(workspace.channel, first))
    assert "the same file is also shared elsewhere" in told(workspace)
    workspace.sender.event(workspace.slack.deletes_file(file))
    workspace.quiet()
    assert len([each for each in documents(workspace) if each["name"] == "twice.md"]) == 1
    workspace.sender.event(workspace.slack.deletes_file(again))
    workspace.quiet()
    assert [each for each in documents(workspace) if each["name"] == "twice.md"] == []
    own = lamps + b"\nOurs.\n"
    client = workspace.harbour.client
    client.http.post("/v1/documents", params={"name": "own.md", "collection": "slack"}, content=own).raise_for_status()
    file = workspace.slack.uploads("U0ANN", "copy.md", own)
    workspace.shares("U0ANN", file, text=f"<@{BOT}>")
    workspace.quiet()
    workspace.sender.event(workspace.slack.deletes_file(file))
    assert "it was also uploaded to Leadline" in told(workspace)
    assert [each for each in documents(workspace) if each["name"] == "own.md"]


def test_deletion_in_slack_deletes_nothing_where_it_is_not_to(
    workspace: Workspace, lamps: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace.harbour.services.settings, "slack_delete_files", False)
    file = workspace.slack.uploads("U0ANN", "kept.md", lamps)
    workspace.shares("U0ANN", file, text=f"<@{BOT}>")
    workspace.quiet()
    workspace.sender.event(workspace.slack.deletes_file(file))
    assert "stays, because of a setting" in told(workspace)
    assert [each for each in documents(workspace) if each["name"] == "kept.md"]


def test_events_that_come_again_or_out_of_order_are_one_file_and_one_message(
    workspace: Workspace, lamps: bytes
) -> None:
    file = workspace.slack.uploads("U0ANN", "lamps.md", lamps)
    event = workspace.slack.shares("U0ANN", workspace.channel, file, text=f"<@{BOT}>")
    mention = workspace.slack.event({**event["event"], "type": "app_mention"})
    for each in (event, mention, event, mention):
        assert workspace.sender.event(each, retry=1).status_code == 200
    workspace.quiet()
    workspace.sender.event(event, retry=3)
    workspace.quiet()
    assert len(workspace.slack.replies(workspace.channel)) == 1
    assert workspace.slack.files[file].fetched == 1
    late = workspace.slack.uploads("U0ANN", "late.md", lamps + b"Late.")
    shared = workspace.slack.shares("U0ANN", workspace.channel, late, text=f"<@{BOT}>")
    deleted = workspace.slack.deletes_message(workspace.channel, shared["event"]["ts"])
    workspace.sender.event(deleted)
    workspace.sender.event(shared)
    workspace.quiet()
    assert workspace.slack.files[late].fetched == 0


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        pytest.param("files", Fault(429, retry_after=1), id="a file while busy"),
        pytest.param("files", Fault(500), id="a file that fails"),
        pytest.param("files.info", Fault(500), id="its description fails"),
        pytest.param("files.info", Fault(429, retry_after=1), id="its description while busy"),
        pytest.param("chat.postMessage", Fault(500, done=True), id="posted, and then away"),
        pytest.param("chat.update", Fault(500, done=True), id="updated, and then away"),
    ],
)
def test_what_slack_fails_at_is_done_later_and_told_once(
    workspace: Workspace, lamps: bytes, method: str, fault: Fault
) -> None:
    workspace.slack.faults[method].append(fault)
    workspace.shares("U0ANN", workspace.slack.uploads("U0ANN", "lamps.md", lamps), text=f"<@{BOT}>")
    assert "is ready" in told(workspace)
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_file_that_fails_keeps_no_other_back(workspace: Workspace, lamps: bytes) -> None:
    files = [workspace.slack.uploads("U0ANN", f"{name}.md", lamps + name.encode()) for name in ("first", "second")]
    workspace.slack.faults["files"] += [Fault(500), Fault(500, done=True)]
    workspace.slack.faults["files.info"] += [Fault(503)]
    workspace.shares("U0ANN", *files, text=f"<@{BOT}>")
    assert told(workspace).count("is ready") == 2
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_without_its_scope_a_file_is_refused_with_the_way_to_get_it(workspace: Workspace, lamps: bytes) -> None:
    workspace.slack.scopes.remove("files:read")
    try:
        workspace.shares("U0ANN", workspace.slack.uploads("U0ANN", "lamps.md", lamps), text=f"<@{BOT}>")
        assert "leadline slack check" in told(workspace)
    finally:
        workspace.slack.scopes.append("files:read")


def test_a_private_channels_file_appears_nowhere_else(
    workspace: Workspace, private: str, direct: str, golden: Golden, lamps: bytes
) -> None:
    secret = lamps + b"\nWho kept the lighthouse was paid ZEBRAWOOD crowns.\n"
    workspace.shares("U0CAT", workspace.slack.uploads("U0CAT", "wages.md", secret), channel=private, text=f"<@{BOT}>")
    told(workspace, private)
    requests = workspace.harbour.model.requests
    requests.clear()
    workspace.says("U0CAT", f"<@{BOT}> {KEEPER}", channel=private)
    workspace.answered(channel=private, count=2)
    golden(transcript(workspace, private))
    assert "ZEBRAWOOD" in str(requests)
    requests.clear()
    workspace.slack.channels[workspace.channel]["members"].append("U0CAT")
    workspace.says("U0CAT", f"<@{BOT}> {KEEPER}")  # who shared it asks where others read
    workspace.answered()
    workspace.slack.channel("D0BOB", "U0BOB", kind="im")
    workspace.says("U0BOB", LAMP, channel="D0BOB")
    workspace.answered(channel="D0BOB", count=len(workspace.finals("D0BOB")) + 1)
    assert "ZEBRAWOOD" not in str(requests)
    requests.clear()
    workspace.says("U0ANN", LAMP, channel=workspace.direct)  # a member, in direct messages
    workspace.answered(channel=workspace.direct)
    assert "ZEBRAWOOD" in str(requests)
    for channel in (workspace.channel, "D0BOB"):
        assert "ZEBRAWOOD" not in str(workspace.slack.messages[channel])
        assert "wages" not in str(workspace.slack.messages[channel])
