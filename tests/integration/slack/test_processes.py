"""The bot by Socket Mode, and in several processes over one catalog."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.main import create_app
from tests.integration.slack.conftest import Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER, Harbour, Model, harbour
from tests.support.serving import serving
from tests.support.slack_double import APP_TOKEN, BOT, BOT_TOKEN, Sender, SlackDouble

pytestmark = pytest.mark.slow


@pytest.fixture
def socket_mode(tmp_path: Path, slack: SlackDouble) -> Iterator[Harbour]:
    settings = {"slack_app_token": APP_TOKEN, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
    with harbour(tmp_path / "home", Model(), **settings) as made:
        yield made


def test_a_service_that_slack_cannot_reach_hears_by_socket_mode(socket_mode: Harbour, slack: SlackDouble) -> None:
    slack.channel("C0SOCKET", "U0ANN")
    event = slack.says("U0ANN", "C0SOCKET", f"<@{BOT}> {KEEPER}")
    envelopes = [slack.push(event), slack.push(event)]
    wait_until(lambda: set(envelopes) <= set(slack.acknowledged), seconds=120, what="both are acknowledged")
    wait_until(lambda: socket_mode.services.slack.open_questions() == 0, seconds=120, what="it has ended")
    (reply,) = slack.replies("C0SOCKET")
    assert "Ada Brandt kept it" in str(reply.blocks)


def test_two_api_processes_answer_once(workspace: Workspace) -> None:
    with serving(create_app(workspace.harbour.services)) as url:
        other = Sender(url)
        event = workspace.slack.says("U0ANN", workspace.channel, f"<@{BOT}> {KEEPER}")
        assert {sender.event(event).status_code for sender in (other, workspace.sender, other)} == {200}
        workspace.answered(event["event"]["ts"])
        assert len(workspace.slack.replies(workspace.channel)) == 1
        other.close()
