"""The speed benchmarks on a data folder with something in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from ingest.storage.errors import LeadlineError
from tests.benchmark.speed import app as speed

pytestmark = pytest.mark.slow

TEXT = "# Harbour\n\n" + "\n\n".join(
    f"Ship number {number} left the harbour for the northern islands with a cargo of {cargo} and came back late."
    for number, cargo in enumerate(["salt", "timber", "grain", "iron", "wool", "glass"] * 10)
)


@pytest.fixture(scope="module")
def home(encoder_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("documents")
    (folder / "harbour.md").write_text(TEXT)
    environment = {"LEADLINE_HOME": str(home), "LEADLINE_MODELS": str(encoder_files), "LEADLINE_LLM": "none"}
    result = CliRunner().invoke(app, ["ingest", str(folder)], env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return home


@pytest.fixture(autouse=True)
def settings(home: Path, encoder_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": home, "MODELS": encoder_files, "LLM": "none"}.items():
        monkeypatch.setenv(f"LEADLINE_{name}", str(value))


def rows(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(speed, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_many_clients_are_measured_next_to_one() -> None:
    one, many = rows("concurrency", "--clients", "4", "--queries", "12")
    assert (one["clients"], many["clients"]) == (1, 4)
    assert one["searches"] == many["searches"] == 12
    assert many["throughput_ratio"] == pytest.approx(many["searches_per_second"] / one["searches_per_second"], rel=0.05)
    assert many["slowest_ms"] >= many["p95_ms"] >= many["p50_ms"] > 0


def test_searches_are_compared_with_their_bare_parts() -> None:
    (figures,) = rows("search", "--queries", "10")
    assert figures["ratio"] == pytest.approx(figures["p50_ms"] / figures["bare_p50_ms"], abs=0.05)


def test_stages_are_those_that_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_RERANKER", "late-interaction")
    monkeypatch.setenv("LEADLINE_RERANK_DEADLINE_MS", "60000")
    bm25, dense, hybrid, reranked = rows("stages", "--queries", "10")
    for row in (bm25, dense, hybrid, reranked):
        assert row["total p95"] >= row["total p50"] > row["engine p50"] > 0
    assert ["rerank p50" in row for row in (bm25, dense, hybrid, reranked)] == [False, False, False, True]
    assert reranked["total p50"] > reranked["rerank p50"] > 0


def test_stages_without_a_reranker_are_those_of_the_other_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_RERANKER", "none")
    assert [row["search"] for row in rows("stages", "--queries", "10")] == ["bm25", "dense", "hybrid"]


def test_an_empty_data_folder_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    with pytest.raises(LeadlineError, match="There is no ready document"):
        CliRunner().invoke(speed, ["concurrency"], catch_exceptions=False)
