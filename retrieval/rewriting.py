"""Searching with more queries than the one that was asked, made by a language model: opt-in, and never in the way.

Each query is searched for in the same scope, under the same rules of what may be shown, and the rankings are fused. A
rewrite that fails or is late leaves the search with the query as it was asked, and is said so.

Sources: HyDE, Gao et al., ACL 2023; several wordings fused by RRF, Rackauckas, IJNLC 13(1), 2024; decomposition, Press
et al., Findings of EMNLP 2023; stepping back, Zheng et al., ICLR 2024.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ingest.errors import LeadlineError
from retrieval.requests import Also, Mode, Rewrite, SearchRequest, check
from retrieval.search import Searches, SearchResult

# Each costs a search.
MAX_QUERIES = 4
MAX_QUERY_CHARS = 1_000


class Rewriter(Protocol):
    """Makes further queries of one."""

    def rewrite(self, tenant_id: str, query: str, how: Rewrite) -> Sequence[str]:
        """In the order of their worth. Bounded in time and cost. Raises a `LeadlineError` when it has none to give."""


@dataclass(frozen=True)
class Rewritten:
    """What became of a rewrite: the queries that were searched for besides the one asked, or why there are none."""

    how: Rewrite
    queries: tuple[Also, ...]
    milliseconds: float
    failure: str = ""


class RewritingSearcher:
    """Searches with rewrites; the search itself, and what it keeps, are another's."""

    def __init__(self, searcher: Searches, rewriter: Rewriter) -> None:
        self._searcher = searcher
        self._rewriter = rewriter

    def search(self, request: SearchRequest, how: Rewrite) -> tuple[SearchResult, Rewritten]:
        """Raises `QueryError` as any search, before anything is rewritten."""
        check(request)
        rewritten = self._rewrite(request, how)
        found = self._searcher.search(replace(request, also=rewritten.queries))
        total = round(rewritten.milliseconds + found.timings_ms["total"], 3)
        timings = {"rewrite": rewritten.milliseconds, **found.timings_ms, "total": total}
        return replace(found, timings_ms=timings), rewritten

    def _rewrite(self, request: SearchRequest, how: Rewrite) -> Rewritten:
        begun = time.perf_counter()
        queries: tuple[Also, ...] = ()
        try:
            queries = _usable(request, how, self._rewriter.rewrite(request.tenant_id, request.query, how))
            failure = "" if queries else "The language model gave no other query than the one that was asked."
        except LeadlineError as error:
            failure = error.detail
        return Rewritten(how, queries, round((time.perf_counter() - begun) * 1000, 3), failure)


def _usable(request: SearchRequest, how: Rewrite, made: Sequence[str]) -> tuple[Also, ...]:
    """The first few that are neither empty nor what was asked nor said twice, each cut to a length.

    A hypothetical answer has words that no document needs to have, so it is compared by meaning where both are.
    """
    mode = Mode.DENSE if how is Rewrite.HYDE and request.mode is Mode.HYBRID else request.mode
    seen, usable = {_folded(request.query)}, []
    for query in made:
        query = " ".join(query.split())[:MAX_QUERY_CHARS]
        if query and _folded(query) not in seen:
            seen.add(_folded(query))
            usable.append(Also(query, mode))
    return tuple(usable[:MAX_QUERIES])


def _folded(query: str) -> str:
    return " ".join(query.casefold().split()).rstrip("?.! ")
