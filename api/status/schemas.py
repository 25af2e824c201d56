"""The state of a process and totals of documents on the wire."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from api.http.wire import Wire
from ingest.storage.documents.records import VersionState

if TYPE_CHECKING:  # clients read these schemas too, and need neither the catalog nor the index for it
    from ingest.storage.documents.catalog import StateTotal
    from retrieval.search.query_cache import CacheCounts


class QueryCacheOut(Wire):
    """The caller's searches since this process started: answered from its query cache, or not."""

    hits: int
    misses: int


class StatusOut(Wire):
    """How many of the caller's documents are in each state, and sums over all of them as far as they are known.

    `types` counts the documents of each media type, in all collections.
    """

    documents: dict[VersionState, int]
    chunks: int
    chunks_embedded: int
    tokens: int
    types: dict[str, int]
    query_cache: QueryCacheOut

    @classmethod
    def from_totals(
        cls, totals: "Mapping[VersionState, StateTotal]", types: "Mapping[str, int]", cache: "CacheCounts"
    ) -> "StatusOut":
        return cls(
            types=types,
            documents={state: total.documents for state, total in totals.items()},
            chunks=sum(total.chunks for total in totals.values()),
            chunks_embedded=sum(total.chunks_embedded for total in totals.values()),
            tokens=sum(total.tokens for total in totals.values()),
            query_cache=QueryCacheOut.from_records(cache),
        )


class PartOut(Wire):
    """The state of a part: `ready`, `loading`, `away`, `unavailable`, `stopped`, or `none` where there is none.

    `search` is `lost` while the index lacks documents and has to be made again. `copies` is `degraded` while shards of
    the index have fewer copies than they should: everything works, until another node goes away. `disk` is `full` while
    uploads are refused.
    """

    state: str


class ReadinessOut(Wire):
    """Readiness of a process for requests, and the state of each part; details are in the log."""

    status: str
    parts: dict[str, PartOut]
