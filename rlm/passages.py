"""The passages on which a direct answer is based: all text of a small scope, or search hits and their neighbours."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from ingest.storage.documents.records import UsedVersions
from ingest.storage.texts.chunks import DEFAULT_MAX_CHARS, Chunk
from retrieval.search.expansion import widen_chunk
from retrieval.search.requests import MAX_QUERY_CHARS, MAX_TOP_K, Passage, SearchRequest
from retrieval.search.search import SearchPort
from rlm.checking.nearest import extract_stems
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
        if result.reranked is not None and result.reranked.failure:
            used_versions.record_rerank_failure(result.reranked.failure, result.reranked.detail)
        found = [hit.passage for hit in result.hits]
        used_versions.add_versions(passage.version_id for passage in found)
        return found

    return search


def estimate_passage_tokens(passage: Passage) -> int:
    """Estimate the number of tokens that a passage takes in a prompt."""
    return estimate_tokens(passage.table_header + passage.text) + _TOKENS_AROUND


def can_fit_corpus(corpus: Corpus, max_tokens: int) -> bool:
    """Return whether all documents of the corpus together fit in `max_tokens`."""
    tokens = sum(
        document.tokens + (1 + len(document.handle) // WIDENED_CHARS) * _TOKENS_AROUND for document in corpus.documents
    )
    return tokens <= max_tokens


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
    """The documents of which passages are shown, completely or in part, and the number of other documents."""

    whole: Sequence[CorpusDocument]
    part: Sequence[CorpusDocument]
    unread: int


class PassageReader:
    """Reads passages for one request, up to about `max_tokens` at a time, and numbers them from 1.

    A number always stands for the same place, also after more of the text around it was read. Passages are `shown`, or
    only `listed` so that the model can request them. No chunk is read twice.
    """

    def __init__(self, corpus: Corpus, max_tokens: int) -> None:
        # By number, in the order of reading.
        self.shown: dict[int, Passage] = {}
        self.listed: dict[int, Passage] = {}
        self._corpus = corpus
        self._tokens = max_tokens
        # The chunks that were read, in order of relevance, each with the hit that led to it.
        self._read: dict[_ChunkPosition, Passage] = {}
        # All passages that were read, including those that are no longer shown.
        self._passages: dict[int, Passage] = {}
        # The chunks of each numbered passage, and the numbers of chunks.
        self._positions: dict[int, Sequence[_ChunkPosition]] = {}
        self._numbers: dict[_ChunkPosition, int] = {}
        self._is_whole = False

    @property
    def passages(self) -> list[Passage]:
        """All passages that were read, including those that are no longer shown."""
        return list(self._passages.values())

    @property
    def remaining_tokens(self) -> int:
        """The number of tokens that may still be read."""
        return max(0, self._tokens - sum(map(estimate_passage_tokens, self.shown.values())))

    @property
    def extent(self) -> Extent:
        """The documents that are shown, completely or in part."""
        documents = self._corpus.documents
        if self._is_whole:
            lost = self._corpus.used.unreadable_titles
            whole = [each for each in documents if each.handle.document_id not in lost]
            return Extent(whole, (), len(documents) - len(whole))
        read = Counter(place.document for number in self.shown for place in self._positions[number])
        whole = [each for each, chunks in read.items() if chunks == len(self._corpus.load_text_map(each).chunks)]
        return Extent(whole, [each for each in read if each not in whole], len(documents) - len(read))

    def read_corpus(self) -> None:
        """Read the whole corpus."""
        self._is_whole = True
        self._passages = dict(enumerate(list_whole_passages(self._corpus), 1))
        self.shown = dict(self._passages)

    def read_hits(
        self, rankings: Mapping[str, Sequence[Passage]], max_tokens: int, *, with_context: bool, max_listed: int = 0
    ) -> list[Passage]:
        """Read search results, up to about `max_tokens`, and return the new passages, most relevant first.

        `rankings` are the hits of each query, best first.

        The best hits of each search are read first, and the very first hit is always read. If `with_context`, two
        thirds of the tokens are used for hits. The rest is used for the text around every hit, a little at a time, and
        for the rest of short documents. Sections that searches ask for are also read completely if they fit. Remaining
        tokens are used for further hits. The next `max_listed` hits are listed, and replace those listed before. A
        document that cannot be read is skipped, and the corpus records that it was skipped.
        """
        return self._skip_unreadable(
            lambda lost: self._read_hits_once(
                {query: [hit for hit in ranking if hit.document_id not in lost] for query, ranking in rankings.items()},
                max_tokens,
                with_context=with_context,
                max_listed=max_listed,
            )
        )

    def open_passages(self, numbers: Iterable[int], max_tokens: int) -> list[Passage]:
        """Show listed passages with the text around them, and the text before and after passages that are shown.

        All listed passages are read as far as they fit in the remaining tokens. The text around passages takes up to
        about `max_tokens`. Unknown numbers are ignored. Returns the new passages, in the order of `numbers`.
        """
        known = [number for number in dict.fromkeys(numbers) if number in self.shown or number in self.listed]
        return self._skip_unreadable(lambda lost: self._open_once(known, max_tokens, lost))

    def keep_passages(self, numbers: Iterable[int]) -> None:
        """Show only the passages with these numbers. Another search may list the others again."""
        kept = set(numbers)
        self.shown = {number: passage for number, passage in self.shown.items() if number in kept}

    def _skip_unreadable(self, read: Callable[[Collection[str]], list[Passage]]) -> list[Passage]:
        """Return what `read` reads. It gets the ids of the documents to skip, and is repeated after each failure."""
        lost: set[str] = set()
        state = ("_read", "_passages", "_positions", "_numbers", "shown", "listed")
        before = {name: dict(getattr(self, name)) for name in state}
        while True:
            try:
                return read(lost)
            except DocumentUnreadableError as error:
                for name, kept in before.items():
                    setattr(self, name, dict(kept))
                lost.add(error.document_id)

    def _read_hits_once(
        self, rankings: Mapping[str, Sequence[Passage]], max_tokens: int, *, with_context: bool, max_listed: int
    ) -> list[Passage]:
        found = [
            [(place, hit) for hit in ranking if (place := self._find_chunk_position(hit))]
            for ranking in rankings.values()
        ]
        before, hits, room = len(self._read), list(interleave_rankings(found)), max(max_tokens, self.remaining_tokens)
        # guard: hits-before-context
        spent = self._read_chunks(hits, max_tokens * 2 // 3 if with_context else max_tokens)
        max_tokens, room = max_tokens - spent, room - spent
        if with_context:
            for rest in self._iter_requested_sections(list(rankings), found):
                size = sum(self._estimate_chunk_tokens(*each) for each in rest)
                if size <= room:
                    room -= self._read_chunks(rest, size)
            max_tokens = min(max_tokens, room)
            shown = [(place, hit) for place, hit in hits if place in self._read and not self._is_dropped(place)]
            max_tokens -= self._read_around(shown, max_tokens)
        self._read_chunks(hits, max_tokens)
        new = self._show_chunks(list(self._read)[before:])
        self._list_chunks(hits, max_listed)
        return new

    def _open_once(self, numbers: Sequence[int], max_tokens: int, lost: Collection[str]) -> list[Passage]:
        before = len(self._read)
        listed, around = list[tuple[_ChunkPosition, Passage]](), list[tuple[_ChunkPosition, Passage]]()
        for number in numbers:
            places = self._positions.get(number, ())
            readable = [each for each in places if each.document.handle.document_id not in lost]
            if not readable or not self._corpus.is_visible(readable[0].document):
                continue
            if number in self._passages and number in self.listed:
                self._show_again(number)
            elif number in self.listed:
                listed.append((readable[0], self.listed[number]))
            else:
                for each in self._list_adjacent_chunks(readable):
                    if each not in self._read:
                        around.append((each, self.shown[number]))
                    elif self._numbers[each] not in self.shown:
                        self._show_again(self._numbers[each])
        room = self.remaining_tokens
        room -= self._read_chunks(listed, room)
        room = min(room, max_tokens)
        room -= self._read_chunks(around, room)
        self._read_around([(place, hit) for place, hit in listed if place in self._read], room)
        return self._show_chunks(list(self._read)[before:])

    def _is_dropped(self, place: _ChunkPosition) -> bool:
        number = self._numbers.get(place)
        return number in self._passages and number not in self.shown

    def _show_again(self, number: int) -> None:
        """Show a passage that was dropped, if it fits in the remaining tokens."""
        if estimate_passage_tokens(self._passages[number]) <= self.remaining_tokens:
            self.shown[number] = self._passages[number]
            self.listed.pop(number, None)

    def _show_chunks(self, positions: Sequence[_ChunkPosition]) -> list[Passage]:
        """Show newly read chunks as passages, and return these.

        Adjacent chunks stay together, in document order. A passage with listed chunks gets the number of the most
        relevant of them.
        """
        new: list[Passage] = []
        for run in self._iter_runs(positions):
            document = run[0].document
            chunks = self._corpus.load_text_map(document).chunks
            for piece in _build_passages(self._corpus, document, [chunks[place.ordinal] for place in run]):
                inside = [place for place in run if piece.start <= chunks[place.ordinal].start < piece.end]
                best = min((self._read[place] for place in inside), key=lambda hit: hit.rank)
                listed = [self._numbers[place] for place in positions if place in inside and place in self._numbers]
                for each in listed:
                    self.listed.pop(each, None)
                number = next(iter(listed), self._get_next_number())
                self._number_chunks(number, inside)
                passage = replace(piece, rank=best.rank, score=best.score, cosine=best.cosine)
                self._passages[number] = self.shown[number] = passage
                new.append(passage)
        return new

    def _list_chunks(self, hits: Sequence[tuple[_ChunkPosition, Passage]], max_listed: int) -> None:
        """List the first `max_listed` hits that are not shown."""
        self.listed = {}
        for place, hit in hits:
            if len(self.listed) == max_listed:
                break
            if place not in self._numbers:
                self._number_chunks(self._get_next_number(), [place])
            if (number := self._numbers[place]) not in self.shown:
                self.listed.setdefault(number, hit)

    def _number_chunks(self, number: int, positions: Sequence[_ChunkPosition]) -> None:
        self._positions[number] = positions
        self._numbers |= dict.fromkeys(positions, number)

    def _get_next_number(self) -> int:
        return max(self._positions, default=0) + 1

    @staticmethod
    def _iter_runs(positions: Sequence[_ChunkPosition]) -> Iterator[list[_ChunkPosition]]:
        """Yield runs of adjacent chunks in document order. The run with the most relevant chunk comes first."""
        left = dict.fromkeys(positions)
        while left:
            place = next(iter(left))
            run = [place]
            for step in (-1, 1):
                beside = replace(place, ordinal=place.ordinal + step)
                while beside in left:
                    run.append(beside)
                    beside = replace(beside, ordinal=beside.ordinal + step)
            for each in run:
                del left[each]
            yield sorted(run, key=lambda each: each.ordinal)

    def _read_around(self, hits: Sequence[tuple[_ChunkPosition, Passage]], max_tokens: int) -> int:
        """Read the text around every hit, a little at a time, up to `max_tokens`. Returns the tokens spent."""
        sizes = range(2 * DEFAULT_MAX_CHARS, WIDENED_CHARS + 1, DEFAULT_MAX_CHARS)
        around = (
            (each, hit) for chars in sizes for place, hit in hits for each in self._list_nearby_chunks(place, chars)
        )
        return self._read_chunks(around, max_tokens)

    def _read_chunks(self, positions: Iterable[tuple[_ChunkPosition, Passage]], max_tokens: int) -> int:
        """Read chunks until the next one does not fit in `max_tokens`, each with the hit that led to it.

        A smaller chunk further down is not read instead: most are headings and other scraps. Returns the number of
        tokens spent.
        """
        spent = 0
        for place, hit in positions:
            if place not in self._read:
                size = self._estimate_chunk_tokens(place, hit)
                if size > max_tokens - spent and self._read:
                    break
                self._read[place] = hit
                spent += size
        return spent

    def _iter_requested_sections(
        self, queries: Sequence[str], rankings: Sequence[Sequence[tuple[_ChunkPosition, Passage]]]
    ) -> Iterator[list[tuple[_ChunkPosition, Passage]]]:
        """Yield the unread chunks of each section that a search asks for.

        A search asks for a section if its R-precision for the section is over one half: of the R best hits, where R is
        the number of the section's chunks, more than R / 2 are in the section. Searches for a section's name find its
        chunks, because chunks are indexed with their headings. The query must also have most words of the heading: if a
        search names a document, all of its hits are in the document, and half of them may be in a long section.
        """
        for query, ranking in zip(queries, rankings, strict=True):
            words = extract_stems(query)
            seen: set[_ChunkPosition] = set()
            for place, hit in ranking:
                if place not in seen:
                    # A token has fewer than four characters, so a section that exceeds this limit would not fit.
                    section = self._list_section_chunks(place, 4 * self._tokens)
                    seen.update(section)
                    best = {each for each, _ in ranking[: len(section)]}
                    # guard: requested-section-whole
                    if 2 * len(best.intersection(section)) > len(section) and _is_heading_in(words, hit):
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

    def _list_adjacent_chunks(self, positions: Sequence[_ChunkPosition]) -> list[_ChunkPosition]:
        """Return the chunks after and before a passage, in any section: two on each side, the nearest first."""
        count = len(self._corpus.load_text_map(positions[0].document).chunks)
        first, last = positions[0].ordinal, positions[-1].ordinal
        beside = (last + 1, first - 1, last + 2, first - 2)
        return [replace(positions[0], ordinal=each) for each in beside if 0 <= each < count]

    def _estimate_chunk_tokens(self, position: _ChunkPosition, hit: Passage) -> int:
        chunk = self._corpus.load_text_map(position.document).chunks[position.ordinal]
        if chunk.start == hit.start:
            return estimate_passage_tokens(hit)
        return estimate_tokens(self._corpus.load_text(position.document.handle[chunk.start : chunk.end]))


def _is_heading_in(words: frozenset[str], hit: Passage) -> bool:
    """Return whether most of the words in a hit's heading are among `words`."""
    heading = extract_stems(hit.heading_path[-1]) if hit.heading_path else frozenset()
    return 2 * len(heading & words) > len(heading)


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
