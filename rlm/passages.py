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

# Maximum number of characters of the surrounding section with which a passage is read, which is about a thousand
# tokens. The decisive text is often some paragraphs away from the words that matched.
WIDENED_CHARS = 4_000
# Number of tokens for a passage's marks, title and number in a prompt.
_TOKENS_AROUND = 40
_Found = TypeVar("_Found")


def build_search(
    searcher: SearchPort, scope: AnswerScope, used_versions: UsedVersions, *, widened_chars: int | None = WIDENED_CHARS
) -> Search:
    """Build the search within a scope.

    Hits are widened to their neighbours, and hits that touch are merged. If `widened_chars` is None, passages are
    returned as indexed. A query that exceeds the length limit is truncated. `used_versions` records the versions of the
    passages found, because the answer may use them.
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
            used_versions.record_unreadable(each.document_id, each.title)
        found = [hit.passage for hit in result.hits]
        used_versions.add_versions(passage.version_id for passage in found)
        return found

    return search


def estimate_passage_tokens(passage: Passage) -> int:
    """Estimate the number of tokens that a passage takes in a prompt."""
    return estimate_tokens(passage.table_header + passage.text) + _TOKENS_AROUND


def can_fit_corpus(corpus: Corpus, max_tokens: int) -> bool:
    """Return whether all documents of the corpus together fit in `max_tokens`."""
    size = corpus.size
    pieces = sum(1 + document.characters // WIDENED_CHARS for document in corpus.documents)
    return size.tokens + pieces * _TOKENS_AROUND <= max_tokens


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
class _ChunkPosition:
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

    def __init__(self, corpus: Corpus, max_tokens: int) -> None:
        self.passages: list[Passage] = []
        self._corpus = corpus
        self._tokens = max_tokens
        # The chunks that were read, in reading order, each with the hit that led to it.
        self._read: dict[_ChunkPosition, Passage] = {}
        self._is_whole = False

    @property
    def remaining_tokens(self) -> int:
        """The number of tokens that may still be read."""
        return max(0, self._tokens - sum(map(estimate_passage_tokens, self.passages)))

    @property
    def extent(self) -> Extent:
        """The documents that were read, completely or in part."""
        documents = self._corpus.documents
        if self._is_whole:
            lost = self._corpus.used.unreadable_titles
            whole = [each for each in documents if each.handle.document_id not in lost]
            return Extent(whole, (), len(documents) - len(whole))
        read = Counter(place.document for place in self._read)
        whole = [each for each, chunks in read.items() if chunks == len(self._corpus.load_text_map(each).chunks)]
        return Extent(whole, [each for each in read if each not in whole], len(documents) - len(read))

    def read_corpus(self) -> None:
        """Read the whole corpus."""
        self._is_whole = True
        self.passages += list_whole_passages(self._corpus)

    def read_hits(self, rankings: Sequence[Sequence[Passage]], max_tokens: int, *, with_context: bool) -> list[Passage]:
        """Read search results, up to about `max_tokens`, and return the new passages in reading order.

        The best hits of each search are read first, and the very first hit is always read. If `with_context`, half of
        the tokens are used for hits. The other half is used for the text around every hit, a little at a time, and for
        the rest of short documents. Sections that searches ask for are also read completely if they fit. Remaining
        tokens are used for further hits. A document that cannot be read is skipped, and the corpus records that it was
        skipped.
        """
        while True:
            before = dict(self._read)
            try:
                return self._read_hits_once(rankings, max_tokens, with_context=with_context)
            except DocumentUnreadableError as error:
                lost, self._read = error.document_id, before
                rankings = [[hit for hit in ranking if hit.document_id != lost] for ranking in rankings]

    def _read_hits_once(
        self, rankings: Sequence[Sequence[Passage]], max_tokens: int, *, with_context: bool
    ) -> list[Passage]:
        found = [[(place, hit) for hit in ranking if (place := self._find_chunk_position(hit))] for ranking in rankings]
        before, hits, room = len(self._read), list(interleave_rankings(found)), max(max_tokens, self.remaining_tokens)
        # guard: hits-before-context
        spent = self._read_chunks(hits, max_tokens // 2 if with_context else max_tokens)
        max_tokens, room = max_tokens - spent, room - spent
        if with_context:
            for rest in self._iter_requested_sections(found):
                size = sum(self._estimate_chunk_tokens(*each) for each in rest)
                if size <= room:
                    room -= self._read_chunks(rest, size)
            max_tokens = min(max_tokens, room)
            read = [(place, hit) for place, hit in hits if place in self._read]
            sizes = range(2 * DEFAULT_MAX_CHARS, WIDENED_CHARS + 1, DEFAULT_MAX_CHARS)
            around = (
                (each, hit) for chars in sizes for place, hit in read for each in self._list_nearby_chunks(place, chars)
            )
            max_tokens -= self._read_chunks(around, max_tokens)
        self._read_chunks(hits, max_tokens)
        new = list(self._number_passages(list(self._read)[before:]))
        self.passages += new
        return new

    def _read_chunks(self, positions: Iterable[tuple[_ChunkPosition, Passage]], max_tokens: int) -> int:
        """Read as many of the chunks as fit in `max_tokens`, each with the hit that led to it.

        Returns the number of tokens spent.
        """
        spent = 0
        for place, hit in positions:
            if place not in self._read:
                size = self._estimate_chunk_tokens(place, hit)
                if size <= max_tokens - spent or not self._read:
                    self._read[place] = hit
                    spent += size
        return spent

    def _iter_requested_sections(
        self, rankings: Sequence[Sequence[tuple[_ChunkPosition, Passage]]]
    ) -> Iterator[list[tuple[_ChunkPosition, Passage]]]:
        """Yield the unread chunks of each section that a search asks for.

        A search asks for a section if its R-precision for the section is over one half: of the R best hits, where R is
        the number of the section's chunks, more than R / 2 are in the section. Searches for a section's name find its
        chunks, because chunks are indexed with their headings.
        """
        for ranking in rankings:
            seen: set[_ChunkPosition] = set()
            for place, hit in ranking:
                if place not in seen:
                    # A token has fewer than four characters, so a section that exceeds this limit would not fit.
                    section = self._list_section_chunks(place, 4 * self._tokens)
                    seen.update(section)
                    best = {each for each, _ in ranking[: len(section)]}
                    # guard: requested-section-whole
                    if 2 * len(best.intersection(section)) > len(section):
                        yield [(each, hit) for each in section if each not in self._read]

    def _find_chunk_position(self, hit: Passage) -> _ChunkPosition | None:
        """Return the position of a hit's chunk, or None if its version is not in the corpus or has become hidden."""
        document = self._corpus.find_document_by_id(hit.document_id)
        # guard: hits-outside-corpus
        if document is None or document.handle.version_id != hit.version_id:
            return None
        try:
            chunks = self._corpus.load_text_map(document).chunks
        except UnknownHandleError:
            return None
        return _ChunkPosition(document, bisect_right(chunks, hit.start, key=lambda chunk: chunk.start) - 1)

    def _list_nearby_chunks(self, position: _ChunkPosition, max_chars: int) -> list[_ChunkPosition]:
        """Return a chunk and its neighbours in the section, up to `max_chars` characters in total.

        If the document is not longer than that, the whole document is returned.
        """
        document = position.document
        if document.characters > max_chars:
            return self._list_section_chunks(position, max_chars)
        return [
            _ChunkPosition(document, ordinal) for ordinal in range(len(self._corpus.load_text_map(document).chunks))
        ]

    def _list_section_chunks(self, position: _ChunkPosition, max_chars: int) -> list[_ChunkPosition]:
        """Return a chunk and its neighbours in the same section, up to `max_chars` characters in total."""
        document = position.document
        stretch = widen_chunk(
            self._corpus.load_text_map(document).chunks,
            document.handle.version_id,
            position.ordinal,
            max_chars=max_chars,
        )
        return [_ChunkPosition(document, ordinal) for ordinal in range(stretch.first, stretch.last + 1)]

    def _estimate_chunk_tokens(self, position: _ChunkPosition, hit: Passage) -> int:
        chunk = self._corpus.load_text_map(position.document).chunks[position.ordinal]
        if chunk.start == hit.start:
            return estimate_passage_tokens(hit)
        return estimate_tokens(self._corpus.load_text(position.document.handle[chunk.start : chunk.end]))

    def _number_passages(self, positions: Sequence[_ChunkPosition]) -> Iterator[Passage]:
        """Yield numbered passages for the chunks, in document order. The document with the best hit comes first."""
        for document in dict.fromkeys(place.document for place in positions):
            chunks = self._corpus.load_text_map(document).chunks
            ordinals = sorted(place.ordinal for place in positions if place.document == document)
            for piece in _build_passages(self._corpus, document, [chunks[ordinal] for ordinal in ordinals]):
                inside = (each for each in ordinals if piece.start <= chunks[each].start < piece.end)
                best = min((self._read[_ChunkPosition(document, each)] for each in inside), key=lambda hit: hit.rank)
                yield replace(piece, rank=best.rank, score=best.score, cosine=best.cosine)


def interleave_rankings(rankings: Sequence[Sequence[_Found]]) -> Iterator[_Found]:
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
