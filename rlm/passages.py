"""The passages on which a direct answer is based: all text of a small scope, or search hits and their neighbours."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from ingest.storage.documents.records import UsedVersions
from ingest.storage.texts.chunks import DEFAULT_MAX_CHARS, Chunk
from retrieval.search.expansion import widen_chunk
from retrieval.search.requests import MAX_QUERY_CHARS, MAX_TOP_K, Passage, SearchRequest
from retrieval.search.search import SearchPort
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.errors import DocumentUnreadableError, UnknownHandleError
from rlm.llm.profiles import estimate_tokens
from rlm.requests import AnswerScope
from rlm.strategy import Search

# Passages are read with up to this many characters of the surrounding section, which is about a thousand tokens. The
# decisive text is often some paragraphs away from the words that matched.
WIDENED_CHARS = 4_000
# Number of tokens for the marks, title and number of a passage in a prompt.
_TOKENS_AROUND = 40
_Found = TypeVar("_Found")


def build_search(
    searcher: SearchPort, scope: AnswerScope, used: UsedVersions, *, widened_chars: int | None = WIDENED_CHARS
) -> Search:
    """Build the search within a scope.

    Hits are widened to their neighbours, and hits that touch are merged. If `widened_chars` is None, passages are
    returned as indexed. A query that exceeds the length limit is truncated. `used` records the versions of the passages
    found, because the answer may use them.
    """

    def search(query: str, top_k: int) -> Sequence[Passage]:
        request = SearchRequest(
            scope.tenant_id,
            query[:MAX_QUERY_CHARS],
            top_k=min(top_k, MAX_TOP_K),
            collections=scope.collections,
            documents=scope.documents,
            filters=scope.filters,
            readers=scope.readers,
            expand_chars=widened_chars,
            for_answer=True,
        )
        result = searcher.search(request)
        for each in result.unreadable:
            used.record_unreadable(each.document_id, each.title)
        found = [hit.passage for hit in result.hits]
        used.add(passage.version_id for passage in found)
        return found

    return search


def estimate_passage_tokens(passage: Passage) -> int:
    """Estimate the number of tokens that a passage takes in a prompt."""
    return estimate_tokens(passage.table_header + passage.text) + _TOKENS_AROUND


def can_fit(corpus: Corpus, tokens: int) -> bool:
    """Return whether all documents of the corpus together fit in `tokens`."""
    size = corpus.size
    pieces = sum(1 + document.characters // WIDENED_CHARS for document in corpus.documents)
    return size.tokens + pieces * _TOKENS_AROUND <= tokens


def list_whole_passages(corpus: Corpus) -> list[Passage]:
    """Return the whole text of a corpus in reading order, as passages of adjacent chunks.

    A document that cannot be read is skipped, and the corpus records that it was skipped.
    """
    found: list[Passage] = []
    for document in corpus.documents:
        with suppress(DocumentUnreadableError):
            found += list(_build_passages(corpus, document, corpus.load_text_map(document).chunks))
    return found


@dataclass(frozen=True)
class _Place:
    """The position of a chunk in its document."""

    document: CorpusDocument
    ordinal: int


@dataclass(frozen=True)
class Extent:
    """The documents of a corpus that were read completely or in part, and the number of unread documents."""

    whole: Sequence[CorpusDocument]
    part: Sequence[CorpusDocument]
    unread: int


class PassageReader:
    """Reads passages for one request, up to about `tokens`, and numbers them from 1.

    No chunk is read twice.
    """

    def __init__(self, corpus: Corpus, tokens: int) -> None:
        self.passages: list[Passage] = []
        self._corpus = corpus
        self._tokens = tokens
        # The chunks that were read, in reading order, each with the hit that led to it.
        self._read: dict[_Place, Passage] = {}
        self._is_whole = False

    @property
    def room(self) -> int:
        """The number of tokens that may still be read."""
        return max(0, self._tokens - sum(map(estimate_passage_tokens, self.passages)))

    @property
    def extent(self) -> Extent:
        """The documents that were read, completely or in part."""
        documents = self._corpus.documents
        if self._is_whole:
            lost = self._corpus.used.unreadable
            whole = [each for each in documents if each.handle.document_id not in lost]
            return Extent(whole, (), len(documents) - len(whole))
        read = Counter(place.document for place in self._read)
        whole = [each for each, chunks in read.items() if chunks == len(self._corpus.load_text_map(each).chunks)]
        return Extent(whole, [each for each in read if each not in whole], len(documents) - len(read))

    def read_whole(self) -> None:
        """Read the whole corpus."""
        self._is_whole = True
        self.passages += list_whole_passages(self._corpus)

    def read_hits(self, rankings: Sequence[Sequence[Passage]], tokens: int, *, widened: bool) -> list[Passage]:
        """Read search results, up to about `tokens`, and return the new passages in reading order.

        The best hits of each search are read first, and the very first hit is always read. If `widened`, half of the
        tokens are used for hits. The other half is used for the text around every hit, a little at a time, and for the
        rest of short documents. Sections that searches ask for are also read completely if they fit. Remaining tokens
        are used for further hits. A document that cannot be read is skipped, and the corpus records that it was
        skipped.
        """
        while True:
            before = dict(self._read)
            try:
                return self._read_hits(rankings, tokens, widened=widened)
            except DocumentUnreadableError as error:
                lost, self._read = error.document_id, before
                rankings = [[hit for hit in ranking if hit.document_id != lost] for ranking in rankings]

    def _read_hits(self, rankings: Sequence[Sequence[Passage]], tokens: int, *, widened: bool) -> list[Passage]:
        found = [[(place, hit) for hit in ranking if (place := self._find_place(hit))] for ranking in rankings]
        before, hits, room = len(self._read), list(interleave(found)), max(tokens, self.room)
        # guard: hits-before-context
        spent = self._read_places(hits, tokens // 2 if widened else tokens)
        tokens, room = tokens - spent, room - spent
        if widened:
            for rest in self._iter_requested_sections(found):
                size = sum(self._estimate_tokens_at(*each) for each in rest)
                if size <= room:
                    room -= self._read_places(rest, size)
            tokens = min(tokens, room)
            read = [(place, hit) for place, hit in hits if place in self._read]
            sizes = range(2 * DEFAULT_MAX_CHARS, WIDENED_CHARS + 1, DEFAULT_MAX_CHARS)
            around = ((each, hit) for chars in sizes for place, hit in read for each in self._list_near(place, chars))
            tokens -= self._read_places(around, tokens)
        self._read_places(hits, tokens)
        new = list(self._number_passages(list(self._read)[before:]))
        self.passages += new
        return new

    def _read_places(self, places: Iterable[tuple[_Place, Passage]], tokens: int) -> int:
        """Read as many of the chunks as fit in `tokens`, each with the hit that led to it.

        Returns the number of tokens spent.
        """
        spent = 0
        for place, hit in places:
            if place not in self._read:
                size = self._estimate_tokens_at(place, hit)
                if size <= tokens - spent or not self._read:
                    self._read[place] = hit
                    spent += size
        return spent

    def _iter_requested_sections(
        self, found: Sequence[Sequence[tuple[_Place, Passage]]]
    ) -> Iterator[list[tuple[_Place, Passage]]]:
        """Yield the unread chunks of each section that a search asks for.

        A search asks for a section if its R-precision for the section is over one half: of the R best hits, where R is
        the number of the section's chunks, more than R / 2 are in the section. Searches for a section's name find its
        chunks, because chunks are indexed with their headings.
        """
        for ranking in found:
            seen: set[_Place] = set()
            for place, hit in ranking:
                if place not in seen:
                    # A token has fewer than four characters, so a longer section would not fit.
                    section = self._list_around(place, 4 * self._tokens)
                    seen.update(section)
                    best = {each for each, _ in ranking[: len(section)]}
                    # guard: requested-section-whole
                    if 2 * len(best.intersection(section)) > len(section):
                        yield [(each, hit) for each in section if each not in self._read]

    def _find_place(self, hit: Passage) -> _Place | None:
        """Return the position of a hit's chunk, or None if its version is not in the corpus or has become hidden."""
        document = self._corpus.find_by_id(hit.document_id)
        # guard: hits-outside-corpus
        if document is None or document.handle.version_id != hit.version_id:
            return None
        try:
            chunks = self._corpus.load_text_map(document).chunks
        except UnknownHandleError:
            return None
        return _Place(document, bisect_right(chunks, hit.start, key=lambda chunk: chunk.start) - 1)

    def _list_near(self, place: _Place, chars: int) -> list[_Place]:
        """Return a chunk and its neighbours in the section, up to `chars` characters in total.

        If the document is not longer than that, the whole document is returned.
        """
        document = place.document
        if document.characters > chars:
            return self._list_around(place, chars)
        return [_Place(document, ordinal) for ordinal in range(len(self._corpus.load_text_map(document).chunks))]

    def _list_around(self, place: _Place, chars: int) -> list[_Place]:
        """Return a chunk and its neighbours in the same section, up to `chars` characters in total."""
        document = place.document
        stretch = widen_chunk(
            self._corpus.load_text_map(document).chunks, document.handle.version_id, place.ordinal, max_chars=chars
        )
        return [_Place(document, ordinal) for ordinal in range(stretch.first, stretch.last + 1)]

    def _estimate_tokens_at(self, place: _Place, hit: Passage) -> int:
        chunk = self._corpus.load_text_map(place.document).chunks[place.ordinal]
        if chunk.start == hit.start:
            return estimate_passage_tokens(hit)
        return estimate_tokens(self._corpus.load_text(place.document.handle[chunk.start : chunk.end]))

    def _number_passages(self, places: Sequence[_Place]) -> Iterator[Passage]:
        """Yield numbered passages for the chunks, in document order. The document with the best hit comes first."""
        for document in dict.fromkeys(place.document for place in places):
            chunks = self._corpus.load_text_map(document).chunks
            ordinals = sorted(place.ordinal for place in places if place.document == document)
            for piece in _build_passages(self._corpus, document, [chunks[ordinal] for ordinal in ordinals]):
                inside = (each for each in ordinals if piece.start <= chunks[each].start < piece.end)
                best = min((self._read[_Place(document, each)] for each in inside), key=lambda hit: hit.rank)
                yield replace(piece, rank=best.rank, score=best.score, cosine=best.cosine)


def interleave(rankings: Sequence[Sequence[_Found]]) -> Iterator[_Found]:
    """Yield the best hit of each ranking, then the second-best of each, and so on.

    This way, no query crowds out another one.
    """
    for rank in range(max(map(len, rankings), default=0)):
        yield from (ranking[rank] for ranking in rankings if rank < len(ranking))


def _build_passages(corpus: Corpus, document: CorpusDocument, chunks: Iterable[Chunk]) -> Iterator[Passage]:
    """Yield passages of adjacent chunks under one heading."""
    group: list[Chunk] = []
    for chunk in chunks:
        if group and not (
            chunk.ordinal == group[-1].ordinal + 1
            and chunk.end - group[0].start <= WIDENED_CHARS
            and chunk.heading_path == group[0].heading_path
        ):
            yield corpus.load_passage(document.handle[group[0].start : group[-1].end])
            group = []
        group.append(chunk)
    if group:
        yield corpus.load_passage(document.handle[group[0].start : group[-1].end])
