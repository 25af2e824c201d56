"""Parses handles and evidence passed by a run's code, and finds the quotations in the documents."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from retrieval.search.requests import Passage
from rlm.checking.markers import list_sentence_spans
from rlm.checking.nearest import has_only_table_rows, list_quotable_spans
from rlm.checking.quotes import QuotedText, Span, is_inside_word, locate_exactly, trim_to_words
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle, merge_spans
from rlm.errors import iter_unless_cancelled, not_cancelled
from rlm.loop.read_log import ReadLog
from rlm.sandbox.port import ToolError

PlainHandle = dict[str, Any]
_HANDLE_FORMAT = "a handle is a dict with document, start and end, as returned by search, grep, outline and records"
MAX_EVIDENCE = 200
MAX_QUOTE_CHARS = 3_000
MAX_PASSAGE_CHARS = 12_000
# Maximum length of a handle whose whole text is quoted, such as a line or a row.
_QUOTED_WHOLE_CHARS = 400
# Maximum number of code points by which each end of a short handle may be extended to a sentence boundary.
_WIDENED_CHARS = 200
# Number of code points to show before and after a citation.
_AROUND_CHARS = 1_500
_MAX_SEARCHED_SPANS = 200
_DOCUMENT_CHARS = 2_000_000
# Maximum number of characters to search for a quotation without a handle. The search covers all text that the run has
# opened.
_SEARCHED_CHARS = 20_000_000
# Maximum total number of characters to normalize (fold) per submission, for quotations without a verbatim match.
_FOLDED_CHARS = 6_000_000
EVIDENCE_FORMAT = (
    "evidence must be a list; each entry is a handle (a hit, a record), a handle with a quote "
    '({"document": …, "start": …, "end": …, "quote": "words copied from it"}), or a quote alone'
)


def convert_to_plain_handle(handle: Handle) -> PlainHandle:
    """Return the handle in the format that code sees.

    It contains no version, because a corpus has only one version of each document.
    """
    return {"document": handle.document_id, "start": handle.start, "end": handle.end}


def parse_handle(value: object, corpus: Corpus) -> Handle:
    """Parse a handle from a dict with a handle's keys, or from the id, name or title of a document.

    The `document` of a dict may be a name or title, too.

    If the end is missing or beyond the end of the document, the handle ends where the document ends. Raises `ToolError`
    if the value is not a handle in scope.
    """
    if isinstance(value, str):
        found = corpus.find_document_by_name(value)
        if found is None:
            raise _build_unknown_error(value)
        return found.handle
    if not isinstance(value, Mapping) or "document" not in value:
        raise ToolError(_HANDLE_FORMAT)
    called = str(value["document"])
    document = corpus.find_document_by_id(called) or corpus.find_document_by_name(called)
    if document is None:
        raise _build_unknown_error(called)
    whole = document.handle
    start, end = require_whole_number(value.get("start", 0), "start"), value.get("end")
    end = whole.end if end is None else min(require_whole_number(end, "end"), whole.end)
    start = min(start, whole.end)
    return Handle(whole.document_id, whole.version_id, start, max(start, end))


def _build_unknown_error(called: str) -> ToolError:
    return ToolError(f"no document has the id, name or title {called[:100]!r}; outline() lists them")


def parse_handles(values: object, corpus: Corpus) -> list[Handle]:
    if not isinstance(values, list | tuple):
        raise ToolError("records must be a list of handles, as returned by records()")
    return [parse_handle(value, corpus) for value in values]


def parse_spans(value: object, corpus: Corpus) -> list[Handle]:
    """Parse the spans to which a tool is restricted. None means all documents. Overlapping spans are merged.

    Raises `ToolError` if a span is invalid.
    """
    if value is None:
        return [document.handle for document in corpus.documents]
    if not isinstance(value, list | tuple):
        return [parse_handle(value, corpus)]
    if not value:
        raise ToolError("within is an empty list; omit it to use all documents")
    by_version: dict[str, list[Handle]] = {}
    for handle in parse_handles(value, corpus):
        by_version.setdefault(handle.version_id, []).append(handle)
    return [span for spans in by_version.values() for span in merge_spans(spans, merge_adjacent=False)]


def require_nonempty_string(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"{name} must be a non-empty string")
    return value


def require_whole_number(value: object, name: str) -> int:
    if type(value) is not int or value < 0:
        raise ToolError(f"{name} must be a whole number of at least 0")
    return value


@dataclass(frozen=True)
class EvidenceEntry:
    """An entry of evidence: its span, the surrounding passage, and the quoted words.

    A long span has no quoted words.
    """

    span: Handle
    passage: Passage
    quote: str


class EvidenceFinder:
    """Finds quotations passed by code, either near a handle or in all text that the run has opened."""

    def __init__(self, corpus: Corpus, log: ReadLog, *, cancelled: Callable[[], bool] = not_cancelled) -> None:
        """Create the finder. A search raises `RunCancelledError` if the run is cancelled."""
        self._corpus = corpus
        self._log = log
        self._cancelled = cancelled
        self._folded: dict[Handle, QuotedText] = {}
        self._cut_off = False

    def locate_entries(self, evidence: object) -> list[EvidenceEntry | str]:
        """Find each entry in the documents, or return the reason why it was not found.

        Raises `ToolError` if the evidence has the wrong structure.
        """
        if evidence is None:
            return []
        if isinstance(evidence, str | Mapping):
            evidence = [evidence]
        if not isinstance(evidence, list | tuple):
            raise ToolError(EVIDENCE_FORMAT)
        if len(evidence) > MAX_EVIDENCE:
            raise ToolError(f"evidence has {len(evidence):,} entries, but the limit is {MAX_EVIDENCE}")
        self._folded, self._cut_off = {}, False
        try:
            return [self._locate_entry(each, number) for number, each in enumerate(evidence, start=1)]
        finally:
            self._folded = {}

    def _locate_entry(self, entry: object, number: int) -> EvidenceEntry | str:
        if isinstance(entry, str):
            return self._locate_quote(entry, self._iter_opened_spans(), "what you read", number)
        if not isinstance(entry, Mapping):
            raise ToolError(EVIDENCE_FORMAT)
        handle = parse_handle(entry, self._corpus)
        quote = entry.get("quote")
        if quote is not None:
            return self._locate_quote(quote, self._iter_surrounding_spans(handle), "its document", number)
        if not 0 < len(handle) <= MAX_PASSAGE_CHARS:
            raise ToolError(
                f"evidence {number} is a handle of {len(handle):,} characters, and the limit is {MAX_PASSAGE_CHARS:,}: "
                'make it smaller, or add the words that matter as "quote"'
            )
        # guard: whole-sentence-quotations
        span = _extend_to_sentences(handle, self._load_around(handle))
        if len(handle) <= _QUOTED_WHOLE_CHARS:
            return self._build_evidence_entry(span)
        return EvidenceEntry(span, self._corpus.load_passage(span), "")

    def _locate_quote(
        self, quote: object, spans: Iterator[Handle], scope_name: str, number: int
    ) -> EvidenceEntry | str:
        if not isinstance(quote, str) or not quote.strip():
            raise ToolError(f"the quote of evidence {number} must be a non-empty string")
        if len(quote) > MAX_QUOTE_CHARS:
            raise ToolError(
                f"the quote of evidence {number} has {len(quote):,} characters, and the limit is {MAX_QUOTE_CHARS:,}: "
                "quote the sentences that say it"
            )
        span = self._find_quote(quote, spans)
        if span is not None:
            return self._build_evidence_entry(span)
        where = "was not found within the search limit" if self._cut_off else "is not"
        return f"the quote of evidence {number}, {quote[:120]!r}, {where} in {scope_name}"

    def _find_quote(self, quote: str, spans: Iterator[Handle]) -> Handle | None:
        """Return a verbatim occurrence of the quote, or else an occurrence with different typography.

        Less text is searched for occurrences with different typography.
        """
        places = list(dict.fromkeys(spans))
        for find in (lambda quote, span: locate_exactly(quote, self._corpus.load_text(span)), self._find_folded_quote):
            for span in iter_unless_cancelled(places, self._cancelled):
                at = find(quote, span)
                if at is not None:
                    return span[at[0] : at[1]]
        return None

    def _find_folded_quote(self, quote: str, span: Handle) -> Span | None:
        """Return the quote's position in a text, which is folded only once for all quotations of a submission."""
        if span not in self._folded:
            if sum(map(len, self._folded)) + len(span) > _FOLDED_CHARS:
                self._cut_off = True
                return None
            self._folded[span] = QuotedText(self._corpus.load_text(span))
        return self._folded[span].locate(quote)

    def _iter_surrounding_spans(self, handle: Handle) -> Iterator[Handle]:
        document = self._corpus.get_document(handle).handle
        yield handle
        yield document[max(0, handle.start - 2_000) : handle.end + 2_000]
        if len(document) <= _DOCUMENT_CHARS:
            yield document

    def _iter_opened_spans(self) -> Iterator[Handle]:
        yield from self._log.list_returned_spans(_MAX_SEARCHED_SPANS)
        room = _SEARCHED_CHARS
        for span in self._log.iter_opened_spans():
            room -= len(span)
            if room < 0:
                self._cut_off = True
                return
            yield span
        if self._corpus.size.characters <= _DOCUMENT_CHARS:
            yield from (document.handle for document in self._corpus.documents)

    def _load_around(self, span: Handle) -> Passage:
        """Load the passage around a citation, from the start of a word to the end of one."""
        around = self._corpus.load_passage(span, context_chars=_AROUND_CHARS)
        whole = self._corpus.get_document(span).handle
        first, last = trim_to_words(
            around.text,
            (span.start - around.start, span.end - around.start),
            is_cut_before=around.start > whole.start,
            is_cut_after=around.end < whole.end,
        )
        return replace(around, text=around.text[first:last], start=around.start + first, end=around.start + last)

    def _build_evidence_entry(self, span: Handle) -> EvidenceEntry:
        """Return a quotation with the surrounding text.

        The surrounding text is omitted if the same words also occur before the quotation.
        """
        quote, around = self._corpus.load_text(span), self._load_around(span)
        first = locate_exactly(quote, around.text)
        is_first = first is not None and around.start + first[0] == span.start
        return EvidenceEntry(span, around if is_first else self._corpus.load_passage(span), quote)


def _extend_to_sentences(span: Handle, passage: Passage) -> Handle:
    """Extend the span to whole sentences or rows or, if these are too long, only to whole words."""
    text, start, end = passage.text, span.start - passage.start, span.end - passage.start
    spans = list_quotable_spans(passage) if has_only_table_rows(passage) else list_sentence_spans(text)
    first = next((begin for begin, close in spans if begin < start < close), start)
    last = next((close for begin, close in spans if begin < end < close), end)
    if start - first > _WIDENED_CHARS or not _is_line_continued(text, start):
        first = start
    if last - end > _WIDENED_CHARS or not _is_line_continued(text, end):
        last = end
    while is_inside_word(text, first) and start - first < _WIDENED_CHARS:
        first -= 1
    # guard: quotation-length
    while is_inside_word(text, last) and last - end < _WIDENED_CHARS:
        last += 1
    return Handle(span.document_id, span.version_id, passage.start + first, passage.start + last)


def _is_line_continued(text: str, position: int) -> bool:
    """Return whether a line continues at the position `position`.

    This is true within a line, and at its end if the next line starts with a lower-case letter.
    """
    before, after = text[:position].rstrip(" \t"), text[position:].lstrip(" \t")
    is_within = before[-1:].strip() != "" and after[:1].strip() != ""
    return is_within or after.lstrip()[:1].islower()
