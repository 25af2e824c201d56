"""One generation of the index that is always the active one: for tests that are not about generations."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from retrieval.encoders.port import Embedder
from retrieval.index.bm25 import Bm25Encoder, SparseEncoder
from retrieval.index.generations import OpenGeneration
from retrieval.index.port import Index


class FixedGeneration:
    """An index with its encoders, whatever generation is asked for; words are weighed by BM25 if nothing else is."""

    def __init__(self, index: Index, encoder: Embedder, sparse: SparseEncoder | None = None) -> None:
        self.made = OpenGeneration(0, index, encoder, sparse or Bm25Encoder())

    @contextmanager
    def use_active_generation(self) -> Iterator[OpenGeneration]:
        yield self.made

    @contextmanager
    def use_generation(self, generation_id: int) -> Iterator[OpenGeneration]:
        yield self.made

    def is_superseded(self, generation: OpenGeneration) -> bool:
        return False

    @contextmanager
    def use_index(self, generation_id: int) -> Iterator[Index]:
        yield self.made.index

    @contextmanager
    def use_all_indexes(self) -> Iterator[Mapping[int, Index]]:
        yield {0: self.made.index}

    def delete_version(self, tenant_id: str, version_id: str) -> int:
        return self.made.index.delete_version(tenant_id, version_id)

    def require_owner(self, installation_id: str) -> None:
        return None

    def set_readers(self, tenant_id: str, version_id: str, readers: Collection[str] | None) -> None:
        self.made.index.set_readers(tenant_id, version_id, readers)

    def set_collection(self, tenant_id: str, version_id: str, collection: str) -> None:
        self.made.index.set_collection(tenant_id, version_id, collection)

    def remove_discarded_indexes(self) -> None:
        return None
