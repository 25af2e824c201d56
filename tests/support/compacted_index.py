"""Indexes to compact: one that does it after every write, and the points of any."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdrant_edge import EdgeShard, ScrollRequest

from retrieval.compaction import UpkeepPolicy
from retrieval.index import DenseVector, IndexedChunk, SparseVector
from retrieval.qdrant_edge_index import QdrantEdgeIndex
from retrieval.shard_folder import ShardFolder

# Only when a test asks for it.
BY_HAND = UpkeepPolicy(unsealed_points=10**9)


class CompactedIndex(QdrantEdgeIndex):
    """Compacts after every write, so that all reads are of sealed segments, and writes change sealed points."""

    def __init__(self, folder: Path, *, dimension: int) -> None:
        super().__init__(folder, dimension=dimension, policy=BY_HAND)

    def upsert(self, chunks: Sequence[IndexedChunk], sparse: Sequence[SparseVector]) -> None:
        super().upsert(chunks, sparse)
        assert self.compact()

    def set_dense(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        super().set_dense(chunk_ids, vectors)
        assert self.compact()

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        deleted = super().delete_version(tenant_id, version_id)
        assert self.compact()
        return deleted


def stored_points(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Every point of a closed index with its payload and vectors, sparse ones in the order of their indices."""
    shards = ShardFolder(folder)
    assert shards.current is not None
    shard = EdgeShard.load(str(shards.current))
    found, offset = {}, None
    while True:
        records, offset = shard.scroll(ScrollRequest(limit=1000, offset=offset, with_payload=True, with_vector=True))
        for record in records:
            vectors: Any = record.vector
            sparse = sorted(zip(vectors["bm25"].indices, vectors["bm25"].values, strict=True))
            found[str(record.id)] = (record.payload, sparse, vectors.get("dense"))
        if offset is None:
            break
    shard.close()
    shards.close()
    return found
