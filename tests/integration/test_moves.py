"""Documents moved between collections over HTTP, by the client and on the command line."""

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.admission.services import DEFAULT_TENANT, Services
from api.cli.main import app
from api.client import Client, NotFoundError
from ingest.storage.accounts.records import Role
from retrieval.errors import IndexUnavailableError
from tests.support.cluster import wait_until
from tests.support.people import asked_by_people
from tests.support.service import running
from tests.support.zip_files import zipped


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


def upload(client: Client, name: str, content: bytes | None = None, **params: str) -> str:
    body = content or f"The ship {name} carries amber.".encode()
    return str(client.http.post("/v1/documents", params={"name": name, **params}, content=body).json()["id"])


def wait_until_ready(client: Client, *ids: str) -> None:
    for each in ids:
        wait_until(partial(is_ready, client, each), what="it is ready")


def is_ready(client: Client, document: str) -> bool:
    return bool(client.get(f"/v1/documents/{document}")["state"] == "ready")


def found(client: Client, *collections: str) -> set[str]:
    return {hit.document for hit in client.search("amber ship", collections=list(collections)).hits}


def test_a_moved_document_is_found_in_its_new_collection_and_no_more_in_its_old_one(client: Client) -> None:
    client.create_collection("law", title="Law")
    moved, kept = upload(client, "Iris"), upload(client, "Juno")
    wait_until_ready(client, moved, kept)
    changed = client.change_document(moved, collection="law")
    assert (changed.collection, changed.id) == ("law", moved)
    assert (found(client, "default"), found(client, "law"), found(client)) == ({kept}, {moved}, {moved, kept})
    with pytest.raises(NotFoundError):
        client.change_document(moved, collection="nowhere")


def test_while_the_index_is_away_a_moved_document_is_already_no_more_in_its_old_collection(
    service: tuple[Services, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, client = service
    client.create_collection("law")
    document = upload(client, "Iris")
    wait_until_ready(client, document)

    def away(*_: object) -> None:
        raise IndexUnavailableError("The index is away.")

    with monkeypatch.context() as patched:
        patched.setattr("retrieval.index.open_generations.OpenGenerations.set_collection", away)
        client.change_document(document, collection="law")
        assert (found(client, "default"), found(client, "law")) == (set(), set())
        assert services.documents.catalog.list_unsynced_readers() == [document]
    assert services.work.settle(document)
    assert found(client, "law") == {document}


def test_the_grants_of_the_new_collection_apply_to_a_document_as_soon_as_it_is_moved(tmp_path: Path) -> None:
    with running(tmp_path / "home") as (services, client), asked_by_people(services) as (http, people):
        client.create_collection("staff")
        document = upload(client, "Iris")
        wait_until_ready(client, document)
        services.accounts.grants.grant_role(DEFAULT_TENANT, "staff", "user:eve", Role.WRITER)
        services.accounts.grants.grant_role(DEFAULT_TENANT, "staff", "user:cy", Role.READER)
        path, body = f"/v1/documents/{document}", {"collection": "staff"}
        codes = {}
        for person in ("bob", "cy", "eve"):
            answered = http.patch(path, json=body, headers=people.of(person, **{"If-Match": "*"}))
            codes[person] = answered.json().get("code", answered.status_code)
        assert codes == {"bob": "collection_not_found", "cy": "role_missing", "eve": 200}
        assert http.get(path, headers=people.of("bob")).status_code == 404
        search = {"query": "amber ship"}
        hits = {
            person: len(http.post("/v1/search", json=search, headers=people.of(person)).json()["hits"])
            for person in ("bob", "cy", "eve")
        }
        assert hits == {"bob": 0, "cy": 1, "eve": 1}
        bulk = {"action": "move", "documents": [document], "collection": "default"}
        refused = http.post("/v1/documents/bulk", json=bulk, headers=people.of("cy")).json()["refused"]
        assert [each["problem"]["code"] for each in refused] == ["role_missing"]


def test_a_collection_is_moved_in_steps_that_go_on_after_the_service_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.documents import listing_routes as listing

    monkeypatch.setattr(listing, "_STEP_DOCUMENTS", 2)
    body: dict[str, Any] = {"action": "move", "collection": "law", "matching": {"collection": "default"}}
    with running(tmp_path / "home") as (_, client):
        client.create_collection("law")
        wait_until_ready(client, *(upload(client, f"Ship {number}") for number in range(5)))
        plan = client.post("/v1/documents/bulk/plan", body)
        assert (plan["documents"], plan["others"]) == (5, 0)
        first = client.post("/v1/documents/bulk", {**body, "cursor": plan["cursor"]})
        assert first["done"] == 2
    with running(tmp_path / "home") as (_, client):
        late = upload(client, "Late")
        steps = [client.post("/v1/documents/bulk", {**body, "cursor": first["next_cursor"]})]
        while steps[-1]["next_cursor"]:
            steps.append(client.post("/v1/documents/bulk", {**body, "cursor": steps[-1]["next_cursor"]}))
        assert [each["done"] for each in steps] == [2, 1]
        assert client.post("/v1/documents/bulk/plan", body)["documents"] == 1
        assert [each["id"] for each in client.get("/v1/documents", collection="default")["documents"]] == [late]
        assert len(found(client, "law")) == 5


def test_the_client_moves_many_and_says_which_stayed_and_why(client: Client) -> None:
    client.create_collection("law")
    archive = upload(client, "mail.zip", zipped({"a.txt": b"An amber letter.", "b.txt": b"An amber bill."}))
    wait_until_ready(client, archive)
    entries = [each.id for each in client.documents(container=archive)]
    wait_until_ready(client, *entries)
    moved = client.move_documents("law", [entries[0]])
    assert (moved.done, [each.problem["code"] for each in moved.refused]) == (0, ["document_state"])
    moved = client.move_documents("law", {"collection": "default"})
    assert (moved.done, moved.refused) == (3, [])
    assert found(client, "law") >= set(entries)
    client.create_collection("tax")
    assert client.change_document(archive, collection="tax").collection == "tax"
    assert found(client, "tax") >= set(entries)
    with pytest.raises(NotFoundError):
        client.move_documents("nowhere", [archive])


def test_a_collection_gets_another_title_and_is_deleted_only_when_empty(client: Client) -> None:
    client.create_collection("law")
    document = upload(client, "Iris", collection="law")
    wait_until_ready(client, document)
    assert client.change_collection("law", title="Legal affairs").title == "Legal affairs"
    assert found(client, "law") == {document}
    refused = client.http.delete("/v1/collections/law", params={"only_if_empty": "true"})
    assert (refused.status_code, refused.json()["code"]) == (409, "collection_not_empty")
    client.create_collection("default")
    client.move_documents("default", [document])
    assert client.http.delete("/v1/collections/law", params={"only_if_empty": "true"}).json()["documents"] == 0
    assert found(client) == {document}


def test_documents_are_moved_and_a_collection_is_renamed_on_the_command_line(
    service: tuple[Services, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    services, client = service
    client.create_collection("law")
    first, second = upload(client, "Iris"), upload(client, "Juno")
    wait_until_ready(client, first, second)
    monkeypatch.setattr("api.cli.documents.open_client", lambda _: nullcontext(client))
    monkeypatch.setenv("LEADLINE_HOME", str(services.settings.home))

    def run(*words: str) -> tuple[int, str]:
        ran = CliRunner().invoke(app, list(words))
        return ran.exit_code, ran.stdout

    assert run("documents", "move", "law", first) == (0, "Moved to law: 1\n")
    code, output = run("documents", "move", "law", "--from", "default", "--json")
    assert (code, json.loads(output)) == (0, {"done": 1, "refused": []})
    assert {each.id for each in client.documents(collection="law")} == {first, second}
    assert run("documents", "move", "law")[0] == 2
    assert run("collections", "rename", "law", "Legal affairs")[0] == 0
    assert client.get("/v1/collections/law")["title"] == "Legal affairs"
    assert found(client, "law") == {first, second}
