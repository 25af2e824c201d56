"""A server of S3's protocol on loopback: moto's, which keeps buckets in memory and checks no signatures."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler

from ingest.storage.blobs.store import BlobSettings

BUCKET = "leadline-test"


@contextmanager
def s3_server(*, port: int = 0) -> Iterator[str]:
    """Run a server with a bucket, and yield its address. Port 0 is any free one."""
    logging.getLogger("werkzeug").disabled = True
    WSGIRequestHandler.disable_nagle_algorithm = True
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.put(f"{url}/{BUCKET}", timeout=120).raise_for_status()
    try:
        yield url
    finally:
        server.stop()


def bucket_settings(url: str, prefix: str = "here", **more: object) -> BlobSettings:
    """Settings of a folder in the bucket of that server."""
    return BlobSettings.model_validate(bucket_environment(url, prefix) | more)


def bucket_environment(url: str, prefix: str = "here") -> dict[str, Any]:
    """The same, as settings by their names."""
    return {
        "blobs": f"s3://{BUCKET}/{prefix}",
        "s3_endpoint": url,
        "s3_region": "us-east-1",
        "s3_access_key_id": "testing",
        "s3_secret_access_key": "testing",
    }
