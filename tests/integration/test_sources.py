"""Sources over REST: their kinds, checks before they are saved, credentials, and who may manage them."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client, NotFoundError, RefusedError, StateError
from api.documents.schemas import Reason
from ingest.storage.accounts.records import Scope
from tests.support.cluster import wait_until
from tests.support.hostile_sources import wait_for_sync
from tests.support.service import running
from tests.support.web_server import WebServer, open_web_server

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home"), webhook_networks="127.0.0.1/32") as (services, client):
        yield services, client


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


@pytest.fixture
def site() -> Iterator[WebServer]:
    with open_web_server() as server:
        server.pages["/files/"] = server.list_links
        for n in range(7):
            server.write(f"note {n}.txt", b"A note.")
        yield server


def options_of(site: WebServer, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"url": f"{site.url}/files/", "include": ["*.txt"], **more}


def test_kinds_have_the_schema_of_their_options_and_name_their_credentials(client: Client) -> None:
    kinds = {kind.name: kind for kind in client.source_kinds().kinds}
    assert list(kinds) == sorted(kinds)
    assert kinds["web"].credentials == ["password"]
    assert kinds["web"].options["required"] == ["url"]
    assert all(option["description"] for kind in kinds.values() for option in kind.options["properties"].values())


def test_a_check_lists_some_items_and_stores_nothing(client: Client, site: WebServer) -> None:
    found = client.check_source("web", options_of(site))
    assert (found.is_usable, len(found.items), found.has_more, found.failure) == (True, 5, True, None)
    assert {item.name for item in found.items} <= {f"note {n}.txt" for n in range(7)}
    assert client.sources().sources == []
    assert list(client.documents()) == []


def test_a_check_says_why_a_source_cannot_be_synchronized(client: Client, site: WebServer) -> None:
    site.add("/files/", "no", status=403)
    found = client.check_source("web", options_of(site))
    assert (found.is_usable, found.items) == (False, [])
    assert found.failure
    assert found.failure.code in ("source_refused", "source_error")
    assert found.failure.detail
    site.stop()
    away = client.check_source("web", options_of(site)).failure
    assert away
    assert (away.code, away.hint) == (
        "source_unavailable",
        "Check that the source is running and reachable. The next sync tries again.",
    )


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("fax", {}, "no kind of source 'fax'"),
        ("web", {}, "url: Field required"),
        ("web", {"url": "https://a.org/", "colour": "red"}, "no option 'colour'"),
        ("web", {"url": "https://10.0.0.1/"}, "not a public address"),
        ("web", {"url": "https://a.org/", "max_pages": PASSWORD}, "max_pages"),
    ],
)
def test_invalid_options_are_named_and_their_values_are_not_repeated(
    client: Client, kind: str, options: dict[str, Any], words: str
) -> None:
    for send in (
        lambda: client.create_source("A source", kind, options),
        lambda: client.check_source(kind, options),
    ):
        if "public" in words and send.__code__.co_names[0] == "check_source":
            continue  # It is the result of the check.
        with pytest.raises(RefusedError) as refused:
            send()
        assert refused.value.problem in ("source_options_invalid", "source_not_permitted")
        assert words in refused.value.detail
        assert PASSWORD not in f"{refused.value.detail} {refused.value.hint}"
    assert client.sources().sources == []


def test_credentials_are_accepted_kept_and_never_shown(client: Client, site: WebServer) -> None:
    secret = options_of(site, username="ann", password=PASSWORD)
    reply = client.http.post("/v1/sources", json={"name": "Site", "kind": "web", "options": secret})
    assert reply.status_code == 201, reply.text
    path = reply.headers["location"]
    made = reply.json()
    assert (made["credentials"], made["options"]["username"]) == (["password"], "ann")
    renamed = client.http.patch(path, json={"name": "Pages", "options": {"username": "bob", "max_pages": 9}})
    assert renamed.json()["options"] == {**made["options"], "username": "bob", "max_pages": 9}
    replies = [reply, renamed, client.http.get(path), client.http.get("/v1/sources"), client.http.get("/v1/audit")]
    assert not any(PASSWORD in each.text for each in replies)
    client.check_saved_source(made["id"])
    client.check_saved_source(made["id"], options={"password": "another"})
    sent = {each.get("Authorization") for each in site.seen_headers}
    assert {f"Basic {b64encode(f'bob:{each}'.encode()).decode()}" for each in (PASSWORD, "another")} <= sent
    cleared = client.http.patch(path, json={"options": {"password": None, "max_pages": None}}).json()
    assert (cleared["credentials"], "max_pages" in cleared["options"]) == ([], False)
    client.delete_source(made["id"], documents="keep")


def test_a_source_is_paused_resumed_and_deleted_only_with_a_word_about_its_documents(
    client: Client, site: WebServer
) -> None:
    made = client.create_source("Site", "web", options_of(site), interval_seconds=900)
    assert (made.collection, made.interval_seconds, made.paused) == ("default", 900, False)
    assert made.next_sync_at is not None
    paused = client.change_source(made.id, paused=True)
    assert (paused.paused, paused.next_sync_at) == (True, None)
    assert client.change_source(made.id, paused=False, interval_seconds=0).next_sync_at is None
    assert client.http.delete(f"/v1/sources/{made.id}").status_code == 422
    client.delete_source(made.id, documents="remove")
    with pytest.raises(NotFoundError):
        client.source(made.id)


def test_a_sync_in_progress_is_returned_and_a_wrong_approval_is_refused(client: Client, site: WebServer) -> None:
    made = client.create_source("Site", "web", options_of(site), interval_seconds=0)
    sync = client.sync_source(made.id)
    assert sync.number >= 1
    assert [each.number for each in client.syncs(made.id)][-1] == 1
    with pytest.raises(StateError, match="does not wait for an approval"):
        client.approve_sync(made.id, sync.id, removals=3)
    with pytest.raises(StateError):
        client.cancel_sync(made.id, "another")
    client.delete_source(made.id, documents="keep")


def test_only_admins_manage_sources_and_see_only_those_of_their_tenant(
    service: tuple[Services, Client], site: WebServer
) -> None:
    services, client = service
    made = client.create_source("Site", "web", options_of(site))
    _, writer = services.keys.issue_key(DEFAULT_TENANT, "a writer", scopes=frozenset({Scope.READ, Scope.WRITE}))
    services.documents.catalog.ensure_tenant("other")
    _, stranger = services.keys.issue_key("other", "a stranger", scopes=frozenset({Scope.ADMIN}))
    for key, status in ((writer, 403), (stranger, 404)):
        reply = client.http.get(f"/v1/sources/{made.id}", headers={"Authorization": f"Bearer {key}"})
        assert reply.status_code == status
    client.delete_source(made.id, documents="keep")


def test_documents_that_cannot_be_processed_are_counted_and_their_items_have_the_reason(
    client: Client, site: WebServer
) -> None:
    site.write("broken.pdf", b"%PDF-1.7\nnot a PDF at all")
    options = options_of(site, include=["*.pdf", "*.txt"])
    made = client.create_source("Papers", "web", options, collection="papers")
    assert made.failed_documents == 0
    wait_until(lambda: client.source(made.id).failed_documents == 1, what="the document has failed")
    assert wait_for_sync(client, made.id).state == "succeeded"
    (failed,) = client.source_items(made.id, failed=True)
    assert (failed.name, failed.failure) == ("broken.pdf", None)
    assert failed.document_failure is not None
    assert failed.document
    document = client.document(failed.document).failure
    assert document is not None
    assert (failed.document_failure.code, failed.document_failure.retryable) == (document.code, False)
    assert len([each for each in client.source_items(made.id) if each.document_failure is None]) == 7
    client.delete_source(made.id, documents="remove")


def test_a_folder_outside_the_permitted_ones_is_refused_alike_whether_it_exists_or_not(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "secret").mkdir()
    with running(tmp_path / "home", source_folders=str(tmp_path / "papers")) as (_, client):

        def check(name: str) -> Reason:
            found = client.check_source("folder", {"path": str(tmp_path / name)}).failure
            assert found is not None
            return found

        there, absent, mistyped = check("secret"), check("sekret"), check("papers/2O26")
    assert (there.code, there.hint) == (absent.code, absent.hint)
    assert there.detail.replace("secret", "sekret") == absent.detail
    assert there.code == "source_folder_not_permitted"
    assert str(tmp_path / "papers") in there.detail
    assert "LEADLINE_SOURCE_FOLDERS" in there.hint
    assert mistyped.code == "source_folder_missing"
    assert "LEADLINE" not in mistyped.hint
    assert "spelling" in mistyped.hint
