"""The passages a direct answer is read from: all of a small scope, or search hits widened to their neighbours."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.chunking import Chunk
from ingest.works import UsedVersions
from retrieval.passages import Passage
from retrieval.requests import MAX_QUERY_CHARS, MAX_TOP_K, SearchRequest
from retrieval.search import Searches
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.llm.profiles import estimated_tokens
from rlm.requests import AnswerScope
from rlm.strategy import Search

# Passages are read with this much of their section around them, about a thousand tokens: the decisive text often
# stands some paragraphs away from the words that the search matched.
WIDENED_CHARS = 4_000
# Tokens for the marks, title and number of a passage in a prompt.
_TOKENS_AROUND = 40


def searching(
    searcher: Searches, scope: AnswerScope, used: UsedVersions, *, widened_chars: int | None = WIDENED_CHARS
) -> Search:
    """Return the service's search within a scope; hits are widened to their neighbours, and those that meet are merged.

    With `widened_chars` None, passages are as they were indexed. A query over the length limit is cut. `used` notes the
    versions that are found as given to the answer.
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
        found = [hit.passage for hit in searcher.search(request).hits]
        used.add(passage.version_id for passage in found)
        return found

    return search


def tokens_of(passage: Passage) -> int:
    """Estimate how many tokens a passage takes in a prompt."""
    return estimated_tokens(passage.table_header + passage.text) + _TOKENS_AROUND


def within(passages: Iterable[Passage], tokens: int) -> list[Passage]:
    """Return the first passages that fit `tokens` together; at least the beginning of the first."""
    chosen: list[Passage] = []
    for passage in passages:
        size = tokens_of(passage)
        if size > tokens:
            if not chosen:
                text = passage.text[: max(1, 3 * tokens)]
                text = text[: text.rfind(" ")] if " " in text else text
                chosen.append(replace(passage, text=text, end=passage.start + len(text)))
            break
        chosen.append(passage)
        tokens -= size
    return chosen


def fits(corpus: Corpus, tokens: int) -> bool:
    """True if all documents of the corpus fit in `tokens`."""
    size = corpus.size
    pieces = sum(1 + document.characters // WIDENED_CHARS for document in corpus.documents)
    return size.tokens + pieces * _TOKENS_AROUND <= tokens


def whole(corpus: Corpus) -> list[Passage]:
    """Return all text of a corpus in reading order, as passages of neighbouring chunks."""
    return [passage for document in corpus.documents for passage in _pieces(corpus, document)]


def in_reading_order(passages: Sequence[Passage]) -> list[Passage]:
    """Group passages by document, in document order; documents are ordered by their best passage."""
    order = {version: place for place, version in enumerate(dict.fromkeys(each.version_id for each in passages))}
    return sorted(passages, key=lambda each: (order[each.version_id], each.start))


@dataclass
class PassageNumbers:
    """Numbers the passages of one request, from 1; a passage that a later search finds again is not shown again."""

    passages: list[Passage]

    def new_among(self, found: Iterable[Passage]) -> Iterator[Passage]:
        """Yield the passages of which less than half lies in numbered ones, or in earlier ones of `found`."""
        seen = list(self.passages)
        for passage in found:
            if 2 * sum(_shared(each, passage) for each in seen) < len(passage.text):
                seen.append(passage)
                yield passage

    def add(self, passages: Sequence[Passage]) -> None:
        self.passages += passages


def in_turn(rankings: Sequence[Sequence[Passage]]) -> Iterator[Passage]:
    """Yield the best of each ranking, then the second of each, and so on: no query crowds out another."""
    for rank in range(max(map(len, rankings), default=0)):
        yield from (ranking[rank] for ranking in rankings if rank < len(ranking))


def _shared(one: Passage, other: Passage) -> int:
    """Return the number of characters that two passages have in common."""
    same = one.version_id == other.version_id
    return max(0, min(one.end, other.end) - max(one.start, other.start)) if same else 0


def _pieces(corpus: Corpus, document: CorpusDocument) -> Iterator[Passage]:
    group: list[Chunk] = []
    for chunk in corpus.map(document).chunks:
        if group and (chunk.end - group[0].start > WIDENED_CHARS or chunk.heading_path != group[0].heading_path):
            yield corpus.passage(document.handle[group[0].start : group[-1].end])
            group = []
        group.append(chunk)
    if group:
        yield corpus.passage(document.handle[group[0].start : group[-1].end])
