"""`leadline bench rlm`, as a user runs it: the whole service, its real encoder, and an oracle behind a real server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.client import ServiceError
from api.cli.main import app
from rlm.benchmark.corpus import BenchmarkFolder
from rlm.benchmark.generate import Spec, generate
from tests.support.oracle import WINDOW_TOKENS, Oracle
from tests.support.scripted_openai import scripted_openai

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def service_settings(
    encoder_files: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("LEADLINE_MODELS", str(encoder_files))
    monkeypatch.setenv("LEADLINE_LLM", "none")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False)


@pytest.fixture
def oracle(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BenchmarkFolder]:
    """A folder of the task that the test names, and the oracle over it as the service's model."""
    folder = generate(request.param, tmp_path / "benchmark")
    with scripted_openai(Oracle(folder).reply, window_tokens=WINDOW_TOKENS) as server:
        monkeypatch.setenv("LEADLINE_LLM", f"{server.url} oracle")
        yield folder


@pytest.mark.parametrize("oracle", [Spec("aggregation", 8_000, count=12)], indirect=True)
def test_counting_with_a_reader_that_makes_no_mistake_is_exact(oracle: BenchmarkFolder) -> None:
    *rows, sums = lines(run("rlm", "--folder", str(oracle.path), "--strategy", "exhaustive", "--json"))
    assert [row["score"] for row in rows] == [1.0] * 12, [row for row in rows if row["score"] < 1]
    assert sums["coverage"] > 0.5
    assert sums["model"] == "oracle"
    assert sums["calls"] > 0


@pytest.mark.parametrize("oracle", [Spec("multi-hop", 16_000, count=5)], indirect=True)
def test_a_root_that_has_everything_read_follows_chains_of_facts_exactly(oracle: BenchmarkFolder) -> None:
    *rows, sums = lines(run("rlm", "--folder", str(oracle.path), "--strategy", "recursive", "--json"))
    assert [row["score"] for row in rows] == [1.0] * 5, [row for row in rows if row["score"] < 1]
    assert sums["refused_unanswerable"] == 1.0
    assert sums["coverage"] == sums["evidence_cited"] == sums["citation_precision"] == 1.0


@pytest.mark.parametrize("oracle", [Spec("needle", 8_000, count=5)], indirect=True)
def test_plain_retrieve_then_read_can_be_the_yardstick(oracle: BenchmarkFolder) -> None:
    shown = run("rlm", "--folder", str(oracle.path), "--strategy", "retrieve-then-read").stdout
    figures = dict(re.findall(r"│ (\w+) +│ ([\w.-]+) +│", shown))
    assert figures["strategy"] == "retrieve-then-read"
    assert figures["refused_unanswerable"] == "1.0"
    assert figures["score_answerable"] == figures["evidence_read"]
    assert figures["calls"] == "5"
    assert "evidence_cited" not in figures


def test_a_folder_is_written_and_another_systems_answers_are_scored(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    run("rlm-generate", "needle", str(folder), "--size", "4k", "--count", "4", "--unanswerable", "0.25")
    answers = tmp_path / "answers.jsonl"
    questions = BenchmarkFolder(folder).questions()
    said = [{"id": each.id, "answer": each.gold[0] if each.gold else "Not stated."} for each in questions[:3]]
    answers.write_text("".join(json.dumps(each) + "\n" for each in said))
    *rows, sums = lines(run("rlm-score", str(folder), str(answers), "--json"))
    assert sums["score"] == 0.75
    assert rows[3]["error"] == "There is no answer to this question."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rlm", "needle", "--strategy", "guessing"], "no strategy 'guessing'"),
        (["rlm", "haystack", "--size", "4k"], "no task 'haystack'"),
        (["rlm", "--folder", "nowhere"], "holds no benchmark"),
        (["rlm", "needle", "--size", "4k", "--strategy", "retrieve-then-read"], "needs a language model"),
        (["rlm-score", "nowhere", "answers.jsonl"], "holds no benchmark"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_next_step(arguments: list[str], words: str) -> None:
    with pytest.raises(ServiceError, match=words) as refused:
        run(*arguments)
    assert refused.value.hint


@pytest.mark.parametrize("arguments", [["rlm"], ["rlm", "needle", "--folder", "x"], ["rlm", "needle", "--size", "big"]])
def test_wrong_options_are_usage_errors(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ServiceError, match="something else"):
        run("rlm-generate", "needle", str(tmp_path))


def test_a_line_that_is_no_answer_is_named(tmp_path: Path) -> None:
    folder = generate(Spec("needle", 4_000, count=1), tmp_path / "made")
    (tmp_path / "answers.jsonl").write_text('{"id": "needle-1", "answer": "x"}\nnot json\n')
    with pytest.raises(ServiceError, match="line 2"):
        run("rlm-score", str(folder.path), str(tmp_path / "answers.jsonl"))


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]
