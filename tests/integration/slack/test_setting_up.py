"""The app's home, its manifest and its check: what people who set the bot up see."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.slack.home import CHOOSE
from api.slack.manifest import SCOPES, build_manifest
from tests.integration.slack.conftest import Workspace
from tests.support.harbour import KEEPER, LAMP
from tests.support.slack_double import BOT_TOKEN, SlackDouble
from tests.support.slack_posts import BOT
from tests.support.slack_sender import SECRET

pytestmark = pytest.mark.slow


def chosen(values: dict[str, Any]) -> dict[str, Any]:
    """A form's values: nothing chosen but the strategy."""
    strategy = {"type": "radio_buttons", "selected_option": {"value": "auto"}}
    usual = {"strategy": strategy, "when": {"selected_options": []}, "askers": {"selected_users": []}}
    return usual | values


def test_a_channels_members_set_what_is_asked_there_and_when(workspace: Workspace) -> None:
    opened = {"type": "app_home_opened", "user": "U0ANN", "tab": "home", "channel": workspace.direct}
    assert workspace.sender.event(workspace.slack.event(opened)).status_code == 200
    assert workspace.slack.views["U0ANN"]["type"] == "home"
    assert workspace.sender.choose("U0ANN", CHOOSE, workspace.channel).status_code == 200
    form = workspace.slack.views["modal"]
    assert [each["block_id"] for each in form["blocks"]] == ["collections", "strategy", "when", "askers", "files"]
    only = {"selected_options": [{"value": "mention_only"}]}
    assert workspace.sender.submit(
        "U0ANN", form, chosen({"when": only, "askers": {"selected_users": ["U0ANN"]}})
    ).is_success
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    workspace.says("U0ANN", LAMP, thread=thread)  # names nobody
    workspace.says("U0BOB", f"<@{BOT}> {LAMP}")  # may not ask here
    workspace.quiet()
    assert len(workspace.finals()) == 1
    workspace.sender.choose("U0ANN", CHOOSE, workspace.channel)
    assert workspace.slack.views["modal"]["blocks"][2]["element"]["initial_options"]


def test_a_channel_with_a_collection_of_its_own_is_answered_from_that_alone(workspace: Workspace) -> None:
    workspace.sender.choose("U0ANN", CHOOSE, workspace.channel)
    nothing = chosen({"collections": {"selected_options": [{"value": "empty"}]}})
    assert workspace.sender.submit("U0ANN", workspace.slack.views["modal"], nothing).is_success
    workspace.harbour.model.requests.clear()
    thread = workspace.says("U0ANN", f"<@{BOT}> {KEEPER}")
    workspace.answered(thread)
    assert "lighthouse was Ada" not in str(workspace.harbour.model.requests)


def test_who_is_not_in_a_channel_changes_nothing_of_it(workspace: Workspace) -> None:
    workspace.sender.choose("U0ANN", CHOOSE, workspace.channel)
    form = workspace.slack.views["modal"]
    workspace.slack.person("U0EVE")
    workspace.sender.choose("U0EVE", CHOOSE, workspace.channel)
    assert "Only members" in str(workspace.slack.views["modal"])
    workspace.sender.submit("U0EVE", form, chosen({"askers": {"selected_users": ["U0EVE"]}}))
    store = workspace.harbour.services.slack.store
    assert store.load_channel_settings("T0HARBOUR", workspace.channel).askers == ()


def test_the_manifest_keeps_slacks_limits_and_asks_for_what_is_used() -> None:
    made = build_manifest("https://leadline.example.org/", socket_mode=False)
    shown = made["display_information"]
    assert len(shown["description"]) <= 140
    assert 174 <= len(shown["long_description"]) <= 4_000
    assistant = made["features"]["agent_view"]
    assert len(assistant["agent_description"]) <= 300
    # A prompt that presupposes a document answers "not found" in most workspaces.
    assert all("these documents" in prompt["message"] for prompt in assistant["suggested_prompts"])
    urls = [
        made["settings"]["event_subscriptions"]["request_url"],
        made["settings"]["interactivity"]["request_url"],
        made["features"]["slash_commands"][0]["url"],
    ]
    assert set(urls) == {"https://leadline.example.org/slack/events"}
    assert "request_url" not in str(build_manifest(None, socket_mode=True))
    with pytest.raises(ValueError, match="address"):
        build_manifest(None, socket_mode=False)


def test_the_check_names_each_scope_that_is_missing(slack: SlackDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_SIGNING_SECRET": SECRET, "SLACK_API_URL": slack.url}
    for name, value in {**settings, "PUBLIC_URL": "https://leadline.example.org"}.items():
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    monkeypatch.setenv("COLUMNS", "300")
    good = CliRunner().invoke(app, ["slack", "check"])
    assert good.exit_code == 0, good.output
    assert "usergroups:read" in good.output
    slack.scopes.remove("commands")
    bad = CliRunner().invoke(app, ["slack", "check"])
    slack.scopes[:] = [*SCOPES]
    assert bad.exit_code == 1
    assert "Add commands (for /ask and the shortcut)" in bad.output
    monkeypatch.setenv("LEADLINE_SLACK_BOT_TOKEN", "xoxb-wrong")
    assert "invalid_auth" in CliRunner().invoke(app, ["slack", "check"]).output
    printed = CliRunner().invoke(app, ["slack", "manifest"])
    assert json.loads(printed.stdout)["_metadata"] == {"major_version": 2}
