"""Uploads as forms: fields apply in any order, each is sent once, and nothing is accepted before the form has ended."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.main import create_app
from ingest.storage.accounts.records import Role
from ingest.storage.documents.catalog import AcceptedUpload, Arrival
from ingest.storage.queue.records import JobPriority
from tests.support.cluster import wait_until
from tests.support.people import People
from tests.support.raw_http import connected, head
from tests.support.service import running
from tests.support.serving import serving

PAY = b"# Pay\n\nCecily earns 91,000 pounds a year, say the numbats.\n"
HR = json.dumps(["group:hr"])
BOUNDARY = "one-form"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
END = f"--{BOUNDARY}--\r\n".encode()


@dataclass
class Office:
    """A service on a port, asked by people: eve is of the group `hr`, and bob is not."""

    services: Services
    url: str
    people: People
    http: httpx.Client

    def send(
        self, *parts: bytes, person: str = "eve", end: bytes = END, params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return self.http.post(
            "/v1/documents", params=params, content=b"".join(parts) + end, headers=self.people.of(person, **FORM)
        )

    def found(self, person: str, query: str) -> list[str]:
        """The collections in which a person finds the words."""
        asked = {"query": query, "mode": "bm25"}
        hits = self.http.post("/v1/search", json=asked, headers=self.people.of(person)).json()["hits"]
        return [hit["collection"] for hit in hits]

    def documents(self, person: str = "eve") -> int:
        return len(self.http.get("/v1/documents", headers=self.people.of(person)).json()["documents"])

    def wait_for(self, document: str) -> dict[str, Any]:
        """The document, once it is ready."""
        path, headers = f"/v1/documents/{document}", self.people.of("eve")
        wait_until(lambda: self.http.get(path, headers=headers).json()["state"] == "ready", what="it is ready")
        found: dict[str, Any] = self.http.get(path, headers=headers).json()
        return found


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with (
        running(tmp_path, max_upload_bytes=200_000) as (services, _),
        serving(create_app(services)) as url,
        httpx.Client(base_url=url, timeout=120) as http,
    ):
        yield Office(services, url, People(services), http)


def part(name: str, value: str | bytes, filename: str | None = None) -> bytes:
    """One part of a form: a field, or a file if it has a name."""
    content = value if isinstance(value, bytes) else value.encode()
    named = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: text/markdown'
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


FILE = part("file", PAY, "pay.md")
READERS, COLLECTION = part("readers", HR), part("collection", "staff")
METADATA, PRIORITY = part("metadata", '{"year": 1851}'), part("priority", "bulk")


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((FILE, READERS, COLLECTION, METADATA), id="the file first, as curl and FormData may"),
        pytest.param((READERS, COLLECTION, METADATA, FILE), id="the file last"),
        pytest.param((METADATA, READERS, FILE, COLLECTION), id="the file between"),
    ],
)
def test_fields_apply_to_the_file_wherever_they_stand(office: Office, parts: tuple[bytes, ...]) -> None:
    made = office.send(*parts)
    assert made.status_code == 202, made.text
    document = office.wait_for(made.json()["id"])
    assert document["readers"] == ["group:hr"]
    assert (document["collection"], document["metadata"]) == ("staff", {"year": 1851})
    assert office.found("bob", "Cecily earns") == []
    assert office.found("eve", "Cecily earns") == ["staff"]


def test_curl_with_the_file_first_closes_the_document(office: Office, tmp_path: Path) -> None:
    (tmp_path / "pay.md").write_bytes(PAY)
    authorization = f"Authorization: {office.people.of('eve')['Authorization']}"
    sent = ["curl", "-sS", "-H", authorization, "-F", f"file=@{tmp_path}/pay.md", "-F", f"readers={HR}"]
    made = subprocess.run([*sent, f"{office.url}/v1/documents"], capture_output=True, check=True, timeout=120)
    assert office.wait_for(json.loads(made.stdout)["id"])["readers"] == ["group:hr"]
    assert office.found("bob", "Cecily earns") == []


def test_a_form_as_httpie_sends_it_closes_the_document(office: Office) -> None:
    """`http -f POST …/v1/documents file@pay.md readers='["group:hr"]'`, with its headers and its order of parts."""
    body = (
        b'--b1\r\nContent-Disposition: form-data; name="file"; filename="pay.md"\r\nContent-Type: text/markdown\r\n\r\n'
        + PAY
        + b'\r\n--b1\r\nContent-Disposition: form-data; name="readers"\r\n\r\n["group:hr"]\r\n--b1--\r\n'
    )
    headers = office.people.of("eve", **{"Content-Type": "multipart/form-data; boundary=b1"})
    made = office.http.post("/v1/documents", content=body, headers=headers)
    assert office.wait_for(made.json()["id"])["readers"] == ["group:hr"]
    assert office.found("bob", "Cecily earns") == []


def test_fields_describe_every_file_of_a_form(office: Office) -> None:
    other = part("file", b"# Ship\n\nThe numbat sailed.\n", "ship.md")
    made = office.send(FILE, READERS, other, COLLECTION, part("file", b"", "empty.md")).json()
    assert [(each["readers"], each["collection"]) for each in made["documents"]] == [(["group:hr"], "staff")] * 2
    assert [each["problem"]["code"] for each in made["rejected"]] == ["empty_file"]


def test_the_priority_of_a_form_is_that_of_its_jobs(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, accept = [], office.services.documents.catalog.accept_upload

    def note(arrival: Arrival) -> AcceptedUpload:
        taken.append(arrival.priority)
        return accept(arrival)

    monkeypatch.setattr(office.services.documents.catalog, "accept_upload", note)
    assert office.send(FILE, PRIORITY).status_code == 202
    assert taken == [JobPriority.BULK]
    refused = office.send(FILE, part("priority", "soon"))
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (400, "form.priority")


def test_nothing_is_accepted_before_the_form_has_ended(office: Office) -> None:
    seen = []

    def arriving() -> Iterator[bytes]:
        yield FILE + part("file", b"x" * 70_000, "x.md") + b"--"
        wait_until(lambda: len(incoming(office)) == 2, what="both files are on the disk")
        seen.append((office.documents(), office.found("bob", "Cecily earns")))
        yield READERS[2:] + END

    made = office.http.post("/v1/documents", content=arriving(), headers=office.people.of("eve", **FORM))
    assert made.status_code == 202
    assert seen == [(0, [])]
    assert office.documents("bob") == 0
    assert office.documents("eve") == 2


def incoming(office: Office) -> list[Path]:
    """The files of uploads on their way."""
    return list((Path(office.services.settings.home) / "blobs" / "incoming").iterdir())


@pytest.mark.parametrize(
    ("parts", "end"),
    [((FILE,), b""), ((FILE, READERS), b""), ((FILE,), READERS[:-20]), ((FILE, READERS), b"--one-for")],
    ids=["after a file", "after a field", "in a field", "in the last boundary"],
)
def test_a_form_that_is_cut_short_accepts_nothing(office: Office, parts: tuple[bytes, ...], end: bytes) -> None:
    refused = office.send(*parts, end=end)
    assert refused.status_code == 400, refused.text
    assert "is truncated" in refused.json()["detail"]
    assert (office.documents(), incoming(office)) == (0, [])


def test_a_connection_that_is_lost_in_a_form_accepts_nothing(office: Office) -> None:
    body = FILE + READERS
    headers = {**office.people.of("eve"), **FORM, "Content-Length": str(len(body + END))}
    with connected(office.url) as connection:
        connection.sendall(head("POST", "/v1/documents", **headers) + body)
        wait_until(lambda: bool(incoming(office)), what="the file arrives")
    wait_until(lambda: not incoming(office), what="nothing is left of it")
    assert office.documents() == 0


@pytest.mark.parametrize(
    ("parts", "params", "name"),
    [
        ((READERS, FILE, READERS), {}, "readers"),
        ((COLLECTION, FILE, part("collection", "default")), {}, "collection"),
        ((FILE, COLLECTION), {"collection": "default"}, "collection"),
        ((FILE, PRIORITY), {"priority": "interactive"}, "priority"),
    ],
)
def test_a_field_that_is_given_twice_is_refused(
    office: Office, parts: tuple[bytes, ...], params: dict[str, str], name: str
) -> None:
    refused = office.send(*parts, params=params)
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"] == [{"at": f"form.{name}", "problem": f"the field '{name}' appears more than once"}]
    assert (office.documents(), incoming(office)) == (0, [])


def test_a_field_that_nothing_reads_is_refused_with_the_nearest_name(office: Office) -> None:
    for parts in ((FILE, part("reader", HR)), (part("reader", HR), FILE)):
        refused = office.send(*parts)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert refused.json()["detail"] == "form.reader: unknown form field 'reader'; did you mean 'readers'?"
    assert (office.documents(), incoming(office)) == (0, [])


def test_a_collection_after_the_file_is_checked_as_one_before_it(office: Office) -> None:
    office.services.accounts.grants.grant_role(DEFAULT_TENANT, "staff", "user:bob", Role.READER)
    for parts in ((FILE, COLLECTION), (COLLECTION, FILE)):
        refused = office.send(*parts, person="bob")
        assert refused.status_code == 403, refused.text
        assert refused.json()["code"] == "role_missing"
    assert office.found("bob", "Cecily earns") == []
    assert incoming(office) == []


def test_a_refused_file_counts_in_the_batch_that_is_named_after_it(office: Office) -> None:
    batch = office.http.post("/v1/batches", json={"name": "two"}, headers=office.people.of("eve")).json()["id"]
    made = office.send(
        part("file", b"x" * 200_001, "large.md"), part("file", b"", "empty.md"), FILE, part("batch", batch)
    )
    assert [each["problem"]["code"] for each in made.json()["rejected"]] == ["file_too_large", "empty_file"]
    counts = office.http.get(f"/v1/batches/{batch}", headers=office.people.of("eve")).json()["counts"]
    assert (counts["received"], counts["refused"]) == (3, 2)


def test_many_files_that_wait_for_the_end_of_their_form_hold_no_open_files(office: Office) -> None:
    before, waiting = psutil.Process(os.getpid()).num_fds(), []

    def arriving() -> Iterator[bytes]:
        for number in range(300):
            yield part("file", f"Note {number}.", f"{number}.md")
        yield b"--"
        wait_until(lambda: len(incoming(office)) == 300, what="all are on the disk")
        waiting.append(psutil.Process(os.getpid()).num_fds())
        yield READERS[2:] + END

    made = office.http.post("/v1/documents", content=arriving(), headers=office.people.of("eve", **FORM)).json()
    assert len(made["documents"]) == 300
    assert waiting[0] < before + 30


def test_a_purpose_that_is_given_twice_is_refused(office: Office) -> None:
    parts = (part("purpose", "assistants"), FILE, part("purpose", "user_data"))
    headers = office.people.of("eve", **FORM)
    refused = office.http.post("/v1/files", content=b"".join(parts) + END, headers=headers)
    assert refused.status_code == 422, refused.text
    assert refused.json()["error"]["param"] == "form.purpose"
    assert office.http.get("/v1/files", headers=office.people.of("eve")).json()["data"] == []
