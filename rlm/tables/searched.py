"""The parts of long documents that a model reads for a column: passages found by searching each document.

A document is read whole if that takes no more than its passages would. Otherwise, the first reading consists of the
best passages, the second of the next best, and documents below `MAX_WHOLE_TOKENS` are then read whole. The second
reading is of the next best hits and not of the neighbours of the first: measured on filings, these contain fewer of the
figures that questions ask for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rlm.corpus.corpus import Corpus, CorpusDocument, build_handle
from rlm.corpus.handles import Handle
from rlm.errors import iter_unless_cancelled, not_cancelled
from rlm.strategy import Search
from rlm.untrusted import DOCUMENT_LINE_CHARS

# The passages of the first reading, and of the second if the first does not contain the value.
FIRST_PASSAGES, MORE_PASSAGES = 3, 6
# A chunk with its headings has about this many tokens (`DEFAULT_MAX_CHARS`), and the line that names its document has
# about the second number.
PASSAGE_TOKENS, LINE_TOKENS = 250, 40
# A shorter document is read whole if its passages do not contain the value. This takes less than twice the tokens of
# both readings.
MAX_WHOLE_TOKENS = 4_000
# Maximum length of a passage's table header, and the space reserved for the header, the headings and the place.
_HEADER_CHARS, _CONTEXT_CHARS = 250, 400

# Binds the search to one document, which is named by its id.
DocumentSearch = Callable[[str], Search]


def estimate_reading_tokens(passages: int) -> int:
    """Estimate the tokens of a document's name and this number of its passages."""
    return LINE_TOKENS + passages * PASSAGE_TOKENS


def is_read_whole(tokens: int, passages: int) -> bool:
    """Return whether a document is read whole, because this number of passages would not be shorter."""
    return tokens <= estimate_reading_tokens(passages)


@dataclass(frozen=True)
class Reading:
    """One reading of documents for a column: their numbers in the table, and the spans that are read of each."""

    numbers: Sequence[int]
    spans: Sequence[Sequence[Handle]]


class DocumentPassages:
    """The passages of documents that match a query, found by searching each document once.

    A reading of a document has at most `max_chars` characters, so that it fits in one call.
    """

    def __init__(
        self,
        corpus: Corpus,
        search: DocumentSearch,
        query: str,
        max_chars: int,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self._cancelled = cancelled
        self._corpus = corpus
        self._search = search
        self._query = query
        self._max_chars = max_chars
        self._found: dict[str, Sequence[Handle]] = {}

    def read_first(self, numbers: Sequence[int]) -> Reading:
        """Return the reading of the best passages of these documents, which are numbered from 1.

        Raises `RunCancelledError` if the run was cancelled.
        """
        found = map(self._find_spans, iter_unless_cancelled(numbers, self._cancelled))
        return Reading(numbers, [self._select_fitting(spans[:FIRST_PASSAGES]) for spans in found])

    def read_more(self, numbers: Sequence[int]) -> Reading:
        """Return the reading of the next passages. Documents without further passages are omitted."""
        more = {number: self._select_fitting(self._list_unread(number)) for number in numbers}
        left = [number for number in numbers if more[number]]
        return Reading(left, [more[number] for number in left])

    def iter_texts(self, reading: Reading, places: Sequence[int]) -> Iterator[str]:
        """Yield the text of the readings at `places`: the name of the document and its passages.

        Raises `UnknownHandleError` if a document was deleted or hidden since it was searched.
        """
        for place in places:
            yield self._build_text(self._get_document(reading.numbers[place]), reading.spans[place])

    def _list_unread(self, number: int) -> Sequence[Handle]:
        """Return the passages after those of the first reading, which may have had space for fewer than three."""
        spans = self._find_spans(number)
        return spans[len(self._select_fitting(spans[:FIRST_PASSAGES])) :]

    def _select_fitting(self, spans: Sequence[Handle]) -> Sequence[Handle]:
        """Return the first spans that fit in a reading together, at least one of them."""
        ends = accumulate(len(span) + _CONTEXT_CHARS for span in spans)
        return spans[: max(1, sum(end + DOCUMENT_LINE_CHARS <= self._max_chars for end in ends))]

    def _build_text(self, document: CorpusDocument, spans: Sequence[Handle]) -> str:
        lines = [document.line]
        for span in spans:
            passage = self._corpus.load_passage(span)
            context = ", ".join(filter(None, (" > ".join(passage.heading_path), passage.place)))
            # Each passage starts with a sign, because a record is shown in one line.
            line = f"◆ {context}: " if context else "◆ "
            header = passage.table_header[:_HEADER_CHARS]
            lines.append(" ".join(filter(None, (f"{line}{header}".strip(), passage.text))))
        return "\n".join(lines)[: self._max_chars]

    def _get_document(self, number: int) -> CorpusDocument:
        return self._corpus.documents[number - 1]

    def _find_spans(self, number: int) -> Sequence[Handle]:
        """Search a document and return the passages found, best first, or its beginning if there are none."""
        document = self._get_document(number)
        if document.handle.document_id not in self._found:
            search = self._search(document.handle.document_id)
            passages = search(self._query, FIRST_PASSAGES + MORE_PASSAGES)
            # A search of an earlier attempt, or one during which the document was replaced, may return other versions.
            # guard: searched-column-own-passages
            own = [build_handle(each) for each in passages if document.handle.contains(build_handle(each))]
            start = [document.handle[: FIRST_PASSAGES * 4 * PASSAGE_TOKENS]]
            self._found[document.handle.document_id] = own or start
        return self._found[document.handle.document_id]
