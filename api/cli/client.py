"""Connects the command line to a service: over HTTP to a running one, or to a private one inside this process."""

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
    """Yield the language model's state, until it is no longer loading."""
    while True:
        state: dict[str, Any] = client.get("/health/ready")["parts"]["language_model"]
        yield state
        if state["state"] != "loading":
            return
        time.sleep(_POLL_SECONDS)


@contextmanager
def connect(settings: Settings) -> Iterator[Client]:
    """Connect to the running service of the data folder or of `LEADLINE_URL`, else to a private one on the folder."""
    url = os.environ.get("LEADLINE_URL") or find_running_url(settings.home)
    if url is None:
        # Imports the whole service: if one runs elsewhere, a command need not wait for the import.
        from api.cli.private_service import open_private_client

        with open_private_client(settings) as client:
            yield client
        return
    key = read_secret(CLIENT_KEY, os.environ)
    if not key:
        raise ServiceError(
            f"A Leadline service runs at {url}.",
            hint="Set LEADLINE_API_KEY to one of its keys; `leadline keys create` makes one.",
        )
    with Client(url, key) as client:
        yield client


def write_service_file(home: Path, url: str) -> None:
    """Tell commands on this machine where the folder's service listens."""
    (home / "service.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))


def remove_service_file(home: Path) -> None:
    (home / "service.json").unlink(missing_ok=True)


def find_running_url(home: Path) -> str | None:
    """Return the address of the folder's running service; a note left by a killed one does not count."""
    try:
        note = json.loads((home / "service.json").read_text())
        os.kill(note["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return str(note["url"])
