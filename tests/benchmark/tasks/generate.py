"""From a task's name, a size and a seed to a finished benchmark folder."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmark.tasks import aggregation, multihop, needles, pairs
from tests.benchmark.tasks.corpus import GENERATOR_VERSION, BenchmarkFolder, Question
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.labels import LABEL_SETS, TUNED, label_set
from tests.benchmark.tasks.prose import BookProse, Filler, GeneratedProse
from tests.benchmark.tasks.records import write_records

TASKS = (needles.TASK, needles.TASK_SEVERAL, aggregation.TASK, pairs.TASK, multihop.TASK)
SMALLEST_TOKENS = 2_000
LARGEST_TOKENS = 10_000_000

_AGGREGATION_TEMPERATURE = 2.0
# So even that every class occurs at users with few records; at lower ones most of the twenty tasks have no pair.
_PAIRS_TEMPERATURE = 6.0


@dataclass(frozen=True)
class Spec:
    """What to generate; equal specs give equal bytes.

    `labels` is the label set of tasks over records. `unanswerable` is the share of questions whose answer stands
    nowhere; what is asked of records always has one. `temperature` evens out how often labels occur
    (`label_counts`); None takes the task's own. `haystack` names a folder of books to hide sentences in instead of
    generated prose.
    """

    task: str
    size_tokens: int
    seed: int = 0
    count: int = 5
    labels: str = TUNED
    unanswerable: float = 0.2
    temperature: float | None = None
    haystack: str | None = None


def generate(spec: Spec, path: Path) -> BenchmarkFolder:
    """Writes documents and questions to `path`, in place of an earlier benchmark there; memory does not grow with size.

    Raises `ValueError` for a spec that cannot be met, in words.
    """
    _check(spec)
    folder = BenchmarkFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder.documents, ignore_errors=True)
    folder.records.unlink(missing_ok=True)
    # Documents stay the same when more questions are asked of records; needles are part of their documents.
    draws = Draws(GENERATOR_VERSION, spec.task, spec.labels, spec.size_tokens, spec.seed)
    questions = _WRITERS[spec.task](spec, folder, draws)
    if not questions:
        raise ValueError(f"No question of {spec.task} is clear at {spec.size_tokens:,} tokens with seed {spec.seed}.")
    about = {"version": GENERATOR_VERSION, **asdict(spec), **_sizes(folder)}
    folder.save_questions(questions, about | ({"unanswerable": None} if spec.task in _OF_RECORDS else {}))
    return folder


def _check(spec: Spec) -> None:
    if spec.task not in TASKS:
        raise ValueError(f"There is no task {spec.task!r}; there are {', '.join(TASKS)}.")
    if not SMALLEST_TOKENS <= spec.size_tokens <= LARGEST_TOKENS:
        raise ValueError(
            f"The size is from {SMALLEST_TOKENS:,} to {LARGEST_TOKENS:,} tokens, not {spec.size_tokens:,}."
        )
    if spec.count < 1:
        raise ValueError("There must be at least one question.")
    if spec.labels not in LABEL_SETS:
        raise ValueError(f"There is no label set {spec.labels!r}; there are {', '.join(LABEL_SETS)}.")
    if not 0 <= spec.unanswerable <= 1:
        raise ValueError("The share of unanswerable questions is from 0 to 1.")


def _needles(spec: Spec, folder: BenchmarkFolder, draws: Draws) -> list[Question]:
    task = needles.NeedleTask(draws, several=spec.task == needles.TASK_SEVERAL)
    return task.write(
        folder,
        _filler(spec),
        size_tokens=spec.size_tokens,
        count=spec.count,
        unanswerable=round(spec.count * spec.unanswerable),
    )


def _multi_hop(spec: Spec, folder: BenchmarkFolder, draws: Draws) -> list[Question]:
    return multihop.MultiHopTask(draws, count=spec.count).write(
        folder,
        _filler(spec),
        size_tokens=spec.size_tokens,
        count=spec.count,
        unanswerable=round(spec.count * spec.unanswerable),
    )


def _aggregation(spec: Spec, folder: BenchmarkFolder, draws: Draws) -> list[Question]:
    temperature = spec.temperature or _AGGREGATION_TEMPERATURE
    records = write_records(
        folder, label_set(spec.labels), draws, size_tokens=spec.size_tokens, temperature=temperature
    )
    return aggregation.aggregation_questions(records, draws, spec.count)


def _pairs(spec: Spec, folder: BenchmarkFolder, draws: Draws) -> list[Question]:
    if spec.labels != pairs.LABELS:
        raise ValueError(f"The tasks over pairs are about the label set `{pairs.LABELS}`, not `{spec.labels}`.")
    temperature = spec.temperature or _PAIRS_TEMPERATURE
    records = write_records(
        folder, label_set(spec.labels), draws, size_tokens=spec.size_tokens, temperature=temperature
    )
    return pairs.pair_questions(records, draws, spec.count)


def _filler(spec: Spec) -> Filler:
    draws = Draws(GENERATOR_VERSION, "filler", spec.task, spec.size_tokens, spec.seed)
    return BookProse(Path(spec.haystack), draws) if spec.haystack else GeneratedProse(draws)


def _sizes(folder: BenchmarkFolder) -> dict[str, Any]:
    sizes = [path.stat().st_size for path in folder.document_paths()]
    return {"documents": len(sizes), "bytes": sum(sizes)}


_OF_RECORDS = (aggregation.TASK, pairs.TASK)
_WRITERS = {
    needles.TASK: _needles,
    needles.TASK_SEVERAL: _needles,
    aggregation.TASK: _aggregation,
    pairs.TASK: _pairs,
    multihop.TASK: _multi_hop,
}
