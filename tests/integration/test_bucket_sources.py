"""A bucket over REST: the servers that the operator permits, a check, and two credentials that are never shown."""

from collections.abc import Iterator

import httpx
import pytest

from api.client import Client, RefusedError
from ingest.storage.blobs.keyring import generate_key
from ingest.storage.sources.credentials import CredentialCipher
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
    with running(tmp_path_factory.mktemp("home"), source_endpoints=f"https://a.org, {server}/") as (services, client):
        services.sources.sources._cipher = CredentialCipher(generate_key())
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


def test_a_server_that_the_operator_does_not_permit_is_refused(client: Client) -> None:
    options = {"bucket": BUCKET, "endpoint": "http://169.254.169.254", **KEYS}
    with pytest.raises(RefusedError, match=r"may not use the server http://169\.254\.169\.254"):
        client.create_source("Metadata", "s3", options)
    failure = client.check_source("s3", options).failure
    assert failure
    assert failure.code == "source_options_invalid"
