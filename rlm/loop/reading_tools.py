"""Tools with which a root model's code finds and reads text; no model takes part in them."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from rlm.corpus.contents import contents, outline
from rlm.corpus.grep import count_matches, grep
from rlm.corpus.handles import Handle
from rlm.corpus.records import Record, SplitBy, default_splitting, split
from rlm.corpus.search import handle_of, passages_in
from rlm.loop.arguments import (
    Note,
    PlainHandle,
    parse_handle,
    parse_handles,
    parse_within,
    plain,
    require_number,
    require_text,
)
from rlm.loop.environment import Environment
from rlm.loop.read_log import ReadLog
from rlm.sandbox.port import ToolError

MAX_RECORDS = 300_000
MAX_READ_CHARS = 2_000_000
MAX_SEARCHED = 50


class ReadingTools:
    """Each public method is a tool of that name, which `instructions.md` describes to the model."""

    def __init__(self, environment: Environment, log: ReadLog, note: Note, stopped: Callable[[], bool]) -> None:
        """`stopped` ends long work: it is true when nobody wants the run any more, and raises when its time is over."""
        self._corpus = environment.corpus
        self._search = environment.search
        self._log = log
        self._note = note
        self._stopped = stopped

    def search(self, query: str, top_k: int = 10, within: object = None) -> list[dict[str, Any]]:
        if self._search is None:
            raise ToolError("there is no search over these documents: use grep")
        query, wanted = require_text(query, "query"), min(require_number(top_k, "top_k"), MAX_SEARCHED)
        spans = parse_within(within, self._corpus)
        search = self._search(self._corpus if within is None else self._corpus.within(spans))
        # A part of a document may be among the best only further down.
        found = passages_in(spans, search(query, wanted if within is None else MAX_SEARCHED))[:wanted]
        if len(found) < wanted:
            self._note(f"search() found {len(found)} passages, not {wanted}; grep() and count() go through all text.")
        for each in found:
            self._log.give(handle_of(each), each.text)
        return [
            {**plain(handle_of(each)), "title": each.title, "heading": _joined(each.heading_path), "text": each.text}
            for each in found
        ]

    def grep(
        self,
        pattern: str,
        limit: int = 50,
        ignore_case: bool = False,
        within: object = None,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        page = grep(
            self._corpus,
            require_text(pattern, "pattern"),
            limit=require_number(limit, "limit"),
            cursor=cursor,
            ignore_case=bool(ignore_case),
            spans=parse_within(within, self._corpus),
            cancelled=self._stopped,
        )
        self._log.search(page.searched)
        for hit in page.hits:
            self._log.give(hit.line, hit.text)
        if page.next_cursor is not None:
            self._note(f"grep() stopped after {len(page.hits):,} matches; cursor={page.next_cursor!r} goes on.")
        hits = [
            {**self._placed(hit.line), "title": hit.title, "text": hit.text, "match": hit.matched} for hit in page.hits
        ]
        return {"hits": hits, "next_cursor": page.next_cursor}

    def count(self, pattern: str, ignore_case: bool = False, within: object = None) -> dict[str, Any]:
        counted = count_matches(
            self._corpus,
            require_text(pattern, "pattern"),
            ignore_case=bool(ignore_case),
            spans=parse_within(within, self._corpus),
            cancelled=self._stopped,
        )
        self._log.search(counted.searched)
        return {"total": counted.total, "documents": dict(counted.documents), "complete": counted.complete}

    def read(self, handle: object, start: int = 0, end: int | None = None, around: int = 0) -> str | list[str]:
        several = isinstance(handle, list | tuple)
        handles = parse_handles(handle if several else [handle], self._corpus)
        more = require_number(around, "around")
        spans = [self._widened(each[slice(start, end)], more) for each in handles]
        characters = sum(map(len, spans))
        if characters > MAX_READ_CHARS:
            raise ToolError(f"that is {characters:,} characters; read {MAX_READ_CHARS:,} at most at once")
        texts = list(self._corpus.read_all(spans))
        for span, text in zip(spans, texts, strict=True):
            self._log.give(span, text)
        return texts if several else texts[0]

    def outline(self, within: object = None, offset: int = 0) -> list[dict[str, Any]]:
        offset = require_number(offset, "offset")
        if within is None:
            page = contents(self._corpus, offset=offset)
            if page.next_offset is not None:
                self._note(
                    f"outline() gave documents {offset:,} to {page.next_offset - 1:,} of "
                    f"{len(self._corpus.documents):,}: outline(offset={page.next_offset}) goes on."
                )
            return [{**plain(each.handle), "title": each.title, "tokens": each.tokens} for each in page.documents]
        sections = outline(self._corpus, parse_handle(within, self._corpus))[offset:]
        return [
            {**plain(each.handle), "heading": _joined(each.heading_path), "tokens": each.tokens} for each in sections
        ]

    def records(self, within: object = None, by: str | None = None, pattern: str = "") -> list[dict[str, Any]]:
        if by is not None and by not in list(SplitBy):
            raise ToolError(f"by is one of {', '.join(SplitBy)}")
        spans = parse_within(within, self._corpus)
        splitting = default_splitting(self._corpus, spans) if by is None else SplitBy(by)
        found: list[dict[str, Any]] = []
        for each in split(self._corpus, splitting, pattern, spans=spans, cancelled=self._stopped):
            found.append(_plain_record(each))
            if len(found) > MAX_RECORDS:
                raise ToolError(f"there are over {MAX_RECORDS:,} records; take them document by document")
        self._log.search(spans)
        return found

    def _placed(self, span: Handle) -> PlainHandle:
        return {**plain(span), "heading": _joined(self._corpus.heading_path(span))}

    def _widened(self, span: Handle, around: int) -> Handle:
        if not around:
            return span
        document = self._corpus.document(span).handle
        return document[max(0, span.start - around) : span.end + around]


def _joined(heading_path: Sequence[str]) -> str:
    return " > ".join(heading_path)


def _plain_record(record: Record) -> PlainHandle:
    if record.row is None:
        return plain(record.handle)
    return {
        **plain(record.handle),
        "row": record.row,
        "values": {name: _cell(each) for name, each in record.values.items()},
    }


def _cell(value: object) -> object:
    """A cell as plain data: numbers as such, dates as ISO text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return float(value) if isinstance(value, Decimal) else str(value)
