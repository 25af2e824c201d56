"""A cache of search results. An entry is valid as long as a search would find the same hits.

A result's key contains everything that the result depends on: the tenant, the tenant's corpus version, the index
generation, and every field of the request, including collections, documents and readers. The corpus version is read
from the catalog for each search, and every commit in any process that may change results increases it. Therefore, each
process can have its own cache, and no cache returns text after its deletion or restriction has been confirmed. If the
catalog cannot be read, the search fails, as it would without a cache.
"""

import json
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from ingest.storage.instrumentation import record_span
from ingest.storage.tables.places import Location
from retrieval.search.metrics import record_search
from retrieval.search.ranking import Stopwatch
from retrieval.search.requests import SearchRequest
from retrieval.search.search import Hit, Searcher, SearchResult
from retrieval.search.visibility import CorpusVersions

DEFAULT_MAX_BYTES = 64 * 1024**2
MAX_AGE_SECONDS = 600.0
# Estimated sizes of a hit and of an entry in bytes, excluding their texts. They cover objects, ids and scores.
_HIT_BYTES = 2_048
_ENTRY_BYTES = 1_024


@dataclass(frozen=True)
class CacheCounts:
    """The number of a tenant's searches in this process that hit and that missed the cache."""

    hits: int
    misses: int


@dataclass(frozen=True)
class _CacheKey:
    tenant_id: str
    corpus_version: int
    generation: int
    request: str


@dataclass(frozen=True)
class _CacheEntry:
    result: SearchResult
    size_bytes: int
    made_at: float


class CachedSearcher:
    """A searcher that caches its results. Thread-safe.

    Results take at most about `max_bytes`; the least recently used are evicted first, and none is older than
    `max_age_seconds`. With 0 bytes, nothing is cached. Results are not cached if the reranker failed or a document
    could not be read. Texts added by other tenants may shift BM25's idf slightly, but do not invalidate an entry.
    """

    def __init__(
        self,
        searcher: Searcher,
        corpus_versions: CorpusVersions,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.uncached = searcher
        self._corpus = corpus_versions
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._now = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[_CacheKey, _CacheEntry] = OrderedDict()
        self._size_bytes = 0
        self._newest: dict[str, int] = {}
        self._hits: Counter[str] = Counter()
        self._misses: Counter[str] = Counter()

    def search(self, request: SearchRequest) -> SearchResult:
        with record_span(
            "retrieval", {"gen_ai.operation.name": "retrieval", "leadline.mode": request.mode.value}
        ) as made:
            found = self._search_and_store(request)
            made.set_attributes({"leadline.hits": len(found.hits), "leadline.cached": found.cached})
        record_search(found.timings_ms, cached=found.cached)
        return found

    def _search_and_store(self, request: SearchRequest) -> SearchResult:
        if not self._max_bytes:
            return self.uncached.search(request)
        clock = Stopwatch()
        # Read the corpus version before the search. If the corpus changes during the search, the result may be newer
        # than its key, but never older.
        version = self._corpus.load_corpus_version(request.tenant_id)
        # guard: query-cache-generation
        # guard: query-cache-corpus
        # guard: query-cache-tenant
        key = _CacheKey(request.tenant_id, version, self.uncached.generation, _render_cache_key(request))
        kept = self._find_result(key)
        clock.record_lap("cache")
        if kept is not None:
            return replace(kept, timings_ms=clock.get_laps(), cached=True)
        found = self.uncached.search(request)
        is_whole = not (found.unreadable or (found.reranked and found.reranked.failure))
        if found.generation in (0, key.generation) and is_whole:
            self._store_result(key, found)
        looked = clock.get_laps()["cache"]
        total = round(looked + found.timings_ms["total"], 3)
        return replace(found, timings_ms={"cache": looked, **found.timings_ms, "total": total})

    def locate(self, version_id: str, start: int, end: int) -> Location:
        return self.uncached.locate(version_id, start, end)

    def get_cache_counts(self, tenant_id: str) -> CacheCounts:
        with self._lock:
            return CacheCounts(self._hits[tenant_id], self._misses[tenant_id])

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return self._size_bytes

    def _find_result(self, key: _CacheKey) -> SearchResult | None:
        with self._lock:
            self._evict_outdated_results(key)
            entry = self._entries.get(key)
            if entry is not None and self._now() - entry.made_at > self._max_age_seconds:
                self._remove_entry(key)
                entry = None
            (self._misses if entry is None else self._hits)[key.tenant_id] += 1
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry.result

    def _store_result(self, key: _CacheKey, result: SearchResult) -> None:
        entry = _CacheEntry(result, _estimate_entry_size(key, result), self._now())
        with self._lock:
            if key in self._entries:
                self._remove_entry(key)
            if entry.size_bytes > self._max_bytes or key.corpus_version < self._newest[key.tenant_id]:
                return
            self._entries[key] = entry
            self._size_bytes += entry.size_bytes
            while self._size_bytes > self._max_bytes:
                self._remove_entry(next(iter(self._entries)))

    def _evict_outdated_results(self, key: _CacheKey) -> None:
        """Evict the tenant's results for earlier corpus versions.

        No search can hit these results, and they may contain deleted text.
        """
        if key.corpus_version > self._newest.get(key.tenant_id, -1):
            self._newest[key.tenant_id] = key.corpus_version
            for old in [each for each in self._entries if each.tenant_id == key.tenant_id]:
                self._remove_entry(old)

    def _remove_entry(self, key: _CacheKey) -> None:
        self._size_bytes -= self._entries.pop(key).size_bytes


def _render_cache_key(request: SearchRequest) -> str:
    """Return all fields of a request as JSON, except the tenant, which is a separate part of the key."""
    # guard: query-cache-request
    members = asdict(request)
    del members["tenant_id"]
    # guard: query-cache-readers
    members["readers"] = None if request.readers is None else sorted(request.readers)
    return json.dumps(members, ensure_ascii=False, sort_keys=True, default=repr)


def _estimate_entry_size(key: _CacheKey, result: SearchResult) -> int:
    return _ENTRY_BYTES + sys.getsizeof(key.request) + sum(_HIT_BYTES + _compute_text_size(hit) for hit in result.hits)


def _compute_text_size(hit: Hit) -> int:
    passage = hit.passage
    texts = (passage.text, passage.table_header, passage.title, *passage.heading_path, *hit.merged, *hit.matched)
    return sum(map(sys.getsizeof, texts))
