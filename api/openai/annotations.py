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
from api.openai.inert import escape_markdown_in_json, neutralize_markdown
from ingest.storage.uploads.records import NamedFile
from rlm.answers import AnswerStatus, OutputKind

CALL_PREFIX = "call_"
_MARKER = re.compile(r"\[(\d{1,4})\]")


def build_safe_text(answer: AnswerOut) -> str:
    """Return the content of the answer's message in a form that clients may render.

    The offsets of the answer's text stay the same. JSON keeps its meaning. A call or a refusal has no content.
    """
    output = answer.output
    if output is None:
        return neutralize_markdown(answer.text)
    match output.kind:
        case OutputKind.JSON:
            return escape_markdown_in_json(output.text)
        case OutputKind.ADDITION:
            return neutralize_markdown("\n\n".join([*([answer.text] if _is_shown(answer) else []), output.text]))
    return ""


def _is_shown(answer: AnswerOut) -> bool:
    """Return whether the text of the answer is shown. If tools settled what the documents do not say, it is not."""
    output = answer.output
    if output is None:
        return True
    return output.kind is OutputKind.ADDITION and answer.status is not AnswerStatus.NOT_FOUND


def build_call_id(identifier: str) -> str:
    """Build the id of the call of a tool from the id of its answer."""
    return f"{CALL_PREFIX}{identifier}"


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
        for start, end, cited in _iter_cited_spans(answer)
    ]


# Cited files, keyed by document id. If a document has no entry, it has just been deleted.
CitedFiles = Mapping[str, NamedFile]


def build_response_annotations(answer: AnswerOut, base_url: str, files: CitedFiles | None) -> list[dict[str, Any]]:
    """Return the annotations of a response: the URL of each marker's span and, if `files` is given, its file."""
    found: list[dict[str, Any]] = []
    urls = build_url_citations(answer, base_url)
    for (_, end, cited), url in zip(_iter_cited_spans(answer), urls, strict=True):
        if files is None:
            found.append({"type": "url_citation", **url})
            continue
        named = get_cited_file(files, cited)
        file = {"type": "file_citation", "file_id": named.id, "filename": named.name, "index": end}
        found += [{**file, "leadline": build_annotation_extension(cited)}, {"type": "url_citation", **url}]
    return found


def _iter_cited_spans(answer: AnswerOut) -> Iterator[tuple[int, int, CitationOut]]:
    """Yield the citations of a message with the spans of its content. JSON has no markers, so each cites all of it."""
    if _is_shown(answer):
        yield from iter_markers(answer.text, answer.citations)
    elif answer.output is not None and answer.output.kind is OutputKind.JSON:
        end = len(build_safe_text(answer))
        yield from ((0, end, each) for each in answer.citations if not each.deleted)


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
