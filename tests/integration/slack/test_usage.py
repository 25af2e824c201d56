"""What was asked, answered, shared and spent in Slack, by channel and day."""

import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas import rows as quota_rows
from tests.integration.slack.conftest import Workspace
from tests.support.harbour import KEEPER
from tests.support.slack_posts import BOT

pytestmark = pytest.mark.slow


def usage(workspace: Workspace, **choices: Any) -> dict[str, Any]:  # noqa: ANN401 - parameters of the request
    found: dict[str, Any] = workspace.harbour.client.http.get("/v1/usage/slack", params=choices).json()
    return found


def test_usage_is_told_by_channel_and_day_a_page_at_a_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, one_day: None
) -> None:
    other = f"{workspace.channel}B"
    workspace.slack.channel(other, "U0ANN")
    file = workspace.slack.uploads("U0ANN", "used.md", f"# Used\n\nIn {workspace.channel} alone.\n".encode())
    workspace.answered(workspace.shares("U0ANN", file, text=f"<@{BOT}> {KEEPER}"), count=2)
    workspace.harbour.services.settings.slack_files = False
    workspace.says("U0ANN", f"<@{BOT}> {'x' * 60_000}", channel=other)  # too long to be answered
    workspace.answered(channel=other)
    workspace.harbour.services.settings.slack_files = True
    (mine,) = usage(workspace, channel=workspace.channel)["usage"]
    counts = {name: mine[name] for name in ("questions", "answers", "files", "documents")}
    assert counts == {"questions": 1, "answers": 1, "files": 1, "documents": 1}
    assert mine["prompt_tokens"] > 0
    assert mine["day"] == quota_rows.format_day(time.time())
    (theirs,) = usage(workspace, channel=other)["usage"]
    assert (theirs["questions"], theirs["answers"], theirs["prompt_tokens"]) == (1, 0, 0)
    listed: list[dict[str, Any]] = []
    page = usage(workspace, limit=1)
    while True:
        listed += page["usage"]
        assert len(page["usage"]) == 1
        if page["next_cursor"] is None:
            break
        page = usage(workspace, limit=1, cursor=page["next_cursor"])
    assert len(listed) == len({(each["day"], each["channel"]) for each in listed})
    assert {workspace.channel, other} <= {each["channel"] for each in listed}
    assert usage(workspace, until="2020-01-01")["usage"] == []
    monkeypatch.setenv("LEADLINE_HOME", str(workspace.harbour.services.settings.home))
    shown = CliRunner().invoke(app, ["slack", "usage", "--channel", workspace.channel, "--json"])
    assert json.loads(shown.stdout) == [mine]
    table = CliRunner().invoke(app, ["slack", "usage", "--limit", "1"], env={"COLUMNS": "200"})
    assert "For more rows, add --skip 1." in table.output


def test_only_admins_see_who_asked_how_much_where(workspace: Workspace) -> None:
    _, key = workspace.harbour.services.keys.issue_key("default", "a reader", scopes=frozenset({Scope.READ}))
    answer = workspace.harbour.client.http.get("/v1/usage/slack", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
