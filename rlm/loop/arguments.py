"""Arguments of tools as a model's code gives them; a handle is a dict with document, start and end."""

from collections.abc import Callable, Mapping
from typing import Any

from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle, merged
from rlm.sandbox.port import ToolError

PlainHandle = dict[str, Any]
# Tells the model something about what a tool returned, with the output of its cell.
Note = Callable[[str], None]

_WHAT = "a handle is a dict with document, start and end, as search, grep, outline and records return"


def plain(handle: Handle) -> PlainHandle:
    """The handle as code sees it; the version is left out, for a corpus has one of each document."""
    return {"document": handle.document_id, "start": handle.start, "end": handle.end}


def parse_handle(value: object, corpus: Corpus) -> Handle:
    """Read a handle from any dict with a handle's keys, or from the id, name or title of a document.

    An end that is missing or lies behind the document's is that of the document. Raises `ToolError`.
    """
    if isinstance(value, str):
        called = corpus.called(value)
        if called is None:
            raise ToolError(f"no document is called {value[:100]!r}; outline() lists them")
        return called.handle
    if not isinstance(value, Mapping) or "document" not in value:
        raise ToolError(_WHAT)
    document = corpus.with_id(str(value["document"]))
    if document is None:
        raise ToolError(f"no document in scope has the id {str(value['document'])[:100]!r}")
    whole = document.handle
    start, end = value.get("start", 0), value.get("end")
    end = whole.end if end is None else end
    if not _is_position(start) or not _is_position(end):
        raise ToolError("start and end of a handle are whole numbers from 0")
    start, end = min(start, whole.end), min(end, whole.end)
    return Handle(whole.document_id, whole.version_id, start, max(start, end))


def parse_handles(values: object, corpus: Corpus) -> list[Handle]:
    """Read a list of handles. Raises `ToolError`."""
    if not isinstance(values, list | tuple):
        raise ToolError("records is a list of handles, as records() returns")
    return [parse_handle(value, corpus) for value in values]


def parse_within(value: object, corpus: Corpus) -> list[Handle]:
    """Read the spans that a tool is limited to; None stands for all documents, and spans that overlap are one.

    Raises `ToolError`.
    """
    if value is None:
        return [document.handle for document in corpus.documents]
    if not isinstance(value, list | tuple):
        return [parse_handle(value, corpus)]
    if not value:
        raise ToolError("within is an empty list; leave it out for all documents")
    by_version: dict[str, list[Handle]] = {}
    for handle in parse_handles(value, corpus):
        by_version.setdefault(handle.version_id, []).append(handle)
    return [span for spans in by_version.values() for span in merged(spans, touching=False)]


def require_text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"{name} is a text that is not empty")
    return value


def require_number(value: object, name: str) -> int:
    if type(value) is not int or value < 0:
        raise ToolError(f"{name} is a whole number from 0")
    return value


def _is_position(value: object) -> bool:
    return type(value) is int and value >= 0
