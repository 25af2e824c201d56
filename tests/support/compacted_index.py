"""Indexes to compact: one that does it after every write, and the points of any."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdrant_edge import EdgeShard, ScrollRequest

from retrieval.encoders.port import DenseVector, HashingEmbedder
from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.edge.compaction import MaintenancePolicy
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.edge.shard_folder import ShardFolder
from retrieval.index.port import IndexedChunk, SparseVector

# Large enough that a single chunk is sealed when the index is compacted.
DIMENSION = 384
# Compacted only when a test asks for it.
BY_HAND = MaintenancePolicy(unsealed_points=10**9)
ENCODER, EMBEDDER = Bm25Encoder(), HashingEmbedder(DIMENSION)
_WORDS = ("whale", "ship", "sea", "mast", "captain", "harpoon", "storm", "island", "gold", "letter", "horse", "castle")


class CompactedIndex(QdrantEdgeIndex):
    """Compacts after every write, so that all reads are of sealed segments, and writes change sealed points."""

    def __init__(self, folder: Path, *, dimension: int) -> None:
        super().__init__(folder, dimension=dimension, policy=BY_HAND)

    def upsert_chunks(self, chunks: Sequence[IndexedChunk], sparse_vectors: Sequence[SparseVector]) -> None:
        super().upsert_chunks(chunks, sparse_vectors)
        assert self.compact()

    def set_dense_vectors(self, chunk_ids: Sequence[str], vectors: DenseVector) -> None:
        super().set_dense_vectors(chunk_ids, vectors)
        assert self.compact()

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        deleted = super().delete_version(tenant_id, version_id)
        assert self.compact()
        return deleted


def version(name: str, chunks: int = 60) -> dict[IndexedChunk, str]:
    """The chunks of a version of Ann's with their texts, the same every time."""
    made = {}
    for number in range(chunks):
        words = [_WORDS[(number * step + len(name)) % len(_WORDS)] for step in (1, 3, 5, 7)]
        identifier = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}/{number}"))
        made[IndexedChunk(identifier, "ann", "default", f"doc-{name}", name, number, 0, 9, 0, 9, None, ("Part",))] = (
            f"{' '.join(words)} number{number}"
        )
    return made


def put(index: QdrantEdgeIndex, texts: dict[IndexedChunk, str], *, dense: bool = True) -> None:
    index.upsert_chunks(list(texts), [ENCODER.encode_document(text) for text in texts.values()])
    if dense:
        index.set_dense_vectors([chunk.id for chunk in texts], EMBEDDER.embed_documents(list(texts.values())).vectors)


def write_first(index: QdrantEdgeIndex) -> None:
    """Versions with and without vectors; one is there to be deleted later."""
    for name in ("kept", "deleted later", "written again"):
        put(index, version(name))
    put(index, version("embedded later"), dense=False)


def write_more(index: QdrantEdgeIndex) -> None:
    """Every kind of write, most of them on points that are there; done twice it changes nothing more."""
    index.delete_version("ann", "deleted later")
    later = version("embedded later")
    index.set_dense_vectors([chunk.id for chunk in later], EMBEDDER.embed_documents(list(later.values())).vectors)
    put(index, version("written again"), dense=False)
    put(index, version("new"))
    put(index, version("short-lived"))
    index.delete_version("ann", "short-lived")


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
