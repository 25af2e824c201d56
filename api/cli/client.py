"""Connects commands to a running service over HTTP, or to a private service in this process."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.cli.environment import CLIENT_KEY, read_secret
from api.client import Client, ServiceError
from api.settings.settings import Settings

_POLL_SECONDS = 0.5


def iter_language_model_states(client: Client) -> Iterator[dict[str, Any]]:
    """Poll the language model's state, and yield each state until the model is no longer loading."""
    while True:
        state: dict[str, Any] = client.get("/health/ready")["parts"]["language_model"]
        yield state
        if state["state"] != "loading":
            return
        time.sleep(_POLL_SECONDS)


@contextmanager
def open_client(settings: Settings) -> Iterator[Client]:
    """Connect to the service at `LEADLINE_URL` or to the one running on the data folder.

    If neither exists, start a private service. Raises `ServiceError` if the service needs `LEADLINE_API_KEY` and it is
    not set.
    """
    url = os.environ.get("LEADLINE_URL") or find_service_url(settings.home)
    if url is None:
        # Import lazily, because this module loads the whole service, which is not needed if a service is already
        # running.
        from api.cli.private_service import open_private_client

        with open_private_client(settings) as client:
            yield client
        return
    key = read_secret(CLIENT_KEY, os.environ)
    if not key:
        raise ServiceError(
            f"The Leadline service at {url} requires an API key.",
            hint="Set LEADLINE_API_KEY to a key of this service. To create a key, run `leadline keys create`.",
        )
    with Client(url, key) as client:
        yield client


def write_service_file(home: Path, url: str) -> None:
    """Write the service's address and process id to a file, so that local commands can find the service."""
    (home / "service.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))


def remove_service_file(home: Path) -> None:
    (home / "service.json").unlink(missing_ok=True)


def find_service_url(home: Path) -> str | None:
    """Return the address of the service running on the data folder, or None if there is none.

    A file left behind by a killed service is ignored, because its process no longer exists.
    """
    try:
        note = json.loads((home / "service.json").read_text())
        os.kill(note["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return str(note["url"])
