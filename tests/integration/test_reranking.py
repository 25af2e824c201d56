"""Reranking as a user meets it: over REST with a server of rerankers, and on the command line with late interaction."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from api.cli.main import app
from api.client import Client
from api.settings.settings import Settings
from tests.support.cluster import wait_until
from tests.support.misbehaving_openai import Behaviour, MisbehavingOpenAI, hangs, misbehaving_openai, refuses
from tests.support.misbehaving_reranker import reranks, says
from tests.support.service import running

TEXTS = {"ships.txt": "A whale of a ship sails past the whale and a whale.", "whales.txt": "How the white whale swims."}


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as found:
        yield found


@contextmanager
def service(home: Path, server: MisbehavingOpenAI, deadline_ms: int, **settings: bool) -> Iterator[Client]:
    reranker: dict[str, Any] = {
        "reranker": f"{server.url} words",
        "reranker_api_key": "secret",
        "rerank_deadline_ms": deadline_ms,
        **settings,
    }
    with running(home, query_cache_bytes=0, **reranker) as (_, found):  # the same search, under other behaviours
        for name, text in TEXTS.items():
            assert found.http.post("/v1/documents", params={"name": name}, content=text.encode()).status_code == 202
        wait_until(lambda: found.get("/v1/status")["documents"].get("ready") == len(TEXTS), what="all are ready")
        yield found


@pytest.fixture(scope="module")
def client(server: MisbehavingOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Its reranker has more time than a busy machine needs."""
    with service(tmp_path_factory.mktemp("home"), server, 60_000) as found:
        yield found


def search(client: Client, **options: object) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/v1/search", {"query": "how the white whale swims", **options})
    return found


def test_a_reply_says_that_it_was_reranked_and_where_each_hit_came(client: Client, server: MisbehavingOpenAI) -> None:
    server.behaviours = [reranks]
    found = search(client)
    assert found["reranked"] == {"state": "done", "model": "words", "passages": 2, "code": None, "detail": None}
    assert found["hits"][0]["title"] == "whales.txt"
    assert found["hits"][0]["why"]["rerank"] == {"rank": 1, "score": found["hits"][0]["score"]}
    assert found["timings_ms"]["rerank"] > 0
    assert search(client, rerank_depth=1)["reranked"]["passages"] == 1
    assert search(client, rerank=False)["reranked"] is None


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [(refuses(500), "reranker_unavailable"), (says("no"), "reranker_output")],
)
def test_a_server_that_fails_costs_its_order_and_nothing_else(
    client: Client,
    server: MisbehavingOpenAI,
    behaviour: Behaviour,
    code: str,
) -> None:
    server.behaviours = [behaviour]
    is_found_as_without(client, code)


def test_a_server_that_hangs_is_waited_for_until_the_deadline(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    server.behaviours = [hangs]
    with service(tmp_path, server, 300) as client:
        is_found_as_without(client, "reranker_timeout")


def is_found_as_without(client: Client, code: str) -> None:
    found = search(client)
    assert (found["reranked"]["state"], found["reranked"]["code"]) == ("failed", code)
    assert found["reranked"]["detail"]
    assert found["hits"] == search(client, rerank=False)["hits"]


def test_answers_read_reranked_passages(client: Client, server: MisbehavingOpenAI) -> None:
    server.behaviours = [reranks]
    before = len(server.requests)
    client.post("/v1/answers", {"question": "How does the white whale swim?"})
    assert len(server.requests) == before + 1


def test_a_setting_that_names_no_reranker_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="LEADLINE_RERANKER must be"):
        Settings(home=tmp_path, reranker="best")


@pytest.fixture
def _environment(tmp_path: Path, encoder_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": tmp_path / "home", "MODELS": encoder_files, "LLM": "none", "MIN_FREE_BYTES": 0, "PORT": 0,
        "RERANKER": "late-interaction", "RERANK_DEADLINE_MS": 60_000,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LEADLINE_{name}", str(value))


@pytest.mark.usefixtures("_environment")
@pytest.mark.slow
def test_the_command_line_reranks_by_late_interaction_and_says_when_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    for name, text in TEXTS.items():
        (papers / name).write_text(text)
    run = CliRunner()
    assert run.invoke(app, ["ingest", str(papers)]).exit_code == 0
    found = json.loads(run.invoke(app, ["search", "how whales swim", "--json"]).stdout)
    assert found["reranked"]["model"] == "maxsim-weighted/all-MiniLM-L6-v2/int8-onnx"
    assert found["hits"][0]["title"] == "whales.txt"
    assert 0.3 < found["hits"][0]["why"]["rerank"]["score"] <= 1
    doctor = run.invoke(app, ["doctor"])
    assert "late-interaction: 10 short passages" in " ".join(doctor.output.split())

    monkeypatch.setenv("LEADLINE_RERANK_DEADLINE_MS", "1")
    late = run.invoke(app, ["search", "how whales swim"]).output
    assert "Not reranked" in late
    assert "whales.txt" in late
    assert "Not reranked" not in run.invoke(app, ["search", "how whales swim", "--no-rerank"]).output


def test_an_answer_says_why_its_passages_were_not_reranked(client: Client, server: MisbehavingOpenAI) -> None:
    server.behaviours = [refuses(500)]
    answer = client.post("/v1/answers", {"question": "How does the white whale swim?"})
    assert answer["citations"]
    assert answer["notes"] == [
        "Passages were chosen by the search alone, because they could not be reranked: The reranker is not available."
    ]


def test_a_search_fails_if_reranking_is_required(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    with service(tmp_path, server, 60_000, rerank_required=True) as client:
        server.behaviours = [reranks]
        assert search(client)["reranked"]["state"] == "done"
        server.behaviours = [refuses(500)]
        reply = client.http.post("/v1/search", json={"query": "how the white whale swims"})
        assert (reply.status_code, reply.json()["code"]) == (503, "reranker_unavailable")
        assert search(client, rerank=False)["hits"]
