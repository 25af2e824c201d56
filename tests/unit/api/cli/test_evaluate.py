"""`leadline eval compare` on files; `leadline eval retrieval` is tested with the real encoder."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from retrieval.errors import EvaluationDataError
from retrieval.evaluation.runs import Evaluation, judge_rankings, save_evaluation

QRELS = {"1": {"a": 1}, "2": {"b": 1}}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One file with a search that finds the first query's document alone, and one that finds both."""
    found = {
        "bm25": judge_rankings({"1": ["a"], "2": ["x"]}, QRELS),
        "hybrid": judge_rankings({"1": ["a"], "2": ["b"]}, QRELS),
    }
    save_evaluation(Evaluation("abstracts", {"1": "who [b]was[/b] it", "2": "why so"}, found), tmp_path / "run.json")
    return tmp_path / "run.json"


def test_a_comparison_names_both_means_and_the_queries_that_changed(runs: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "compare", f"{runs}:bm25", str(runs)], terminal_width=200)

    assert done.exit_code == 0, done.output
    assert "0.5000" in done.output
    assert "why so" in done.output
    assert "who" not in done.output


def test_a_comparison_as_json_has_every_query(runs: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "compare", f"{runs}:bm25", f"{runs}:hybrid", "--json"])

    found = json.loads(done.output)["ndcg@10"]
    assert (found["first"], found["second"], found["mean"]) == (0.5, 1.0, 0.5)
    assert found["by_query"] == {"1": 0.0, "2": 1.0}


def test_a_search_that_a_file_does_not_have_is_named_with_those_it_has(runs: Path) -> None:
    done = CliRunner().invoke(app, ["eval", "compare", f"{runs}:dense", str(runs)])

    assert isinstance(done.exception, EvaluationDataError)
    assert "bm25, hybrid" in done.exception.hint


def test_an_unknown_measure_is_a_usage_error(runs: Path) -> None:
    measure = CliRunner().invoke(app, ["eval", "compare", str(runs), str(runs), "--measure", "luck"])

    assert (measure.exit_code, "ndcg@10" in measure.output) == (2, True)
