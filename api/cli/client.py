"""Connects commands to a running service over HTTP, or to a private service in this process."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.cli import installation_notice
from api.cli.console import Console
from api.cli.environment import CLIENT_KEY, read_secret
from api.client import Client, ServiceError
from api.settings.settings import CATALOG_NAME, Settings

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
def open_client(settings: Settings, *, creates: bool = False) -> Iterator[Client]:
    """Connect to the service at `LEADLINE_URL` or to the one running on the data folder.

    If neither exists, say so on standard error, and start a private service on the data folder.

    Args:
        settings: the settings, with the data folder.
        creates: whether to start a private service even if the data folder does not exist or is empty.

    Raises `ServiceError` if there is no service and nothing in the data folder, or if the service needs
    `LEADLINE_API_KEY` and it is not set.
    """
    url = os.environ.get("LEADLINE_URL") or find_service_url(settings.home)
    if url is None:
        _announce_private_service(settings.home, creates=creates)
        # Import lazily, because this module loads the whole service, which is not needed if a service is already
        # running.
        from api.cli.private_service import open_private_client

        with open_private_client(settings) as client:
            yield client
        return
    installation_notice.show_service(url)
    key = read_secret(CLIENT_KEY, os.environ)
    if not key:
        raise ServiceError(
            f"The Leadline service at {url} requires an API key.",
            hint="Set LEADLINE_API_KEY to a key of this service. To create a key, run `leadline keys create`.",
        )
    with Client(url, key) as client:
        yield client


def _announce_private_service(home: Path, *, creates: bool) -> None:
    """Say that no service is running. Raises `ServiceError` if there is nothing to start one on."""
    # guard: no-service-on-nothing
    if not creates and not (home / CATALOG_NAME).exists():
        raise ServiceError(
            f"No Leadline service is running, and there are no documents in {home}.",
            hint="Set LEADLINE_URL to the address of a running service or LEADLINE_HOME to its data folder, start a "
            "service with `leadline up`, or add documents with `leadline ingest`.",
        )
    Console(stderr=True).print(
        f"No service is running. This command starts one for itself on {home}, which takes longer; `leadline up` "
        "starts one that stays.",
        style="yellow",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    installation_notice.show_data_folder(home)


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
