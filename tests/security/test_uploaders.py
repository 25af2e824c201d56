"""Who may change the readers of a document: its uploader and admins, whichever way it was uploaded or is changed."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient

from api.admission.services import DEFAULT_TENANT, Services
from ingest.storage.accounts.records import Role
from ingest.storage.audit.store import AuditFilter
from tests.support.cluster import wait_until
from tests.support.people import People, asked_by_people
from tests.support.service import running

BOTH = ["user:eve", "user:bob"]
Asked = tuple[Services, TestClient, People]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with running(tmp_path_factory.mktemp("home")) as (services, _), asked_by_people(services) as (http, people):
        yield services, http, people


def by_body(http: TestClient, headers: dict[str, str], text: bytes) -> str:
    params = {"name": "a.txt", "readers": BOTH}
    return str(http.post("/v1/documents", params=params, content=text, headers=headers).json()["id"])


def by_form(http: TestClient, headers: dict[str, str], text: bytes) -> str:
    form: dict[str, Any] = {"readers": (None, '["user:eve", "user:bob"]'), "file": ("a.txt", text)}
    return str(http.post("/v1/documents", files=form, headers=headers).json()["id"])


def by_tus(http: TestClient, headers: dict[str, str], text: bytes) -> str:
    readers = base64.b64encode(b'["user:eve", "user:bob"]').decode()
    described = {"Upload-Length": str(len(text)), "Upload-Metadata": f"filename YS50eHQ=,readers {readers}"}
    headers = {**headers, "Tus-Resumable": "1.0.0"}
    where = http.post("/v1/uploads", headers={**headers, **described}).headers["location"]
    part = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    sent = http.patch(where, content=text, headers={**headers, **part})
    return str(sent.headers["content-location"].rsplit("/", 1)[1])


def by_mcp(http: TestClient, headers: dict[str, str], text: bytes) -> str:
    arguments = {"name": "a.txt", "text": text.decode(), "readers": BOTH}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "upload", "arguments": arguments}}
    spoken = {"Accept": "application/json, text/event-stream", "Host": "127.0.0.1:8000"}
    response = http.post("/mcp", json=call, headers={**headers, **spoken})
    (said,) = (line[6:] for line in response.text.splitlines() if line.startswith("data: "))
    return str(json.loads(said)["result"]["structuredContent"]["document"])


def by_vector_store(http: TestClient, headers: dict[str, str], text: bytes) -> str:
    form: dict[str, Any] = {"purpose": (None, "assistants"), "file": ("a.txt", text)}
    file = http.post("/v1/files", files=form, headers=headers).json()["id"]
    http.post("/v1/vector_stores", json={"name": "papers"}, headers=headers)
    store = http.get("/v1/vector_stores", headers=headers).json()["data"][0]["id"]
    http.post(f"/v1/vector_stores/{store}/files", json={"file_id": file}, headers=headers)
    listed = http.get("/v1/documents", params={"collection": store, "limit": 500}, headers=headers).json()["documents"]
    return str(listed[-1]["id"])


def change(http: TestClient, document: str, headers: dict[str, str], readers: list[str] | None) -> tuple[int, str]:
    response = http.patch(f"/v1/documents/{document}", json={"readers": readers}, headers={**headers, "If-Match": "*"})
    return response.status_code, response.json().get("code", "")


@pytest.mark.parametrize("way", [by_body, by_form, by_tus, by_mcp, by_vector_store])
def test_a_reader_who_may_write_cannot_change_the_readers_of_a_document_that_another_uploaded(
    asked: Asked, way: Callable[[TestClient, dict[str, str], bytes], str]
) -> None:
    _, http, people = asked
    document = way(http, people.of("eve"), f"The ledger of {way.__name__}.".encode())
    before = http.get(f"/v1/documents/{document}", headers=people.of("eve")).json()["readers"]
    for readers in (["user:bob"], ["group:it", "user:cy"]):
        assert change(http, document, people.of("bob"), readers) == (403, "not_uploader")
        bulk = {"action": "readers", "documents": [document], "readers": readers}
        step = http.post("/v1/documents/bulk", json=bulk, headers=people.of("bob")).json()
        assert [each["problem"]["code"] for each in step["refused"]] == ["not_uploader"]
    assert change(http, document, people.of("bob"), None) == ((200, "") if before is None else (403, "not_uploader"))
    assert http.get(f"/v1/documents/{document}", headers=people.of("eve")).json()["readers"] == before
    assert change(http, document, people.of("eve"), ["user:eve"]) == (200, "")
    assert change(http, document, people.of("admin"), ["user:bob", "user:eve"]) == (200, "")


def test_neither_the_same_bytes_nor_a_replacement_nor_metadata_gives_a_writer_the_readers(asked: Asked) -> None:
    _, http, people = asked
    document = by_body(http, people.of("eve"), b"The log of the pilot.")
    again = http.post(
        "/v1/documents", params={"readers": ["user:bob"]}, content=b"The log of the pilot.", headers=people.of("bob")
    )
    assert (again.status_code, again.json()["id"], again.json()["kept"]) == (200, document, ["readers"])
    path, any_state = f"/v1/documents/{document}", people.of("bob", **{"If-Match": "*"})
    assert http.put(path, content=b"A log of bob's.", headers=any_state).status_code == 202
    assert http.patch(path, json={"metadata": {"year": 1816}, "title": "Log"}, headers=any_state).status_code == 200
    assert change(http, document, people.of("bob"), ["user:bob"]) == (403, "not_uploader")
    assert sorted(http.get(path, headers=people.of("eve")).json()["readers"]) == sorted(BOTH)
    assert change(http, document, people.of("bob"), BOTH) == (200, ""), "these are the ones that it has"


def test_an_admin_of_the_collection_changes_readers_and_a_writer_of_it_does_not(asked: Asked) -> None:
    services, http, people = asked
    for subject, role in (("user:eve", Role.WRITER), ("user:bob", Role.ADMIN), ("user:cy", Role.WRITER)):
        services.accounts.grants.grant_role(DEFAULT_TENANT, "deck", subject, role)
    sent = http.post("/v1/documents", params={"collection": "deck"}, content=b"A deck plan.", headers=people.of("eve"))
    document = sent.json()["id"]
    assert change(http, document, people.of("cy"), ["user:cy"]) == (403, "not_uploader")
    assert change(http, document, people.of("bob"), ["user:bob"]) == (200, "")


def test_entries_of_an_archive_have_its_uploader(asked: Asked) -> None:
    _, http, people = asked
    packed = io.BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr("entry.txt", "The entry of the archive.")
    params = {"name": "a.zip", "collection": "packed"}
    http.post("/v1/documents", params=params, content=packed.getvalue(), headers=people.of("eve"))

    def entries() -> list[dict[str, Any]]:
        listed = http.get("/v1/documents", params={"collection": "packed"}, headers=people.of("eve")).json()
        return [each for each in listed["documents"] if each["name"] != "a.zip"]

    wait_until(lambda: bool(entries()), what="the entry is a document")
    (entry,) = entries()
    assert change(http, entry["id"], people.of("bob"), ["user:bob"]) == (403, "not_uploader")
    assert change(http, entry["id"], people.of("eve"), ["user:eve"]) == (200, "")


def test_the_audit_log_has_the_readers_before_and_after_a_change(asked: Asked) -> None:
    services, http, people = asked
    document = by_body(http, people.of("eve"), b"Who read this when?")
    assert change(http, document, people.of("eve"), None) == (200, "")
    path, headers = f"/v1/documents/{document}", people.of("eve", **{"If-Match": "*"})
    assert http.patch(path, json={"title": "Open"}, headers=headers).status_code == 200
    of_document = AuditFilter(DEFAULT_TENANT, object=f"document:{document}", action="document.changed")
    entries = services.events.audit.list_latest(of_document)
    assert [entry.details for entry in entries] == [{}, {"readers": {"before": sorted(BOTH), "after": None}}]
