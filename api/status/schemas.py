"""Response models for the state of a process and for document counts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from api.http.wire import Wire
from ingest.storage.documents.records import VersionState

if TYPE_CHECKING:  # The client uses these schemas too, but has neither catalog nor index.
    from ingest.storage.documents.catalog import StateTotal
    from retrieval.search.query_cache import CacheCounts


class QueryCacheOut(Wire):
    """Hits and misses of your searches in this process's query cache since it started."""

    hits: int
    misses: int


class LanguageModelOut(Wire):
    """The answering model. `is_built_in` is true for the small model that is part of Leadline."""

    model: str
    is_built_in: bool


class StatusOut(Wire):
    """Counts of your documents by state, and totals as far as they are known.

    `types` counts documents by media type, in all collections. `language_model` is null if none is configured, and for
    services of earlier releases.
    """

    documents: dict[VersionState, int]
    chunks: int
    chunks_embedded: int
    tokens: int
    types: dict[str, int]
    query_cache: QueryCacheOut
    language_model: LanguageModelOut | None = None

    @classmethod
    def from_totals(
        cls,
        totals: "Mapping[VersionState, StateTotal]",
        type_counts: "Mapping[str, int]",
        cache_counts: "CacheCounts",
        language_model: LanguageModelOut | None,
    ) -> "StatusOut":
        return cls(
            types=type_counts,
            documents={state: total.documents for state, total in totals.items()},
            chunks=sum(total.chunks for total in totals.values()),
            chunks_embedded=sum(total.chunks_embedded for total in totals.values()),
            tokens=sum(total.tokens for total in totals.values()),
            query_cache=QueryCacheOut.from_records(cache_counts),
            language_model=language_model,
        )


class PartOut(Wire):
    """The state of a component: `ready`, `loading`, `away`, `unavailable`, `stopped`, or `none` if it does not exist.

    `search` is `lost` if the index lacks documents and must be rebuilt. `copies` is `degraded` while index shards have
    fewer replicas than configured; everything works until another node fails. `disk` is `full` while uploads are
    rejected. `files` is the folder or bucket with originals and texts.
    """

    state: str


class ReadinessOut(Wire):
    """The readiness of the process for requests, and the state of each component. Details are in the log."""

    status: str
    parts: dict[str, PartOut]
