"""Evaluate search with questions whose answers have known locations in documents.

There are two formats. A JSON Lines file has one question per line: `question`, an optional `id` and `part`, and
`references` (exact excerpts), `pages` (whole pages) or both. They are lists of `{"document", "start", "end"}`, in code
points of the file as text, or of `{"document", "page"}`, with pages counted from 1. The documents are the files of a
folder, of any format. The other format is that of Chroma's chunking evaluation (2024): `questions.csv` with the columns
`question`, `references` (a JSON list with `start_index` and `end_index`) and `corpus_id`, next to `corpora/*.md`.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ingest.storage.texts.normalize import normalize
from retrieval.errors import EvaluationDataError
from retrieval.evaluation.runs import EvaluationRun

# Number of passages of each search that the measures consider.
MAX_PASSAGES = 10


class QuestionPart(StrEnum):
    """One half of the questions.

    The first half is used to choose settings, and the second half to check that choice.
    """

    CHOOSING = "choosing"
    KEPT = "kept"


@dataclass(frozen=True)
class DocumentSpan:
    """A span of a document in code points, or one of its pages. `page` is None if it is unknown."""

    document: str
    start: int = 0
    end: int = 0
    page: int | None = None

    def covers(self, target: "DocumentSpan") -> bool:
        """Return whether this passage starts on the given page, or overlaps at least half of the shorter span."""
        if self.document != target.document:
            return False
        if target.page is not None:
            return self.page == target.page
        shared = min(self.end, target.end) - max(self.start, target.start)
        return 2 * shared >= min(self.end - self.start, target.end - target.start)


@dataclass(frozen=True)
class LocatedQuestion:
    """A question with the spans or pages that answer it, as positions in the original file."""

    id: str
    text: str
    part: QuestionPart
    places: tuple[DocumentSpan, ...]


class LocatedQuestions:
    """The questions of a file, and the paths of the documents that they are about, keyed by name.

    Raises `EvaluationDataError` if the file is invalid or a document is missing.
    """

    def __init__(self, questions: Sequence[LocatedQuestion], documents: Mapping[str, Path], source: Path) -> None:
        self.source = source
        self.questions = tuple(questions)
        named = dict.fromkeys(place.document for question in questions for place in question.places)
        for name in named:
            if name not in documents:
                raise EvaluationDataError(f"{source} asks about {name}, but this document was not found.")
        # Documents that no question refers to are skipped, because they would only take time. To make the search
        # harder, use a larger corpus.
        self.documents: Mapping[str, Path] = MappingProxyType({name: documents[name] for name in named})

    def locate_answers(self, texts: Mapping[str, str]) -> dict[str, list[DocumentSpan]]:
        """Return the spans that answer each question in the documents' normalized texts, keyed by question id.

        Normalization may have shifted the offsets, so each excerpt is searched for, and the occurrence nearest to its
        offset is used. Raises `EvaluationDataError` if an excerpt is not found.
        """
        raw = {name: _load_text(path) for name, path in self.documents.items() if self._has_offsets(name)}
        return {
            question.id: [
                place if place.page is not None else _locate_excerpt(place, raw[place.document], texts[place.document])
                for place in question.places
            ]
            for question in self.questions
        }

    def _has_offsets(self, document: str) -> bool:
        places = (place for question in self.questions for place in question.places)
        return any(place.document == document and place.page is None for place in places)


def open_located_questions(path: Path, documents_folder: Path | None, *, use_pages: bool = False) -> LocatedQuestions:
    """Open a JSON Lines file together with the folder of its documents, or a folder in Chroma's format.

    With `use_pages`, a question with both references and pages is judged by its pages. Raises `EvaluationDataError` if
    a file is missing or has the wrong format.
    """
    if path.is_dir():
        texts = {file.stem: file for file in sorted((path / "corpora").glob("*.md"))}
        return LocatedQuestions(list(_iter_chroma_questions(path / "questions.csv")), texts, path)
    folder = documents_folder or path.parent
    files = {file.name: file for file in sorted(folder.iterdir()) if file.is_file()}
    return LocatedQuestions(list(_iter_json_questions(path, use_pages=use_pages)), files, path)


def has_located_questions(path: Path) -> bool:
    """Return whether a path has questions in one of the two formats, judged by file names only."""
    return path.suffix == ".jsonl" or (path / "questions.csv").is_file()


def assign_question_part(question: str) -> QuestionPart:
    """Assign a question to one of the halves by a hash of its text, so that all runs use the same halves."""
    return QuestionPart.KEPT if hashlib.sha256(question.encode()).digest()[0] % 2 else QuestionPart.CHOOSING


def judge_passages(
    rankings: Mapping[str, Sequence[DocumentSpan]],
    answer_spans: Mapping[str, Sequence[DocumentSpan]],
    stages_ms: Mapping[str, float] | None = None,
) -> EvaluationRun:
    """Compute the measures for each question. A question without a ranking counts as one without any hits."""
    figures: dict[str, dict[str, float]] = {name: {} for name in MEASURES}
    for question, places in answer_spans.items():
        passages = rankings.get(question, ())[:MAX_PASSAGES]
        ranks = [_find_rank(passages, place) for place in places]
        for name, measure in MEASURES.items():
            figures[name][question] = measure(ranks)
    return EvaluationRun(figures, stages_ms or {})


def _find_rank(passages: Sequence[DocumentSpan], target: DocumentSpan) -> int | None:
    return next((rank for rank, passage in enumerate(passages, start=1) if passage.covers(target)), None)


def _find_first_rank(ranks: Sequence[int | None]) -> int | None:
    return min((rank for rank in ranks if rank is not None), default=None)


def _build_found_measure(k: int) -> Callable[[Sequence[int | None]], float]:
    return lambda ranks: float((_find_first_rank(ranks) or k + 1) <= k)


# The argument of each measure contains, for every span that answers the question, the rank (from 1) of the first
# passage that covers it, or None. `mrr@10` uses the first passage that covers any of the spans, `found@k` is 1 if such
# a passage is among the first k, and `recall@10` is the fraction of the spans that the first ten passages cover.
MEASURES: Mapping[str, Callable[[Sequence[int | None]], float]] = {
    "mrr@10": lambda ranks: 1 / first if (first := _find_first_rank(ranks)) else 0.0,
    "found@1": _build_found_measure(1),
    "found@5": _build_found_measure(5),
    "found@10": _build_found_measure(10),
    "recall@10": lambda ranks: sum(rank is not None for rank in ranks) / len(ranks),
}


def _locate_excerpt(span: DocumentSpan, original_text: str, text: str) -> DocumentSpan:
    excerpt = normalize(original_text[span.start : span.end]).strip()
    guess = span.start * len(text) // max(1, len(original_text))
    found = [at for at in (text.find(excerpt, guess), text.rfind(excerpt, 0, guess + len(excerpt))) if at >= 0]
    if not excerpt or not found:
        raise EvaluationDataError(
            f"The excerpt {span.start} to {span.end} of {span.document} was not found in the normalized text."
        )
    start = min(found, key=lambda at: abs(at - guess))
    return DocumentSpan(span.document, start, start + len(excerpt))


def _load_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationDataError(f"{path} cannot be read as UTF-8 text ({error}).") from error


def _iter_json_questions(path: Path, *, use_pages: bool) -> Iterator[LocatedQuestion]:
    for number, line in enumerate(_load_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry: dict[str, Any] = json.loads(line)
            references, pages = entry.get("references") or [], entry.get("pages") or []
            chosen = (pages or references) if use_pages else (references or pages)
            places = tuple(_parse_span(each) for each in chosen)
            text = str(entry["question"])
            part = QuestionPart(entry["part"]) if "part" in entry else assign_question_part(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvaluationDataError(f"{path}, line {number}: {error!r}.", hint=_HINT) from error
        if not places:
            raise EvaluationDataError(f"{path}, line {number}: the question has no references or pages.", hint=_HINT)
        yield LocatedQuestion(str(entry.get("id", number)), text, part, places)


def _parse_span(entry: Mapping[str, Any]) -> DocumentSpan:
    if "page" in entry:
        return DocumentSpan(str(entry["document"]), page=int(entry["page"]))
    return DocumentSpan(str(entry["document"]), int(entry["start"]), int(entry["end"]))


def _iter_chroma_questions(path: Path) -> Iterator[LocatedQuestion]:
    """Yield the questions of a file in Chroma's format. Repeated questions are merged, with all of their references."""
    asked: dict[str, list[DocumentSpan]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                places = asked.setdefault(row["question"], [])
                for each in json.loads(row["references"]):
                    places.append(DocumentSpan(row["corpus_id"], int(each["start_index"]), int(each["end_index"])))
    except OSError as error:
        raise EvaluationDataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationDataError(f"{path} is not in Chroma's format ({error!r}).", hint=_HINT) from error
    for number, (text, places) in enumerate(asked.items(), start=1):
        yield LocatedQuestion(str(number), text, assign_question_part(text), tuple(places))


_HINT = "The formats are described in retrieval/evaluation/passages.py."
