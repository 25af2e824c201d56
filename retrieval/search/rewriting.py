"""Search with additional queries that a language model generates from the original query. Opt-in.

All queries have the same scope and visibility rules, and their rankings are fused. If rewriting fails or times out, the
search uses only the original query, and the result says so.

Sources: HyDE, Gao et al., ACL 2023; several wordings fused by RRF, Rackauckas, IJNLC 13(1), 2024; decomposition, Press
et al., Findings of EMNLP 2023; step-back questions, Zheng et al., ICLR 2024.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ingest.storage.errors import LeadlineError
from retrieval.search.requests import ExtraQuery, Mode, Rewrite, SearchRequest, check_request
from retrieval.search.search import SearchPort, SearchResult

# Maximum number of queries. The number is limited, because each additional query requires a separate search.
MAX_QUERIES = 4
MAX_QUERY_CHARS = 1_000


class Rewriter(Protocol):
    """Generates additional queries from a query."""

    def rewrite_query(self, tenant_id: str, query: str, method: Rewrite) -> Sequence[str]:
        """Return additional queries, best first, in bounded time and cost.

        Raises a `LeadlineError` if rewriting fails.
        """


@dataclass(frozen=True)
class RewriteOutcome:
    """The outcome of a rewrite: the additional queries that were used, or the reason why there are none."""

    how: Rewrite
    queries: tuple[ExtraQuery, ...]
    milliseconds: float
    failure: str = ""


class RewritingSearcher:
    """A searcher that adds generated queries to requests. The wrapped searcher runs and caches the searches."""

    def __init__(self, searcher: SearchPort, rewriter: Rewriter) -> None:
        self._searcher = searcher
        self._rewriter = rewriter

    def search(self, request: SearchRequest, method: Rewrite) -> tuple[SearchResult, RewriteOutcome]:
        """Search with additional queries.

        Raises `QueryError` before any query is generated if the request is invalid.
        """
        check_request(request)
        rewritten = self._rewrite_request(request, method)
        found = self._searcher.search(replace(request, also=(*request.also, *rewritten.queries)))
        total = round(rewritten.milliseconds + found.timings_ms["total"], 3)
        timings = {"rewrite": rewritten.milliseconds, **found.timings_ms, "total": total}
        return replace(found, timings_ms=timings), rewritten

    def _rewrite_request(self, request: SearchRequest, method: Rewrite) -> RewriteOutcome:
        begun = time.perf_counter()
        queries: tuple[ExtraQuery, ...] = ()
        try:
            queries = _select_usable_queries(
                request, method, self._rewriter.rewrite_query(request.tenant_id, request.query, method)
            )
            failure = "" if queries else "The language model returned no new query."
        except LeadlineError as error:
            failure = error.public_message[0]
        return RewriteOutcome(method, queries, round((time.perf_counter() - begun) * 1000, 3), failure)


def _select_usable_queries(request: SearchRequest, method: Rewrite, queries: Sequence[str]) -> tuple[ExtraQuery, ...]:
    """Return the first few distinct new queries, truncated to a maximum length.

    A hypothetical answer (HyDE) contains words that occur in no document, so a hybrid search uses only its dense
    vector.
    """
    mode = Mode.DENSE if method is Rewrite.HYDE and request.mode is Mode.HYBRID else request.mode
    seen, usable = {_fold_query(request.query)}, []
    for query in queries:
        query = " ".join(query.split())[:MAX_QUERY_CHARS]
        if query and _fold_query(query) not in seen:
            seen.add(_fold_query(query))
            usable.append(ExtraQuery(query, mode))
    return tuple(usable[:MAX_QUERIES])


def _fold_query(query: str) -> str:
    return " ".join(query.casefold().split()).rstrip("?.! ")
