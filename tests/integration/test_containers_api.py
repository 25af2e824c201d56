"""Containers over HTTP: their entries are listed, found, described and deleted with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.client import Client
from tests.support.cluster import wait_until
from tests.support.containers import message, zip_of
from tests.support.service import running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("home"), container_entries=3) as (_, client):
        yield client


def send(client: Client, path: Path, name: str, content: bytes) -> dict[str, Any]:
    """Upload a file and wait until it and its entries have ended."""
    path.write_bytes(content)
    document = client.upload(path, name=name)
    wait_until(lambda: set(client.get("/v1/status")["documents"]) <= {"ready", "failed"}, what="all have ended")
    return dict(client.get(f"/v1/documents/{document.id}"))


def test_entries_are_listed_searched_and_deleted_with_their_container(client: Client, tmp_path: Path) -> None:
    content = zip_of(
        {
            "notes/tide.md": "# Tide\n\nThe flood comes at six.",
            "bad.pdf": b"%PDF-1.7 cut",
            "x.exe": b"MZ\x90\x00\x03" + bytes(40),
        }
    )
    archive = send(client, tmp_path / "papers.zip", "papers.zip", content)
    entries = client.get("/v1/documents", container=archive["id"])["documents"]
    assert {each["entry_path"]: each["state"] for each in entries} == {"notes/tide.md": "ready", "bad.pdf": "failed"}
    assert {each["container"] for each in entries} == {archive["id"]}
    assert archive["container"] is None
    assert sorted(each["count"] for each in archive["omissions"] if each["kind"] == "entry") == [1, 1]
    hits = client.post("/v1/search", {"query": "flood at six", "filters": {"container": "papers.zip"}})["hits"]
    assert {hit["document"] for hit in hits} == {each["id"] for each in entries if each["state"] == "ready"}
    (tide,) = [each for each in entries if each["entry_path"] == "notes/tide.md"]
    original = client.http.get(f"/v1/documents/{tide['id']}/original")
    assert original.headers["content-disposition"] == "attachment; filename*=UTF-8''tide.md"
    client.delete(f"/v1/documents/{archive['id']}")
    receipt = client.get(f"/v1/documents/{archive['id']}/deletion")
    assert receipt["entries"] == 2
    assert client.get("/v1/documents", container=archive["id"])["documents"] == []
    assert client.post("/v1/search", {"query": "flood at six"})["hits"] == []


def test_the_limits_of_the_settings_hold_and_what_they_leave_out_is_said(client: Client, tmp_path: Path) -> None:
    mail = send(
        client, tmp_path / "mail.eml", "mail.eml", message(attachments={f"{n}.txt": b"Words." for n in range(5)})
    )
    assert len(client.get("/v1/documents", container=mail["id"])["documents"]) == 3
    (omission,) = [each for each in mail["omissions"] if each["kind"] == "entry"]
    assert (omission["count"], "3 entries are taken at most" in omission["detail"]) == (2, True)
