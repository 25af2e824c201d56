"""Health for balancers and people: which role is ready, and nothing that strangers should not know."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr

from api.admission.services import Services
from api.build.language_model import RemoteLanguageModel
from api.http.problems import build_problem
from ingest.storage import errors as ingest
from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.generations.records import ReplicaStatus
from retrieval import errors as retrieval
from retrieval.errors import IndexUnavailableError
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.service import listening, patient_health, running
from workers.errors import build_failure

SECRETS = ("hunter2", "ann:", "db.internal", "10.1.2.3", "6333", "/srv/data")
LEAKY = "postgresql://ann:hunter2@db.internal:5432/x at 10.1.2.3, http://10.1.2.3:6333, /srv/data"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Services, httpx.Client, str]]:
    with (
        running(tmp_path) as (services, _),
        listening(services) as (url, key),
        httpx.Client(base_url=url, timeout=120) as http,
    ):
        yield services, http, key


def ready(http: httpx.Client, role: str = "") -> int:
    response = http.get("/health/ready", params={"for": role} if role else {})
    assert not any(secret in response.text for secret in SECRETS)
    assert ("retry-after" in response.headers) == (response.status_code == 503)
    return response.status_code


def test_without_its_index_a_process_still_gets_uploads(service: tuple[Services, httpx.Client, str]) -> None:
    services, http, key = service
    assert [ready(http, role) for role in ("", "uploads", "search", "answers")] == [200, 200, 200, 200]

    def away() -> None:
        raise IndexUnavailableError(f"The vector server at {LEAKY} does not answer.")

    services.health = replace(services.health, require_index=away)
    assert [ready(http, role) for role in ("", "uploads", "search", "answers")] == [200, 200, 503, 503]
    assert http.get("/health/ready").json()["parts"]["search"] == {"state": "unavailable"}
    uploaded = http.post("/v1/documents", content=b"words", headers={"Authorization": f"Bearer {key}"})
    assert uploaded.status_code == 202


def test_missing_copies_of_the_index_are_said_and_the_process_stays_ready(
    service: tuple[Services, httpx.Client, str],
) -> None:
    services, http, _ = service
    states = []
    for copies in ([], [ReplicaStatus(1, 6, 0, "All.")], [ReplicaStatus(1, 6, 4, "4 of 6.")]):
        services.health = replace(services.health, index_copies=lambda copies=copies: copies)  # type: ignore[misc]
        assert [ready(http, role) for role in ("", "uploads", "search", "answers")] == [200, 200, 200, 200]
        states.append(http.get("/health/ready").json()["parts"]["copies"]["state"])
    assert states == ["none", "ready", "degraded"]


def test_a_full_disk_is_not_ready_for_uploads_and_stays_ready_for_all_else(tmp_path: Path) -> None:
    with (
        running(tmp_path, min_free_bytes=10**15) as (services, _),
        listening(services) as (url, _),
        httpx.Client(base_url=url, timeout=120) as http,
    ):
        assert [ready(http, role) for role in ("", "uploads", "search", "answers")] == [200, 503, 200, 200]
        assert http.get("/health/ready", params={"for": "uploads"}).json()["status"] == "full"
        assert http.get("/health/ready").json()["parts"]["disk"] == {"state": "full"}


def test_without_its_catalog_or_while_it_stops_a_process_is_ready_for_nothing(
    service: tuple[Services, httpx.Client, str],
) -> None:
    services, http, _ = service

    def away() -> None:
        raise CatalogUnavailableError(f"The catalog's database at {LEAKY} does not answer.")

    services.health = replace(services.health, ping=away)
    assert [ready(http, role) for role in ("", "uploads", "search", "answers")] == [503] * 4
    services.health = replace(services.health, ping=lambda: None)
    assert ready(http) == 200
    services.accepting = False
    assert ready(http) == 503
    assert http.get("/health/live").status_code == 200


def test_a_part_that_hangs_counts_as_away_and_delays_nobody(service: tuple[Services, httpx.Client, str]) -> None:
    services, http, _ = service
    over = threading.Event()
    services.health = replace(services.health, require_index=lambda: cast(None, over.wait(600)))
    # Each request waits for the hanging part until the limit, so all are sent at once; parts that work need less.
    with patient_health(10.0), ThreadPoolExecutor(13) as clients:
        try:
            uploads = [clients.submit(ready, http, "uploads") for _ in range(12)]
            assert clients.submit(ready, http, "search").result() == 503
            assert {each.result() for each in uploads} == {200}
        finally:
            over.set()


def test_health_tells_nothing_of_the_language_models_server(tmp_path: Path) -> None:
    url = "http://ann:hunter2@10.1.2.3:9/v1"
    profile = ModelProfile("m", 32_000, 4_000)
    chat = build_remote_chat_model("http://127.0.0.1:9/v1", profile, api_key=SecretStr("x"))
    model = RemoteLanguageModel(url, ChatModel(chat, profile))
    with running(tmp_path, language_model=model) as (services, _), listening(services) as (address, _):
        response = httpx.get(f"{address}/health/ready")
        assert set(response.json()["parts"]["language_model"]) == {"state"}
        assert not any(secret in response.text for secret in SECRETS)


@pytest.mark.parametrize(
    "kind",
    [
        ingest.CatalogAccessError,
        ingest.CatalogUnavailableError,
        ingest.CatalogLimitError,
        retrieval.IndexUnavailableError,
        retrieval.IndexRefusedError,
        retrieval.EncoderUnavailableError,
        retrieval.EncoderError,
        retrieval.RerankerUnavailableError,
        retrieval.ModelFileError,
    ],
)
def test_what_users_are_told_names_no_host_user_address_or_file(kind: type[ingest.LeadlineError]) -> None:
    error = kind(f"It failed: {LEAKY}", hint=f"curl {LEAKY}")
    for told in (str(build_problem(error)), str(build_failure(error))):
        assert not any(secret in told for secret in SECRETS), told
    assert "hunter2" in str(error)  # those who run the service see it in the log and on the command line


def test_the_page_of_the_api_asks_no_other_server(service: tuple[Services, httpx.Client, str]) -> None:
    _, http, _ = service
    page = http.get("/docs").text
    addresses = [part.split('"')[0] for part in page.replace('src="', "\0").replace('href="', "\0").split("\0")[1:]]
    assert len(addresses) >= 3
    for address in addresses:
        found = http.get(address)
        assert address.startswith("/docs/assets/")
        assert (found.status_code, len(found.content) > 100) == (200, True)
    assert "http://" not in page
    assert "https://" not in page
    paths: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    assert "/v1/documents" in paths
