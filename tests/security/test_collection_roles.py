"""Roles on collections, everywhere that one is named or implied: one that a caller may not read is not there for it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import TENANT_SCOPES, Role, Scope
from tests.support.cluster import wait_until
from tests.support.service import running

TEXTS = {"staff": b"# Pay\n\nThe quokka bonus is paid in May.\n", "open": b"# Pay\n\nThe quokka bonus is a rumour.\n"}
USUAL = frozenset(TENANT_SCOPES - {Scope.ADMIN})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home")) as (services, client):
        yield services, client


@pytest.fixture(scope="module")
def documents(service: tuple[Services, Client]) -> dict[str, str]:
    services, client = service
    found = {}
    for collection, text in TEXTS.items():
        made = client.http.post("/v1/documents", params={"collection": collection, "name": "pay.md"}, content=text)
        found[collection] = made.json()["id"]
        path = f"/v1/documents/{found[collection]}"
        wait_until(lambda path=path: client.get(path)["state"] == "ready", what="it is ready")  # type: ignore[misc]
    for name in ("reader", "writer", "nobody", "admin"):
        services.accounts.users.create(DEFAULT_TENANT, name)
    services.accounts.grants.grant_role(DEFAULT_TENANT, "staff", "user:reader", Role.READER)
    services.accounts.grants.grant_role(DEFAULT_TENANT, "staff", "user:writer", Role.WRITER)
    return found


class As:
    """Requests of one user, with the usual scopes or with others."""

    def __init__(self, service: tuple[Services, Client], user: str | None, scopes: frozenset[Scope] = USUAL) -> None:
        services, self._client = service
        self.key, text = services.keys.issue_key(DEFAULT_TENANT, "a key", scopes=scopes, user=user)
        self._headers = {"Authorization": f"Bearer {text}"}

    def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
        headers = {**self._headers, **sent.pop("headers", {})}
        return self._client.http.request(method, path, headers=headers, **sent)

    def found(self, **body: object) -> set[str]:
        """The collections in which a search finds something."""
        found = self.ask("POST", "/v1/search", json={"query": "quokka bonus", **body})
        assert found.status_code == 200, found.text
        return {hit["collection"] for hit in found.json()["hits"]}

    def told_of(self, collection: str) -> tuple[int, str]:
        """Return the answer to a search of one collection, without the collection's name."""
        told = self.ask("POST", "/v1/search", json={"query": "quokka bonus", "collections": [collection]})
        return told.status_code, str(told.json().get("detail")).replace(collection, "NAME")


def test_searches_listings_counts_and_contents_show_a_collection_to_those_granted_alone(
    service: tuple[Services, Client], documents: dict[str, str]
) -> None:
    for user, shown in (("nobody", {"open"}), (None, {"open"}), ("reader", {"open", "staff"})):
        caller = As(service, user)
        assert caller.found() == shown
        assert caller.found(mode="bm25") == shown
        if "staff" in shown:
            assert caller.found(collections=["staff"]) == {"staff"}
        else:  # what is closed looks like what is not there
            assert caller.told_of("staff") == caller.told_of("nothing") == (404, "Collection 'NAME' not found.")
        assert caller.found(documents=[documents["staff"]]) == shown - {"open"}
        listed = caller.ask("GET", "/v1/documents").json()["documents"]
        assert {each["collection"] for each in listed} == shown
        assert sum(caller.ask("GET", "/v1/status").json()["documents"].values()) == len(shown)
        names = {each["name"] for each in caller.ask("GET", "/v1/collections").json()["collections"]}
        assert names == shown
        status = 200 if "staff" in shown else 404
        for path in ("", "/content", "/original"):
            assert caller.ask("GET", f"/v1/documents/{documents['staff']}{path}").status_code == status
    admin = As(service, "admin", TENANT_SCOPES)
    assert admin.found() == {"open", "staff"}


def test_answers_read_no_collection_that_is_closed(service: tuple[Services, Client], documents: dict[str, str]) -> None:
    question = {"question": "When is the quokka bonus paid?"}
    told = As(service, "reader").ask("POST", "/v1/answers", json=question).text
    kept_from = As(service, "nobody").ask("POST", "/v1/answers", json=question).text
    assert "in May" in told
    assert "in May" not in kept_from
    assert documents["staff"] not in kept_from


def test_a_reader_changes_nothing_and_a_writer_does(
    service: tuple[Services, Client], documents: dict[str, str]
) -> None:
    path, whatever = f"/v1/documents/{documents['staff']}", {"If-Match": "*"}
    for user, expected in (("reader", (403, "role_missing")), ("nobody", (404, None))):
        caller = As(service, user)
        for method, sent in (
            ("PUT", {"content": b"mine", "headers": whatever}),
            ("PATCH", {"json": {"metadata": {"mine": True}}, "headers": whatever}),
            ("DELETE", {}),
        ):
            refused = caller.ask(method, path, **sent)
            assert (refused.status_code, refused.json()["code"]) == (expected[0], expected[1] or "document_not_found")
        upload = caller.ask("POST", "/v1/documents", params={"collection": "staff"}, content=b"mine")
        assert (upload.status_code, upload.json()["code"]) == (expected[0], expected[1] or "collection_not_found")
        form = caller.ask("POST", "/v1/documents", data={"collection": "staff"}, files={"file": ("a.txt", b"mine")})
        assert form.status_code == expected[0]
    writer = As(service, "writer")
    changed = writer.ask("PATCH", path, json={"metadata": {"seen": True}}, headers=whatever)
    assert (changed.status_code, changed.json()["metadata"]) == (200, {"seen": True})
    assert writer.ask("POST", "/v1/documents", params={"collection": "staff"}, content=b"more").status_code == 202


def test_a_grant_holds_at_once_also_for_what_was_searched_before(
    service: tuple[Services, Client], documents: dict[str, str]
) -> None:
    services, _ = service
    robot = As(service, None)
    assert robot.found() == {"open"}
    services.accounts.grants.grant_role(DEFAULT_TENANT, "staff", f"key:{robot.key.id}", Role.READER)
    assert robot.found() == {"open", "staff"}
    services.accounts.grants.revoke_grant(DEFAULT_TENANT, "staff", f"key:{robot.key.id}")
    assert robot.found() == {"open"}
    assert As(service, "reader").found() == {"open", "staff"}
