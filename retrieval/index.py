"""The port of the vector index, and the types that cross it. Embedded and server index run one contract suite."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

DenseVector = NDArray[np.float32]
Pair = TypeVar("Pair", bound=tuple[str, float])


@dataclass(frozen=True)
class SparseVector:
    """Term ids with their weights, each id once."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk as the index keeps it: where it stands, not what it says.

    `start` and `end` are code points of the version's normalized text; `byte_start` and `byte_end` are the same span
    in its UTF-8 form, so that a passage is one short read. `digest` is of the exact text that its vector is made from;
    it is empty for chunks that releases without it have written.
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
class Scope:
    """Whose chunks a query may see. Every query carries one; there is no query without a tenant."""

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    hidden_versions: tuple[str, ...] = ()


class Scored(NamedTuple):
    """A chunk id with one retriever's score, higher is better. A search makes some 400, so they are tuples."""

    id: str
    score: float


def best_first(hits: Iterable[Pair]) -> list[Pair]:
    """Ids with their scores, the highest first, and equal scores by id."""
    ranked = list(hits)
    if len({score for _, score in ranked}) < len(ranked):
        ranked.sort(key=itemgetter(0))
    ranked.sort(key=itemgetter(1), reverse=True)  # an engine's answer mostly is in this order already
    return ranked


class IndexVectors(Protocol):
    """Vectors by chunk id, whoever's the chunk is."""

    def dense(self, chunk_ids: Sequence[str]) -> dict[str, DenseVector]:
        """The embeddings of those chunks that have one, by id, scaled to length 1."""

    def compare(self, dense: DenseVector, chunk_ids: Sequence[str]) -> list[Scored]:
        """Those of `chunk_ids` that have a vector, by its cosine with `dense`, best first.

        The ids are those that a search of a scope has found: they are not filtered again, which would take as long as
        comparing them.
        """

    def by_digest(self, tenant_id: str, digests: Sequence[str]) -> dict[str, tuple[IndexedChunk, DenseVector]]:
        """A chunk of the tenant's with its embedding for those of at most 256 digests that one is found of.

        One may be missed where very many chunks say the same.
        """


class IndexWriter(IndexVectors, Protocol):
    """What workers do to the index. Every write can be done twice: ids come from content."""

    def upsert(self, chunks: Sequence[IndexedChunk], sparse: Sequence[SparseVector]) -> None:
        """Write chunks with their BM25 weights; one that is there already stays as it is, with its dense vector.

        Ids come from content, so there is nothing to change in it. A worker that was overtaken may write late, and
        must not take away what the other one has added.
        """

    def set_dense(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        """Give existing chunks their embeddings; `vectors` has one row for each id. Unknown ids are an error."""

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        """Remove every chunk of a version; returns how many there were."""

    def count(self, tenant_id: str, version_id: str, *, embedded_only: bool = False) -> int:
        """Chunks of a version, or those of them that have a dense vector."""


class IndexReader(IndexVectors, Protocol):
    """What searches do to the index."""

    def search(
        self, scope: Scope, *, sparse: SparseVector | None, dense: DenseVector | None, limit: int
    ) -> tuple[list[Scored], list[Scored]]:
        """Best chunks by BM25 and by cosine, best first, in one engine call; empty for a query not given.

        Equal scores are in the order of their ids, so results repeat.
        """

    def chunks(self, scope: Scope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        """Those of `chunk_ids` that are inside `scope`, by id."""


class IndexInventory(Protocol):
    """What is in the index, whoever's it is: for workers and upkeep, never for answers."""

    def points(self, tenant_id: str, version_id: str) -> Iterator[IndexedChunk]:
        """Every chunk of a version, in the order of ids: for comparing index and catalog."""

    def versions(self) -> dict[tuple[str, str], int]:
        """How many chunks there are of each (tenant, version) in the whole index: for finding what nobody owns.

        Counted piece by piece: a version written or deleted meanwhile may be in it or not.
        """


class Index(IndexWriter, IndexReader, IndexInventory, Protocol):
    """The whole index, with its life: opened by a build function, flushed, closed."""

    def require_ready(self) -> None:
        """Ask once whether it answers, for a readiness probe. Raises `IndexUnavailableError` with the reason."""

    def flush(self) -> None:
        """Everything written so far survives a power cut."""

    def close(self) -> None:
        """Flush and release the index; no other method may follow."""
