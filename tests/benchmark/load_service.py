"""The service that is put under load, and the model that answers for it: processes of their own, on loopback only."""

import logging
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_embedded_services
from api.cli.console_logging import configure_logging
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.ingest import iter_files, upload_batch
from api.cli.private_service import open_services_client
from api.cli.serving import serve_requests
from api.client import Client
from retrieval.encoders.port import HashingEmbedder
from tests.benchmark.tasks.generate import Spec, generate
from tests.support.scripted_openai import scripted_openai

MODEL = "stub"
OTHER_TENANT = "other"
_START_SECONDS = 600.0
_STOP_SECONDS = 60.0
# Ten words in half a second are as slow as a busy server of a large model.
_MODEL_SECONDS = 0.5
_PROFILE = """
[models."stub"]
parallel_calls = 64
judges = false
routes = false
context_tokens = 32768
max_output_tokens = 1024
"""


@dataclass(frozen=True)
class Loaded:
    """A running service: its address, a key of each of two tenants, words to search for, and its process."""

    url: str
    key: str
    other_key: str
    queries: list[str]
    process: psutil.Process

    def megabytes(self) -> float:
        """Return the resident memory of the service's process."""
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def loaded_service(*, size_tokens: int, cheap_vectors: bool) -> Iterator[Loaded]:
    """A service with documents of `size_tokens`, which ends with the block; its data is removed."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    arguments = (there, size_tokens, cheap_vectors)
    process = context.Process(target=_serve, args=arguments, name="service under load")
    process.start()
    try:
        there.close()  # so that the end of the process is noticed here
        if not here.poll(_START_SECONDS):
            raise TimeoutError("The service did not start in time.")
        found: dict[str, Any] = here.recv()
        yield Loaded(**found, process=psutil.Process(process.pid))
    finally:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGTERM)
        process.join(_STOP_SECONDS)
        process.kill()


def _serve(pipe: Connection, size_tokens: int, cheap_vectors: bool) -> None:
    """Serve until SIGTERM, as `leadline up` does."""
    configure_logging(logging.WARNING)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    stub = context.Process(target=_answer, args=(there,), name="stub model", daemon=True)
    stub.start()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-load-")))
        (home / "profiles.toml").write_text(_PROFILE, "utf-8")
        settings = read_settings(
            home=home / "data",
            llm=f"{here.recv()} {MODEL}",
            model_profiles=home / "profiles.toml",
            host="127.0.0.1",
            port=0,
        )
        if not cheap_vectors:
            fetch_missing_model_files(settings)
        services = stack.enter_context(
            open_embedded_services(settings, encoder=HashingEmbedder() if cheap_vectors else None)
        )
        services.documents.catalog.ensure_tenant(OTHER_TENANT)
        _, key = services.keys.issue_key(DEFAULT_TENANT, "load")
        _, other_key = services.keys.issue_key(OTHER_TENANT, "load")
        with open_services_client(services) as client:
            queries = _fill(client, size_tokens, home / "task")
            client.http.headers["Authorization"] = f"Bearer {other_key}"
            _fill(client, size_tokens, home / "task")  # the other tenant has the same documents
        told = {"key": key, "other_key": other_key, "queries": queries}
        serve_requests(services, lambda url: pipe.send({"url": url, **told}))
    stub.kill()


def _fill(client: Client, size_tokens: int, folder: Path) -> list[str]:
    """Upload documents until they are ready, and return queries made of their words."""
    task = generate(Spec("needles", size_tokens, count=5), folder)
    files = list(iter_files([task.documents]))
    upload_batch(client, files, collection="default", target_state="ready", on_progress=lambda *_: None)
    words = [word for _, file in files for word in file.read_text("utf-8").split()]
    step = max(9, len(words) // 2_000)
    return [" ".join(words[at : at + 6]) for at in range(0, len(words) - 9, step)]


def _answer(pipe: Connection) -> None:
    """Answer for a model until the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with scripted_openai(lambda _: "That is said here [1].", window_tokens=10**9, keeps_requests=False) as server:
        server.delay_seconds = _MODEL_SECONDS
        pipe.send(server.url)
        with suppress(EOFError):
            pipe.recv()
