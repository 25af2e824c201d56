"""Splits text into records by line, pattern, chunk, document or table row. Each record is a handle.

Rows come from the record tables built during ingestion, never from splitting text at line breaks. Lines are not
interpreted: headers, rules and footers become records too, so callers that count records must exclude them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from rlm.corpus.corpus import Corpus
from rlm.corpus.grep import PatternScan, compile_pattern
from rlm.corpus.handles import Handle
from rlm.errors import DocumentUnreadableError, PatternError, iter_unless_cancelled, not_cancelled

_WINDOW = 1 << 20
_ROWS_READ = 50_000  # Maximum number of rows to load at a time.
_PATTERN_SECONDS = 60.0


class SplitMethod(StrEnum):
    """The ways to split text into records."""

    ROW = "row"
    LINE = "line"
    START = "start"  # The pattern matches at the start of each record.
    SEPARATOR = "separator"  # The pattern matches between records.
    CHUNK = "chunk"
    DOCUMENT = "document"


@dataclass(frozen=True)
class Record:
    """The span of a record. For a table row, also its row number (from 1) and its cells keyed by column name."""

    handle: Handle
    row: int | None = None
    values: dict[str, Any] = field(default_factory=dict, compare=False)


def select_split_method(corpus: Corpus, spans: Sequence[Handle]) -> SplitMethod:
    """Return the default way to split: by rows if every document has record tables, otherwise by lines."""
    documents = {span.version_id: corpus.get_document(span) for span in spans}.values()
    return SplitMethod.ROW if documents and all(map(corpus.load_tables, documents)) else SplitMethod.LINE


def split_records(
    corpus: Corpus,
    method: SplitMethod,
    pattern: str = "",
    *,
    spans: Sequence[Handle] | None = None,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Iterator[Record]:
    """Yield the non-blank records in the spans, in order. Without spans, all documents are split.

    Raises `ValueError` if a required pattern is missing or an unexpected one is passed, `PatternError` if the pattern
    is invalid or takes too long, and `RunCancelledError` if the run was cancelled.
    """
    if bool(pattern) != (method in (SplitMethod.START, SplitMethod.SEPARATOR)):
        raise ValueError(f"splitting by {method} {'does not take' if pattern else 'requires'} a pattern")
    wanted: Iterable[Handle] = [each.handle for each in corpus.documents] if spans is None else spans
    if method not in (SplitMethod.DOCUMENT, SplitMethod.ROW):  # These read no text.
        wanted = corpus.copy_ahead(wanted, lambda span: span)
    for span in wanted:
        with suppress(DocumentUnreadableError):  # The answer reports that this document was skipped.
            if method is SplitMethod.ROW:
                yield from iter_unless_cancelled(_iter_rows(corpus, span), cancelled)
            else:
                yield from map(
                    Record, iter_unless_cancelled(_split_span(corpus, span, method, pattern, cancelled), cancelled)
                )


def _split_span(
    corpus: Corpus, span: Handle, method: SplitMethod, pattern: str, cancelled: Callable[[], bool]
) -> Iterator[Handle]:
    match method:
        case SplitMethod.DOCUMENT:
            yield from [span] if len(span) else []
        case SplitMethod.CHUNK:
            document = corpus.get_document(span)
            for chunk in corpus.load_text_map(document).chunks:
                if span.start <= chunk.start and chunk.end <= span.end:
                    yield document.handle[chunk.start : chunk.end]
        case SplitMethod.LINE:
            yield from _iter_lines(corpus, span)
        case _:
            yield from _trim_spans(corpus, _split_at_matches(corpus, span, method, pattern, cancelled))


def _iter_rows(corpus: Corpus, span: Handle) -> Iterator[Record]:
    document = corpus.get_document(span)
    for table in corpus.load_tables(document):
        names = [column.name for column in table.columns]
        for first in range(1, table.rows + 1, _ROWS_READ):
            numbers = range(first, min(first + _ROWS_READ, table.rows + 1))
            for row in corpus.load_rows(document, table.index, numbers):
                if span.start <= row.start and row.end <= span.end:
                    cells = dict(zip(names, row.values, strict=True))
                    yield Record(document.handle[row.start : row.end], row.number, cells)


def _iter_lines(corpus: Corpus, span: Handle) -> Iterator[Handle]:
    for begin, text in _iter_text_windows(corpus, span):
        at = begin
        for line in text.split("\n"):
            if stripped := line.strip():
                start = at + len(line) - len(line.lstrip())
                yield span[start : start + len(stripped)]
            at += len(line) + 1


def _iter_text_windows(corpus: Corpus, span: Handle) -> Iterator[tuple[int, str]]:
    """Yield the text in pieces that end at line boundaries.

    A piece exceeds the window size only if it consists of a single long line.
    """
    begin = 0
    size = _WINDOW
    while begin < len(span):
        text = corpus.load_text(span[begin : begin + size])
        cut = len(text) if begin + size >= len(span) else text.rfind("\n") + 1
        if not cut:
            size *= 2
            continue
        yield begin, text[:cut]
        begin += cut
        size = _WINDOW


def _split_at_matches(
    corpus: Corpus, span: Handle, method: SplitMethod, pattern: str, cancelled: Callable[[], bool]
) -> list[Handle]:
    """Split a span at the matches of a pattern.

    A separator pattern matches between the returned spans; a start pattern matches at the beginning of each.
    """
    matches = _list_match_offsets(corpus, span, pattern, cancelled)
    if method is SplitMethod.START:
        return [span[start:end] for start, end in pairwise([*(start for start, _ in matches), len(span)])]
    edges = [(0, 0), *matches, (len(span), len(span))]
    return [span[end:start] for (_, end), (start, _) in pairwise(edges)]


def _trim_spans(corpus: Corpus, spans: Sequence[Handle]) -> Iterator[Handle]:
    """Yield the spans without leading and trailing white space. Blank spans are dropped."""
    for span, text in zip(spans, corpus.iter_texts(spans), strict=True):
        if stripped := text.strip():
            start = len(text) - len(text.lstrip())
            yield span[start : start + len(stripped)]


def _list_match_offsets(
    corpus: Corpus, span: Handle, pattern: str, cancelled: Callable[[], bool]
) -> list[tuple[int, int]]:
    """Return the positions where the pattern matches, as offsets within the span."""
    compiled = compile_pattern(pattern)
    walk = PatternScan(corpus, compiled, spans=[span], timeout_seconds=_PATTERN_SECONDS, cancelled=cancelled)
    try:
        return [(found.handle.start - span.start, found.handle.end - span.start) for found in walk]
    except TimeoutError as error:
        raise PatternError(
            f"The search for the pattern {pattern[:80]!r} exceeded the time limit for one document."
        ) from error
