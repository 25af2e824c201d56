"""The search of the service, bound to a corpus: hits are handles."""

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.passages import Passage
from retrieval.search import MAX_QUERY_CHARS, MAX_TOP_K, Searches, SearchRequest
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.scopes import AnswerScope


@dataclass(frozen=True)
class FoundPassage:
    """A passage that hybrid search found; `rank` counts from 1."""

    rank: int
    score: float
    handle: Handle
    title: str
    heading_path: tuple[str, ...]
    text: str


class CorpusSearch:
    """Hybrid search in a scope. What arrived after the corpus was opened is not shown."""

    def __init__(self, searcher: Searches, scope: AnswerScope, corpus: Corpus) -> None:
        self._searcher = searcher
        self._scope = scope
        self._corpus = corpus

    def __call__(self, query: str, *, top_k: int = 10, per_document: int | None = None) -> list[FoundPassage]:
        """Raises `QueryError` for an empty query."""
        request = SearchRequest(
            self._scope.tenant_id,
            query[:MAX_QUERY_CHARS],
            top_k=max(1, min(top_k, MAX_TOP_K)),
            per_document=per_document,
            collections=self._scope.collections,
            documents=self._scope.documents,
        )
        passages = [hit.passage for hit in self._searcher.search(request).hits]
        return found_in(self._corpus, passages)


def found_in(corpus: Corpus, passages: Sequence[Passage]) -> list[FoundPassage]:
    """Those of the passages that stand in documents of the corpus, ranked anew."""
    versions = {document.handle.version_id for document in corpus.documents}
    known = [passage for passage in passages if passage.version_id in versions]
    return [
        FoundPassage(
            rank,
            passage.score,
            Handle(passage.document_id, passage.version_id, passage.start, passage.end),
            passage.title,
            passage.heading_path,
            passage.text,
        )
        for rank, passage in enumerate(known, start=1)
    ]
