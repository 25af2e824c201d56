"""From a task's name, a size and a seed to a finished folder."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmark.tasks import aggregation, pairs
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Question, TaskFolder
from tests.benchmark.tasks.labels import LABEL_SETS, label_set
from tests.benchmark.tasks.multihop import MultiHopTask
from tests.benchmark.tasks.needles import NeedleTask
from tests.benchmark.tasks.prose import Prose
from tests.benchmark.tasks.records import write_records

SMALLEST_TOKENS, LARGEST_TOKENS = 2_000, 10_000_000

# Softens how uneven labels are: at 1 (OOLONG's) one or two have nearly all records, and few users a pair of labels.
_TEMPERATURES = {"aggregation": 2.0, "pairs": 6.0}


@dataclass(frozen=True)
class Spec:
    """What to generate; equal specs give equal bytes.

    `labels` is the label set of tasks over records. `unanswerable` is the share of questions whose answer stands
    nowhere; what is asked of records always has one.
    """

    task: str
    size_tokens: int
    seed: int = 0
    count: int = 5
    labels: str = LABEL_SETS[0]
    unanswerable: float = 0.2


def generate(spec: Spec, path: Path) -> TaskFolder:
    """Writes documents and questions to `path`, in place of an earlier task there; memory does not grow with size.

    Raises `ValueError` for a spec that cannot be met, in words.
    """
    _check(spec, path)
    folder = TaskFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder.documents, ignore_errors=True)
    folder.records.unlink(missing_ok=True)
    # Documents stay the same when more questions are asked of records; needles are part of their documents.
    draws = Draws(spec.task, spec.labels, spec.size_tokens, spec.seed)
    questions = TASKS[spec.task](spec, folder, draws)
    if not questions:
        raise ValueError(f"No question of {spec.task} is clear at {spec.size_tokens:,} tokens with seed {spec.seed}.")
    folder.save(questions, asdict(spec))
    return folder


def _check(spec: Spec, path: Path) -> None:
    if spec.task not in TASKS:
        raise ValueError(f"There is no task {spec.task!r}; there are {', '.join(TASKS)}.")
    if not SMALLEST_TOKENS <= spec.size_tokens <= LARGEST_TOKENS:
        raise ValueError(f"The size is from {SMALLEST_TOKENS:,} to {LARGEST_TOKENS:,} tokens.")
    if spec.count < 1 or not 0 <= spec.unanswerable <= 1:
        raise ValueError("There is at least one question, and a share of unanswerable ones from 0 to 1.")
    if spec.labels not in LABEL_SETS:
        raise ValueError(f"The label sets are {', '.join(LABEL_SETS)}.")
    if path.exists() and any(path.iterdir()) and not (path / "task.json").exists():
        raise ValueError(f"{path} holds something else: name a new folder, or one of an older task.")


def _needles(spec: Spec, folder: TaskFolder, draws: Draws) -> list[Question]:
    task = NeedleTask(draws, count=spec.count, unanswerable=round(spec.count * spec.unanswerable))
    return task.write(folder, _prose(spec), size_tokens=spec.size_tokens)


def _multihop(spec: Spec, folder: TaskFolder, draws: Draws) -> list[Question]:
    task = MultiHopTask(draws, count=spec.count, unanswerable=round(spec.count * spec.unanswerable))
    return task.write(folder, _prose(spec), size_tokens=spec.size_tokens)


def _of_records(ask: aggregation.Ask) -> "Writer":
    def write(spec: Spec, folder: TaskFolder, draws: Draws) -> list[Question]:
        temperature = _TEMPERATURES[spec.task]
        labels = label_set(spec.labels)
        records = write_records(folder, labels, draws, size_tokens=spec.size_tokens, temperature=temperature)
        return ask(records, draws, spec.count)

    return write


def _prose(spec: Spec) -> Prose:
    return Prose(Draws("prose", spec.task, spec.size_tokens, spec.seed))


Writer = Callable[[Spec, TaskFolder, Draws], list[Question]]
TASKS: dict[str, Writer] = {
    "needles": _needles,
    "multihop": _multihop,
    "aggregation": _of_records(aggregation.aggregation_questions),
    "pairs": _of_records(pairs.pair_questions),
}
