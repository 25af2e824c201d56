"""The search of the service, bound to a scope: what every strategy gets its passages from."""

from collections.abc import Sequence

from retrieval.passages import Passage
from retrieval.search import MAX_QUERY_CHARS, Searches, SearchRequest
from rlm.scopes import AnswerScope
from rlm.strategies import Retriever

# Passages looked at for one question: recall grows little past ten, and each one costs a reader time.
PASSAGES = 10


def retriever(searcher: Searches, scope: AnswerScope, *, top_k: int = PASSAGES) -> Retriever:
    """Finds `top_k` passages in the scope. A question that is longer than a query may be is cut."""

    def retrieve(question: str) -> Sequence[Passage]:
        request = SearchRequest(
            scope.tenant_id,
            question[:MAX_QUERY_CHARS],
            top_k=top_k,
            collections=scope.collections,
            documents=scope.documents,
        )
        return [hit.passage for hit in searcher.search(request).hits]

    return retrieve
