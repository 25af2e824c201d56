"""Listings, one action on many documents, retrying, versions, links for users and the audit log over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Role, Scope
from tests.support.cluster import wait_until
from tests.support.people import asked_by_people
from tests.support.service import running


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


def settled(client: Client) -> None:
    busy = {"accepted", "parsing", "chunking", "indexing", "searchable", "embedding"}
    wait_until(lambda: not busy & set(client.get("/v1/status")["documents"]), what="all have ended")


def upload(client: Client, name: str, content: bytes, **params: str) -> str:
    sent = client.http.post("/v1/documents", params={"name": name, **params}, content=content)
    return str(sent.json()["id"])


def some(client: Client, *names: str, **params: str) -> dict[str, str]:
    made = {name: upload(client, name, f"{name} is a ship.".encode(), **params) for name in names}
    settled(client)
    return made


def named(client: Client, **params: Any) -> list[str]:  # noqa: ANN401 - of a query
    return [each["name"] for each in client.get("/v1/documents", **params)["documents"]]


def through(client: Client, body: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Take every step of a bulk action; how many were done, and what was refused."""
    done, refused, cursor = 0, [], client.post("/v1/documents/bulk/plan", body)["cursor"]
    while cursor is not None:
        step = client.post("/v1/documents/bulk", {**body, "cursor": cursor})
        done, cursor = done + step["done"], step["next_cursor"]
        refused += step["refused"]
    return done, refused


def test_a_listing_in_the_order_of_names_goes_on_after_its_cursor_and_counts_all(client: Client) -> None:
    some(client, "b 10.txt", "b 9.txt", "A.txt")
    assert named(client, order="name") == ["A.txt", "b 9.txt", "b 10.txt"]
    first = client.get("/v1/documents", order="-name", limit=2, with_total="true")
    assert (first["total"], [each["name"] for each in first["documents"]]) == (3, ["b 10.txt", "b 9.txt"])
    assert named(client, order="-name", limit=2, cursor=first["next_cursor"]) == ["A.txt"]
    assert client.get("/v1/status")["types"] == {"text/plain": 3}
    assert named(client, type="application/pdf") == []
    for order, cursor in (("size", first["next_cursor"]), ("name", "WzEsIDJd"), ("name", "e30"), ("oldest", "x")):
        refused = client.http.get("/v1/documents", params={"order": order, "cursor": cursor})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request"), (order, cursor)


def test_all_that_match_are_deleted_in_steps_after_a_plan_says_what_goes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.documents import listing_routes as listing

    monkeypatch.setattr(listing, "_STEP_DOCUMENTS", 2)
    some(client, *(f"draft {number}.txt" for number in range(5)), "kept.txt")
    body: dict[str, Any] = {"action": "delete", "matching": {"named": "DRAFT"}}
    plan = client.post("/v1/documents/bulk/plan", body)
    assert (plan["documents"], plan["chunks"], plan["others"]) == (5, 5, 0)
    assert plan["bytes"] == len("draft 0.txt is a ship.") * 5
    assert len(named(client)) == 6
    first = client.post("/v1/documents/bulk", {**body, "cursor": plan["cursor"]})
    assert (first["done"], first["next_cursor"] is None) == (2, False)
    some(client, "draft late.txt")
    rest = [client.post("/v1/documents/bulk", {**body, "cursor": first["next_cursor"]})]
    while rest[-1]["next_cursor"]:
        rest.append(client.post("/v1/documents/bulk", {**body, "cursor": rest[-1]["next_cursor"]}))
    assert [each["done"] for each in rest] == [2, 1]
    assert named(client) == ["kept.txt", "draft late.txt"]


def test_what_failed_is_tried_again_from_its_own_bytes_and_nothing_else_is(client: Client) -> None:
    ids = list(some(client, "0.txt", "1.txt").values())
    ids.append(upload(client, "bad.pdf", b"%PDF-1.7 and nothing else of one"))
    settled(client)
    bad = client.get(f"/v1/documents/{ids[2]}")
    assert bad["state"] == "failed"
    body: dict[str, Any] = {"action": "retry", "documents": ids}
    plan = client.post("/v1/documents/bulk/plan", body)
    assert (plan["documents"], plan["others"]) == (1, 2)
    assert through(client, body) == (1, [])
    settled(client)
    again = client.get(f"/v1/documents/{ids[2]}")
    assert (again["state"], again["version"] == bad["version"]) == ("failed", False)
    assert client.http.post(f"/v1/documents/{ids[2]}/retry").status_code == 202
    settled(client)
    assert client.http.get(f"/v1/documents/{ids[2]}/original").content == b"%PDF-1.7 and nothing else of one"
    refused = client.http.post(f"/v1/documents/{ids[0]}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "document_state")
    found = client.get(f"/v1/documents/{ids[2]}/versions")["versions"]
    assert [(each["state"], each["active"]) for each in found] == [
        ("failed", False),
        ("retired", False),
        ("retired", False),
    ]


def test_versions_are_listed_with_the_one_that_searches_find(client: Client) -> None:
    (identifier,) = some(client, "a.txt").values()
    client.http.put(f"/v1/documents/{identifier}", content=b"Another text.", headers={"If-Match": "*"})
    settled(client)
    found = client.get(f"/v1/documents/{identifier}/versions")["versions"]
    assert [(each["state"], each["active"], each["size_bytes"]) for each in found] == [
        ("ready", True, 13),
        ("retired", False, 16),
    ]


def test_who_may_see_many_documents_is_changed_at_once_and_who_may_not_write_one_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "home") as (services, client), asked_by_people(services) as (http, people):
        ids = []
        for name, collection in (("one.txt", "default"), ("two.txt", "default"), ("three.txt", "locked")):
            params = {"name": name, "collection": collection}
            sent = http.post("/v1/documents", params=params, content=name.encode(), headers=people.of("eve"))
            ids.append(sent.json()["id"])
        settled(client)
        services.accounts.grants.grant_role(DEFAULT_TENANT, "locked", "user:eve", Role.READER)
        body = {"action": "readers", "documents": ids, "readers": ["group:hr"]}
        step = http.post("/v1/documents/bulk", json=body, headers=people.of("eve")).json()
        assert (step["done"], [each["id"] for each in step["refused"]]) == (2, [ids[2]])
        assert step["refused"][0]["problem"]["code"] == "role_missing"
        assert http.get(f"/v1/documents/{ids[0]}", headers=people.of("bob")).status_code == 404
        closed = {"action": "delete", "documents": ids}
        assert http.post("/v1/documents/bulk", json=closed, headers=people.of("bob")).json()["done"] == 0
        outside = {"action": "readers", "documents": ids[:1], "readers": ["user:bob"]}
        refused = http.post("/v1/documents/bulk", json=outside, headers=people.of("eve")).json()["refused"]
        assert len(refused) == 1, "she would no longer see it herself"
        assert len(named(client)) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"action": "delete"},
        {"action": "delete", "documents": ["x"], "matching": {}},
        {"action": "delete", "documents": ["x"], "readers": None},
        {"action": "readers", "documents": ["x"]},
        {"action": "delete", "documents": ["x"], "cursor": "x"},
        {"action": "readers", "documents": ["x"], "readers": ["everybody"]},
    ],
)
def test_a_bulk_action_that_cannot_be_meant_is_refused(client: Client, body: dict[str, Any]) -> None:
    found = client.http.post("/v1/documents/bulk", json=body)
    assert found.status_code in (400, 422), found.text


def test_a_link_signs_a_user_in_once_with_its_scopes_and_all_of_its_sessions_end_together(
    service: tuple[Services, Client], client: Client
) -> None:
    services = service[0]
    user = client.post("/v1/users", {"name": "ann", "groups": ["hr", "books"]})
    assert (user["scopes"], user["keys"], user["sessions"]) == ([], 0, 0)
    assert client.get("/v1/groups")["groups"] == [{"name": "books", "members": 1}, {"name": "hr", "members": 1}]
    link = client.post(f"/v1/users/{user['id']}/sign-in-link", {"scopes": ["read", "ask"]})
    caller = services.accounts.sessions.redeem_ticket(link["url"].partition("#")[2])
    assert caller is not None
    assert (caller.user, sorted(caller.scopes), sorted(caller.groups)) == ("ann", ["ask", "read"], ["books", "hr"])
    assert services.accounts.sessions.redeem_ticket(link["url"].partition("#")[2]) is None
    session = services.accounts.sessions.start_session(caller)
    shown = client.get("/v1/users/ann")
    assert (shown["scopes"], shown["keys"], shown["sessions"]) == (["ask", "read"], 1, 1)
    again = client.post(f"/v1/users/{user['id']}/sign-in-link", {"scopes": ["read"]})
    assert again["key"] == link["key"]
    changed = services.accounts.sessions.authenticate(session)
    assert changed is not None
    assert changed.scopes == {Scope.READ}
    assert client.post("/v1/users/ann/sign-out", {})["sessions"] == 2
    assert services.accounts.sessions.authenticate(session) is None
    assert services.accounts.sessions.redeem_ticket(again["url"].partition("#")[2]) is None
    later = services.accounts.sessions.start_session(caller)
    assert client.http.delete("/v1/users/ann").status_code == 204
    assert services.accounts.sessions.authenticate(later) is None
    operator = client.post("/v1/users", {"name": "bea"})
    refused = client.http.post(f"/v1/users/{operator['id']}/sign-in-link", json={"scopes": ["operator"]})
    assert refused.status_code == 403


def test_the_audit_log_is_filtered_verified_and_exported_for_one_tenant(
    service: tuple[Services, Client], client: Client
) -> None:
    services = service[0]
    services.documents.catalog.ensure_tenant("other")
    services.accounts.users.create("other", "stranger")
    services.accounts.users.create("other", "another stranger")
    client.post("/v1/users", {"name": "ann"})
    me = client.get("/v1/me")
    mine = client.get("/v1/audit", by=me["key"])["entries"]
    assert [each["action"] for each in mine] == ["user.created"]
    assert client.get("/v1/audit", by="nobody")["entries"] == []
    export = client.http.get("/v1/audit/export")
    lines = [json.loads(line) for line in export.text.splitlines()]
    assert {each["tenant"] for each in lines} == {DEFAULT_TENANT}
    assert lines[-1]["action"] == "user.created"
    assert [each["sequence"] for each in lines] == sorted(each["sequence"] for each in lines)
    only = client.http.get("/v1/audit/export", params={"action": "user.created"}).text.splitlines()
    assert len(only) == 1
    head = export.headers["Leadline-Audit-Head"]
    found = client.get("/v1/audit/verification", anchor=head)
    assert (found["faults"], found["head"], found["entries"]) == ([], head, len(lines))
    services.accounts.users.create("other", "a third stranger")
    assert client.get("/v1/audit/verification")["head"] == head, "it says nothing of what others do"
    assert client.http.get("/v1/audit/export").headers["Leadline-Audit-Head"] == head
    ahead = client.get("/v1/audit/verification", anchor=f"999999:{'0' * 64}")["faults"]
    assert [each["sequence"] for each in ahead] == [999999]
    wrong = f"{head.partition(':')[0]}:{'0' * 64}"
    assert client.get("/v1/audit/verification", anchor=wrong)["faults"]
    assert client.http.get("/v1/audit/verification", params={"anchor": "x"}).status_code == 400


def test_usage_by_collection_counts_a_question_in_each_collection_that_it_read(tmp_path: Path) -> None:
    with running(tmp_path / "home") as (services, client), asked_by_people(services) as (http, people):
        some(client, "whale.txt", collection="animals")
        some(client, "anchor.txt", collection="ships")
        eve = people.of("eve")
        for collections in (["animals"], ["animals", "ships"]):
            asked = {"question": "Which one is a ship?", "collections": collections}
            assert http.post("/v1/answers", json=asked, headers=eve).status_code == 200
        run = http.post("/v1/answers", json={**asked, "background": True}, headers=people.of("bob")).json()["id"]
        wait_until(lambda: client.get(f"/v1/runs/{run}")["state"] == "completed", what="the run has ended")

        def shown(headers: dict[str, str], **days: str) -> dict[str, int]:
            found = http.get("/v1/usage/collections", params=days, headers=headers).json()["collections"]
            return {each["collection"]: each["questions"] for each in found}

        assert shown(people.of("admin")) == {"animals": 3, "ships": 2}
        assert shown(eve) == {"animals": 2, "ships": 1}
        assert shown(eve, until="2020-01-01") == {}
        services.accounts.grants.grant_role(DEFAULT_TENANT, "ships", "user:bob", Role.READER)
        assert shown(eve) == {"animals": 2}
        assert http.get("/v1/usage/collections", params={"since": "2026-13-40"}, headers=eve).status_code == 400
