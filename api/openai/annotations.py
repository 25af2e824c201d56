"""Represents the citations of an answer as annotations of its text.

OpenAI's annotations say which file a part of the answer cites, but not which part of the file. The `leadline` field of
each annotation adds the missing information: the span of the document, its position in words, the quotation, and
whether code verified the quotation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.answers.forms import CitedSpan
from api.answers.schemas import AnswerOut, CitationOut
from api.openai.inert import neutralize_markdown
from ingest.storage.uploads.records import NamedFile

_MARKER = re.compile(r"\[(\d{1,4})\]")


def build_safe_text(answer: AnswerOut) -> str:
    """Return the answer's text in a form that clients may render. Its offsets are the same as in `answer.text`."""
    return neutralize_markdown(answer.text)


def build_url_citations(answer: AnswerOut, base_url: str) -> list[dict[str, Any]]:
    """Return URL annotations for the markers in the text, without `type`, because chat completions nest them."""
    return [
        {
            # guard: openai-citation-offsets
            "start_index": start,
            "end_index": end,
            "title": cited.title,
            "url": base_url.rstrip("/") + CitedSpan(cited.document_id, cited.start, cited.end).api_path,
            "leadline": build_annotation_extension(cited),
        }
        for start, end, cited in iter_markers(answer.text, answer.citations)
    ]


# Cited files, keyed by document id. If a document has no entry, it has just been deleted.
CitedFiles = Mapping[str, NamedFile]


def build_response_annotations(answer: AnswerOut, base_url: str, files: CitedFiles | None) -> list[dict[str, Any]]:
    """Return the annotations of a response: the URL of each marker's span and, if `files` is given, its file."""
    found: list[dict[str, Any]] = []
    urls = build_url_citations(answer, base_url)
    for (_, end, cited), url in zip(iter_markers(answer.text, answer.citations), urls, strict=True):
        if files is None:
            found.append({"type": "url_citation", **url})
            continue
        named = get_cited_file(files, cited)
        file = {"type": "file_citation", "file_id": named.id, "filename": named.name, "index": end}
        found += [{**file, "leadline": build_annotation_extension(cited)}, {"type": "url_citation", **url}]
    return found


def iter_markers(text: str, citations: Iterable[CitationOut]) -> Iterator[tuple[int, int, CitationOut]]:
    """Yield each marker's span and citation. Markers of documents that must not be shown are skipped."""
    cited = {each.number: each for each in citations if not each.deleted}
    for marker in _MARKER.finditer(text):
        if found := cited.get(int(marker[1])):
            yield marker.start(), marker.end(), found


def get_cited_file(files: CitedFiles, citation: CitationOut) -> NamedFile:
    """Return the file that a citation refers to."""
    return files.get(citation.document_id) or NamedFile(citation.document_id, citation.title, {})


def build_annotation_extension(citation: CitationOut) -> dict[str, Any]:
    """Return the fields of a citation that have no counterpart in OpenAI's annotations."""
    return citation.model_dump(mode="json", include=_EXTENSION_MEMBERS)


_EXTENSION_MEMBERS = {
    "number",
    "document_id",
    "version_id",
    "heading_path",
    "page",
    "place",
    "start",
    "end",
    "quote",
    "verified",
}
