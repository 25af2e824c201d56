"""The parts of long documents that a model reads for columns: their start, and passages found by searching them.

A document is read whole if that takes no more than its first reading would. Otherwise, the first reading consists of
the start of the document and the best passages, the second of the next best, and documents of moderate length are then
read whole. The start is always read, because it says what a document is: its title page, its parties, its date. The
second reading is of the next best hits and not of the neighbours of the first: measured on filings, these contain fewer
of the figures that questions ask for. If there are many documents, fewer passages are read of each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, zip_longest

from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.handles import Handle
from rlm.errors import not_cancelled, require_not_cancelled
from rlm.operators.packing import OperatorProgress
from rlm.strategy import DocumentSearch
from rlm.untrusted import DOCUMENT_LINE_CHARS, to_one_line

# The passages of the first reading, and of the second if the first does not contain the value. Columns that are read at
# the same time share them, because their best passages are mostly the same. Each has one of its own at least.
_FIRST_PASSAGES, _MORE_PASSAGES = 3, 6
# A page of a letter or report has 2,500 to 3,000 characters, so this is the first page and the end of its last sentence
# or table.
_START_CHARS = 3_500
# A chunk with its headings has about this many tokens (`DEFAULT_MAX_CHARS`), and the line that names its document has
# about the second number. A token has about four characters.
_PASSAGE_TOKENS, _LINE_TOKENS, _TOKEN_CHARS = 250, 40, 4
# A shorter document is read whole if its passages do not contain the value. This takes less than twice the tokens of
# both readings.
_MAX_WHOLE_TOKENS = 4_000
# The first readings of all documents have about this many tokens together. With the second readings and planning,
# answers about a few hundred documents take about twice as many. Passages are omitted and never cut: measured on
# filings, passages of half the length contain half as many of the figures that questions ask for.
_MAX_READING_TOKENS = 100_000
# With this scale, a reading has one or two passages and a quarter of the first page. More documents then cost more.
_MIN_SCALE = 0.25
# Number of headings shown of a passage, and the maximum length of these headings and of its table header. The last is
# the space reserved for these and the place.
_SHOWN_HEADINGS, _HEADING_CHARS, _HEADER_CHARS, _CONTEXT_CHARS = 2, 100, 250, 400
# Number of documents that are searched between reports of progress, and the name of this step.
_SEARCHES_AT_ONCE = 20
SEARCH_STEP = "search"


@dataclass(frozen=True)
class ReadingSize:
    """The amount of text that is read of each document, for columns that are read together.

    With a `scale` below 1, the start is shorter and there are fewer passages, at least one in each reading.
    """

    columns: int = 1
    scale: float = 1.0

    @property
    def start_chars(self) -> int:
        return round(_START_CHARS * self.scale)

    @property
    def first_passages(self) -> int:
        """The number of passages of the first reading, without the start."""
        return max(1, round(max(_FIRST_PASSAGES, self.columns + 1) * self.scale))

    @property
    def more_passages(self) -> int:
        """The number of passages of the second reading."""
        return max(1, round(max(_MORE_PASSAGES, 2 * self.columns) * self.scale))

    @property
    def first_tokens(self) -> int:
        """The tokens of the first reading. A shorter document is read whole instead."""
        return _LINE_TOKENS + self.start_chars // _TOKEN_CHARS + self.first_passages * _PASSAGE_TOKENS

    @property
    def more_tokens(self) -> int:
        """The tokens of the second reading."""
        return _LINE_TOKENS + self.more_passages * _PASSAGE_TOKENS

    @property
    def max_whole_tokens(self) -> int:
        """The length below which a document is read whole if its passages do not contain the value."""
        return round(_MAX_WHOLE_TOKENS * self.scale)


def choose_reading_size(tokens: Sequence[int], columns: int = 1) -> ReadingSize:
    """Return how much is read of each of the documents with these numbers of tokens.

    This is the largest size with which the first readings of all documents, and the documents that are read whole, have
    at most about 100,000 tokens together.
    """
    left, whole = _MAX_READING_TOKENS, ReadingSize(columns)
    for place, each in enumerate(sorted(tokens)):
        share = left / (len(tokens) - place)
        if each > share:
            return ReadingSize(columns, max(_MIN_SCALE, min(1.0, share / whole.first_tokens)))
        left -= each
    return whole


@dataclass(frozen=True)
class Reading:
    """One reading of documents: their numbers in the table, and the spans that are read of each."""

    numbers: Sequence[int]
    spans: Sequence[Sequence[Handle]]


class DocumentPassages:
    """The start of documents, and their passages that match queries.

    Documents are numbered from 1. A reading of a document has at most `max_chars` characters, so that it fits in one
    call.
    """

    def __init__(
        self,
        corpus: Corpus,
        search: DocumentSearch,
        size: ReadingSize,
        max_chars: int,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self.size = size
        self._cancelled = cancelled
        self._corpus = corpus
        self._search = search
        self._max_chars = max_chars
        # The passages found for a document and a query, best first.
        self._found: dict[tuple[int, str], Sequence[Handle]] = {}
        # The start of each document that was read, and the passages that were read or are part of the start.
        self._starts: dict[int, Handle] = {}
        self._used: dict[int, set[Handle]] = {}

    def search(self, numbers: Sequence[int], queries: Sequence[str]) -> Iterator[OperatorProgress]:
        """Search each document once for each query, before it is read.

        Raises `RunCancelledError` if the run was cancelled.
        """
        for done, number in enumerate(numbers):
            require_not_cancelled(self._cancelled)
            if done % _SEARCHES_AT_ONCE == 0:
                yield OperatorProgress(SEARCH_STEP, done, len(numbers))
            for query in queries:
                self._find_passages(number, query)
        yield OperatorProgress(SEARCH_STEP, len(numbers), len(numbers))

    def read_first(self, numbers: Sequence[int], queries: Sequence[str]) -> Reading:
        """Return the reading of the start of these documents and of the best passages for the queries."""
        return Reading(numbers, [self._select_first(number, queries) for number in numbers])

    def read_more(self, numbers: Sequence[int], queries: Sequence[str]) -> Reading:
        """Return the reading of the next passages. Documents without further passages are omitted."""
        more = {number: self._select_more(number, queries) for number in numbers}
        left = [number for number in numbers if more[number]]
        return Reading(left, [more[number] for number in left])

    def iter_texts(self, reading: Reading, places: Sequence[int]) -> Iterator[str]:
        """Yield the text of the readings at `places`: the name of the document and its passages.

        Raises `UnknownHandleError` if a document was deleted or hidden since it was searched.
        """
        for place in places:
            line = self._get_document(reading.numbers[place]).line
            yield "\n".join([line, *map(self._format_span, reading.spans[place])])[: self._max_chars]

    def _select_first(self, number: int, queries: Sequence[str]) -> list[Handle]:
        """Select the start of a document, and those of the best passages that are not part of the start."""
        start = self._starts[number] = self._select_start(number)
        best = self._rank_passages(number, queries)[: self.size.first_passages]
        self._used[number] = set(filter(start.contains, best))
        others = [each for each in best if each not in self._used[number]]
        room = self._max_chars - len(start) - DOCUMENT_LINE_CHARS - _CONTEXT_CHARS
        # guard: document-start-read
        return [start, *self._select_fitting(number, others, room)]

    def _select_more(self, number: int, queries: Sequence[str]) -> list[Handle]:
        """Select the next passages, of which at least one is read if there are any."""
        start, used = self._starts[number], self._used[number]
        ranking = self._rank_passages(number, queries)
        unread = [each for each in ranking if each not in used and not start.contains(each)]
        room = self._max_chars - DOCUMENT_LINE_CHARS
        count = ReadingSize(len(queries), self.size.scale).more_passages
        return self._select_fitting(number, unread[:count], room, at_least=1)

    def _select_start(self, number: int) -> Handle:
        """Return the start of a document, up to the end of a chunk if that leaves at least half of it."""
        document = self._get_document(number)
        limit = min(self.size.start_chars, self._max_chars // 4)
        ends = [each.end for each in self._corpus.load_text_map(document).chunks if each.end <= limit]
        return document.handle[: ends[-1] if ends and 2 * ends[-1] > limit else limit]

    def _select_fitting(self, number: int, passages: Sequence[Handle], room: int, *, at_least: int = 0) -> list[Handle]:
        """Select the first passages that fit in `room` characters together, without text that is part of the start."""
        spans = [each[max(0, self._starts[number].end - each.start) :] for each in passages]
        sizes = [len(span) + _CONTEXT_CHARS for span in spans]
        if sum(sizes) > room:
            sizes = [len(self._format_span(span)) + 1 for span in spans]
        count = max(at_least, sum(end <= room for end in accumulate(sizes)))
        self._used[number].update(passages[:count])
        return spans[:count]

    def _format_span(self, span: Handle) -> str:
        passage = self._corpus.load_passage(span)
        # A heading at the start of the passage is not repeated.
        headings = passage.heading_path[:-1] if passage.text.startswith("#") else passage.heading_path
        path = to_one_line(" > ".join(headings[-_SHOWN_HEADINGS:]), _HEADING_CHARS)
        context = ", ".join(filter(None, (path, passage.place)))
        # Each passage starts with a sign, because a record is shown in one line.
        line = f"◆ {context}: " if context else "◆ "
        header = passage.table_header[:_HEADER_CHARS]
        return " ".join(filter(None, (f"{line}{header}".strip(), passage.text)))

    def _get_document(self, number: int) -> CorpusDocument:
        return self._corpus.documents[number - 1]

    def _rank_passages(self, number: int, queries: Sequence[str]) -> list[Handle]:
        """Return the passages found for the queries, best first: the best of each query before the second best."""
        rankings = [self._find_passages(number, query) for query in queries]
        return list(dict.fromkeys(each for each in chain(*zip_longest(*rankings)) if each is not None))

    def _find_passages(self, number: int, query: str) -> Sequence[Handle]:
        """Search a document and return the passages found, best first."""
        if (number, query) not in self._found:
            document = self._get_document(number).handle
            found = self._search(document.document_id)(query, self.size.first_passages + self.size.more_passages)
            # A search of an earlier attempt, or one during which the document was replaced, may return other versions.
            # guard: searched-column-own-passages
            self._found[number, query] = [each for each in found if document.contains(each)]
        return self._found[number, query]
