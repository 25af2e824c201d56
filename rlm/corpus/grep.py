"""Regular expressions over a corpus: streamed, paged, and stopped when they take too long."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import regex

from rlm.cancelling import not_cancelled
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.handles import Handle
from rlm.errors import PatternError, RunCancelledError

MAX_HITS = 1000
_MAX_PATTERN_CHARS = 2_000
# A document is searched in windows; a match and what it looks behind at may reach this far over a window's ends.
_WINDOW = 1 << 20
_OVERLAP = 1 << 12
_LINE_CHARS = 400
# No step of a search takes longer, so that a cancelled run is left soon; a single place must be decided in it as well.
_STEP_SECONDS = 1.0
# Most places are decided at once; so long, other threads can wait.
_MOMENT_SECONDS = 0.005


@dataclass(frozen=True)
class GrepHit:
    """A match, the line it begins on (shortened around it where long), and that line's neighbours in `context`.

    `shown` is where `line` stands: of a very long line, the part around the match.
    """

    handle: Handle
    title: str
    text: str
    line: str
    shown: Handle
    context: Handle


@dataclass(frozen=True)
class GrepPage:
    """Hits in reading order. `next_cursor` goes on after the last of them; None means that all was searched.

    `stopped` is set when the time was up before the page was full: what is there counts, the rest is behind the cursor.
    """

    hits: tuple[GrepHit, ...]
    next_cursor: str | None
    stopped: bool = False


@dataclass(frozen=True)
class GrepCount:
    """How often a pattern matches, in all and by document id; `complete` is false when the time was up."""

    total: int
    documents: Mapping[str, int]
    complete: bool


def compile_pattern(pattern: str, *, ignore_case: bool = False) -> Any:  # noqa: ANN401 - `regex` has no types
    """Lines end anchors. Raises `PatternError`."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        raise PatternError(f"The pattern has {len(pattern):,} characters, and the limit is {_MAX_PATTERN_CHARS:,}.")
    try:
        flags = regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0)
        return regex.compile(pattern, flags, cache_pattern=False)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise PatternError(
            f"The pattern {pattern[:80]!r} cannot be read: {error}.", hint="Mind the escapes."
        ) from error


def grep(
    corpus: Corpus,
    pattern: str,
    *,
    limit: int = 50,
    cursor: str | None = None,
    ignore_case: bool = False,
    context_lines: int = 0,
    seconds: float = 20.0,
    cancelled: Callable[[], bool] = not_cancelled,
) -> GrepPage:
    """A page of matches, at most `limit` and as many as are found in `seconds`; empty matches are none.

    Raises `PatternError` for a pattern that cannot be read, or that gets nowhere in its time.
    """
    compiled = compile_pattern(pattern, ignore_case=ignore_case)
    walk = PatternWalk(corpus, compiled, place=_place(cursor), seconds=seconds, cancelled=cancelled)
    limit = max(1, min(limit, MAX_HITS))
    hits: list[GrepHit] = []
    try:
        for found in walk:
            hits.append(found.hit(context_lines))
            if len(hits) == limit:
                return GrepPage(tuple(hits), walk.cursor)
    except TimeoutError as error:
        if walk.cursor == (cursor or "0:0"):
            raise PatternError(f"The pattern {pattern[:80]!r} takes longer than a search may.") from error
        return GrepPage(tuple(hits), walk.cursor, stopped=True)
    return GrepPage(tuple(hits), None)


def count_matches(
    corpus: Corpus,
    pattern: str,
    *,
    ignore_case: bool = False,
    seconds: float = 60.0,
    cancelled: Callable[[], bool] = not_cancelled,
) -> GrepCount:
    """How often the pattern matches, in all and by document. Raises `PatternError`."""
    compiled = compile_pattern(pattern, ignore_case=ignore_case)
    walk = PatternWalk(corpus, compiled, seconds=seconds, cancelled=cancelled)
    counts: Counter[str] = Counter()
    complete = True
    try:
        counts.update(found.document.handle.document_id for found in walk)
    except TimeoutError:
        complete = False
    return GrepCount(counts.total(), dict(counts), complete)


@dataclass(frozen=True)
class Found:
    """A match in the `text` of a document that begins at `begin`; `start` and `end` count within it."""

    document: CorpusDocument
    begin: int
    text: str
    start: int
    end: int

    def hit(self, context_lines: int) -> GrepHit:
        first, last = self._lines(0)
        begin = max(first, self.start - _LINE_CHARS // 2)
        end = min(last, max(self.end, self.start + _LINE_CHARS // 2), begin + 2 * _LINE_CHARS)
        around = self._lines(context_lines)
        return GrepHit(
            handle=self._handle(self.start, self.end),
            title=self.document.title,
            text=self.text[self.start : min(self.end, self.start + _LINE_CHARS)],
            line=self.text[begin:end],
            shown=self._handle(begin, end),
            context=self._handle(*around),
        )

    def _lines(self, more: int) -> tuple[int, int]:
        """The lines that the match stands on, and so many before and after."""
        start, end = self.start, self.end
        for further in range(more + 1):
            start = self.text.rfind("\n", 0, max(0, start - (further > 0))) + 1
            newline = self.text.find("\n", min(len(self.text), end + (further > 0)))
            end = len(self.text) if newline < 0 else newline
        return start, end

    def _handle(self, start: int, end: int) -> Handle:
        return self.document.handle[self.begin + start : self.begin + end]


class PatternWalk:
    """Matches in reading order; empty ones are none. `cursor` is where it stands.

    Raises `TimeoutError` when the time is up or one place takes too much of it, and `RunCancelledError` within two
    seconds of it. What `cancelled` raises itself is raised here.
    """

    def __init__(
        self,
        corpus: Corpus,
        pattern: Any,  # noqa: ANN401 - `regex` has no types
        *,
        place: tuple[int, int] = (0, 0),
        seconds: float,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self._corpus = corpus
        self._pattern = pattern
        self._ordinal, self._offset = place
        self._deadline = time.monotonic() + seconds
        self._cancelled = cancelled
        self._stepping = False

    @property
    def cursor(self) -> str:
        return f"{self._ordinal}:{self._offset}"

    def __iter__(self) -> Iterator[Found]:
        while self._ordinal < len(self._corpus.documents):
            document = self._corpus.documents[self._ordinal]
            while self._offset < document.characters:
                yield from self._window(document)
            self._ordinal, self._offset = self._ordinal + 1, 0

    def _window(self, document: CorpusDocument) -> Iterator[Found]:
        """Matches that begin in the next window; one may end in the overlap behind it."""
        begin = max(0, self._offset - _OVERLAP)
        last = self._offset + _WINDOW
        text = self._corpus.text(document.handle[begin : last + _OVERLAP])
        self._stepping = False
        while self._offset < last:
            match = self._search(text, self._offset - begin, last - begin)
            if match is None or begin + match.start() >= last:
                break
            self._offset = begin + max(match.end(), match.start() + 1)
            if match.end() > match.start():
                yield Found(document, begin, text, match.start(), match.end())
        self._offset = max(self._offset, last)

    def _search(self, text: str, start: int, last: int) -> Any:  # noqa: ANN401 - `regex` has no types
        """The first match that begins before `last`; a later one may be returned, or None.

        A search that takes long is given up, and the places are tried one after another: what is found is the same.
        """
        if not self._stepping:
            try:
                return self._pattern.search(text, start, timeout=self._step(), concurrent=True)
            except TimeoutError:
                self._stepping = True
        places = range(start, min(last, len(text)))
        return next((match for place in places if (match := self._match(text, place)) is not None), None)

    def _match(self, text: str, place: int) -> Any:  # noqa: ANN401 - `regex` has no types
        """The match that begins there. Raises `TimeoutError` when one step does not decide it."""
        step = self._step()
        try:
            return self._pattern.match(text, place, timeout=min(step, _MOMENT_SECONDS))
        except TimeoutError:
            return self._pattern.match(text, place, timeout=step, concurrent=True)

    def _step(self) -> float:
        return min(self._left(), _STEP_SECONDS)

    def _left(self) -> float:
        if self._cancelled():
            raise RunCancelledError("The search was cancelled.")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _place(cursor: str | None) -> tuple[int, int]:
    match = regex.fullmatch(r"(\d{1,12}):(\d{1,12})", "0:0" if cursor is None else cursor)
    if match is None:
        raise PatternError(f"The cursor {cursor!r} is not valid.", hint="Use `next_cursor` of the page before.")
    return int(match[1]), int(match[2])
