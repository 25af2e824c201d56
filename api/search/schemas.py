"""Wire models for searches."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from api.http.wire import Wire
from ingest.storage.accounts.records import Principal
from retrieval.search.requests import MAX_EXPAND_CHARS, MAX_QUERY_CHARS, MAX_TOP_K, Fusion, Mode, Rewrite, SearchRequest

if TYPE_CHECKING:
    from retrieval.search.reranking import RerankOutcome
    from retrieval.search.rewriting import RewriteOutcome
    from retrieval.search.search import Hit, SearchResult


class SearchIn(Wire):
    """A search. `per_document` limits the number of hits from each document.

    `fusion` determines how the two rankings of a hybrid search are fused. `feedback` uses the best passage to rank the
    others, which improves searches for topics but worsens searches for facts. `filters` are conditions on document
    metadata, keyed by name: a value, a list of values, or an object with `gt`, `gte`, `lt`, `lte` (numbers or dates),
    `in` and `not`. `$card` has such conditions on the fields of documents' cards. `diversity`, from 0 to 1, trades
    relevance for variety among the hits. `grouped` groups hits by document, and `top_k` then counts documents.

    `expand_chars` extends each hit within its section, up to that many characters, and merges adjacent hits. `explain`
    lists the query words that each hit contains. `rerank` turns the service's reranker off, or requires it.
    `rerank_depth` is the number of passages that the reranker reads. `rewrite` lets the language model write further
    queries, which takes time. The rankings of all queries are fused. If the model is unavailable, the search runs
    without a rewrite.
    """

    query: str = Field(max_length=MAX_QUERY_CHARS)
    mode: Mode = Mode.HYBRID
    top_k: int = Field(10, ge=1, le=MAX_TOP_K)
    per_document: int | None = Field(None, ge=1)
    fusion: Fusion = Fusion.CONVEX
    feedback: bool = False
    collections: list[str] = Field(default_factory=list, max_length=100)
    documents: list[str] = Field(default_factory=list, max_length=1000)
    filters: dict[str, Any] = Field(default_factory=dict, examples=[{"year": {"gte": 1800, "lt": 1900}}])
    diversity: float = Field(0.0, ge=0, le=1)
    grouped: bool = False
    expand_chars: int | None = Field(None, ge=1, le=MAX_EXPAND_CHARS)
    explain: bool = False
    rerank: bool | None = None
    rerank_depth: int | None = Field(None, ge=1, le=MAX_TOP_K)
    rewrite: Rewrite | None = None

    def to_request(self, caller: Principal) -> SearchRequest:
        asked: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields if name != "rewrite"}
        asked.update({name: tuple(asked[name]) for name in ("collections", "documents")})
        return SearchRequest(tenant_id=caller.tenant_id, readers=caller.readers, **asked)


class WhyOut(Wire):
    """The rank (from 1) and the score of a hit in the results of one retriever, or of its document by its card."""

    rank: int
    score: float


class HitOut(Wire):
    """A passage. `start` and `end` are code points of the document's normalized text.

    `page` is the number of the page, slide or sheet on which the passage starts; `place` describes its position in the
    file in words (`page 12`, `sheet Costs, rows 4 to 9`). If the passage starts in the rows of a table, `table_header`
    is the table's header. `matched` is only set with `explain`. `merged` lists the chunks that were merged into this
    passage; it is only set with `expand_chars`. `why` shows the hit's rank and score by each retriever; its `document`
    shows how well the document matches the query, if documents resemble each other.
    """

    rank: int
    score: float
    document: str = Field(validation_alias="document_id")
    version: str = Field(validation_alias="version_id")
    chunk: str = Field(validation_alias="chunk_id")
    collection: str
    title: str
    heading_path: list[str]
    page: int | None
    place: str
    start: int
    end: int
    text: str
    table_header: str
    why: dict[str, WhyOut]
    matched: list[str]
    merged: list[str]

    @classmethod
    def from_hit(cls, hit: "Hit") -> Self:
        return cls.from_records(hit.passage, hit)


class UnreadableOut(Wire):
    """A matching document that is left out of the hits, because its stored text was changed or is missing."""

    document: str = Field(validation_alias="document_id")
    title: str


class RerankedOut(Wire):
    """The result of reranking: `done` or `failed`. If reranking failed, the hits are in their original order."""

    state: Literal["done", "failed"]
    model: str
    passages: int
    code: str | None
    detail: str | None

    @classmethod
    def from_reranked(cls, outcome: "RerankOutcome") -> Self:
        return cls(
            state="failed" if outcome.failure else "done",
            model=outcome.model,
            passages=outcome.passages,
            code=outcome.failure or None,
            detail=outcome.detail or None,
        )


class RewriteOut(Wire):
    """The language model's rewrite of the query, and the reason if it failed."""

    how: Rewrite
    failure: str | None


class SearchOut(Wire):
    """Hits, best first, and the time that each stage of the search took.

    `cached` means that the same search had already been done on the same documents. `reranked` is null if no reranker
    was used. `queries` are all queries that were searched for, starting with yours. If there are several queries, the
    `why` of a hit shows which of them found it, as `query_0`, `query_1` and so on.
    """

    hits: list[HitOut]
    timings_ms: dict[str, float]
    cached: bool
    reranked: RerankedOut | None
    queries: list[str]
    rewrite: RewriteOut | None
    unreadable: list[UnreadableOut] = Field(default_factory=list)

    @classmethod
    def from_result(cls, query: str, result: "SearchResult", rewrite_outcome: "RewriteOutcome | None" = None) -> Self:
        return cls.from_records(
            result,
            hits=[HitOut.from_hit(hit) for hit in result.hits],
            reranked=RerankedOut.from_reranked(result.reranked) if result.reranked else None,
            queries=[query, *(also.query for also in (rewrite_outcome.queries if rewrite_outcome else ()))],
            rewrite=rewrite_outcome and RewriteOut(how=rewrite_outcome.how, failure=rewrite_outcome.failure or None),
        )
