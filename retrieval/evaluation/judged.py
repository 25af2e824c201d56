"""Load judged questions from a folder in BEIR or SQuAD format.

BEIR (Thakur et al., NeurIPS 2021): `corpus.jsonl` has one object per line with `_id`, `text` and an optional `title`;
`queries.jsonl` has `_id` and `text`; `qrels/test.tsv` has a header line and then a query id, a corpus id and an integer
grade per line, separated by tabs. Other keys and blank lines are ignored.

SQuAD (Rajpurkar et al., EMNLP 2016): the folder's only `*.json` file has `data`, a list of articles with `paragraphs`,
each with a `context` and `qas`, each with an `id` and a `question`. The answer to a question is the paragraph that it
belongs to. Questions marked `is_impossible` have no answer and are skipped. Other keys are ignored.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from retrieval.errors import EvaluationDataError


@dataclass(frozen=True)
class CorpusEntry:
    """A text of the corpus. `title` is empty if the text has none."""

    id: str
    title: str
    text: str


class BeirFolder:
    """A folder in BEIR format. Queries and judgements are loaded on creation, and the corpus on demand.

    `queries` maps each query id to its text. `qrels` maps the ids of judged queries, in file order, to grades keyed by
    corpus id. Raises `EvaluationDataError` if a file is missing or has the wrong format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corpus_file = folder / "corpus.jsonl"
        self.queries: Mapping[str, str] = MappingProxyType(_load_queries(folder / "queries.jsonl"))
        self.qrels: Mapping[str, Mapping[str, int]] = MappingProxyType(
            _load_qrels(folder / "qrels" / "test.tsv", self.queries)
        )

    def iter_corpus(self) -> Iterator[CorpusEntry]:
        """Yield every text in file order, with only one text in memory at a time.

        Raises `EvaluationDataError` if a line is invalid.
        """
        seen: set[str] = set()
        for line in _iter_data_lines(self.corpus_file):
            entry = line.parse_json_object()
            identifier = line.require_unique_id(entry, seen)
            yield CorpusEntry(
                identifier, line.require_string(entry, "title", default=""), line.require_string(entry, "text")
            )


@dataclass(frozen=True)
class _DataLine:
    """A line of a file, with the file's path and the line number for error messages."""

    path: Path
    number: int
    text: str

    def build_error(self, description: str) -> EvaluationDataError:
        return EvaluationDataError(f"{self.path}, line {self.number}: {description}.")

    def parse_json_object(self) -> dict[str, Any]:
        try:
            value = json.loads(self.text)
        except ValueError as error:
            raise self.build_error(f"the line is not valid JSON ({error})") from error
        if not isinstance(value, dict):
            raise self.build_error("the line is not a JSON object")
        return value

    def require_string(self, entry: Mapping[str, Any], key: str, *, default: str | None = None) -> str:
        value = entry.get(key, default)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.build_error(f"{key} is not a string" if key in entry else f"{key} is missing")
        return value

    def require_unique_id(self, entry: Mapping[str, Any], known_ids: set[str]) -> str:
        identifier = self.require_string(entry, "_id")
        if identifier in known_ids:
            raise self.build_error(f"_id {identifier} was already used on an earlier line")
        known_ids.add(identifier)
        return identifier

    def parse_judgement(self) -> tuple[str, str, int]:
        fields = self.text.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            raise self.build_error(f"expected 3 fields separated by tabs, not {len(fields)}")
        try:
            return fields[0], fields[1], int(fields[2])
        except ValueError as error:
            raise self.build_error(f"{fields[2]!r} is not a whole number") from error


def _iter_data_lines(path: Path) -> Iterator[_DataLine]:
    try:
        # Use utf-8-sig, because some editors write a byte order mark at the start of a file.
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield _DataLine(path, number, text)
    except OSError as error:
        raise EvaluationDataError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise EvaluationDataError(f"{path} is not UTF-8 text ({error.reason}).") from error


def _load_queries(path: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    seen: set[str] = set()
    for line in _iter_data_lines(path):
        entry = line.parse_json_object()
        queries[line.require_unique_id(entry, seen)] = line.require_string(entry, "text")
    return queries


def _load_qrels(path: Path, queries: Mapping[str, str]) -> dict[str, Mapping[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    lines = _iter_data_lines(path)
    _require_header(path, lines)
    for line in lines:
        query, document, grade = line.parse_judgement()
        if query not in queries:
            raise line.build_error(f"query {query} is not in queries.jsonl")
        grades = judged.setdefault(query, {})
        if document in grades:
            raise line.build_error(f"document {document} is already judged for query {query} on an earlier line")
        grades[document] = grade
    if not judged:
        raise EvaluationDataError(f"{path} contains no judgements.")
    return {query: MappingProxyType(grades) for query, grades in judged.items()}


def _require_header(path: Path, lines: Iterator[_DataLine]) -> None:
    """Read and check the header line.

    Otherwise, a file without a header would silently lose its first judgement.
    """
    header = next(lines, None)
    if header is None:
        raise EvaluationDataError(f"{path} is empty.")
    if header.number != 1 or header.text.rstrip("\r\n").rpartition("\t")[2] != "score":
        raise header.build_error("the first line must be the header: query-id, corpus-id, score")


_HINT = (
    "A SQuAD folder contains one JSON file of articles, paragraphs and questions; see retrieval/evaluation/judged.py."
)


class SquadFolder:
    """A folder with one file in SQuAD format, which is loaded on creation.

    The id of a paragraph is its number, starting at 1. `queries` and `qrels` have the same format as in `BeirFolder`.
    Raises `EvaluationDataError` if the file is missing or has the wrong format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corpus_file = _require_single_file(folder)
        self._paragraphs: dict[str, CorpusEntry] = {}
        queries: dict[str, str] = {}
        qrels: dict[str, Mapping[str, int]] = {}
        for title, context, questions in _iter_paragraphs(self.corpus_file):
            identifier = str(len(self._paragraphs) + 1)
            self._paragraphs[identifier] = CorpusEntry(identifier, title, context)
            for question, text in questions.items():
                queries[question], qrels[question] = text, MappingProxyType({identifier: 1})
        if not qrels:
            raise EvaluationDataError(f"{self.corpus_file} contains no questions.", hint=_HINT)
        self.queries: Mapping[str, str] = MappingProxyType(queries)
        self.qrels: Mapping[str, Mapping[str, int]] = MappingProxyType(qrels)

    def iter_corpus(self) -> Iterator[CorpusEntry]:
        """Yield every paragraph in file order."""
        yield from self._paragraphs.values()


def _require_single_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise EvaluationDataError(
            f"{folder} has {len(files)} JSON files, but the SQuAD format requires exactly one.", hint=_HINT
        )
    return files[0]


def _iter_paragraphs(path: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each paragraph's title, its text, and its questions keyed by id."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                asked = (each for each in paragraph["qas"] if not each.get("is_impossible"))
                questions = {str(each["id"]): str(each["question"]).strip() for each in asked}
                yield str(article.get("title") or "").replace("_", " "), str(paragraph["context"]), questions
    except OSError as error:
        raise EvaluationDataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationDataError(f"{path} is not in SQuAD format ({error!r}).", hint=_HINT) from error


class JudgedFolder(Protocol):
    """A folder with texts, questions, and judgements that say which texts answer each question.

    `corpus_file` is the file with the texts. `queries` maps each query id to its text. `qrels` maps the ids of judged
    queries to grades keyed by corpus id.
    """

    @property
    def folder(self) -> Path: ...

    @property
    def corpus_file(self) -> Path: ...

    @property
    def queries(self) -> Mapping[str, str]: ...

    @property
    def qrels(self) -> Mapping[str, Mapping[str, int]]: ...

    def iter_corpus(self) -> Iterator[CorpusEntry]: ...


def open_judged_folder(folder: Path) -> JudgedFolder:
    """Open a folder in SQuAD format if it has a JSON file and no `corpus.jsonl`, otherwise in BEIR format.

    Raises `EvaluationDataError` if a file is missing or has the wrong format.
    """
    if any(folder.glob("*.json")) and not (folder / "corpus.jsonl").exists():
        return SquadFolder(folder)
    return BeirFolder(folder)
