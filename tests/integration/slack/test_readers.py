"""What is closed to somebody in a channel appears nowhere in it, whoever asks."""

from collections.abc import Iterator

import pytest

from api.slack.replies.messages import GO_AHEAD
from ingest.storage.slack.records import ChannelSettings
from tests.integration.slack.conftest import Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER
from tests.support.slack_posts import BOT
from tests.support.slack_sender import TEAM

pytestmark = pytest.mark.slow

PRIVATE = b"# Wages\n\nWho kept the lighthouse was paid ZEBRAWOOD crowns a year.\n"
WORD = "ZEBRAWOOD"
TIDES = b"# Tides\n\nWho kept the lighthouse wrote the TIDEMARK down.\n"


@pytest.fixture(scope="module", autouse=True)
def private(served: object) -> Iterator[None]:
    """A document that Ann may read, and one for a group in Slack that both are in."""
    harbour = served
    client = harbour.client  # type: ignore[attr-defined]
    for user in ("ann@harbour.example", "bob@harbour.example"):
        harbour.services.accounts.users.create("default", user, ["crew"] if user.startswith("b") else [])  # type: ignore[attr-defined]
    document = client.http.post(
        "/v1/documents", params={"name": "wages.md", "readers": "user:ann@harbour.example"}, content=PRIVATE
    )
    document.raise_for_status()
    path = f"/v1/documents/{document.json()['id']}"
    wait_until(lambda: client.get(path)["state"] == "ready", what="it is ready")
    yield
    client.http.delete(path).raise_for_status()


def read(workspace: Workspace) -> str:
    """Everything that the model was shown since the last call, and forget it."""
    requests, workspace.harbour.model.requests[:] = list(workspace.harbour.model.requests), []
    return str(requests)


def test_a_private_document_is_read_for_whoever_may_see_it_and_for_no_channel(workspace: Workspace) -> None:
    read(workspace)
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    assert WORD not in read(workspace)
    workspace.says("U0ANN", KEEPER, channel=workspace.direct)
    workspace.answered(channel=workspace.direct)
    assert WORD in read(workspace)
    workspace.slack.channel("D0BOB", "U0BOB", kind="im")
    workspace.says("U0BOB", KEEPER, channel="D0BOB")
    workspace.answered(channel="D0BOB")
    assert WORD not in read(workspace)
    for channel in (workspace.channel, "D0BOB"):
        assert WORD not in str(workspace.slack.messages[channel])


def test_a_button_asks_again_for_its_presser_alone(workspace: Workspace) -> None:
    thread = workspace.says("U0BOB", f"<@{BOT}> {KEEPER}")
    (reply,) = workspace.answered(thread)
    before = len(workspace.finals("D0ANN"))
    read(workspace)
    button = next(block for block in reply.blocks if block["type"] == "actions")["elements"][0]
    for _ in range(2):
        assert (
            workspace.sender.press("U0ANN", button["action_id"], button["value"], workspace.channel).status_code == 200
        )
    workspace.answered(channel="D0ANN", count=before + 1)
    assert WORD in read(workspace)
    assert len(workspace.finals("D0ANN")) == before + 1
    assert len(workspace.slack.replies(workspace.channel)) == 1


def test_a_group_of_ours_cannot_be_entered_by_a_group_of_that_name_in_slack(workspace: Workspace) -> None:
    client = workspace.harbour.client
    made = client.http.post(
        "/v1/documents", params={"name": "crew.md", "readers": "group:crew"}, content=PRIVATE + b"Crew."
    )
    path = f"/v1/documents/{made.json()['id']}"
    wait_until(lambda: client.get(path)["state"] == "ready", what="it is ready")
    workspace.slack.user_groups[:] = [{"handle": "crew", "users": ["U0ANN", "U0BOB"]}]
    read(workspace)
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    shown = read(workspace)
    workspace.slack.user_groups.clear()
    client.http.delete(path).raise_for_status()
    assert "Crew." not in shown


def test_a_button_of_another_workspace_does_nothing(workspace: Workspace) -> None:
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    store = workspace.harbour.services.slack.store
    question = store.find_question(workspace.slack.replies(workspace.channel)[0].metadata["event_payload"]["question"])  # type: ignore[index]
    assert question is not None
    payload = '{"type": "block_actions", "team": {"id": "T0OTHER"}, "user": {"id": "U0EVE"}, "trigger_id": "1", '
    payload += f'"actions": [{{"action_id": "leadline_privately", "type": "button", "value": "{question.id}"}}]}}'
    workspace.sender.form({"payload": payload})
    workspace.quiet()
    assert "D0EVE" not in workspace.slack.channels


@pytest.fixture
def pilots(workspace: Workspace) -> Iterator[None]:
    """A channel whose members are of a group of ours, a document for that group, and somebody outside of it."""
    services, client = workspace.harbour.services, workspace.harbour.client
    people = ("U0CARL", "carl@harbour.example"), ("U0DORA", "dora@harbour.example")
    known = {each.name for each in services.accounts.users.list_users("default")}
    for identifier, mail in people:
        workspace.slack.person(identifier, mail)
        if mail not in known:
            services.accounts.users.create("default", mail, ["pilots"])
    made = client.http.post("/v1/documents", params={"name": "pilots.md", "readers": "group:pilots"}, content=TIDES)
    path = f"/v1/documents/{made.json()['id']}"
    wait_until(lambda: client.get(path)["state"] == "ready", what="it is ready")
    workspace.slack.channel(workspace.channel, *(identifier for identifier, _ in people))
    workspace.slack.person("U0EVE")
    read(workspace)
    yield
    client.http.delete(path).raise_for_status()


@pytest.mark.usefixtures("pilots")
def test_who_comes_into_a_channel_while_it_is_answered_reads_nothing_closed_to_them(workspace: Workspace) -> None:
    """The audience may read a document as the run begins, and not all of it as the run ends."""
    workspace.model.pause.clear()
    thread = workspace.says("U0CARL", f"<@{BOT}> {KEEPER}")
    wait_until(lambda: "TIDEMARK" in str(workspace.harbour.model.requests), what="the model reads it")
    workspace.slack.channels[workspace.channel]["members"].append("U0EVE")
    workspace.model.pause.set()
    (reply,) = workspace.answered(thread)
    assert "not everybody here may see" in reply.text
    assert "TIDEMARK" not in str(workspace.slack.messages[workspace.channel])
    assert "lighthouse was Ada" not in str(reply)


@pytest.mark.usefixtures("pilots", "who_reads_along")
def test_what_is_shown_of_an_answer_goes_when_somebody_comes_who_may_not_see_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.slack.replies.delivery._READERS_SECONDS", 0.2)
    thread = workspace.says("U0CARL", f"<@{BOT}> {KEEPER}")

    def shown() -> str:
        return workspace.slack.shown(workspace.channel, thread)

    wait_until(lambda: "outer mole" in shown(), what="the answer is read along")
    workspace.slack.channels[workspace.channel]["members"].append("U0EVE")
    wait_until(lambda: "outer mole" not in shown(), what="it is shown no more")
    assert workspace.finals() == []  # the run goes on
    assert "pilots" not in shown()
    workspace.hurries()
    (reply,) = workspace.answered(thread)
    assert "not everybody here may see" in reply.text


def test_who_may_not_ask_in_a_channel_may_not_by_a_shortcut_or_a_button(workspace: Workspace) -> None:
    store = workspace.harbour.services.slack.store
    known = store.find_workspace(TEAM)
    assert known is not None
    store.set_channel_settings(known, workspace.channel, ChannelSettings(askers=("U0ANN",)), "U0ANN")
    event = workspace.slack.says("U0BOB", workspace.channel, KEEPER)
    assert workspace.sender.shortcut("U0BOB", event, "7.1").is_success
    workspace.quiet()
    assert workspace.slack.replies(workspace.channel) == []
    assert workspace.sender.shortcut("U0ANN", event, "7.2").is_success
    (reply,) = workspace.answered(event["event"]["ts"])
    assert reply.metadata is not None
    question = reply.metadata["event_payload"]["question"]
    assert workspace.sender.press("U0BOB", GO_AHEAD, question, workspace.channel).is_success
    workspace.quiet()
    assert len(workspace.finals()) == 1
    for _ in range(2):
        assert workspace.sender.press("U0ANN", GO_AHEAD, question, workspace.channel).is_success
    assert len(workspace.answered(event["event"]["ts"], count=2)) == 2
