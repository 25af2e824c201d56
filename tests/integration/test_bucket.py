"""A whole service whose files are in a bucket and sealed, and what a bucket's server does to it."""

import hashlib
import io
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import obstore
import pytest

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_embedded_services
from api.build.index_access import open_index_access
from api.settings.settings import Settings
from ingest.storage.blobs.bucket import open_bucket
from ingest.storage.blobs.keyring import generate_key
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.sealed import SealedBlobs
from ingest.storage.blobs.sealed_format import MAGIC, has_seal_head
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.errors import (
    BlobChangedError,
    BlobKeyError,
    BlobStoreError,
    BlobStoreRejectedError,
    BlobStoreUnavailableError,
    InstallationMismatchError,
)
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.operations.backup import create_backup, verify_backup, verify_stored_files
from ingest.storage.operations.copying import CatalogCopies
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.restore import RestoreTarget, restore_backup
from ingest.storage.sealing import SEALED_MARKER, InMemorySealRecord
from retrieval.encoders.port import HashingEmbedder
from retrieval.encoders.registry import wrap_encoder
from tests.support.cluster import wait_until
from tests.support.people import asked_by_people
from tests.support.relay import HangingRelay, relayed
from tests.support.s3_server import BUCKET, bucket_environment, bucket_settings, s3_server
from tests.support.service import patient_health, running

TEXT = b"# Harbour\n\nThe keeper of the lighthouse was Ada Brandt. She lit the lamp in 1871.\n"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


def quiet(*_: object) -> None:
    return None


def uploaded(http: httpx.Client, name: str = "harbour.md", content: bytes = TEXT) -> str:
    identifier = str(http.post("/v1/documents", params={"name": name}, content=content).json()["id"])
    wait_until(lambda: http.get(f"/v1/documents/{identifier}").json()["state"] == "ready", what="it is ready")
    return identifier


def answered(http: httpx.Client) -> tuple[str, list[str]]:
    answer = http.post("/v1/answers", json={"question": "Who was the keeper of the lighthouse?"}).json()
    return answer["text"], [each["quote"] for each in answer["citations"]]


def objects(url: str, prefix: str, folder: Path) -> dict[str, bytes]:
    """What the server holds below a prefix, as it holds it."""
    plain = open_bucket(bucket_settings(url, prefix), folder)
    kinds = ("original", "text", "tables", "uploads", "parts")
    return {key: plain.read(key) for kind in kinds for key in plain.iter_keys(kind)}


def test_a_service_works_over_a_sealed_bucket_and_a_backup_of_it_gives_the_same_answers_elsewhere(
    tmp_path: Path, server: str
) -> None:
    environment = {**bucket_environment(server, "whole"), "blob_keys": generate_key()}
    home, folder = tmp_path / "home", tmp_path / "backup"
    with running(home, **environment) as (services, client):
        http = client.http
        document = uploaded(http)
        before = answered(http)
        assert "Ada Brandt" in before[0]
        original = http.get(f"/v1/documents/{document}/original")
        assert (original.content, original.headers["accept-ranges"]) == (TEXT, "bytes")
        part = http.get(f"/v1/documents/{document}/original", headers={"Range": "bytes=2-8"})
        assert (part.status_code, part.content) == (206, b"Harbour")
        assert part.headers["content-range"] == f"bytes 2-8/{len(TEXT)}"
        assert http.get(f"/v1/documents/{document}/original", headers={"Range": "bytes=-5"}).content == TEXT[-5:]
        beyond = http.get(f"/v1/documents/{document}/original", headers={"Range": "bytes=9999-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(TEXT)}")
        with closing_catalog(home) as catalog:
            assert verify_stored_files(catalog, services.contents.blobs, quiet) == []
            made = create_backup(catalog, services.contents.blobs, folder, quiet)
    assert (made.lost, made.damaged) == ((), ())
    assert verify_backup(folder, quiet) == []
    content = objects(server, "whole", tmp_path)
    assert {key.partition("/")[0] for key in content} == {"original", "text"}
    assert [key for key, each in content.items() if not each.startswith(MAGIC)] == []
    assert not any(b"Brandt" in each for each in content.values())
    assert not any(b"Brandt" in path.read_bytes() for path in (home / "blobs-in-use").rglob("*") if path.is_file())

    elsewhere = {**bucket_environment(server, "elsewhere"), "blob_keys": generate_key()}
    there = tmp_path / "there"
    restored(folder, there, elsewhere)
    with running(there, **elsewhere) as (_, client):
        assert answered(client.http) == before
    shutil.rmtree(there)
    restored(folder, there, {})
    with running(there) as (_, client):
        assert answered(client.http) == before


def test_a_text_is_fetched_once_and_its_copies_are_sealed_and_go_with_the_document(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**bucket_environment(server, "copies"), "blob_keys": generate_key(), "query_cache_bytes": 0}
    folder = tmp_path / "blobs-in-use" / "copies"
    with running(tmp_path, **environment) as (services, client):
        document, other = uploaded(client.http), uploaded(client.http, "other.md", b"The lighthouse has a lamp.")
        found = client.http.post("/v1/search", json={"query": "lighthouse"}).json()["hits"]
        requests: list[str] = []
        for name in ("get", "head"):
            monkeypatch.setattr(obstore, name, _count_calls(getattr(obstore, name), name, requests))

        again = client.http.post("/v1/search", json={"query": "lighthouse"}).json()["hits"]

        assert requests == []
        assert len(found) == 2
        assert [each["text"] for each in again] == [each["text"] for each in found]
        copies = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert copies
        assert not any(b"Brandt" in each or b"lighthouse" in each for each in copies.values())
        version = client.http.get(f"/v1/documents/{document}").json()["active_version"]
        client.http.delete(f"/v1/documents/{document}").raise_for_status()
        wait_until(lambda: not any(version in path.name for path in folder.rglob("*")), what="the copies are deleted")
        # As a process that did not remove the document, but read it.
        (folder / "text" / "ab").mkdir(parents=True, exist_ok=True)
        (folder / "text" / "ab" / f"{version}.txt.0").write_bytes(b"sealed")
        assert services.contents.blobs.copies is not None
        assert (
            services.contents.blobs.copies.discard_versions(services.stores.operations.leftovers.select_gone_versions)
            == 1
        )
        left = client.http.get(f"/v1/documents/{other}").json()["active_version"]
        assert {path.name.partition(".")[0] for path in folder.rglob("*") if path.is_file()} == {left}


def test_a_copy_that_does_not_fit_its_digest_is_fetched_again(tmp_path: Path, server: str) -> None:
    environment = {**bucket_environment(server, "damaged"), "query_cache_bytes": 0}
    with running(tmp_path, **environment) as (_, client):
        uploaded(client.http)
        for content in (b"The keeper of the lighthouse was somebody else. She lit it.", b""):
            client.http.post("/v1/search", json={"query": "lighthouse"}).raise_for_status()
            (copy,) = (tmp_path / "blobs-in-use" / "copies" / "text").rglob("*.txt.0")
            copy.write_bytes(content)

            (hit,) = client.http.post("/v1/search", json={"query": "lighthouse"}).json()["hits"]

            assert "Ada Brandt" in hit["text"]


def test_a_bucket_that_hangs_costs_a_request_seconds_and_health_names_it(tmp_path: Path, server: str) -> None:
    with HangingRelay(server).running() as relay:
        environment = {**bucket_environment(relay.url, "hangs"), "query_cache_bytes": 0, "s3_read_seconds": 1}
        with running(tmp_path, **environment, s3_copies_bytes=0) as (_, client):
            http = client.http
            document = uploaded(http)
            roles = [f"?for={role}" for role in ("uploads", "search", "answers")]
            assert [http.get(f"/health/ready{role}").status_code for role in roles] == [200] * 3
            relay.hang()
            begun = time.monotonic()

            for response in (
                http.post("/v1/search", json={"query": "lighthouse"}),
                http.post("/v1/answers", json={"question": "Who was the keeper of the lighthouse?"}),
                http.get(f"/v1/documents/{document}/original"),
            ):
                assert (response.status_code, response.json()["code"]) == (503, "blob_store_unavailable")
                assert int(response.headers["retry-after"]) > 0
            assert time.monotonic() - begun < 30  # Each takes a second or two; without the deadline, two minutes.
            wait_until(lambda: _get_files_state(http) == "unavailable", what="health names the files")
            assert http.get("/health/ready").status_code == 200
            assert [http.get(f"/health/ready{role}").status_code for role in roles] == [503] * 3
            assert http.get("/health/live").status_code == 200

            relay.mend()
            wait_until(lambda: _get_files_state(http) == "ready", what="the files are back")
            wait_until(lambda: http.post("/v1/search", json={"query": "lighthouse"}).is_success, what="texts are read")


def test_health_responds_while_searches_wait_for_a_bucket(tmp_path: Path, server: str) -> None:
    with HangingRelay(server).running() as relay, ThreadPoolExecutor(2) as pool:
        environment = {**bucket_environment(relay.url, "waits"), "query_cache_bytes": 0, "s3_read_seconds": 120}
        with running(tmp_path, **environment, s3_copies_bytes=0) as (_, client), patient_health(1.0):
            http = client.http
            uploaded(http)
            relay.hang()
            searches = [pool.submit(http.post, "/v1/search", json={"query": word}) for word in ("lighthouse", "keeper")]
            try:
                relay.is_waiting.wait()

                assert http.get("/health/live").status_code == 200
                assert _get_files_state(http) == "unavailable"
                assert http.get("/health/ready?for=search").status_code == 503
                assert not any(each.done() for each in searches)
            finally:
                relay.mend()
            assert [each.result().status_code for each in searches] == [200, 200]


def test_a_closed_or_deleted_document_is_not_served_from_its_copies(tmp_path: Path, server: str) -> None:
    environment = {**bucket_environment(server, "closed"), "query_cache_bytes": 0}
    folder = tmp_path / "blobs-in-use" / "copies"
    with running(tmp_path, **environment) as (services, client), asked_by_people(services) as (http, people):
        document, other = uploaded(client.http), uploaded(client.http, "other.md", b"The lighthouse has a lamp.")
        path = f"/v1/documents/{document}"

        def search(person: str) -> set[str]:
            response = http.post("/v1/search", json={"query": "lighthouse"}, headers=people.of(person))
            return {hit["document"] for hit in response.raise_for_status().json()["hits"]}

        def read_copies() -> dict[Path, bytes]:
            return {path: path.read_bytes() for path in folder.rglob(f"{version}.*")}

        version = client.http.get(path).json()["active_version"]
        assert search("bob") == {document, other}
        copies = read_copies()
        assert any(b"Brandt" in content for content in copies.values())

        change = {"readers": ["group:hr"]}
        http.patch(path, json=change, headers=people.of("admin", **{"If-Match": "*"})).raise_for_status()
        assert (search("bob"), search("eve")) == ({other}, {document, other})
        assert http.get(f"{path}/content", headers=people.of("bob")).status_code == 404
        assert read_copies() == copies

        client.http.delete(path).raise_for_status()
        assert search("eve") == {other}
        wait_until(lambda: not read_copies(), what="the copies are deleted")
        for copy, content in copies.items():  # As on the disk of a process that did not delete the document.
            copy.write_bytes(content)
        assert search("eve") == {other}
        assert http.get(f"{path}/content", headers=people.of("eve")).status_code == 404
        assert read_copies() == copies


def test_texts_with_copies_are_found_while_the_bucket_hangs(tmp_path: Path, server: str) -> None:
    with HangingRelay(server).running() as relay:
        environment = {**bucket_environment(relay.url, "copied"), "query_cache_bytes": 0, "s3_read_seconds": 1}
        with running(tmp_path, **environment) as (_, client):
            uploaded(client.http)
            before = client.http.post("/v1/search", json={"query": "lighthouse"}).json()["hits"]
            relay.hang()
            after = client.http.post("/v1/search", json={"query": "lighthouse"}).json()["hits"]
            relay.mend()
    assert "Ada Brandt" in after[0]["text"]
    assert [each["text"] for each in after] == [each["text"] for each in before]


def _get_files_state(http: httpx.Client) -> str:
    return str(http.get("/health/ready").json()["parts"]["files"]["state"])


def test_a_copy_sealed_with_a_key_that_is_gone_is_fetched_again(tmp_path: Path, server: str) -> None:
    first, second = generate_key(), generate_key()
    record = InMemorySealRecord()

    def opened(keys: str, *, is_serving: bool) -> SealedBlobs:
        settings = bucket_settings(server, "rotated", blob_keys=keys)
        blobs = open_blobs(settings, tmp_path, record, is_serving=is_serving)
        assert isinstance(blobs, SealedBlobs)
        return blobs

    serving = opened(first, is_serving=True)
    serving.put("text/ab/abcd.txt", TEXT)
    assert serving.read("text/ab/abcd.txt") == TEXT
    rotating = opened(f"{second} {first}", is_serving=False)
    assert rotating.reseal_file("text/ab/abcd.txt")
    rotating.reseal_marker()

    assert opened(second, is_serving=True).read("text/ab/abcd.txt", 2, 7) == TEXT[2:9]


def closing_catalog(home: Path) -> "closing[CatalogOf]":
    return closing(CatalogOf(home))


class CatalogOf(CatalogCopies):
    """The catalog of a home, beside a running service."""

    def __init__(self, home: Path) -> None:
        self._own = open_database(build_sqlite_url(home / "catalog.sqlite"))
        super().__init__(self._own)

    def close(self) -> None:
        self._own.dispose()


def restored(folder: Path, home: Path, environment: dict[str, Any]) -> None:
    home.mkdir()
    settings = Settings.model_validate({"home": home, "llm": "none", **environment})
    engine = open_database(build_sqlite_url(home / "catalog.sqlite"))
    parts = RestoreTarget(
        CatalogCopies(engine),
        InstallationRecord(engine),
        GenerationRecords(engine),
        open_blobs(settings, home, InstallationRecord(engine)),
    )
    restore_backup(folder, parts, quiet, is_index_taken=lambda _: False)
    engine.dispose()
    with open_index_access(settings, cluster=None, encoders=wrap_encoder(HashingEmbedder())) as access:
        access.build_restored_generation(lambda progress, uncommitted: None)


def test_a_resumable_upload_goes_on_in_another_process_with_the_parts_in_the_bucket(
    tmp_path: Path, server: str
) -> None:
    environment = {**bucket_environment(server, "resumable"), "blob_keys": generate_key()}
    headers = {"Tus-Resumable": "1.0.0"}
    with running(tmp_path / "home", **environment) as (services, client):
        _, key = services.keys.issue_key(DEFAULT_TENANT, "a test")
        headers["Authorization"] = f"Bearer {key}"  # an upload is its sender's
        made = client.http.post(
            "/v1/uploads",
            headers={**headers, "Upload-Length": str(len(TEXT)), "Upload-Metadata": "filename aGFyYm91ci5tZA=="},
        )
        where = made.headers["location"]
        more = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        assert client.http.patch(where, headers={**headers, **more}, content=TEXT[:20]).status_code == 204
    shutil.rmtree(tmp_path / "home" / "blobs-in-use")
    with running(tmp_path / "home", **environment) as (_, client):
        more = {"Upload-Offset": "20", "Content-Type": "application/offset+octet-stream"}
        done = client.http.patch(where, headers={**headers, **more}, content=TEXT[20:])
        assert done.is_success, done.text
        assert client.http.get(f"{done.headers['content-location']}/original").content == TEXT
    assert not [key for key in objects(server, "resumable", tmp_path) if key.startswith(("uploads/", "parts/"))]


def test_keys_that_are_missing_or_wrong_keep_a_service_from_starting(tmp_path: Path) -> None:
    first, second = generate_key(), generate_key()
    with running(tmp_path, blob_keys=first) as (_, client):
        document = uploaded(client.http)
    for keys, said in ((None, "LEADLINE_BLOB_KEYS is not set"), (second, "not in LEADLINE_BLOB_KEYS")):
        settings = Settings(home=tmp_path, llm="none", blob_keys=keys)
        with pytest.raises(BlobKeyError, match=said), open_embedded_services(settings, encoder=HashingEmbedder()):
            pass
    with pytest.raises(BlobKeyError, match="an invalid key"):
        open_blobs(Settings(home=tmp_path, blob_keys="no key"), tmp_path, InMemorySealRecord())
    with running(tmp_path, blob_keys=f"{second} {first}") as (services, client):
        assert client.http.get(f"/v1/documents/{document}/original").content == TEXT
        sealed = services.contents.blobs
        assert isinstance(sealed, SealedBlobs)
        files = [key for kind in ("original", "text", "tables") for key in sealed.iter_keys(kind)]
        assert [sealed.reseal_file(key) for key in files] == [True] * len(files)
        sealed.reseal_marker()
        assert [sealed.reseal_file(key) for key in files] == [False] * len(files)
        assert client.http.get(f"/v1/documents/{document}/original").content == TEXT
    with running(tmp_path, blob_keys=second) as (_, client):
        assert client.http.get(f"/v1/documents/{document}/original").content == TEXT
        assert "Ada Brandt" in answered(client.http)[0]


def test_files_from_before_there_was_a_key_are_read_and_sealed_when_asked(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        document = uploaded(client.http)
    with running(tmp_path, blob_keys=generate_key()) as (services, client):
        assert client.http.get(f"/v1/documents/{document}/original").content == TEXT
        sealed = services.contents.blobs
        assert isinstance(sealed, SealedBlobs)
        (key,) = sealed.iter_keys("original")
        assert (tmp_path / "blobs" / key).read_bytes() == TEXT
        assert sealed.reseal_file(key)
        assert has_seal_head((tmp_path / "blobs" / key).read_bytes())
        assert client.http.get(f"/v1/documents/{document}/original").content == TEXT


@pytest.mark.parametrize(
    "change",
    ["a bit", "the size", "two frames", "the end", "another file's head", "another file", "plain bytes", "no content"],
)
def test_a_sealed_file_that_was_changed_is_never_read(tmp_path: Path, change: str) -> None:
    blobs = open_blobs(Settings(home=tmp_path, blob_keys=generate_key()), tmp_path, InMemorySealRecord())
    content = secrets.token_bytes(200_000)
    blobs.put("original/ab/x", content)
    blobs.put("original/ab/y", content)
    path, other = (tmp_path / "blobs" / "original" / "ab" / name for name in "xy")
    head, frame, sealed = 40, (64 << 10) + 16, bytearray(path.read_bytes())
    if change == "a bit":
        sealed[-1] ^= 1
    elif change == "the size":
        sealed[head - 1] ^= 1
    elif change == "two frames":
        one, two = sealed[head : head + frame], sealed[head + frame : head + 2 * frame]
        sealed[head : head + 2 * frame] = two + one
    elif change == "the end":
        del sealed[head + 2 * frame :]
    elif change == "another file's head":
        sealed[:head] = other.read_bytes()[:head]
    elif change == "another file":
        sealed[:] = other.read_bytes()
    elif change == "plain bytes":
        sealed[:] = b"planted"
    else:
        sealed[head - 8 :] = bytes(8)
    path.write_bytes(sealed)
    with pytest.raises(BlobChangedError):
        b"".join(blobs.iter_blocks("original/ab/x"))
    with pytest.raises(BlobChangedError):
        blobs.read("original/ab/x")
    assert blobs.read("original/ab/y") == content


def test_a_bucket_of_another_installation_is_refused(tmp_path: Path, server: str) -> None:
    environment = bucket_environment(server, "taken")
    with running(tmp_path / "one", **environment):
        pass
    with running(tmp_path / "two"):
        pass
    settings = Settings.model_validate({"home": tmp_path / "two", "llm": "none", **environment})
    with (
        pytest.raises(InstallationMismatchError, match=f"bucket s3://{BUCKET}/taken"),
        open_embedded_services(settings, encoder=HashingEmbedder()),
    ):
        pass


class Faulty(BaseHTTPRequestHandler):
    """Answers as many requests as it is told to with S3's errors, and then says that nothing is there."""

    left: ClassVar[int] = 0
    status: ClassVar[int] = 503
    code: ClassVar[str] = "SlowDown"
    seen: ClassVar[int] = 0

    def log_message(self, *_: object) -> None:
        return None

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def do_GET(self) -> None:
        kind = type(self)
        kind.seen += 1
        kind.left -= 1
        said = f"<Error><Code>{self.code}</Code><Message>…</Message></Error>" if kind.left >= 0 else _EMPTY
        body = said.encode()
        self.send_response(self.status if kind.left >= 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_EMPTY = "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.fixture
def faulty() -> Iterator[str]:
    Faulty.seen = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def test_a_server_that_is_too_busy_is_asked_again(tmp_path: Path, faulty: str) -> None:
    Faulty.left, Faulty.status, Faulty.code = 2, 503, "SlowDown"
    open_blobs(bucket_settings(faulty), tmp_path, InMemorySealRecord())
    assert Faulty.seen >= 3


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "InvalidAccessKeyId", "LEADLINE_S3_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "LEADLINE_S3_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", "permission"),
        (404, "NoSuchBucket", "LEADLINE_BLOBS"),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, faulty: str, status: int, code: str, said: str) -> None:
    Faulty.left, Faulty.status, Faulty.code = 99, status, code
    with pytest.raises(BlobStoreRejectedError, match=code) as refused:
        open_blobs(bucket_settings(faulty), tmp_path, InMemorySealRecord())
    assert said in refused.value.hint
    assert faulty not in " ".join(refused.value.public_message)


def test_without_credentials_one_is_told_to_give_some(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings = bucket_settings(server, s3_access_key_id=None, s3_secret_access_key=None, s3_seconds=2)
    with pytest.raises(BlobStoreError) as refused:
        open_blobs(settings, tmp_path, InMemorySealRecord())
    assert "LEADLINE_S3_" in refused.value.hint


def test_a_line_that_is_cut_in_the_middle_of_a_large_file_leaves_no_half_of_it(tmp_path: Path, server: str) -> None:
    content = secrets.token_bytes(40_000_000)
    with relayed(server) as relay:
        blobs = open_blobs(bucket_settings(relay.url, "cut"), tmp_path, InMemorySealRecord())
        hasty = open_blobs(bucket_settings(relay.url, "cut", s3_seconds=8), tmp_path, InMemorySealRecord())
        relay.cut_after(20_000_000)
        with pytest.raises(BlobStoreUnavailableError):
            hasty.put_file("original/ab/x", io.BytesIO(content))
        relay.mend()
        assert blobs.find_size("original/ab/x") is None
        blobs.put_file("original/ab/x", io.BytesIO(content))
        digest = hashlib.sha256()
        for number, block in enumerate(blobs.iter_blocks("original/ab/x")):
            if number == 1:
                relay.cut()
                Thread(target=relay.mend).start()
            digest.update(block)
        assert digest.digest() == hashlib.sha256(content).digest()


def test_the_note_of_a_sealed_store_is_all_that_is_made_of_an_empty_one(tmp_path: Path) -> None:
    open_blobs(Settings(home=tmp_path, blob_keys=generate_key()), tmp_path, InMemorySealRecord())
    assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [SEALED_MARKER]


def test_a_range_is_read_in_one_request(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = open_bucket(bucket_settings(server, "ranges"), tmp_path)
    blobs.put("text/ab/x", TEXT)
    requests: list[str] = []
    for name in ("get", "get_range", "head"):
        monkeypatch.setattr(obstore, name, _count_calls(getattr(obstore, name), name, requests))

    assert blobs.read("text/ab/x", 2, 7) == TEXT[2:9]
    assert blobs.read("text/ab/x", 2, len(TEXT)) == TEXT[2:]
    assert b"".join(blobs.iter_blocks("text/ab/x", 2, 9)) == TEXT[2:9]

    assert requests == ["get", "get", "get"]


def _count_calls(call: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    def counted(*args: object, **options: object) -> Any:  # noqa: ANN401
        calls.append(name)
        return call(*args, **options)

    return counted
