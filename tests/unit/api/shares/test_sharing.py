"""Links to conversations and runs: made, read by others of the tenant, revoked, and over."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.storage.answers.shares import Shares
from tests.support.asking import AskedApi, asked_api
from tests.unit.api.feedback.test_feedback import of_user


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def share(api: AskedApi, *, status: int = 201, headers: Any = None, **body: Any) -> Any:  # noqa: ANN401 - JSON
    found = api.http.post("/v1/shares", json=body, headers=headers)
    assert found.status_code == status, found.text
    return found.json()


def test_others_of_the_tenant_read_a_conversation_by_its_link_and_strangers_do_not(api: AskedApi) -> None:
    eve = of_user(api, "eve")
    talk = api.ask("First?", conversation="new")["conversation"]
    made = share(api, conversation=talk)
    assert made["url"] == f"/shared/{made['id']}"
    path = f"/v1/shared/{made['id']}"
    assert api.http.get(f"/v1/conversations/{talk}", headers=eve).status_code == 404
    for number in range(2):
        api.ask(f"More {number}?", conversation=talk)
    first = api.http.get(path, params={"limit": 2}, headers=eve).json()
    rest = api.http.get(path, params={"cursor": first["next_cursor"]}, headers=eve).json()
    assert (first["kind"], first["title"], first["run"]) == ("conversation", "First?", None)
    turns = [*first["turns"], *rest["turns"]]
    assert [each["question"] for each in turns] == ["First?", "More 0?", "More 1?"]
    assert rest["next_cursor"] is None
    assert turns[0]["answer"] == api.get(f"/v1/conversations/{talk}")["turns"][0]["answer"]
    assert api.http.get(path, headers=api.stranger).json()["code"] == "share_not_found"
    assert api.http.get(f"{path}/events", headers=eve).status_code == 404


def test_only_who_asked_or_an_admin_makes_a_link_lists_it_and_revokes_it(api: AskedApi) -> None:
    eve, bob = of_user(api, "eve"), of_user(api, "bob")
    body = {"question": "Mine?", "conversation": "new"}
    talk = api.http.post("/v1/answers", json=body, headers=eve).json()["conversation"]
    assert share(api, status=404, headers=bob, conversation=talk)["code"] == "conversation_not_found"
    made = share(api, headers=eve, conversation=talk)
    path = f"/v1/shares/{made['id']}"
    assert api.http.get("/v1/shares", headers=bob).json()["shares"] == []
    assert api.http.delete(path, headers=bob).status_code == 404
    assert api.http.get("/v1/shares", params={"conversation": talk}, headers=eve).json()["shares"] == [made]
    assert [each["by"] for each in api.get("/v1/shares")["shares"]] == ["user:eve"]
    assert api.http.delete(path, headers=eve).status_code == 204
    assert api.http.get(f"/v1/shared/{made['id']}", headers=bob).json()["code"] == "share_not_found"
    again = share(api, headers=eve, conversation=talk)
    assert api.http.delete(f"/v1/shares/{again['id']}").status_code == 204
    actions = [each["action"] for each in api.get("/v1/audit")["entries"]]
    assert actions.count("share.revoked") == actions.count("share.created") == 2


def test_links_are_listed_a_page_at_a_time(api: AskedApi) -> None:
    talk = api.ask(conversation="new")["conversation"]
    made = [share(api, conversation=talk)["id"] for _ in range(3)]
    first = api.get("/v1/shares", limit=2)
    rest = api.get("/v1/shares", limit=2, cursor=first["next_cursor"])
    assert [each["id"] for each in (*first["shares"], *rest["shares"])] == made[::-1]
    assert api.get("/v1/shares", run="other")["shares"] == []


def test_a_link_ends_when_it_was_said_to(api: AskedApi) -> None:
    talk = api.ask(conversation="new")["conversation"]
    soon = datetime.now(UTC) + timedelta(hours=1)
    made = share(api, conversation=talk, expires_at=soon.isoformat())
    assert datetime.fromisoformat(made["expires_at"]) == soon
    assert api.get(f"/v1/shared/{made['id']}")["turns"]
    in_an_hour = Shares(api.engine, clock=lambda: time.time() + 3_601)
    api.services.stores = replace(api.services.stores, answers=replace(api.services.answers, shares=in_an_hour))
    assert api.get(f"/v1/shared/{made['id']}", status=404)["code"] == "share_not_found"
    assert api.get("/v1/shares")["shares"] == []


@pytest.mark.parametrize("days", [-1, 31])
def test_a_link_ends_within_the_days_that_are_set(api: AskedApi, days: int) -> None:
    talk = api.ask(conversation="new")["conversation"]
    then = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    assert share(api, status=400, conversation=talk, expires_at=then)["code"] == "bad_request"


def test_links_can_be_switched_off(api: AskedApi) -> None:
    talk = api.ask(conversation="new")["conversation"]
    api.services.settings.share_days = 0
    assert share(api, status=403, conversation=talk)["code"] == "sharing_off"


def test_a_link_goes_with_what_it_leads_to(api: AskedApi) -> None:
    talk = api.ask(conversation="new")["conversation"]
    made = share(api, conversation=talk)
    api.http.delete(f"/v1/conversations/{talk}")
    assert api.get(f"/v1/shared/{made['id']}", status=404)["code"] == "share_not_found"


def test_a_link_leads_to_one_thing(api: AskedApi) -> None:
    for body in ({}, {"conversation": "a", "run": "b"}):
        assert share(api, status=422, **body)["code"] == "invalid_request"
