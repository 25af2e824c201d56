"""Evaluation results for each query, and functions that summarize, compare and save them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.metrics import (
    Grades,
    compute_bootstrap_interval,
    compute_mean,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank,
)

# Number of documents of each ranking that the measures consider.
RANKING_DEPTH = 100
MEASURES: Mapping[str, Callable[[Sequence[str], Grades], float]] = {
    "ndcg@10": lambda ranking, grades: ndcg_at_k(ranking, grades, 10),
    "recall@10": lambda ranking, grades: recall_at_k(ranking, grades, 10),
    "recall@100": lambda ranking, grades: recall_at_k(ranking, grades, 100),
    "mrr@10": lambda ranking, grades: reciprocal_rank(ranking, grades, 10),
}
_FORMAT = "leadline-evaluation/1"


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over queries, with its 95 % bootstrap confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class EvaluationRun:
    """The results of one search configuration.

    `figures` are keyed by measure and query id. `stages_ms` is the median duration of each stage, keyed by stage.
    """

    figures: Mapping[str, Mapping[str, float]]
    stages_ms: Mapping[str, float] = field(default_factory=dict)

    def summarize(self) -> dict[str, MeanEstimate]:
        return {measure: estimate_mean(list(values.values())) for measure, values in self.figures.items()}


@dataclass(frozen=True)
class Evaluation:
    """Runs over one set of judged queries, keyed by run name. `queries` maps query ids to texts."""

    collection: str
    queries: Mapping[str, str]
    runs: Mapping[str, EvaluationRun]


@dataclass(frozen=True)
class Difference:
    """A comparison of two runs by one measure: both means, and the mean difference `second - first` as `change`.

    The two runs differ if the confidence interval of `change` excludes 0.
    """

    first: float
    second: float
    change: MeanEstimate
    by_query: Mapping[str, float]

    @property
    def is_significant(self) -> bool:
        return self.change.low > 0 or self.change.high < 0


def judge_rankings(
    rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Grades], stages_ms: Mapping[str, float] | None = None
) -> EvaluationRun:
    """Compute the measures for each judged query. A query without a ranking counts as one without any hits."""
    figures = {
        name: {query: measure(rankings.get(query, ()), grades) for query, grades in qrels.items()}
        for name, measure in MEASURES.items()
    }
    return EvaluationRun(figures, stages_ms or {})


def estimate_mean(values: Sequence[float]) -> MeanEstimate:
    return MeanEstimate(compute_mean(values), *compute_bootstrap_interval(values))


def compute_differences(first_run: EvaluationRun, second_run: EvaluationRun) -> dict[str, Difference]:
    """Compare two runs by each measure. Raises `EvaluationDataError` if they have different queries."""
    differences: dict[str, Difference] = {}
    for measure in (name for name in first_run.figures if name in second_run.figures):
        ours, theirs = first_run.figures[measure], second_run.figures[measure]
        if ours.keys() != theirs.keys():
            raise EvaluationDataError("The two runs have different queries, so they cannot be compared.")
        by_query = {query: theirs[query] - value for query, value in ours.items()}
        differences[measure] = Difference(
            compute_mean(list(ours.values())),
            compute_mean(list(theirs.values())),
            estimate_mean(list(by_query.values())),
            by_query,
        )
    return differences


def save_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Save an evaluation as a JSON file."""
    content = {
        "format": _FORMAT,
        "collection": evaluation.collection,
        "queries": dict(evaluation.queries),
        "runs": {
            name: {
                "figures": {measure: dict(values) for measure, values in run.figures.items()},
                "stages_ms": dict(run.stages_ms),
            }
            for name, run in evaluation.runs.items()
        },
    }
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def load_evaluation(path: Path) -> Evaluation:
    """Load a saved evaluation. Raises `EvaluationDataError` if the file is not a saved evaluation."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationDataError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise EvaluationDataError(f"{path} is not JSON ({error}).") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise EvaluationDataError(f"{path} is not an evaluation in the format {_FORMAT}.")
    runs = {name: EvaluationRun(run["figures"], run["stages_ms"]) for name, run in content["runs"].items()}
    return Evaluation(content["collection"], content["queries"], runs)
