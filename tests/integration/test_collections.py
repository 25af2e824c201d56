"""Collections over HTTP: made, described, listed, changed and deleted, by people who may and who may not."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.support.cluster import wait_until
from tests.support.people import People, asked_by_people
from tests.support.service import running

TEXT = b"# Harbour\n\nThe keeper of the lighthouse was Ada Brandt.\n"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, People]]:
    with running(tmp_path_factory.mktemp("home")) as (services, _), asked_by_people(services) as found:
        yield found


def upload(http: TestClient, headers: dict[str, str], collection: str, content: bytes = TEXT, **more: str) -> str:
    params = {"collection": collection, "name": "harbour.md", **more}
    sent = http.post("/v1/documents", params=params, content=content, headers=headers)
    identifier = str(sent.json()["id"])
    state = f"/v1/documents/{identifier}"
    wait_until(lambda: http.get(state, headers=headers).json()["state"] == "ready", what="it is ready")
    return identifier


def test_a_collection_is_made_empty_described_changed_and_counted(asked: tuple[TestClient, People]) -> None:
    http, people = asked
    eve = people.of("eve")
    body = {"name": "reports", "title": "Reports", "default_strategy": "direct", "metadata": {"team": "it"}}
    made = http.post("/v1/collections", json=body, headers=eve)
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/collections/reports")
    assert (made.json()["documents"], made.json()["role"], made.json()["restricted"]) == (0, "writer", False)
    assert http.post("/v1/collections", json=body, headers=eve).json()["code"] == "name_taken"
    changes = {"description": "Of all years.", "title": None, "metadata": {"team": None, "year": 1871}}
    path = "/v1/collections/reports"
    assert http.patch(path, json=changes, headers=eve).status_code == 428
    changed = http.patch(path, json=changes, headers={**eve, "If-Match": made.headers["ETag"]})
    assert changed.json()["description"] == "Of all years."
    assert (changed.json()["title"], changed.json()["metadata"]) == (None, {"year": 1871})
    assert changed.json()["default_strategy"] == "direct"
    assert http.patch(path, json=changes, headers={**eve, "If-Match": made.headers["ETag"]}).status_code == 412
    upload(http, eve, "reports")
    shown = http.get(path, headers=eve)
    assert (shown.json()["documents"], shown.json()["states"], shown.json()["bytes"]) == (1, {"ready": 1}, len(TEXT))
    assert shown.headers["ETag"] == changed.headers["ETag"]


def test_collections_are_listed_a_page_at_a_time_without_those_of_others(asked: tuple[TestClient, People]) -> None:
    http, people = asked
    eve, bob = people.of("eve"), people.of("bob")
    for name in ("c", "a", "b"):
        http.post("/v1/collections", json={"name": name, "private": name == "b"}, headers=eve).raise_for_status()

    def names(headers: dict[str, str]) -> list[str]:
        found, cursor = [], None
        while True:
            params = {"limit": "1", **({"cursor": cursor} if cursor else {})}
            page = http.get("/v1/collections", params=params, headers=headers).json()
            found += [each["name"] for each in page["collections"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return [each for each in found if len(each) == 1]

    assert names(eve) == ["a", "b", "c"]
    assert names(bob) == ["a", "c"]
    assert http.get("/v1/collections/b", headers=eve).json()["role"] == "admin"
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"title": "mine"}} if method == "PATCH" else {}
        refused = http.request(method, "/v1/collections/b", headers={**bob, "If-Match": "*"}, **body)  # type: ignore[arg-type]
        assert refused.json()["code"] == "collection_not_found", method
    assert http.post("/v1/collections", json={"name": "b"}, headers=bob).json()["code"] == "collection_not_found"


def test_a_deleted_collection_is_gone_with_its_documents_at_once_and_has_a_receipt(
    asked: tuple[TestClient, People],
) -> None:
    http, people = asked
    eve = people.of("eve")
    first, second = upload(http, eve, "old"), upload(http, eve, "old", TEXT + b"It has a lamp.\n")
    kept = upload(http, eve, "new")
    receipt = http.delete("/v1/collections/old", headers=eve).json()
    assert (receipt["collection"], receipt["documents"], receipt["versions"]) == ("old", 2, 2)
    for identifier in (first, second):
        assert http.get(f"/v1/documents/{identifier}", headers=eve).status_code == 404
        assert http.get(f"/v1/documents/{identifier}/deletion", headers=eve).status_code == 200
    hits = http.post("/v1/search", json={"query": "lighthouse keeper"}, headers=eve).json()["hits"]
    found = {hit["document"] for hit in hits}
    assert kept in found
    assert not found & {first, second}
    assert http.get("/v1/collections/old", headers=eve).json()["code"] == "collection_not_found"

    def removed() -> bool:
        shown = http.get("/v1/collections/old/deletion", headers=eve).json()
        return (
            bool(shown["collected"])
            and shown["bytes_removed"] > 2 * len(TEXT)
            and shown["receipt"] == receipt["receipt"]
        )

    wait_until(removed, what="its content is removed")
    upload(http, eve, "old")  # a collection of this name may be made again
    assert http.get("/v1/collections/old", headers=eve).json()["documents"] == 1


def test_who_may_not_see_all_of_a_collection_may_not_delete_it(asked: tuple[TestClient, People]) -> None:
    http, people = asked
    upload(http, people.of("eve"), "mixed")
    upload(http, people.of("eve"), "mixed", TEXT + b"Closed.\n", readers="group:hr")
    shown = http.get("/v1/collections/mixed", headers=people.of("bob")).json()
    assert shown["documents"] == 1
    refused = http.delete("/v1/collections/mixed", headers=people.of("bob"))
    assert (refused.status_code, refused.json()["code"]) == (403, "role_missing")
    assert http.delete("/v1/collections/mixed", headers=people.of("admin")).json()["documents"] == 2


def test_only_admins_of_a_restricted_collection_change_and_delete_it(asked: tuple[TestClient, People]) -> None:
    http, people = asked
    http.post("/v1/collections", json={"name": "staff", "private": True}, headers=people.of("eve")).raise_for_status()
    role = {"json": {"role": "writer"}, "headers": people.of("eve")}
    http.put("/v1/collections/staff/grants/user:bob", **role).raise_for_status()  # type: ignore[arg-type]
    bob = {**people.of("bob"), "If-Match": "*"}
    assert http.patch("/v1/collections/staff", json={"title": "Ours"}, headers=bob).json()["code"] == "role_missing"
    assert http.delete("/v1/collections/staff", headers=bob).json()["code"] == "role_missing"
    assert http.delete("/v1/collections/staff", headers=people.of("eve")).status_code == 200


def test_an_admin_sees_whether_a_person_can_read_a_document_and_why(asked: tuple[TestClient, People]) -> None:
    http, people = asked
    admin, eve = people.of("admin"), people.of("eve")
    document = upload(http, eve, "checked", TEXT + b"Checked.\n")
    path = f"/v1/documents/{document}"

    def check(user: str) -> tuple[bool, list[str] | None, str | None]:
        found = http.get(f"{path}/access", params={"user": user}, headers=admin).json()
        assert found["can_read"] == (http.get(path, headers=people.of(user)).status_code == 200)
        return found["can_read"], found["through"], found["denied_by"]

    assert check("bob") == (True, None, None)
    change = {"json": {"readers": ["group:hr", "user:cy"]}, "headers": {**admin, "If-Match": "*"}}
    http.patch(path, **change).raise_for_status()  # type: ignore[arg-type]
    assert check("eve") == (True, ["group:hr"], None)
    assert check("cy") == (True, ["user:cy"], None)
    assert check("bob") == (False, [], "readers")
    grant = {"json": {"role": "reader"}, "headers": admin}
    http.put("/v1/collections/checked/grants/group:hr", **grant).raise_for_status()  # type: ignore[arg-type]
    assert check("eve") == (True, ["group:hr"], None)
    assert check("cy") == (False, ["user:cy"], "collection")
    assert http.get(f"{path}/access", params={"user": "zoe"}, headers=admin).json()["code"] == "user_not_found"
    assert http.get(f"{path}/access", params={"user": "eve"}, headers=eve).status_code == 403
