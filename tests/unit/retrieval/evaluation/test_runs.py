import json
from pathlib import Path

import pytest

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.runs import (
    MEASURES,
    Evaluation,
    EvaluationRun,
    compute_differences,
    estimate_mean,
    judge_rankings,
    load_evaluation,
    save_evaluation,
)

QRELS = {"1": {"a": 1}, "2": {"b": 1, "c": 1}}


def test_a_query_without_a_ranking_found_nothing() -> None:
    run = judge_rankings({"1": ["a", "b"]}, QRELS)

    assert {measure: values["2"] for measure, values in run.figures.items()} == dict.fromkeys(MEASURES, 0.0)
    assert {measure: values["1"] for measure, values in run.figures.items()} == dict.fromkeys(MEASURES, 1.0)


def test_recall_counts_as_far_as_it_says() -> None:
    ranking = [f"x{number}" for number in range(50)] + ["b", "c"]

    figures = judge_rankings({"2": ranking}, {"2": QRELS["2"]}).figures

    assert (figures["recall@10"]["2"], figures["recall@100"]["2"]) == (0.0, 1.0)


def test_a_comparison_is_query_by_query() -> None:
    first, second = (
        judge_rankings({"1": ["a"], "2": ["x"]}, QRELS),
        judge_rankings({"1": ["x", "a"], "2": ["b", "c"]}, QRELS),
    )

    found = compute_differences(first, second)["mrr@10"]

    assert (found.first, found.second) == (0.5, 0.75)
    assert found.by_query == {"1": -0.5, "2": 1.0}
    assert not found.is_significant


def test_what_every_query_gains_is_shown_to_differ() -> None:
    values = {str(number): 0.2 for number in range(30)}
    better = {query: value + 0.1 for query, value in values.items()}

    found = compute_differences(EvaluationRun({"ndcg@10": values}), EvaluationRun({"ndcg@10": better}))["ndcg@10"]

    assert found.is_significant
    assert found.change.mean == pytest.approx(0.1)


def test_runs_over_different_queries_are_not_compared() -> None:
    with pytest.raises(EvaluationDataError, match="different queries"):
        compute_differences(judge_rankings({}, {"1": {"a": 1}}), judge_rankings({}, {"2": {"a": 1}}))


def test_an_estimate_lies_inside_its_interval() -> None:
    found = estimate_mean([0.0, 1.0, 0.5, 0.25, 1.0])

    assert found.low < found.mean < found.high


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    evaluation = Evaluation(
        "abstracts", {"1": "Où?", "2": "why"}, {"hybrid": judge_rankings({"1": ["a"]}, QRELS, {"embed": 1.5})}
    )
    save_evaluation(evaluation, tmp_path / "run.json")

    assert load_evaluation(tmp_path / "run.json") == evaluation


@pytest.mark.parametrize(
    ("content", "said"),
    [("not JSON", "is not JSON"), (json.dumps({"runs": {}}), "is not an evaluation"), ("[]", "is not an evaluation")],
)
def test_another_file_is_refused_in_words(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)

    with pytest.raises(EvaluationDataError, match=said):
        load_evaluation(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match=r"absent\.json cannot be read"):
        load_evaluation(tmp_path / "absent.json")
