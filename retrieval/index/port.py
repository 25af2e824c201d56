"""The interface of the vector index, and its types. One contract suite tests both the embedded and the server index."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeVar

from retrieval.encoders.port import DenseVector

Pair = TypeVar("Pair", bound=tuple[str, float])


@dataclass(frozen=True)
class SparseVector:
    """Term ids and their weights. Each id occurs once."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk as stored in the index: its location without its text.

    `start` and `end` are code points of the version's normalized text. `byte_start` and `byte_end` are the same span in
    UTF-8 bytes, so that a passage can be read from the stored text with one short read. `digest` is a hash of the exact
    text that was embedded. It is empty for chunks from releases that did not compute digests.
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
    """The chunks that a query may see. Every query has a scope, and therefore a tenant.

    With `readers`, a query sees only chunks that are open to the whole tenant or to one of these subjects, and no
    chunks in collections that are `closed` to them.
    """

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    hidden_versions: tuple[str, ...] = ()
    readers: frozenset[str] | None = None
    closed: tuple[str, ...] = ()

    @property
    def sees_all_chunks(self) -> bool:
        """True if the query may see all of the tenant's chunks."""
        return self.readers is None and not self.closed


class ScoredChunk(NamedTuple):
    """A chunk id and its score by one retriever; higher is better.

    This is a tuple for speed, because a search creates about 400 of them.
    """

    id: str
    score: float


def sort_by_score(hits: Iterable[Pair]) -> list[Pair]:
    """Sort ids with scores by descending score. Equal scores are ordered by id."""
    ranked = list(hits)
    if len({score for _, score in ranked}) < len(ranked):
        ranked.sort(key=itemgetter(0))
    ranked.sort(key=itemgetter(1), reverse=True)  # Engines usually return hits in this order already.
    return ranked


class IndexVectors(Protocol):
    """Access to vectors by chunk id, for all tenants."""

    def load_dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        """Return the chunks' unit-length embeddings, keyed by chunk id. Chunks without an embedding are omitted."""

    def score_chunks_by_cosine(self, dense_vector: DenseVector, chunk_ids: Sequence[str]) -> list[ScoredChunk]:
        """Score the chunks by their cosine with `dense_vector`, best first. Chunks without a vector are omitted.

        The ids must come from a search within a scope. They are not filtered again, because that would take as long as
        comparing the vectors.
        """

    def find_chunks_by_digest(
        self, tenant_id: str, digests: Sequence[str]
    ) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        """Find a chunk of the tenant for each digest, with its embedding. Accepts at most 256 digests.

        A digest may be missed if very many chunks have identical text.
        """


class IndexWriter(IndexVectors, Protocol):
    """Write operations on the index, for workers. Every write is idempotent, because ids come from content."""

    def upsert_chunks(self, chunks: Sequence[IndexedChunk], sparse_vectors: Sequence[SparseVector]) -> None:
        """Write chunks with their BM25 weights. Existing chunks stay unchanged, with their dense vectors.

        Existing chunks need no change, because ids come from content. A worker that has lost its lease may still write,
        and must not undo the work of the worker that took over: overwriting a chunk would remove its vector while the
        version stays `ready`. Inserting only missing chunks requires Qdrant server 1.17 or later.
        """

    def set_dense_vectors(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        """Store the embeddings of existing chunks, one row of `vectors` for each id.

        Raises an error for unknown ids.
        """

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        """Restrict a version's chunks to these readers. With None, the whole tenant may see the chunks."""

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        """Record that a version's chunks belong to this collection, after its document was moved there."""

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        """Delete all chunks of a version, and return their number."""

    def count_chunks(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        """Count a version's chunks. With `embedded_only`, count only chunks that have a dense vector."""


class IndexReader(IndexVectors, Protocol):
    """Read-only search operations on the index."""

    def search(
        self, scope: SearchScope, *, sparse_vector: SparseVector | None, dense_vector: DenseVector | None, limit: int
    ) -> tuple[list[ScoredChunk], list[ScoredChunk]]:
        """Return the best chunks by BM25 and by cosine, best first, in one engine call.

        A ranking is empty if its query is None. Equal scores are ordered by id, so that results are reproducible.
        """

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        """Return the chunks with these ids that are in `scope`, keyed by id."""


class IndexInventory(Protocol):
    """The contents of the index across all tenants. For workers and maintenance only, never for answering queries."""

    def iter_version_chunks(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        """Yield every chunk of a version in id order, so that the index can be compared with the catalog."""

    def count_chunks_by_version(self) -> dict[str, int]:
        """Count the chunks of each version in the whole index, to find chunks that belong to no document.

        This takes about one request per ten thousand versions, regardless of the number of tenants. The count is not
        atomic: a version that is written or deleted at the same time may or may not be included.
        """

    def count_chunks_of_versions(
        self, versions: Sequence[tuple[str, str]], *, embedded_only: bool = False
    ) -> dict[str, int]:
        """Count the chunks of several versions, given as pairs of tenant and version.

        Versions without chunks may be absent from the result. With `embedded_only`, count only chunks that have a dense
        vector. A server needs only a few requests, regardless of the number of versions.
        """

    def list_version_tenants(self, version_id: str) -> list[str]:
        """Return the tenants that have chunks of a version. More than one tenant indicates an error."""


class Index(IndexWriter, IndexReader, IndexInventory, Protocol):
    """The complete interface of an index, which an `IndexStore` opens."""

    def require_ready(self) -> None:
        """Check once that the index responds, for a readiness probe. Raises `IndexUnavailableError` if it does not."""

    def flush(self) -> None:
        """Ensure that all writes so far survive a power failure."""

    def close(self) -> None:
        """Flush and release the index. No other method may be called afterwards."""
