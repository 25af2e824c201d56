"""Downloads of uploaded files over HTTP: whole, in ranges, and of a file that was changed in the store."""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import DEFAULT_TENANT, Services
from ingest.storage.blobs.keyring import generate_key
from ingest.storage.blobs.store import BLOCK_BYTES
from tests.support.cluster import wait_until
from tests.support.service import listening, running

CONTENT = secrets.token_hex(BLOCK_BYTES + 500).encode()
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@dataclass(frozen=True)
class Stored:
    """A file of several blocks that was sent, and its path on the disk."""

    http: httpx.Client
    url: str
    path: Path
    services: Services

    def get(self, **headers: str) -> httpx.Response:
        return self.http.get(self.url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def receive(self, **headers: str) -> bytes:
        """Return what arrives before the connection is closed. Raises `AssertionError` if the response is complete."""
        received = b""
        with self.http.stream("GET", self.url, headers=headers) as response:
            assert response.status_code in {200, 206}
            try:
                for piece in response.iter_raw():
                    received += piece
            except httpx.RemoteProtocolError:
                return received
        raise AssertionError("the response is complete")


@pytest.fixture(scope="module", params=["plain", "sealed"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    home = tmp_path_factory.mktemp("home")
    keys: dict[str, Any] = {"blob_keys": generate_key()} if request.param == "sealed" else {}
    with (
        running(home, **keys) as (services, _),
        listening(services) as (url, key),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as http,
    ):
        sent = http.post("/v1/files", files={"file": ("a.txt", CONTENT)}, data={"purpose": "assistants"})
        assert sent.status_code == 200, sent.text
        (path,) = (each for each in (home / "blobs" / "original").rglob("*") if each.is_file())
        yield Stored(http, f"/v1/files/{sent.json()['id']}/content", path, services)


@pytest.fixture
def stored(service: Stored) -> Iterator[Stored]:
    before = service.path.read_bytes()
    yield service
    service.path.write_bytes(before)


def change_end(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def test_a_download_has_the_digest_of_the_file_as_its_etag(stored: Stored) -> None:
    whole = stored.get()
    assert (whole.status_code, whole.content == CONTENT, whole.headers["etag"]) == (200, True, TAG)
    same = stored.get(If_None_Match=f'"other", W/{TAG}')
    assert (same.status_code, same.content) == (304, b"")
    assert stored.get(If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        (f"bytes={BLOCK_BYTES - 5}-{BLOCK_BYTES + 4}", BLOCK_BYTES - 5, BLOCK_BYTES + 5),
        (f"bytes=7-{2 * BLOCK_BYTES + 3}", 7, 2 * BLOCK_BYTES + 4),
        ("bytes=-20", len(CONTENT) - 20, len(CONTENT)),
        (f"bytes={len(CONTENT) - 1}-", len(CONTENT) - 1, len(CONTENT)),
    ],
)
def test_a_range_has_the_bytes_that_it_names(stored: Stored, asked: str, start: int, end: int) -> None:
    part = stored.get(Range=asked)
    assert (part.status_code, part.content == CONTENT[start:end]) == (206, True)
    assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


def test_a_range_of_another_file_than_the_client_has_is_the_whole_file(stored: Stored) -> None:
    assert stored.get(Range="bytes=0-9", If_Range=TAG).status_code == 206
    whole = stored.get(Range="bytes=0-9", If_Range='"other"')
    assert (whole.status_code, whole.content == CONTENT) == (200, True)


def test_a_range_beyond_the_end_of_the_file_is_refused(stored: Stored) -> None:
    beyond = stored.get(Range=f"bytes={len(CONTENT)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


def test_the_transfer_of_a_changed_file_is_broken_off_and_never_looks_complete(stored: Stored) -> None:
    change_end(stored.path)
    assert len(stored.receive()) < len(CONTENT)
    assert len(stored.receive(Range=f"bytes=100-{len(CONTENT) - 200}")) < len(CONTENT) - 299


def test_a_range_within_one_block_of_a_changed_file_is_a_problem(stored: Stored) -> None:
    change_end(stored.path)
    refused = stored.get(Range="bytes=0-9")
    assert (refused.status_code, refused.json()["code"]) == (500, "content_changed")


@pytest.mark.parametrize("length", [0, 10, BLOCK_BYTES + 10])
def test_a_file_that_was_cut_short_is_never_a_complete_download(stored: Stored, length: int) -> None:
    stored.path.write_bytes(stored.path.read_bytes()[:length])
    with stored.http.stream("GET", stored.url) as response:
        if response.status_code == 500:
            response.read()
            assert response.json()["code"] in {"content_changed", "blob_changed"}
            return
    assert len(stored.receive()) < len(CONTENT)


def test_an_original_that_is_missing_is_a_problem(service: Stored) -> None:
    made = service.http.post("/v1/documents", params={"name": "b.txt"}, content=b"Just a text.").json()["id"]
    wait_until(lambda: service.http.get(f"/v1/documents/{made}").json()["state"] == "ready", what="it is ready")
    service.services.contents.blobs.delete(
        service.services.documents.catalog.load_document(DEFAULT_TENANT, made).version.blob_key
    )
    for headers in ({}, {"Range": "bytes=0-9"}):
        refused = service.http.get(f"/v1/documents/{made}/original", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (500, "original_lost")
