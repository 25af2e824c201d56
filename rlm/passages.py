"""What a direct answer is read from: all of a small scope, or what searches find, widened to its neighbours."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.chunking import Chunk
from retrieval.passages import Passage
from retrieval.requests import MAX_QUERY_CHARS, MAX_TOP_K, Also, Mode, SearchRequest
from retrieval.search import Searches
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.llm.tokens import estimated_tokens
from rlm.requests import AnswerScope
from rlm.strategy import Search

# Passages are read with as much of their section around them, about 500 tokens: the size of a long paragraph or two,
# which is what a statement and the sentences that it leans on take.
WIDENED_CHARS = 2_000
# Marks, title and number of a passage in a prompt.
_TOKENS_AROUND = 40


def searching(searcher: Searches, scope: AnswerScope) -> Search:
    """Searches of the service within a scope; hits are widened to their neighbours, and those that meet are merged.

    A query that is longer than a query may be is cut.
    """

    def search(query: str, top_k: int, also: Sequence[str] = ()) -> Sequence[Passage]:
        request = SearchRequest(
            scope.tenant_id,
            query[:MAX_QUERY_CHARS],
            top_k=min(top_k, MAX_TOP_K),
            collections=scope.collections,
            documents=scope.documents,
            feedback=False,
            expand_chars=WIDENED_CHARS,
            also=tuple(Also(each[:MAX_QUERY_CHARS], Mode.HYBRID) for each in also if each.strip()),
        )
        return [hit.passage for hit in searcher.search(request).hits]

    return search


def tokens_of(passage: Passage) -> int:
    """About how many tokens a passage takes in a prompt."""
    return estimated_tokens(passage.text) + _TOKENS_AROUND


def within(passages: Iterable[Passage], tokens: int) -> list[Passage]:
    """The first of the passages that fit so many tokens together; at least the beginning of the first."""
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
    """True if all documents of the corpus can be read in so many tokens."""
    size = corpus.size
    pieces = sum(1 + document.characters // WIDENED_CHARS for document in corpus.documents)
    return size.tokens + pieces * _TOKENS_AROUND <= tokens


def whole(corpus: Corpus) -> list[Passage]:
    """All text of a corpus in reading order, as passages of neighbouring chunks."""
    return [passage for document in corpus.documents for passage in _pieces(corpus, document)]


def in_reading_order(passages: Sequence[Passage]) -> list[Passage]:
    """Passages of one document together and in its order; the documents in the order of their best passage."""
    order = {version: place for place, version in enumerate(dict.fromkeys(each.version_id for each in passages))}
    return sorted(passages, key=lambda each: (order[each.version_id], each.start))


@dataclass
class PassageNumbers:
    """Numbers of the passages of one request, from 1; what a later search finds again is not shown again."""

    passages: list[Passage]

    def add(self, found: Sequence[Passage]) -> list[Passage]:
        """Numbers what is new, and returns it: passages of which less than half lies in those that are there."""
        new = [each for each in found if 2 * self._known(each) < len(each.text)]
        self.passages += new
        return new

    def _known(self, passage: Passage) -> int:
        return sum(
            max(0, min(each.end, passage.end) - max(each.start, passage.start))
            for each in self.passages
            if each.version_id == passage.version_id
        )


def _pieces(corpus: Corpus, document: CorpusDocument) -> Iterator[Passage]:
    group: list[Chunk] = []
    for chunk in corpus.map(document).chunks:
        if group and (chunk.end - group[0].start > WIDENED_CHARS or chunk.heading_path != group[0].heading_path):
            yield _piece(corpus, document, group)
            group = []
        group.append(chunk)
    if group:
        yield _piece(corpus, document, group)


def _piece(corpus: Corpus, document: CorpusDocument, group: Sequence[Chunk]) -> Passage:
    span = document.handle[group[0].start : group[-1].end]
    return Passage(
        document_id=span.document_id,
        version_id=span.version_id,
        title=document.title,
        heading_path=group[0].heading_path,
        start=span.start,
        end=span.end,
        page=group[0].page,
        text=corpus.text(span),
        rank=1,
        score=1.0,
    )
