"""What a reader sees of a corpus before it reads: contents, the outline of a document, and samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.handles import Handle

_MAX_SAMPLE_CHARS = 4_000


@dataclass(frozen=True)
class Section:
    """What stands under one heading, up to the next; `heading_path` is empty before the first one."""

    heading_path: tuple[str, ...]
    handle: Handle
    tokens: int
    page: int | None


@dataclass(frozen=True)
class Contents:
    """A page of a corpus's documents; `next_offset` is None on the last."""

    documents: tuple[CorpusDocument, ...]
    next_offset: int | None


@dataclass(frozen=True)
class Sample:
    """A piece of text and where it stands."""

    title: str
    handle: Handle
    text: str


def contents(corpus: Corpus, *, offset: int = 0, limit: int = 50) -> Contents:
    """Documents in order of arrival."""
    offset, limit = max(0, offset), max(1, limit)
    page = corpus.documents[offset : offset + limit]
    following = offset + len(page)
    return Contents(page, following if following < len(corpus.documents) else None)


def outline(corpus: Corpus, handle: Handle, *, depth: int | None = None) -> list[Section]:
    """The sections that a span touches, in reading order; with `depth`, deeper headings join their parent's section.

    Raises `UnknownHandleError`.
    """
    document = corpus.document(handle)
    chunks = [chunk for chunk in corpus.map(document).chunks if chunk.start < handle.end and chunk.end > handle.start]
    sections: list[Section] = []
    for path, group in groupby(chunks, key=lambda chunk: chunk.heading_path[:depth]):
        members = list(group)
        span = document.handle[members[0].start : members[-1].end]
        sections.append(Section(path, span, corpus.tokens(span), members[0].page))
    return sections


def samples(corpus: Corpus, *, count: int = 3, characters: int = 500) -> list[Sample]:
    """The beginnings of documents spread evenly over the corpus, and the end of the last of them."""
    characters = max(1, min(characters, _MAX_SAMPLE_CHARS))
    return [
        Sample(corpus.document(handle).title, handle, corpus.text(handle))
        for handle in _pieces(corpus.spread(max(1, count)), characters)
    ]


def _pieces(documents: list[CorpusDocument], characters: int) -> Iterator[Handle]:
    for document in documents:
        yield document.handle[:characters]
    last = documents[-1].handle if documents else None
    if last is not None and len(last) > characters:
        yield last[max(characters, len(last) - characters) :]
