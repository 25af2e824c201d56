"""Regular expression search over a corpus. Results are streamed and paged, and slow searches are stopped."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from rlm.corpus.corpus import READ_AHEAD, Corpus, CorpusDocument
from rlm.corpus.handles import Handle
from rlm.errors import DocumentUnreadableError, PatternError, RunCancelledError, not_cancelled

MAX_HITS = 1000
_MAX_PATTERN_CHARS = 2_000
# Size of the windows in which documents are searched, and how far a match and its lookbehind may extend beyond a
# window.
_WINDOW = 1 << 20
_OVERLAP = 1 << 12
# Maximum length of a hit's text. Paragraphs of extracted text are single lines, and nearly all are shorter.
_LINE_CHARS = 2_000
_MATCH_CHARS = 400
# The longest step of a search, so that a cancelled run ends soon. It is also the time limit for a single position.
_STEP_SECONDS = 1.0
# Timeout of the first attempt to match at one position, which is enough for most positions. The timeout is short,
# because the attempt holds the GIL, so other threads wait.
_QUICK_SECONDS = 0.005


@dataclass(frozen=True)
class GrepHit:
    """A match with the surrounding lines.

    `line` is a span of `text`: the lines that contain the match, or only the part around the match if these lines are
    very long. `title` is the line that names the document.
    """

    match: Handle
    matched: str
    line: Handle
    text: str
    title: str


@dataclass(frozen=True)
class GrepPage:
    """Hits in reading order, and the spans that were searched to find them.

    `next_cursor` continues after the last hit, or where the search stopped because the time ran out. It is None if
    everything was searched.
    """

    hits: tuple[GrepHit, ...]
    searched: tuple[Handle, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class GrepCount:
    """The number of matches of a pattern in the searched spans, in total and by document id.

    `complete` is false if the time ran out.
    """

    total: int
    documents: Mapping[str, int]
    searched: tuple[Handle, ...]
    complete: bool


def compile_pattern(pattern: str, *, ignore_case: bool = False) -> Any:  # noqa: ANN401 - `regex` has no types
    """Compile a pattern whose anchors match at line boundaries. Raises `PatternError` if it is invalid."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        raise PatternError(f"The pattern has {len(pattern):,} characters, and the limit is {_MAX_PATTERN_CHARS:,}.")
    try:
        flags = regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0)
        return regex.compile(pattern, flags, cache_pattern=False)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise PatternError(
            f"The pattern {pattern[:80]!r} is not valid: {error}.", hint="Check the escape sequences."
        ) from error


def grep(
    corpus: Corpus,
    pattern: str,
    *,
    limit: int = 50,
    cursor: str | None = None,
    ignore_case: bool = False,
    spans: Sequence[Handle] | None = None,
    timeout_seconds: float = 20.0,
    cancelled: Callable[[], bool] = not_cancelled,
) -> GrepPage:
    """Return a page of at most `limit` matches found within `timeout_seconds`. Empty matches are ignored.

    Only the given spans are searched, in the given order. Without spans, all documents are searched. Raises
    `PatternError` if the pattern is invalid or makes no progress within its time limit.
    """
    compiled = compile_pattern(pattern, ignore_case=ignore_case)
    walk = PatternScan(
        corpus,
        compiled,
        spans=spans,
        start_position=_parse_cursor(cursor),
        timeout_seconds=timeout_seconds,
        cancelled=cancelled,
    )
    limit = max(1, min(limit, MAX_HITS))
    hits: list[GrepHit] = []
    try:
        for found in walk:
            hits.append(found.build_hit())
            if len(hits) == limit:
                return GrepPage(tuple(hits), walk.list_searched_spans(), walk.cursor)
    except TimeoutError as error:
        if walk.cursor == (cursor or "0:0"):
            raise PatternError(f"The search for the pattern {pattern[:80]!r} exceeded its time limit.") from error
        return GrepPage(tuple(hits), walk.list_searched_spans(), walk.cursor)
    return GrepPage(tuple(hits), walk.list_searched_spans(), None)


def count_matches(
    corpus: Corpus,
    pattern: str,
    *,
    ignore_case: bool = False,
    spans: Sequence[Handle] | None = None,
    timeout_seconds: float = 60.0,
    cancelled: Callable[[], bool] = not_cancelled,
) -> GrepCount:
    """Count the matches of a pattern, in total and by document.

    Raises `PatternError` under the same conditions as `grep`.
    """
    compiled = compile_pattern(pattern, ignore_case=ignore_case)
    walk = PatternScan(corpus, compiled, spans=spans, timeout_seconds=timeout_seconds, cancelled=cancelled)
    counts: Counter[str] = Counter()
    complete = True
    try:
        counts.update(found.document.handle.document_id for found in walk)
    except TimeoutError:
        complete = False
    return GrepCount(counts.total(), dict(counts), walk.list_searched_spans(), complete)


@dataclass(frozen=True)
class PatternMatch:
    """A match in `text`, which is a piece of a document.

    The piece starts at `begin`. `start` and `end` are offsets within `text`.
    """

    document: CorpusDocument
    begin: int
    text: str
    start: int
    end: int

    @property
    def handle(self) -> Handle:
        return self._build_handle(self.start, self.end)

    def build_hit(self) -> GrepHit:
        first = self.text.rfind("\n", 0, self.start) + 1
        newline = self.text.find("\n", self.end)
        last = len(self.text) if newline < 0 else newline
        begin, end = first, last
        if last - first > _LINE_CHARS:
            begin = max(first, min(self.start - _LINE_CHARS // 2, last - _LINE_CHARS))
            end = min(last, begin + _LINE_CHARS)
        return GrepHit(
            match=self.handle,
            matched=self.text[self.start : min(self.end, self.start + _MATCH_CHARS)],
            line=self._build_handle(begin, end),
            text=self.text[begin:end],
            title=self.document.line,
        )

    def _build_handle(self, start: int, end: int) -> Handle:
        return self.document.handle[self.begin + start : self.begin + end]


class PatternScan:
    """Yields the non-empty matches in spans of documents, in order. `cursor` is the current position.

    A match can look behind at text before its span, but cannot look ahead at text after it.

    Raises `TimeoutError` if the time runs out or one position takes too long, and `RunCancelledError` within two
    seconds of cancellation. Exceptions raised by `cancelled` propagate.
    """

    def __init__(
        self,
        corpus: Corpus,
        pattern: Any,  # noqa: ANN401 - `regex` has no types
        *,
        spans: Sequence[Handle] | None = None,
        start_position: tuple[int, int] = (0, 0),
        timeout_seconds: float,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self._corpus = corpus
        self._pattern = pattern
        self._spans = [each.handle for each in corpus.documents] if spans is None else spans
        self._begun = start_position
        self._ordinal, self._offset = start_position
        self._deadline = time.monotonic() + timeout_seconds
        self._cancelled = cancelled
        self._stepping = False
        self._unread: set[int] = set()

    @property
    def cursor(self) -> str:
        return f"{self._ordinal}:{self._offset}"

    def list_searched_spans(self) -> tuple[Handle, ...]:
        """Return the spans between the start of the walk and its current position, without unreadable documents."""
        first, offset = self._begun
        spans = [*self._spans[first : self._ordinal]]
        if self._ordinal < len(self._spans):
            spans.append(self._spans[self._ordinal][: self._offset])
        if spans:
            spans[0] = spans[0][offset:]
        return tuple(span for at, span in enumerate(spans, start=first) if len(span) and at not in self._unread)

    def __iter__(self) -> Iterator[PatternMatch]:
        for span in self._spans[self._ordinal : self._ordinal + READ_AHEAD]:
            self._corpus.start_copying(span)
        while self._ordinal < len(self._spans):
            span = self._spans[self._ordinal]
            for following in self._spans[self._ordinal + READ_AHEAD : self._ordinal + READ_AHEAD + 1]:
                self._corpus.start_copying(following)
            document = self._corpus.get_document(span)
            try:
                while self._offset < len(span):
                    yield from self._iter_window_matches(document, span)
            except DocumentUnreadableError:  # The answer reports that this document was skipped.
                self._unread.add(self._ordinal)
            self._ordinal, self._offset = self._ordinal + 1, 0

    def _iter_window_matches(self, document: CorpusDocument, span: Handle) -> Iterator[PatternMatch]:
        """Yield the matches that begin in the next window. A match may end in the overlap with the window after it."""
        place = span.start + self._offset
        begin = max(0, place - _OVERLAP)
        last = min(place + _WINDOW, span.end)
        text = self._corpus.load_text(document.handle[begin : min(place + _WINDOW + _OVERLAP, span.end)])
        self._stepping = False
        while place < last:
            match = self._find_match(text, place - begin, last - begin)
            if match is None or begin + match.start() >= last:
                break
            place = begin + max(match.end(), match.start() + 1)
            self._offset = place - span.start
            if match.end() > match.start():
                yield PatternMatch(document, begin, text, match.start(), match.end())
        self._offset = max(place, last) - span.start

    def _find_match(self, text: str, start: int, stop: int) -> Any:  # noqa: ANN401 - `regex` has no types
        """Return the first match that begins before `stop`, or None. The result may also be a match that begins later.

        A search that takes too long is abandoned. The positions are then tried one by one, which gives the same result.
        """
        if not self._stepping:
            try:
                return self._pattern.search(text, start, timeout=self._compute_step_seconds(), concurrent=True)
            except TimeoutError:
                self._stepping = True
        places = range(start, min(stop, len(text)))
        return next((match for place in places if (match := self._match_at_position(text, place)) is not None), None)

    def _match_at_position(self, text: str, position: int) -> Any:  # noqa: ANN401 - `regex` has no types
        """Return the match that begins at `position`. Raises `TimeoutError` if matching takes longer than one step."""
        step = self._compute_step_seconds()
        try:
            return self._pattern.match(text, position, timeout=min(step, _QUICK_SECONDS))
        except TimeoutError:
            return self._pattern.match(text, position, timeout=step, concurrent=True)

    def _compute_step_seconds(self) -> float:
        if self._cancelled():
            raise RunCancelledError("The search was cancelled.")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, _STEP_SECONDS)


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    match = regex.fullmatch(r"(\d{1,12}):(\d{1,12})", "0:0" if cursor is None else cursor)
    if match is None:
        raise PatternError(f"The cursor {cursor!r} is not valid.", hint="Use the previous page's `next_cursor`.")
    return int(match[1]), int(match[2])
