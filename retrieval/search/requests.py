"""Search requests and their validation, and the passages that searches return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from retrieval.errors import QueryError

MAX_TOP_K = 200
MAX_QUERY_CHARS = 8_000
MAX_EXPAND_CHARS = 20_000
# Default number of passages per document in grouped searches.
DEFAULT_GROUP_SIZE = 3


class Mode(StrEnum):
    """The retrievers that a search uses."""

    HYBRID = "hybrid"
    BM25 = "bm25"
    DENSE = "dense"


class Fusion(StrEnum):
    """The method that fuses two rankings."""

    CONVEX = "convex"
    RRF = "rrf"


class Rewrite(StrEnum):
    """The method for generating further queries from a query.

    `multi_query` rephrases the query. `hyde` writes a passage that could answer the query, and searches for similar
    passages. `decomposition` splits the query into parts. `step_back` adds a more general question.
    """

    MULTI_QUERY = "multi_query"
    HYDE = "hyde"
    DECOMPOSITION = "decomposition"
    STEP_BACK = "step_back"


@dataclass(frozen=True)
class ExtraQuery:
    """An additional query of a search, and the retrievers to use for it."""

    query: str
    mode: Mode


@dataclass(frozen=True)
class SearchRequest:
    """A search for at most `top_k` hits, with at most `per_document` from one document (None: no limit).

    `readers` are the subjects of the searching principal; None means that every document of the tenant is visible.
    `fusion` and `feedback` apply to hybrid searches only. `filters` are conditions on documents' metadata, in the
    format of `ingest.storage.documents.filters`. A `diversity` above 0 favours hits that differ from earlier hits over
    more relevant hits. `grouped` groups the hits by document, and `top_k` then counts documents. `expand_chars` extends
    each hit up to that many characters of its section, and merges hits that touch. `explain` returns the matched words.
    `rerank` turns the reranker on or off (None: the service's default); the reranker scores the best `rerank_depth`
    candidates. `for_answer` means that the hits are for a language model. `also` contains further queries; the
    rankings of all queries are fused by reciprocal ranks.

        SearchRequest(tenant_id, "notice period", top_k=5, documents=(document_id,), explain=True)
    """

    tenant_id: str
    query: str
    mode: Mode = Mode.HYBRID
    top_k: int = 10
    per_document: int | None = None
    fusion: Fusion = Fusion.CONVEX
    feedback: bool = False
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)
    diversity: float = 0.0
    grouped: bool = False
    expand_chars: int | None = None
    explain: bool = False
    rerank: bool | None = None
    rerank_depth: int | None = None
    for_answer: bool = False
    also: tuple[ExtraQuery, ...] = ()
    readers: frozenset[str] | None = None

    @property
    def max_per_document(self) -> int | None:
        return DEFAULT_GROUP_SIZE if self.grouped and self.per_document is None else self.per_document


def check_request(request: SearchRequest) -> None:
    """Raise `QueryError` if a request is invalid."""
    if not request.query.strip():
        raise QueryError("The query is empty.")
    if len(request.query) > MAX_QUERY_CHARS:
        raise QueryError(
            f"The query has {len(request.query):,} characters; the limit is {MAX_QUERY_CHARS:,}.",
            hint="Shorten the query, or upload the text as a document and ask about the document.",
        )
    if not request.query.isascii() and any("\ud800" <= character <= "\udfff" for character in request.query):
        raise QueryError(
            "The query contains an invalid character (a lone surrogate).", hint="Send the query as valid UTF-8."
        )
    _require_value_between("top_k", request.top_k, 1, MAX_TOP_K)
    if request.per_document is not None and request.per_document < 1:
        raise QueryError(
            f"per_document must be at least 1, not {request.per_document}.", hint="Correct the value, or omit it."
        )
    _require_value_between("diversity", request.diversity, 0, 1)
    if request.rerank_depth is not None:
        _require_value_between("rerank_depth", request.rerank_depth, 1, MAX_TOP_K)
    if request.expand_chars is not None:
        _require_value_between("expand_chars", request.expand_chars, 1, MAX_EXPAND_CHARS)


def _require_value_between(name: str, value: float, minimum: float, maximum: float) -> None:
    if not minimum <= value <= maximum:
        raise QueryError(
            f"{name} must be a number from {minimum} to {maximum}, not {value}.", hint="Correct the value, or omit it."
        )


@dataclass(frozen=True)
class Passage:
    """A span of a version's text, in code points: `text == normalized_text[start:end]`.

    `page` counts from 1, and is None if the format has no pages, slides or sheets. `place` describes the location of
    the passage in its file (`page 12`, `sheet Costs, rows 4 to 9`). If the passage starts in a table, `table_header` is
    the table's header, which is not part of the text. `rank` counts from 1, best first. `cosine` is the bi-encoder's
    similarity of the question and the passage, in [-1, 1]. `nearest` is the similarity of the question and the most
    similar sentence of the passage. Both are None if they were not computed.
    """

    document_id: str
    version_id: str
    title: str
    heading_path: tuple[str, ...]
    start: int
    end: int
    page: int | None
    text: str
    rank: int
    score: float
    cosine: float | None = None
    nearest: float | None = None
    place: str = ""
    table_header: str = ""
