"""A bucket over REST: the servers that the operator permits, a check, and two credentials that are never shown."""

from collections.abc import Iterator

import httpx
import pytest

from api.client import Client, RefusedError
from ingest.storage.blobs.keyring import generate_key
from tests.support.cluster import wait_until
from tests.support.s3_server import BUCKET, s3_server
from tests.support.service import running

KEYS = {"access_key_id": "the-key-id", "secret_access_key": "the-secret-key"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        httpx.put(f"{url}/{BUCKET}/reports/whale.txt", content=b"The whale was white.").raise_for_status()
        yield url


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home, endpoints = tmp_path_factory.mktemp("home"), f"https://a.org, {server}/"
    with running(home, source_endpoints=endpoints, source_keys=generate_key()) as (_, client):
        yield client


def test_a_bucket_is_checked_and_added_and_its_keys_are_not_shown(client: Client, server: str) -> None:
    options = {"bucket": BUCKET, "prefix": "reports", "endpoint": server, **KEYS}
    found = client.check_source("s3", options)
    assert (found.failure, [item.name for item in found.items]) == (None, ["whale.txt"])
    reply = client.http.post("/v1/sources", json={"name": "Reports", "kind": "s3", "options": options})
    assert reply.status_code == 201, reply.text
    assert reply.json()["credentials"] == sorted(KEYS)
    changed = client.http.patch(reply.headers["location"], json={"options": {"access_key_id": "another-id"}})
    assert changed.json()["credentials"] == sorted(KEYS)
    for shown in (reply.text, changed.text, client.http.get(reply.headers["location"]).text):
        assert not any(secret in shown for secret in (*KEYS.values(), "another-id"))
    kinds = {kind.name: kind for kind in client.source_kinds().kinds}
    assert kinds["s3"].credentials == sorted(KEYS)
    assert kinds["azure"].credentials == ["account_key", "sas_token"]


def test_a_bucket_and_the_library_stay_equal(client: Client, server: str) -> None:
    folder = f"{server}/{BUCKET}/synced"
    for name in ("whale.txt", "ship.txt", "harbour.txt"):
        httpx.put(f"{folder}/{name}", content=f"About the {name}.".encode()).raise_for_status()
    options = {"bucket": BUCKET, "prefix": "synced", "endpoint": server, **KEYS}
    made = client.create_source("Synced", "s3", options, interval_seconds=0)

    def finish_sync(number: int) -> dict[str, int]:
        def is_finished() -> bool:
            return any(each.number == number and each.ended_at for each in client.syncs(made.id))

        wait_until(is_finished, what=f"sync {number}")
        sync = next(each for each in client.syncs(made.id) if each.number == number)
        assert sync.failure is None
        return {name: count for name, count in sync.counts.model_dump().items() if count}

    assert finish_sync(1) == {"listed": 3, "added": 3}
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request"}
    httpx.put(f"{folder}/whale.txt", content=b"Now about two whales.", headers=signed).raise_for_status()
    httpx.delete(f"{folder}/ship.txt", headers=signed).raise_for_status()
    client.sync_source(made.id)
    assert finish_sync(2) == {"listed": 2, "changed": 1, "removed": 1, "unchanged": 1}
    client.sync_source(made.id)
    assert finish_sync(3) == {"listed": 2, "unchanged": 2}
    names = {document.name for document in client.documents() if document.metadata.get("source_id") == made.id}
    assert names == {"whale.txt", "harbour.txt"}


def test_a_server_that_the_operator_does_not_permit_is_refused(client: Client) -> None:
    options = {"bucket": BUCKET, "endpoint": "http://169.254.169.254", **KEYS}
    with pytest.raises(RefusedError, match=r"may not use the server http://169\.254\.169\.254"):
        client.create_source("Metadata", "s3", options)
    failure = client.check_source("s3", options).failure
    assert failure
    assert failure.code == "source_options_invalid"
