"""Cutting a corpus into records: each is a handle, and lines that are no records are left out and counted.

Headers, footers, headings and rules are told from records by their shape: where most lines begin with the same field
(`Date: … || User: …`), are rows of a table or of CSV, or JSON objects, the others are not records. Lines of plain prose
look all alike; there, only the largest run of lines without a blank one between them counts, if it holds most of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from rlm.cancelling import not_cancelled, unless_cancelled
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.grep import PatternWalk, compile_pattern
from rlm.corpus.handles import Handle
from rlm.corpus.lines import (
    PLAIN,
    Shape,
    columns_of,
    is_header,
    is_record,
    is_total,
    line_shape,
    names_columns,
    record_shape,
)
from rlm.errors import PatternError

_WINDOW = 1 << 20
_EXAMPLES_LEFT_OUT = 20
_BLOCK_SHARE = 0.8
_PATTERN_SECONDS = 60.0
_SAMPLED = 20
_SAMPLED_CHARS = 20_000
_FEWEST_RECORDS = 3
_MANY_DOCUMENTS = 5
_SHORT_DOCUMENT_TOKENS = 600


class SplitBy(StrEnum):
    """Where one record ends and the next begins."""

    LINE = "line"
    START = "start"  # a pattern matches where a record begins
    SEPARATOR = "separator"  # a pattern matches between records
    CHUNK = "chunk"
    DOCUMENT = "document"


@dataclass(frozen=True)
class Splitting:
    """How to cut; `pattern` is the regular expression of `start` and `separator`."""

    by: SplitBy
    pattern: str = ""

    def __post_init__(self) -> None:
        if bool(self.pattern) != (self.by in (SplitBy.START, SplitBy.SEPARATOR)):
            raise ValueError(f"a splitting by {self.by} takes {'no' if self.pattern else 'a'} pattern")


@dataclass(frozen=True)
class Records:
    """Records in reading order. `left_out` are the first of the `left_out_count` pieces that are no records.

    `columns` are the names of a table's cells, where records are its rows; none where tables name theirs differently.
    """

    handles: tuple[Handle, ...]
    splitting: Splitting
    left_out: tuple[Handle, ...] = ()
    left_out_count: int = 0
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.handles)


@dataclass(frozen=True)
class _Piece:
    """A span that may be a record; `block` counts the blank lines before it."""

    start: int
    end: int
    shape: Shape
    block: int = 0


def guess_splitting(corpus: Corpus) -> Splitting:
    """By line where lines look like records, by document where there are many short ones, else by chunk."""
    sampled = corpus.spread(_SAMPLED)
    shapes = [_sampled_shape(corpus, document) for document in sampled]
    with_lines = sum(shape is not None for shape in shapes)
    if sampled and 2 * with_lines >= len(sampled):
        return Splitting(SplitBy.LINE)
    short = sum(document.tokens <= _SHORT_DOCUMENT_TOKENS for document in sampled)
    if len(corpus.documents) >= _MANY_DOCUMENTS and 2 * short > len(sampled):
        return Splitting(SplitBy.DOCUMENT)
    return Splitting(SplitBy.CHUNK)


def split(corpus: Corpus, splitting: Splitting, *, cancelled: Callable[[], bool] = not_cancelled) -> Records:
    """Raises `PatternError` for a pattern that cannot be read or takes too long, and `RunCancelledError`."""
    handles: list[Handle] = []
    left_out: list[Handle] = []
    headers: dict[tuple[str, ...], None] = {}
    for document in unless_cancelled(corpus.documents, cancelled):
        kept, others = _cut(corpus, document, splitting, cancelled)
        handles += [document.handle[piece.start : piece.end] for piece in kept]
        left_out += [document.handle[piece.start : piece.end] for piece in others]
        if kept and is_total(corpus.text(document.handle[kept[-1].start : kept[-1].end]), kept[-1].shape):
            others.append(kept.pop())
            handles.pop()
            left_out.append(document.handle[others[-1].start : others[-1].end])
        rows = kept[0].shape if kept else PLAIN
        for piece in others:
            if is_header(piece.shape, rows):
                headers[columns_of(corpus.text(document.handle[piece.start : piece.end]), rows)] = None
    columns = next(iter(headers)) if len(headers) == 1 else ()
    return Records(tuple(handles), splitting, tuple(left_out[:_EXAMPLES_LEFT_OUT]), len(left_out), columns)


def _sampled_shape(corpus: Corpus, document: CorpusDocument) -> Shape | None:
    """How records look in the first lines of a document, if they are lines."""
    lines = corpus.text(document.handle[:_SAMPLED_CHARS]).split("\n")
    whole = lines if document.characters <= _SAMPLED_CHARS else lines[:-1]
    shapes = [line_shape(line.strip()) for line in whole if line.strip()]
    wanted = record_shape(shapes)
    return wanted if sum(is_record(shape, wanted) for shape in shapes) >= _FEWEST_RECORDS else None


def _cut(
    corpus: Corpus, document: CorpusDocument, splitting: Splitting, cancelled: Callable[[], bool]
) -> tuple[list[_Piece], list[_Piece]]:
    """A document's records, and the pieces of it that are none."""
    match splitting.by:
        case SplitBy.DOCUMENT:
            return [_Piece(0, document.characters, PLAIN)] if document.characters else [], []
        case SplitBy.CHUNK:
            return [_Piece(chunk.start, chunk.end, PLAIN) for chunk in corpus.map(document).chunks], []
        case SplitBy.LINE:
            return _records_among(list(unless_cancelled(_lines(corpus, document), cancelled)))
        case SplitBy.SEPARATOR:
            return _records_among(list(_separated(corpus, document, splitting.pattern, cancelled)))
        case SplitBy.START:
            return _started(corpus, document, splitting.pattern, cancelled)


def _records_among(pieces: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    wanted = record_shape([piece.shape for piece in pieces])
    kept = [piece for piece in pieces if is_record(piece.shape, wanted)]
    if wanted is None:
        kept = _largest_block(kept)
    if wanted is not None and wanted[0] == "cells":
        names = {piece.start for piece, after in pairwise(pieces) if after.shape == ("rule",)}
        kept = [piece for piece in kept if piece.start not in names]
    if wanted is not None and kept and names_columns(kept[0].shape):
        kept = kept[1:]
    chosen = {piece.start for piece in kept}
    return kept, [piece for piece in pieces if piece.start not in chosen]


def _largest_block(pieces: list[_Piece]) -> list[_Piece]:
    blocks: dict[int, list[_Piece]] = {}
    for piece in pieces:
        blocks.setdefault(piece.block, []).append(piece)
    largest = max(blocks.values(), key=len, default=[])
    return largest if len(largest) >= max(3, _BLOCK_SHARE * len(pieces)) else pieces


def _lines(corpus: Corpus, document: CorpusDocument) -> Iterator[_Piece]:
    """Lines that are not blank, without white space around them."""
    block = 0
    for begin, text in _windows(corpus, document):
        at = 0
        for line in text.split("\n"):
            stripped = line.strip()
            if stripped:
                start = begin + at + len(line) - len(line.lstrip())
                yield _Piece(start, start + len(stripped), line_shape(stripped), block)
            else:
                block += 1
            at += len(line) + 1


def _windows(corpus: Corpus, document: CorpusDocument) -> Iterator[tuple[int, str]]:
    """The text in pieces that end with a line; only a longer line than a window is longer."""
    begin = 0
    size = _WINDOW
    while begin < document.characters:
        text = corpus.text(document.handle[begin : begin + size])
        cut = len(text) if begin + size >= document.characters else text.rfind("\n") + 1
        if not cut:
            size *= 2
            continue
        yield begin, text[:cut]
        begin += cut
        size = _WINDOW


def _separated(
    corpus: Corpus, document: CorpusDocument, pattern: str, cancelled: Callable[[], bool]
) -> Iterator[_Piece]:
    edges = [(0, 0), *_matches(corpus, document, pattern, cancelled), (document.characters, document.characters)]
    spans = [document.handle[end:start] for (_, end), (start, _) in pairwise(edges) if start > end]
    return _trimmed(corpus, spans, cancelled)


def _started(
    corpus: Corpus, document: CorpusDocument, pattern: str, cancelled: Callable[[], bool]
) -> tuple[list[_Piece], list[_Piece]]:
    """A record from each match to the next; what stands before the first is none, nor what only the last has.

    Where no other record has a blank line in it, the last one ends at its first blank line.
    """
    starts = [start for start, _ in _matches(corpus, document, pattern, cancelled)]
    spans = [document.handle[start:end] for start, end in pairwise([*starts, document.characters])]
    before = [document.handle[: starts[0] if starts else document.characters]]
    others = unless_cancelled(corpus.read_all(spans[:-1]), cancelled)
    if len(spans) > 1 and not any("\n\n" in text.strip() for text in others):
        last = spans.pop()
        body = corpus.text(last)
        cut = body.find("\n\n", len(body) - len(body.lstrip()))
        spans.append(last[: cut if cut >= 0 else None])
        before.append(last[cut if cut >= 0 else len(last) :])
    return list(_trimmed(corpus, spans, cancelled)), list(_trimmed(corpus, before, cancelled))


def _trimmed(corpus: Corpus, spans: Iterable[Handle], cancelled: Callable[[], bool]) -> Iterator[_Piece]:
    """Without white space around them; blank ones are dropped. Their shape is that of their first line."""
    spans = list(spans)
    for span, text in unless_cancelled(zip(spans, corpus.read_all(spans), strict=True), cancelled):
        stripped = text.strip()
        if stripped:
            start = span.start + len(text) - len(text.lstrip())
            yield _Piece(start, start + len(stripped), line_shape(stripped.split("\n", 1)[0]), start)


def _matches(
    corpus: Corpus, document: CorpusDocument, pattern: str, cancelled: Callable[[], bool]
) -> Iterator[tuple[int, int]]:
    walk = PatternWalk(corpus.alone(document), compile_pattern(pattern), seconds=_PATTERN_SECONDS, cancelled=cancelled)
    try:
        for found in walk:
            yield found.begin + found.start, found.begin + found.end
    except TimeoutError as error:
        raise PatternError(f"The pattern {pattern[:80]!r} takes longer than a search of one document may.") from error
