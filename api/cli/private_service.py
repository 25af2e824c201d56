"""Runs a service in the current process for the duration of one command."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import uvicorn

from api.admission.services import DEFAULT_TENANT, Services
from api.build.embedded import open_embedded_services
from api.cli.serving import KEEP_ALIVE_SECONDS, exclude_startup_from_gc
from api.client import Client
from api.client.connections import DEFAULT_TIMEOUT
from api.main import create_app
from api.settings.settings import Settings

AnyServer = TypeVar("AnyServer", bound=uvicorn.Server)


@contextmanager
def open_private_client(settings: Settings) -> Iterator[Client]:
    """Start a service on the data folder, and open a client for it."""
    with open_embedded_services(settings) as services, open_services_client(services) as client:
        yield client


@contextmanager
def open_services_client(services: Services) -> Iterator[Client]:
    """Serve the API on a Unix socket that only this user can access, and open a client for it."""
    with run_private_server(services, uvicorn.Server) as (_, socket, key):
        http = httpx.Client(
            base_url="http://leadline",
            headers={"Authorization": f"Bearer {key}"},
            transport=httpx.HTTPTransport(uds=socket),
            timeout=DEFAULT_TIMEOUT,
        )
        with http:
            yield Client(http=http)


@contextmanager
def run_private_server(
    services: Services, build_server: Callable[[uvicorn.Config], AnyServer]
) -> Iterator[tuple[AnyServer, str, str]]:
    """Serve the API on a Unix socket, and yield the server, the socket's path and an API key.

    When the `with` block exits, the key is expired rather than revoked, so that runs started with it can continue when
    the service starts again.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-"))
        socket = str(Path(folder) / "api")
        config = uvicorn.Config(
            create_app(services),
            uds=socket,
            log_level="error",
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        server = build_server(config)
        stack.enter_context(exclude_startup_from_gc(collect_first=False))
        thread = threading.Thread(target=server.run, name="private-api", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(lambda: setattr(server, "should_exit", True))
        while not server.started:
            time.sleep(0.01)
        key, text = services.keys.issue_key(DEFAULT_TENANT, "one command on this machine")
        stack.callback(services.keys.expire_key, DEFAULT_TENANT, key.id)
        yield server, socket, text
