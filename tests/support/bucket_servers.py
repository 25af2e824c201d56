"""Servers with buckets on loopback: moto's for S3 and for Google's XML API, and Azurite for Azure Blob Storage.

Google's XML API, by which the product reads, is S3's protocol with other credentials. Google's emulators have the JSON
API alone.
"""

import base64
import hashlib
import hmac
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import obstore
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from obstore.store import AzureStore, ObjectStore, S3Store

from ingest.sources.endpoints import normalize_endpoint
from ingest.sources.port import Source, SourceContext
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.support.ports import free_port
from tests.support.relay import HangingRelay
from tests.support.requirements import AZURITE, require_azurite
from tests.support.s3_server import s3_server

# The account that Azurite has, whose key is published.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_API_VERSION = "2023-11-03"


@dataclass
class BucketPlace:
    """A new bucket on a server that runs, and adapters that reach the server through a relay."""

    kind: str
    url: str
    relay: HangingRelay
    scratch: Path
    bucket: str = field(default_factory=lambda: f"test{secrets.token_hex(6)}")
    options: dict[str, object] = field(default_factory=dict)
    max_item_bytes: int = 10_000_000
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.kind == "azure":
            ask_azure("PUT", self.url, f"/{self.bucket}?restype=container")
        else:
            httpx.put(f"{self.url}/{self.bucket}").raise_for_status()

    @property
    def store(self) -> ObjectStore:
        """A store with all rights, for the test."""
        options: Any = {"client_options": {"allow_http": True}}
        if self.kind == "azure":
            endpoint = f"{self.url}/{AZURE_ACCOUNT}"
            return AzureStore(
                self.bucket, account_name=AZURE_ACCOUNT, account_key=AZURE_KEY, endpoint=endpoint, **options
            )
        keys: Any = {"access_key_id": "testing", "secret_access_key": "testing"}
        return S3Store(self.bucket, endpoint=self.url, region="us-east-1", **keys, **options)

    def write(self, name: str, content: bytes) -> None:
        obstore.put(self.store, name, content)

    def write_odd(self, key: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Write an object whose key the library would change."""
        path = f"/{self.bucket}/{quote(key, safe='')}"
        if self.kind == "azure":
            ask_azure("PUT", self.url, path, content, {"x-ms-blob-type": "BlockBlob", **(headers or {})})
        else:
            httpx.put(f"{self.url}{path}", content=content).raise_for_status()

    def remove(self, name: str) -> None:
        obstore.delete(self.store, name)

    def remove_bucket(self) -> None:
        """Remove the bucket and all objects in it."""
        for page in obstore.list(self.store):
            obstore.delete(self.store, [each["path"] for each in page])
        if self.kind == "azure":
            ask_azure("DELETE", self.url, f"/{self.bucket}?restype=container")
        else:
            httpx.delete(f"{self.url}/{self.bucket}").raise_for_status()

    def stop(self) -> None:
        self.relay.cut()

    def build(self) -> Source:
        endpoint = self.relay.url + (f"/{AZURE_ACCOUNT}" if self.kind == "azure" else "")
        kind = SOURCE_KINDS[self.kind]
        options = kind.options.model_validate({**self._build_options(), "endpoint": endpoint, **self.options})
        context = SourceContext(
            Destinations(),
            self.scratch,
            endpoints=frozenset({normalize_endpoint(endpoint)}),
            max_item_bytes=self.max_item_bytes,
            timeout_seconds=self.timeout_seconds,
        )
        return kind.build(options, context)

    def open(self) -> closing[Source]:
        return closing(self.build())

    def _build_options(self) -> Mapping[str, object]:
        if self.kind == "s3":
            return {"bucket": self.bucket, "access_key_id": "testing", "secret_access_key": "testing"}
        if self.kind == "gcs":
            return {"bucket": self.bucket, "service_account_key": build_service_account_key()}
        return {"account": AZURE_ACCOUNT, "container": self.bucket, "account_key": AZURE_KEY}


@cache
def build_service_account_key() -> str:
    """Build the key file of an account that Google does not know."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({"client_email": "reader@test.example.org", "private_key": pem, "private_key_id": "key-1"})


@contextmanager
def open_bucket_server(kind: str) -> Iterator[str]:
    """Run a server that has this kind of buckets, and yield its address."""
    if kind == "azure":
        with _run_azurite() as url:
            yield url
    else:
        with s3_server() as url:
            yield url


@contextmanager
def open_bucket_place(kind: str, url: str, scratch: Path) -> Iterator[BucketPlace]:
    """Create a bucket on a server, and yield it."""
    with HangingRelay(url).running() as relay:
        yield BucketPlace(kind, url, relay, scratch)
        relay.mend()


@contextmanager
def _run_azurite() -> Iterator[str]:
    require_azurite()
    port = free_port()
    program = AZURITE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"]
    command = ["node", str(program), *options, "--skipApiVersionCheck", "--silent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            while "successfully listens" not in (line := process.stdout.readline()):
                assert line, "Azurite ended before it listened."
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def ask_azure(
    method: str, url: str, target: str, content: bytes = b"", headers: Mapping[str, str] | None = None
) -> None:
    """Send a request to Azurite, signed with the key of its account ("Shared Key" in Azure's documentation)."""
    sent = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _API_VERSION, **(headers or {})}
    path, _, query = target.partition("?")
    resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}{path}" + "".join(
        f"\n{each.replace('=', ':', 1)}" for each in sorted(filter(None, query.split("&")))
    )
    own = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    length = str(len(content)) if content else ""
    text = f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{own}{resource}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256)).decode()
    sent["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{signature}"
    httpx.request(method, f"{url}/{AZURE_ACCOUNT}{target}", content=content, headers=sent).raise_for_status()
