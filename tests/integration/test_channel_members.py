"""Who leaves a Slack channel no longer finds its threads after one sync, and who joins finds them, over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from api.main import create_app
from api.sources.schemas import SourceOut
from ingest.storage.accounts.records import Scope
from ingest.storage.blobs.keyring import generate_key
from tests.support.cluster import wait_until
from tests.support.hostile_sources import synchronize, wait_for_sync
from tests.support.service import running
from tests.support.slack_double import BOT_TOKEN, SlackDouble, slack_double

_QUAY = "C0QUAY"
_MAIL = {"ann": "ann@harbour.example", "bob": "bob@harbour.example", "cy": "cy@harbour.example"}


@dataclass
class Workspace:
    slack: SlackDouble
    client: Client
    source: SourceOut
    http: TestClient
    keys: dict[str, str]

    def finds(self, person: str, query: str = "Where is the lighthouse key?") -> bool:
        """Return whether a person's search finds the thread. Only those who find it can open its document."""
        headers = {"Authorization": f"Bearer {self.keys[person]}"}
        reply = self.http.post("/v1/search", json={"query": query}, headers=headers)
        found = "barrel" in reply.raise_for_status().text
        (document,) = self.client.documents()
        assert self.http.get(f"/v1/documents/{document.id}", headers=headers).status_code == (200 if found else 404)
        listed = self.http.get("/v1/documents", headers=headers).json()["documents"]
        assert [each["id"] for each in listed] == [document.id] * found
        return found


def _issue_key(services: Services, user: str) -> str:
    services.accounts.users.create(DEFAULT_TENANT, user, [])
    scopes = frozenset({Scope.READ})
    return services.keys.issue_key(DEFAULT_TENANT, user, scopes=scopes, user=user)[1]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A private channel of Ann and Bob with one thread, synchronized into a service that Cy uses, too."""
    with slack_double() as slack:
        for person, mail in _MAIL.items():
            slack.person(f"U0{person.upper()}", mail)
        slack.channel(_QUAY, "U0ANN", "U0BOB", kind="group")
        slack.says("U0ANN", _QUAY, "The lighthouse key is in the barrel.")
        settings: dict[str, Any] = {"slack_api_url": slack.url, "source_keys": generate_key()}
        with running(tmp_path / "home", **settings) as (services, client), TestClient(create_app(services)) as http:
            keys = {person: _issue_key(services, mail) for person, mail in _MAIL.items()}
            options = {"token": BOT_TOKEN, "channels": [_QUAY]}
            source = client.create_source("Quay", "slack", options, interval_seconds=0)
            assert wait_for_sync(client, source.id).counts.added == 1
            wait_until(lambda: [each.state for each in client.documents()] == ["ready"], what="it is ready")
            yield Workspace(slack, client, source, http, keys)


def test_a_member_who_leaves_finds_nothing_after_one_sync_and_one_who_joins_finds_it(workspace: Workspace) -> None:
    assert {person: workspace.finds(person) for person in _MAIL} == {"ann": True, "bob": True, "cy": False}
    workspace.slack.leaves("U0BOB", _QUAY)
    workspace.slack.joins("U0CY", _QUAY)
    sync = synchronize(workspace.client, workspace.source)
    assert (sync.state, sync.counts.unchanged, sync.counts.changed) == ("succeeded", 1, 0)
    assert {person: workspace.finds(person) for person in _MAIL} == {"ann": True, "bob": False, "cy": True}
    workspace.slack.joins("U0BOB", _QUAY)
    synchronize(workspace.client, workspace.source)
    assert workspace.finds("bob")


def test_who_is_no_longer_in_the_workspace_finds_nothing_after_one_sync(workspace: Workspace) -> None:
    workspace.slack.people["U0BOB"]["deleted"] = True
    synchronize(workspace.client, workspace.source)
    assert {person: workspace.finds(person) for person in _MAIL} == {"ann": True, "bob": False, "cy": False}


def test_a_channel_that_becomes_private_closes_its_threads_and_one_that_becomes_public_opens_them(
    workspace: Workspace,
) -> None:
    workspace.slack.channels[_QUAY]["kind"] = "channel"
    synchronize(workspace.client, workspace.source)
    assert workspace.finds("cy")
    workspace.slack.channels[_QUAY]["kind"] = "group"
    synchronize(workspace.client, workspace.source)
    assert not workspace.finds("cy")
