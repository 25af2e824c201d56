"""Evaluate search with questions whose answers contain figures. A passage is a match if it contains those figures.

The format is that of Docugami's KG-RAG data sets (2023): `questions.csv` with the columns `Question`, `Source Docs`
(file name patterns, separated by commas) and `Answer`, next to a folder `docs` with files of any format. Questions
about several documents are skipped, because this evaluation judges too few passages for them. Questions whose answers
contain no figure are also skipped.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.passages import MAX_PASSAGES, QuestionPart, assign_question_part
from retrieval.evaluation.runs import EvaluationRun

_COLUMNS = frozenset({"Question", "Source Docs", "Answer"})
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")
_YEAR = re.compile(r"(?:19|20)\d\d")
_MIN_DIGITS = 3  # Minimum number of digits; shorter numbers and years occur in almost any passage.


@dataclass(frozen=True)
class FigureQuestion:
    """A question about one document, and the figures in its answer, spelled as in the answer."""

    id: str
    text: str
    part: QuestionPart
    document: str
    figures: tuple[str, ...]


@dataclass(frozen=True)
class FoundPassage:
    """The text of a passage found by a search, and the name of its document."""

    document: str
    text: str


class FigureQuestions:
    """A folder's questions whose answers contain figures, and the paths of all its documents, keyed by name.

    Raises `EvaluationDataError` if a file is missing or has the wrong format, or if the folder contains no such
    question.
    """

    def __init__(self, folder: Path) -> None:
        self.source = folder
        files = sorted(folder.glob("docs/*"))
        self.documents: Mapping[str, Path] = MappingProxyType({file.name: file for file in files if file.is_file()})
        self.questions = tuple(_iter_questions(folder / "questions.csv", list(self.documents)))
        if not self.questions:
            raise EvaluationDataError(
                f"{folder} has no question about a single document whose answer contains a figure."
            )


def has_figures(path: Path) -> bool:
    """Return whether a folder's `questions.csv` has the columns of this format."""
    try:
        with (path / "questions.csv").open(encoding="utf-8-sig", newline="") as file:
            return set(next(csv.reader(file), ())) >= _COLUMNS
    except (OSError, UnicodeDecodeError):
        return False


def judge_figures(
    results: Mapping[str, Sequence[FoundPassage]],
    questions: Sequence[FigureQuestion],
    stages_ms: Mapping[str, float] | None = None,
) -> EvaluationRun:
    """Compute the measures for each question. Passages from other documents count as misses.

    `figures@k` is the fraction of the answer's figures that occur in the first k passages, `all@k` is 1 if all of them
    do, and `mrr@10` is the mean reciprocal rank of the first passage with each figure.
    """
    measured: dict[str, dict[str, float]] = {"figures@5": {}, "figures@10": {}, "all@10": {}, "mrr@10": {}}
    for question in questions:
        ranks = [_find_rank(results.get(question.id, ()), question.document, figure) for figure in question.figures]
        measured["figures@5"][question.id] = _compute_found_fraction(ranks, 5)
        measured["figures@10"][question.id] = _compute_found_fraction(ranks, 10)
        measured["all@10"][question.id] = float(_compute_found_fraction(ranks, 10) == 1)
        measured["mrr@10"][question.id] = sum(1 / rank for rank in ranks if rank is not None) / len(ranks)
    return EvaluationRun(measured, stages_ms or {})


def extract_figures(answer: str) -> tuple[str, ...]:
    """Return the distinct numbers in a text that have at least three digits and are not years."""
    numbers = (number.rstrip(",") for number in _FIGURE.findall(answer))
    return tuple(
        dict.fromkeys(
            number for number in numbers if sum(map(str.isdigit, number)) >= _MIN_DIGITS and not _YEAR.fullmatch(number)
        )
    )


def _compute_found_fraction(ranks: Sequence[int | None], k: int) -> float:
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def _find_rank(passages: Sequence[FoundPassage], document: str, figure: str) -> int | None:
    whole = re.compile(rf"(?<![\d.,]){re.escape(figure)}(?!\d|[.,]\d)")
    ranked = enumerate(passages[:MAX_PASSAGES], start=1)
    return next((rank for rank, each in ranked if each.document == document and whole.search(each.text)), None)


def _iter_questions(path: Path, names: Sequence[str]) -> Iterator[FigureQuestion]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=1):
                patterns = [pattern.strip() for pattern in row["Source Docs"].split(",")]
                about = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
                figures = extract_figures(row["Answer"])
                if len(about) == 1 and figures:
                    text = row["Question"].strip()
                    yield FigureQuestion(str(number), text, assign_question_part(text), about[0], figures)
    except OSError as error:
        raise EvaluationDataError(f"{path} cannot be read: {error.strerror}.") from error
    except (KeyError, AttributeError, UnicodeDecodeError) as error:
        raise EvaluationDataError(f"{path} does not have the expected format ({error!r}).", hint=_HINT) from error


_HINT = "The format is described in retrieval/evaluation/figures.py."
