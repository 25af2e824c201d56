"""The state of the Slack bot over HTTP: from what is stored, without a request to Slack, and without a token."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingest.storage.accounts.records import Scope
from ingest.storage.slack.records import (
    ChannelSettings,
    IncomingQuestion,
    IncomingShare,
    QuestionState,
    SharedFile,
    Surface,
    Workspace,
)
from tests.support.asking import AskedApi, asked_api

TOKEN = "xoxb-hush"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def set_up(api: AskedApi, **settings: object) -> None:
    api.services.settings = api.services.settings.model_copy(update=settings)


def install(api: AskedApi) -> None:
    store = api.services.slack.store
    workspace = Workspace("T1", "ann", "Harbour", "UBOT", TOKEN, ("chat:write",), "U1")
    store.install_workspace(workspace)
    store.install_workspace(Workspace("T2", "bob", "Elsewhere", "UBOT", TOKEN))
    store.set_channel_settings(workspace, "C1", ChannelSettings(("plans",), files_to="inbox"), "U1")
    for number, user in enumerate(("U1", "U2", "U1")):
        asked = IncomingQuestion("T1", "ann", "C1", str(number), str(number), user, Surface.CHANNEL, "Which colour?")
        store.store_question(asked, [f"event {number}"])
    (first, *_) = store.claim()
    store.end_question(first, QuestionState.ANSWERED, "model_unavailable")
    shared = IncomingShare("T1", "ann", "C1", "9", "9", "U3")
    api.services.slack.files.store_message(shared, [SharedFile("F1", "plan.pdf")], join_thread=False)


def test_a_bot_that_is_not_set_up_says_so_and_offers_its_manifest(api: AskedApi) -> None:
    found = api.get("/v1/slack")
    assert (found["is_set_up"], found["transport"], found["workspaces"]) == (False, None, [])
    assert found["manifests"]["http"] is None
    assert found["manifests"]["socket_mode"]["settings"]["socket_mode_enabled"] is True
    set_up(api, public_url="https://leadline.example.org")
    url = "https://leadline.example.org/slack/events"
    assert api.get("/v1/slack")["manifests"]["http"]["settings"]["event_subscriptions"]["request_url"] == url
    assert api.http.post("/v1/slack/check").json()["code"] == "bad_request"


def test_the_state_tells_of_workspaces_channels_files_and_the_last_failure(api: AskedApi) -> None:
    install(api)
    set_up(api, slack_signing_secret=SecretStr("hush"), slack_bot_token=SecretStr(TOKEN))
    found = api.get("/v1/slack")
    assert (found["is_set_up"], found["transport"], found["users"]) == (True, "http", 3)
    (workspace,) = found["workspaces"]
    assert workspace["name"] == "Harbour"
    assert "chat:write" not in workspace["missing_scopes"]
    assert "im:history" in workspace["missing_scopes"]
    (channel,) = found["channels"]
    assert (channel["channel"], channel["questions"], channel["files_to"]) == ("C1", 3, "inbox")
    assert channel["collections"] == ["plans", "inbox"]
    assert found["files"] == {"waiting": 1}
    assert found["open_questions"] == 2
    assert found["last_failure"]["code"] == "model_unavailable"
    assert found["last_event_at"] is not None
    assert TOKEN not in str(found)


def test_nothing_of_another_tenants_workspace_is_told(api: AskedApi) -> None:
    install(api)
    found = api.http.get("/v1/slack", headers=api.stranger).json()
    assert [each["name"] for each in found["workspaces"]] == ["Elsewhere"]
    assert (found["channels"], found["users"], found["last_failure"]) == ([], 0, None)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/slack"), ("POST", "/v1/slack/check")])
def test_slack_needs_the_scope_admin(api: AskedApi, method: str, path: str) -> None:
    _, key = api.services.keys.issue_key("ann", "a reader", scopes=[Scope.READ, Scope.ASK, Scope.WRITE])
    assert api.http.request(method, path, headers={"Authorization": f"Bearer {key}"}).status_code == 403
