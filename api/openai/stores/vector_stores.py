"""Vector stores: requests, filters, and the objects for collections, documents and batches."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from api.http.problems import BadRequestError
from api.http.wire import to_sendable
from api.openai.asked import LenientModel
from ingest.parsing.errors import ParseError, UnsupportedTypeError
from ingest.storage.documents.batch_records import BatchProgress, BatchState
from ingest.storage.documents.collection_records import Collection
from ingest.storage.documents.records import IN_PROGRESS, Document, VersionState
from ingest.storage.errors import EmptyUploadError, LeadlineError
from ingest.storage.texts.chunks import DEFAULT_MAX_CHARS
from retrieval.search.requests import MAX_QUERY_CHARS
from retrieval.search.rewriting import MAX_QUERIES

MAX_FILES = 2_000
MAX_RESULTS = 50
# Maximum size of a chunk, in tokens of English text.
CHUNK_TOKENS = DEFAULT_MAX_CHARS // 4

Status = Literal["in_progress", "completed", "failed", "cancelled"]
STATES: Mapping[Status, frozenset[VersionState]] = {
    "in_progress": IN_PROGRESS,
    "completed": frozenset({VersionState.READY}),
    "failed": frozenset({VersionState.FAILED}),
    "cancelled": frozenset({VersionState.CANCELLED, VersionState.RETIRED, VersionState.DELETED}),
}
_STATUS = {state: status for status, states in STATES.items() for state in states}
# Failures caused by the file itself, which have their own error codes. All other failures are reported as server
# errors.
_FILE_FAULTS: tuple[type[LeadlineError], ...] = (ParseError, EmptyUploadError, *ParseError.__subclasses__())
_FILE_FAULT_CODES = frozenset(each.code for each in _FILE_FAULTS)

Attribute = str | int | float | bool


class ChunkingIn(LenientModel):
    """The chunking options in a client's request."""

    type: str = "auto"
    static: dict[str, Any] | None = None


class _ChunkingModel(LenientModel):
    chunking_strategy: ChunkingIn | None = None

    @field_validator("chunking_strategy")
    @classmethod
    def _require_own_chunking(cls, chunking: ChunkingIn | None) -> ChunkingIn | None:
        sizes = (chunking.static or {}) if chunking else {}
        asked = sizes.get("max_chunk_size_tokens"), sizes.get("chunk_overlap_tokens")
        if chunking is not None and chunking.type != "auto" and asked != (CHUNK_TOKENS, 0):
            raise ValueError(
                f"documents are chunked along their structure, with at most {CHUNK_TOKENS} tokens and no overlap: omit "
                "`chunking_strategy` or send `auto`"
            )
        return chunking


class StoreFileIn(_ChunkingModel):
    """A file to add to a vector store. `attributes` become its document's metadata."""

    file_id: str = Field(min_length=1, max_length=200)
    attributes: dict[str, Attribute] | None = Field(None, max_length=256)


class ExpiryIn(LenientModel):
    """The number of days without use after which a vector store is deleted with its files."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class StoreIn(_ChunkingModel):
    """A new vector store. Its `name` is for display and becomes the collection's title; it is not the store's id."""

    name: str | None = Field(None, max_length=256)
    description: str | None = Field(None, max_length=2_000)
    file_ids: list[str] = Field(default_factory=list, max_length=MAX_FILES)
    metadata: dict[str, Attribute] | None = Field(None, max_length=256)
    expires_after: ExpiryIn | None = None


class StoreChangeIn(LenientModel):
    """Changes to a vector store. Omitted fields do not change; `metadata` replaces all existing metadata."""

    name: str | None = Field(None, max_length=256)
    metadata: dict[str, Attribute] | None = Field(None, max_length=256)
    expires_after: ExpiryIn | None = None


class FileBatchIn(_ChunkingModel):
    """Files to add to a vector store as a batch: `file_ids` with shared attributes, or `files` with their own."""

    file_ids: list[str] = Field(default_factory=list, max_length=MAX_FILES)
    files: list[StoreFileIn] = Field(default_factory=list, max_length=MAX_FILES)
    attributes: dict[str, Attribute] | None = Field(None, max_length=256)

    def list_files(self) -> list[StoreFileIn]:
        """Return the files with their attributes. Raises `BadRequestError` unless exactly one field is set."""
        if bool(self.file_ids) == bool(self.files):
            raise BadRequestError(
                "The batch requires either `file_ids` or `files`.", hint="Send exactly one of `file_ids` and `files`."
            )
        return self.files or [StoreFileIn(file_id=each, attributes=self.attributes) for each in self.file_ids]


class AttributesIn(LenientModel):
    """The new attributes of a file, which replace the existing ones."""

    attributes: dict[str, Attribute] | None = Field(max_length=256)


class HybridIn(LenientModel):
    """The weights of the two retrievers of a hybrid search."""

    embedding_weight: float = Field(ge=0, allow_inf_nan=False)
    text_weight: float = Field(ge=0, allow_inf_nan=False)


class RankingIn(LenientModel):
    """Ranking options. Scores go from 0 to 1; the best result of a search has the score 1."""

    ranker: str | None = Field(None, max_length=100)
    score_threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    hybrid_search: HybridIn | None = None


class StoreSearchIn(LenientModel):
    """A search with one query, or with several queries whose rankings are fused."""

    query: str | list[str]
    filters: dict[str, Any] | None = None
    max_num_results: int = Field(10, ge=1, le=MAX_RESULTS)
    rewrite_query: bool = False
    ranking_options: RankingIn | None = None

    @field_validator("query")
    @classmethod
    def _require_queries(cls, query: str | list[str]) -> str | list[str]:
        queries = [query] if isinstance(query, str) else query
        if not queries or len(queries) > MAX_QUERIES + 1:
            raise ValueError(f"send 1 to {MAX_QUERIES + 1} queries")
        if not all(each.strip() and len(each) <= MAX_QUERY_CHARS for each in queries):
            raise ValueError(f"a query has 1 to {MAX_QUERY_CHARS:,} characters")
        return query

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


def build_store_object(collection: Collection) -> dict[str, Any]:
    """Return a collection as a vector store object."""
    settings = collection.settings
    days = settings.expires_days
    return {
        "id": collection.name,
        "object": "vector_store",
        "created_at": int(collection.created_at),
        "name": settings.title or collection.name,
        "description": settings.description,
        "usage_bytes": collection.size_bytes,
        "file_counts": _count_files(collection.states),
        "status": "in_progress" if collection.in_progress else "completed",
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": None if collection.expires_at is None else int(collection.expires_at),
        "last_active_at": int(collection.last_active_at or collection.created_at),
        "metadata": to_sendable(dict(settings.metadata)),
    }


def build_store_file_object(document: Document) -> dict[str, Any]:
    """Return a document as a file object of its vector store.

    Its `leadline` field contains the document's id, its state and, if it failed, the error code.
    """
    version = document.version
    failure = version.failure
    error = None
    if failure is not None:
        message = " ".join(part for part in (failure.detail, failure.hint) if part)
        error = {"code": _get_error_code(failure.code), "message": message or failure.code}
    ours = {"document_id": document.id, "state": version.state, "failure": failure and failure.code}
    shown = to_sendable(
        {
            "id": document.effective_file_id,
            "object": "vector_store.file",
            "usage_bytes": version.size_bytes,
            "created_at": int(document.created_at),
            "vector_store_id": document.collection,
            "status": _STATUS[version.state],
            "last_error": error,
            "attributes": document.attributes,
            "chunking_strategy": {"type": "other"},
            "leadline": ours,
        }
    )
    return dict(shown)


def build_batch_object(progress: BatchProgress, collection: str) -> dict[str, Any]:
    """Return a batch as a vector store's batch object. Rejected files count as failed."""
    status = {BatchState.CANCELLED: "cancelled", BatchState.COMPLETED: "completed"}.get(progress.state, "in_progress")
    return {
        "id": progress.batch.id,
        "object": "vector_store.files_batch",
        "created_at": int(progress.batch.created_at),
        "vector_store_id": collection,
        "status": status,
        "file_counts": _count_files(progress.tally.documents, refused_count=progress.batch.refused),
    }


def _count_files(state_counts: Mapping[VersionState, int], *, refused_count: int = 0) -> dict[str, int]:
    counts: dict[str, int] = {
        status: sum(state_counts.get(each, 0) for each in some) for status, some in STATES.items()
    }
    counts["failed"] += refused_count
    return {**counts, "total": sum(counts.values())}


def _get_error_code(code: str) -> str:
    if code == UnsupportedTypeError.code:
        return "unsupported_file"
    return "invalid_file" if code in _FILE_FAULT_CODES else "server_error"


_COMPARISONS = {"eq": "in", "in": "in", "ne": "not", "nin": "not", "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
_COMPOUNDS = {"and": "$all", "or": "$any"}
_MAX_FILTER_DEPTH = 5


def convert_filters(filters: Mapping[str, Any], max_depth: int = _MAX_FILTER_DEPTH) -> dict[str, Any]:
    """Convert filters to the format of `ingest.storage.documents.filters`.

    `filters` is a single comparison, or several comparisons joined by `and` and `or`. Raises `BadRequestError` if the
    filters are not valid.
    """
    kind = filters.get("type")
    if kind in _COMPOUNDS:
        some = filters.get("filters")
        if not isinstance(some, list) or not some or not all(isinstance(each, Mapping) for each in some):
            raise BadRequestError(
                f"The filter {kind!r} has no conditions.", hint="Set the filter's `filters` to a list."
            )
        if max_depth == 0:
            raise BadRequestError(f"Filters can be nested at most {_MAX_FILTER_DEPTH} levels deep.")
        return {_COMPOUNDS[str(kind)]: [convert_filters(each, max_depth - 1) for each in some]}
    key, value = filters.get("key"), filters.get("value")
    if kind not in _COMPARISONS or not isinstance(key, str) or key.startswith("$"):
        raise BadRequestError(
            f"Unknown filter type {kind!r}.",
            hint="Use eq, ne, in, nin, gt, gte, lt and lte with `key` and `value`, and `and` and `or` to join them.",
        )
    return {key: {_COMPARISONS[kind]: value}}
