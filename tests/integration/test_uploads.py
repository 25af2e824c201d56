"""Uploads in several requests: a real tus client over cut connections, and each request by itself."""

import base64
import hashlib
import io
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tusclient.client import TusClient

from api.admission.services import DEFAULT_TENANT, Services
from ingest.resumable import expire_uploads
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.uploads.partial import LEASE_SECONDS, Uploads
from tests.support.blob_paths import blob_path
from tests.support.cluster import wait_until
from tests.support.cutting_proxy import Cutting
from tests.support.service import listening, running

TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}
LINES = "".join(f"Line {n} of the long chart is about buoy {n * 7919 % 10_007}.\n" for n in range(20_000)).encode()
CHART = b"# Chart\n\nThe beacon on the mole was lit in 1820.\n\n" + LINES


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, str, str]]:
    with (
        running(tmp_path_factory.mktemp("home")) as (services, _),
        listening(services) as (url, key),
    ):
        yield services, url, key


@pytest.fixture
def http(service: tuple[Services, str, str]) -> Iterator[httpx.Client]:
    _, url, key = service
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        yield client


def described(**members: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in members.items())


def begun(http: httpx.Client, length: int, **members: str) -> str:
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": described(filename="chart.md", **members)}
    made = http.post("/v1/uploads", headers=headers)
    assert made.status_code == 201, made.text
    return made.headers["location"]


def add(http: httpx.Client, where: str, offset: int, content: Any, **headers: str) -> httpx.Response:  # noqa: ANN401
    return http.patch(where, content=content, headers={**PART, "Upload-Offset": str(offset), **headers})


def offset(http: httpx.Client, where: str) -> int:
    found = http.head(where, headers=TUS)
    assert found.status_code == 200
    return int(found.headers["upload-offset"])


def test_a_tus_client_goes_on_after_cut_connections_and_the_file_is_a_document_as_any(
    service: tuple[Services, str, str], http: httpx.Client
) -> None:
    _, url, key = service
    metadata = {"filename": "chart.md", "collection": "charts", "metadata": json.dumps({"year": 1820})}
    with Cutting(url, after=100_000).running() as cutting:
        client = TusClient(f"{cutting.url}/v1/uploads", headers={"Authorization": f"Bearer {key}"})
        uploader = client.uploader(
            file_stream=io.BytesIO(CHART), metadata=metadata, chunk_size=len(CHART), retries=500, retry_delay=0.2
        )
        uploader.upload()
    assert cutting.cuts >= 3
    whole = http.head(urlsplit(str(uploader.url)).path, headers=TUS)
    assert whole.headers["upload-offset"] == whole.headers["upload-length"] == str(len(CHART))
    document = http.get(whole.headers["content-location"]).json()
    assert (document["name"], document["collection"], document["metadata"]) == ("chart.md", "charts", {"year": 1820})
    original = http.get(f"{whole.headers['content-location']}/original").content
    assert hashlib.sha256(original).digest() == hashlib.sha256(CHART).digest()
    again = http.post("/v1/documents", params={"name": "chart.md", "collection": "charts"}, content=CHART)
    assert (again.status_code, again.json()["id"]) == (200, document["id"])  # its digest is that of the bytes
    wait_until(lambda: http.get(f"/v1/documents/{document['id']}").json()["state"] == "ready", what="ready")


def test_a_client_with_checksums_and_small_parts_is_served_too(
    service: tuple[Services, str, str], http: httpx.Client
) -> None:
    _, url, key = service
    content = CHART[:300_000]
    client = TusClient(f"{url}/v1/uploads", headers={"Authorization": f"Bearer {key}"})
    uploader = client.uploader(
        file_stream=io.BytesIO(content), metadata={"filename": "a.md"}, chunk_size=70_000, upload_checksum=True
    )
    uploader.upload()
    where = http.head(urlsplit(str(uploader.url)).path, headers=TUS).headers["content-location"]
    assert http.get(f"{where}/original").content == content


def test_what_arrived_before_a_cut_is_kept_and_another_process_goes_on(
    service: tuple[Services, str, str], http: httpx.Client
) -> None:
    services, _, _ = service
    content = CHART[:200_000] + b"The end of this one.\n"
    where = begun(http, len(content))

    path = blob_path(services, f"uploads/{(name := where.rpartition('/')[2])[:2]}/{name}")

    def cut() -> Iterator[bytes]:
        yield content[:120_000]
        wait_until(lambda: path.stat().st_size > 0, what="a part has arrived")
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        add(http, where, 0, cut(), **{"Content-Length": str(len(content))})
    wait_until(lambda: not services.work.uploads._writers, what="the service has noticed")
    wait_until(lambda: offset(http, where) > 0, what="a part is kept")
    kept = offset(http, where)  # the server may see the end before the last blocks are read, and those are lost
    assert kept <= 120_000
    services.work.uploads._digests.clear()  # what a process knows that has just started
    done = add(http, where, kept, content[kept:])
    assert done.status_code == 204
    assert http.get(f"{done.headers['content-location']}/original").content == content


def test_bytes_beyond_what_the_catalog_says_are_durable_are_cut_off(
    service: tuple[Services, str, str], http: httpx.Client
) -> None:
    """A process that dies leaves a file with more than it has recorded."""
    services, _, _ = service
    content = CHART[:5_000] + b"It ends here.\n"
    where = begun(http, len(content))
    assert add(http, where, 0, content[:1_000]).headers["upload-offset"] == "1000"
    identifier = where.rpartition("/")[2]
    path = blob_path(services, f"uploads/{identifier[:2]}/{identifier}")
    path.write_bytes(content[:1_000] + b"half a block of somebody who died")
    done = add(http, where, 1_000, content[1_000:])
    assert http.get(f"{done.headers['content-location']}/original").content == content


def test_a_wrong_offset_checksum_or_length_changes_nothing(http: httpx.Client) -> None:
    where = begun(http, 10)
    assert add(http, where, 0, b"0123").status_code == 204
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    for sent, status, code in (
        ({"offset": 0}, 409, "upload_offset"),
        ({"offset": 5}, 409, "upload_offset"),
        ({"offset": 4, "Upload-Checksum": f"sha256 {wrong}"}, 460, "checksum_mismatch"),
        ({"offset": 4, "Upload-Checksum": "crc32 AAAA"}, 400, "bad_request"),
        ({"offset": 4, "Content-Type": "text/plain"}, 415, "media_type"),
        ({"offset": 4, "Tus-Resumable": "0.2.2"}, 412, "tus_version"),
    ):
        headers = {name: str(value) for name, value in sent.items() if name != "offset"}
        refused = add(http, where, int(str(sent["offset"])), b"4567", **headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert refused.headers["tus-resumable"] == "1.0.0"
        assert offset(http, where) == 4
    assert add(http, where, 4, b"456789 and more").status_code == 400
    assert offset(http, where) == 4
    right = base64.b64encode(hashlib.sha1(b"456").digest()).decode()
    assert add(http, where, 4, b"456", **{"Upload-Checksum": f"sha1 {right}"}).headers["upload-offset"] == "7"


def test_two_requests_never_add_to_one_upload_at_once(http: httpx.Client) -> None:
    where, ready = begun(http, 1_000_000), threading.Barrier(6)

    def send(number: int) -> httpx.Response:
        ready.wait()
        return add(http, where, 0, bytes([65 + number]) * 999_000)

    with ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(send, range(6)))
    assert sorted(each.status_code for each in sent)[0] == 204
    assert sum(each.status_code == 204 for each in sent) == 1
    assert {each.status_code for each in sent} <= {204, 409, 423}


def test_what_is_no_document_is_refused_as_soon_as_it_shows(http: httpx.Client) -> None:
    where = begun(http, 100_000)
    refused = add(http, where, 0, b"\x7fELF" + bytes(20_000))
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_type")
    assert http.head(where, headers=TUS).status_code == 404
    headers = {**TUS, "Upload-Metadata": ""}
    assert http.post("/v1/uploads", headers={**headers, "Upload-Length": "0"}).json()["code"] == "empty_file"
    assert http.post("/v1/uploads", headers={**headers, "Upload-Length": str(2**40)}).json()["code"] == "file_too_large"
    assert http.post("/v1/uploads", headers=headers).status_code == 422


def test_an_upload_is_given_up_and_one_that_nobody_goes_on_with_expires(
    service: tuple[Services, str, str], http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, _, _ = service
    where = begun(http, 100)
    add(http, where, 0, b"# some text")
    path = blob_path(services, f"uploads/{(name := where.rpartition('/')[2])[:2]}/{name}")
    assert path.exists()
    assert http.delete(where, headers=TUS).status_code == 204
    assert (path.exists(), http.head(where, headers=TUS).status_code) == (False, 404)
    services.contents.blobs.put("uploads/no/nobodys", b"of a tenant that was deleted")
    where = begun(http, 100)
    path = blob_path(services, f"uploads/{(name := where.rpartition('/')[2])[:2]}/{name}")
    rows: Uploads = services.work.uploads._rows
    expire_uploads(rows, services.contents.blobs)
    assert (path.exists(), blob_path(services, "uploads/no/nobodys").exists()) == (True, False)
    now = rows._clock()
    monkeypatch.setattr(rows, "_clock", lambda: now + 25 * 3_600)
    assert http.head(where, headers=TUS).status_code == 404
    expire_uploads(rows, services.contents.blobs)
    assert not path.exists()


def test_a_lease_that_ran_out_is_taken_by_the_next(
    service: tuple[Services, str, str], http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, _, key = service
    rows, where = services.work.uploads._rows, begun(http, 100)
    rows.acquire_lease(DEFAULT_TENANT, where.rpartition("/")[2], f"key:{key.split('_')[1]}", 0)
    assert add(http, where, 0, b"# text").json()["code"] == "upload_taken"
    now = rows._clock()
    monkeypatch.setattr(rows, "_clock", lambda: now + LEASE_SECONDS + 1)
    assert add(http, where, 0, b"# text").status_code == 204


def test_an_upload_is_its_senders_alone(service: tuple[Services, str, str], http: httpx.Client) -> None:
    services, _, _ = service
    where = begun(http, 100)
    services.documents.catalog.ensure_tenant("others")
    for tenant in (DEFAULT_TENANT, "others"):
        _, key = services.keys.issue_key(tenant, "a stranger", scopes=[Scope.WRITE])
        stranger = {"Authorization": f"Bearer {key}"}
        seen = [
            http.head(where, headers={**TUS, **stranger}),
            add(http, where, 0, b"mine", **stranger),
            http.delete(where, headers={**TUS, **stranger}),
        ]
        assert [each.status_code for each in seen] == [404, 404, 404]
    _, key = services.keys.issue_key(DEFAULT_TENANT, "a reader", scopes=[Scope.READ])
    assert http.head(where, headers={**TUS, "Authorization": f"Bearer {key}"}).status_code == 403
    assert offset(http, where) == 0


def test_uploads_under_way_count_on_the_quota_of_bytes(service: tuple[Services, str, str]) -> None:
    services, url, _ = service
    services.documents.catalog.ensure_tenant("small")
    _, key = services.keys.issue_key("small", "a key", scopes=[Scope.WRITE, Scope.READ])
    services.admission.meter.quotas.set_limits(Account("small", ""), {Quota.BYTES: 1_000})
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as http:
        first = begun(http, 600)
        headers = {**TUS, "Upload-Length": "600", "Upload-Metadata": ""}
        refused = http.post("/v1/uploads", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        http.delete(first, headers=TUS).raise_for_status()
        begun(http, 600)


def test_a_version_and_its_extensions_are_told(http: httpx.Client) -> None:
    told = http.options("/v1/uploads")
    assert told.status_code == 204
    assert told.headers["tus-version"] == "1.0.0"
    assert told.headers["tus-extension"] == "creation,expiration,checksum,termination"
    assert int(told.headers["tus-max-size"]) == 512 * 1024**2


def test_nothing_stays_when_the_disk_of_uploads_is_removed(
    service: tuple[Services, str, str], http: httpx.Client
) -> None:
    services, _, _ = service
    where = begun(http, 100)
    shutil.rmtree(blob_path(services, "uploads"))
    assert add(http, where, 0, b"# text").json()["code"] == "upload_not_found"
    assert http.head(where, headers=TUS).status_code == 404


def test_the_python_client_sends_a_file_in_parts_as_a_document_of_rest(tmp_path: Path) -> None:
    text = "The quokka is awake. " * 40_000
    (tmp_path / "long.txt").write_text(text)
    with running(tmp_path / "home") as (_, client):
        made = client.upload_resumable(tmp_path / "long.txt", collection="zoo", metadata={"year": 1901})
        assert (made.name, made.collection, made.metadata) == ("long.txt", "zoo", {"year": 1901})
        assert client.original(made.id) == text.encode()
