"""The bot by Socket Mode, and in several processes over one catalog."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from api.main import create_app
from api.slack.installing import TokenCipher, build_install_link
from ingest.storage.blobs.keyring import generate_key
from tests.integration.slack.conftest import PUBLIC_URL, Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER, Harbour, Model, harbour
from tests.support.serving import serving
from tests.support.slack_double import APP_TOKEN, BOT_TOKEN, CLIENT_ID, CLIENT_SECRET, CODE, Fault, SlackDouble
from tests.support.slack_posts import BOT
from tests.support.slack_sender import SECRET, Sender

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
    wait_until(lambda: set(envelopes) <= set(slack.acknowledged), what="both are acknowledged")
    wait_until(lambda: socket_mode.services.slack.store.count_open_questions() == 0, what="it has ended")
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


def test_a_workspace_is_connected_with_the_tenant_of_a_link(tmp_path: Path, slack: SlackDouble) -> None:
    settings = {
        "slack_signing_secret": SECRET,
        "slack_client_id": CLIENT_ID,
        "slack_client_secret": CLIENT_SECRET,
        "slack_token_keys": generate_key(),
        "slack_api_url": slack.url,
        "public_url": PUBLIC_URL,
    }
    with harbour(tmp_path / "home", Model(), **settings) as made:
        seal = TokenCipher(made.services.settings.slack_token_keys.get_secret_value())  # type: ignore[union-attr]
        path = build_install_link(made.services.settings, seal, "default").removeprefix(PUBLIC_URL)
        with httpx.Client(base_url=made.url, trust_env=False) as browser:
            assert browser.get("/slack/install").status_code == 400
            begun = browser.get(path)
            address = httpx.URL(begun.headers["location"])
            assert (begun.status_code, address.host) == (302, "slack.com")
            state = address.params["state"]
            back = {"code": CODE, "state": state}
            assert browser.get("/slack/oauth_redirect", params=back).status_code == 400  # a browser that did not begin
            cookie = {"Cookie": begun.headers["set-cookie"].split(";")[0]}
            ticket = path.split("ticket=")[1]
            wrong = browser.get("/slack/oauth_redirect", params={**back, "state": ticket}, headers=cookie)
            assert wrong.status_code == 400
            done = browser.get("/slack/oauth_redirect", params=back, headers=cookie)
            assert (done.status_code, done.text[:33]) == (200, "Leadline is installed in Harbour.")
        workspace = made.services.slack.store.find_workspace("T0HARBOUR")
        assert workspace is not None
        assert BOT_TOKEN not in workspace.token
        slack.channel("C0LINKED", "U0ANN")
        sender = Sender(made.url)
        event = slack.says("U0ANN", "C0LINKED", f"<@{BOT}> {KEEPER}")
        assert sender.event(event).status_code == 200
        wait_until(lambda: any(each.is_whole for each in slack.replies("C0LINKED")), what="it is answered")
        assert sender.event(slack.event({"type": "app_uninstalled"})).status_code == 200
        assert made.services.slack.store.find_workspace("T0HARBOUR") is None
        sender.close()


def test_a_service_hears_from_slack_once_slack_is_back(tmp_path: Path, slack: SlackDouble) -> None:
    slack.faults["auth.test"].append(Fault(503))
    settings = {"slack_app_token": APP_TOKEN, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
    with harbour(tmp_path / "home", Model(), **settings) as made:
        wait_until(lambda: made.services.slack.store.find_workspace("T0HARBOUR") is not None, what="it is connected")
        slack.channel("C0BACK", "U0ANN")
        envelope = slack.push(slack.says("U0ANN", "C0BACK", f"<@{BOT}> {KEEPER}"))
        wait_until(lambda: envelope in slack.acknowledged, what="an event is acknowledged")
        wait_until(lambda: any(each.is_whole for each in slack.replies("C0BACK")), what="it is answered")


def test_an_event_that_comes_before_it_is_known_whose_the_token_is_comes_again(
    tmp_path: Path, slack: SlackDouble
) -> None:
    told = threading.Event()
    slack.faults["auth.test"].append(Fault(until=told))
    settings = {"slack_signing_secret": SECRET, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
    with harbour(tmp_path / "home", Model(), **settings) as made:
        slack.channel("C0FIRST", "U0ANN")
        sender, event = Sender(made.url), slack.says("U0ANN", "C0FIRST", f"<@{BOT}> {KEEPER}")
        first = sender.event(event).status_code
        told.set()  # before anything can fail: the service cannot end while it waits for this
        assert first == 500
        wait_until(lambda: made.services.slack.store.find_workspace("T0HARBOUR") is not None, what="it is connected")
        assert sender.event(event, retry=1).status_code == 200
        wait_until(lambda: any(each.is_whole for each in slack.replies("C0FIRST")), what="it is answered")
        sender.close()


def test_a_connection_that_cannot_be_made_leaves_nothing_open(
    tmp_path: Path, slack: SlackDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[SocketModeClient] = []  # also those that nobody else keeps
    make = SocketModeClient.__init__

    def keep(client: SocketModeClient, *arguments: object, **named: object) -> None:
        clients.append(client)
        make(client, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(SocketModeClient, "__init__", keep)
    slack.faults["apps.connections.open"].append(Fault(500))
    settings = {"slack_app_token": APP_TOKEN, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
    with harbour(tmp_path / "home", Model(), **settings):
        slack.channel("C0AGAIN", "U0ANN")
        envelope = slack.push(slack.says("U0ANN", "C0AGAIN", "Hello."))
        wait_until(lambda: envelope in slack.acknowledged, what="it listens at last")
        assert [each.closed for each in clients if each is not clients[-1]] == [True] * (len(clients) - 1)
        assert not clients[-1].closed


def test_a_service_starts_while_slack_is_away(tmp_path: Path) -> None:
    away = {"slack_signing_secret": SECRET, "slack_bot_token": BOT_TOKEN, "slack_api_url": "http://127.0.0.1:9/api/"}
    with harbour(tmp_path / "home", Model(), **away) as made:
        assert made.client.get("/health/ready")["status"] == "ready"
