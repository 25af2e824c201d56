"""The search behind an answer as an output item: its queries, and the passages that a model read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.answers.schemas import AnswerOut, CitationOut, ReadPassageOut
from api.openai.annotations import CitedFiles, build_annotation_extension, get_cited_file
from ingest.storage.uploads.records import NamedFile


@dataclass(frozen=True)
class ReadText:
    """A passage that a model read, with its text."""

    passage: ReadPassageOut
    text: str


@dataclass(frozen=True)
class FoundTexts:
    """The files of an answer's documents, and the passages that a model read for the answer."""

    files: CitedFiles = field(default_factory=dict)
    passages: Sequence[ReadText] = ()


def build_search_call(
    identifier: str,
    queries: Sequence[str],
    answer: AnswerOut | None = None,
    max_results: int | None = None,
    found: FoundTexts | None = None,
    status: str = "completed",
) -> dict[str, Any]:
    """Return an answer's search as an output item.

    If everything in scope was read without a search, the question counts as the query. With `max_results`, include up
    to that many results.
    """
    results = None
    if max_results is not None and answer is not None:
        results = _build_results(answer, found or FoundTexts())[:max_results]
    if not queries and answer is not None:
        queries = [answer.question]
    return {
        "id": f"fs_{identifier}",
        "type": "file_search_call",
        "status": status,
        "queries": list(queries),
        "results": results,
    }


def _build_results(answer: AnswerOut, found: FoundTexts) -> list[dict[str, Any]]:
    """Return a result for each passage that was read, best first, and for each citation outside these passages.

    The score of a passage is the reciprocal of its rank. If everything was read, all scores are 1, and cited passages
    come first.
    """
    citations = [each for each in answer.citations if not each.deleted]
    results: list[tuple[float, bool, dict[str, Any]]] = []
    for each in found.passages:
        passage = each.passage
        cited = next((citation for citation in citations if _is_within(citation, passage)), None)
        if cited is not None:
            citations.remove(cited)
        extension = {
            **passage.model_dump(mode="json", exclude={"title", "rank"}),
            "number": None if cited is None else cited.number,
        }
        file = found.files.get(passage.document_id) or NamedFile(passage.document_id, passage.title, {})
        score = 1.0 if passage.rank is None else 1 / passage.rank
        results.append((score, cited is not None, _build_result(file, score, each.text, extension)))
    for rest in citations:
        # A computed answer cites records and documents that no search found.
        file = get_cited_file(found.files, rest)
        results.append((1.0, True, _build_result(file, 1.0, rest.quote, build_annotation_extension(rest))))
    results.sort(key=lambda each: each[:2], reverse=True)
    return [each for _, _, each in results]


def _is_within(citation: CitationOut, passage: ReadPassageOut) -> bool:
    return citation.version_id == passage.version_id and passage.start <= citation.start and citation.end <= passage.end


def _build_result(file: NamedFile, score: float, text: str, extension: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "file_id": file.id,
        "filename": file.name,
        "score": round(score, 6),
        "text": text,
        "attributes": dict(file.attributes),
        "leadline": dict(extension),
    }
