"""The port of the vector index, and its types. The embedded and the server index pass one contract suite."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeVar

from retrieval.encoders.port import DenseVector

Pair = TypeVar("Pair", bound=tuple[str, float])


@dataclass(frozen=True)
class SparseVector:
    """Term ids with their weights, each id once."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk as the index keeps it: its location, not its text.

    `start` and `end` are code points of the version's normalized text; `byte_start` and `byte_end` are the same span
    in UTF-8, so that a passage is one short read. `digest` is a hash of the exact text that the vector is made from; it
    is empty for chunks written by releases without it.
    """

    id: str
    tenant_id: str
    collection: str
    document_id: str
    version_id: str
    ordinal: int
    start: int
    end: int
    byte_start: int
    byte_end: int
    page: int | None
    heading_path: tuple[str, ...]
    digest: str = ""


@dataclass(frozen=True)
class SearchScope:
    """The chunks that a query may see. Every query carries a scope; there is no query without a tenant.

    With `readers`, only chunks that are open to the tenant or to one of these subjects; and none of collections that
    are `closed` to them.
    """

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    hidden_versions: tuple[str, ...] = ()
    readers: frozenset[str] | None = None
    closed: tuple[str, ...] = ()

    @property
    def sees_all(self) -> bool:
        """True if nothing of the tenant is kept from the query."""
        return self.readers is None and not self.closed


class ScoredChunk(NamedTuple):
    """A chunk id with one retriever's score; higher is better. A tuple, because a search makes some 400."""

    id: str
    score: float


def sort_best_first(hits: Iterable[Pair]) -> list[Pair]:
    """Sort ids with scores: highest first, equal scores by id."""
    ranked = list(hits)
    if len({score for _, score in ranked}) < len(ranked):
        ranked.sort(key=itemgetter(0))
    ranked.sort(key=itemgetter(1), reverse=True)  # an engine's answer is usually in this order already
    return ranked


class IndexVectors(Protocol):
    """Vectors by chunk id, whichever tenant owns the chunk."""

    def load_dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        """Return embeddings by id, scaled to length 1, for those chunks that have one."""

    def score_by_cosine(self, dense: DenseVector, chunk_ids: Sequence[str]) -> list[ScoredChunk]:
        """Return those of `chunk_ids` that have a vector, by its cosine with `dense`, best first.

        The ids come from a search of a scope and are not filtered again, which would take as long as comparing them.
        """

    def find_by_digest(self, tenant_id: str, digests: Sequence[str]) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        """Return by digest, for at most 256 digests, a chunk of the tenant's with its embedding, if one is found.

        A chunk may be missed where very many chunks have the same text.
        """


class IndexWriter(IndexVectors, Protocol):
    """The index's operations for workers. Every write can be done twice: ids come from content."""

    def upsert(self, chunks: Sequence[IndexedChunk], sparse: Sequence[SparseVector]) -> None:
        """Write chunks with their BM25 weights; a chunk that exists stays as it is, with its dense vector.

        Ids come from content, so an existing chunk needs no change. A worker that was overtaken may write late, and
        must not remove what the other worker has added: overwriting a chunk would take its vector away and leave the
        version `ready`. Inserting only missing chunks needs a Qdrant server of 1.17 or later.
        """

    def set_dense_vectors(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        """Give existing chunks their embeddings; `vectors` has one row for each id. Unknown ids are an error."""

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        """Close the chunks of a version to all but these readers; None opens them to the tenant."""

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        """Remove every chunk of a version; return how many there were."""

    def count_chunks(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        """Count the chunks of a version, or only those that have a dense vector."""


class IndexReader(IndexVectors, Protocol):
    """The index's operations for searches."""

    def search(
        self, scope: SearchScope, *, sparse: SparseVector | None, dense: DenseVector | None, limit: int
    ) -> tuple[list[ScoredChunk], list[ScoredChunk]]:
        """Return the best chunks by BM25 and by cosine, best first, in one engine call; empty for a query not given.

        Equal scores are ordered by id, so results repeat.
        """

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        """Return those of `chunk_ids` that are inside `scope`, by id."""


class IndexInventory(Protocol):
    """The contents of the index across tenants: for workers and maintenance, never for answers."""

    def iter_version_chunks(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        """Yield every chunk of a version in the order of ids, for comparing index and catalog."""

    def count_chunks_by_version(self) -> dict[str, int]:
        """Count the chunks of each version in the whole index, for finding chunks that nobody owns.

        The number of requests grows with the versions by the ten thousand, and not with tenants. The index may be
        counted piece by piece: a version written or deleted meanwhile may be included or not.
        """

    def count_chunks_of_versions(
        self, versions: Sequence[tuple[str, str]], *, embedded_only: bool = False
    ) -> dict[str, int]:
        """Count the chunks of several versions, given as pairs of tenant and version; absent ones may be left out.

        With `embedded_only`, only chunks that have a dense vector. A server needs few requests, however many versions
        are given.
        """

    def list_version_tenants(self, version_id: str) -> list[str]:
        """Return the tenants that have chunks of a version: one, unless something went wrong."""


class Index(IndexWriter, IndexReader, IndexInventory, Protocol):
    """The whole index and its life cycle: opened by a build function, flushed, closed."""

    def require_ready(self) -> None:
        """Check once that the index answers, for a readiness probe. Raises `IndexUnavailableError` with the reason."""

    def flush(self) -> None:
        """Make everything written so far survive a power cut."""

    def close(self) -> None:
        """Flush and release the index; no other method may follow."""
