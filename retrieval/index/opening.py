"""The components of a deployment's index in one object: the store, the open generations, and the encoders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.storage.generations.store import GenerationRecords
from retrieval.encoders.registry import Encoders
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import IndexStore, require_matching_encoders
from retrieval.index.open_generations import OpenGenerations


@dataclass(frozen=True)
class IndexComponents:
    """The index components that a deployment's API and workers use."""

    store: IndexStore
    generations: OpenGenerations
    encoders: Encoders
    sparse: SparseEncoder


@contextmanager
def open_index(
    records: GenerationRecords,
    encoders: Encoders,
    sparse_encoder: SparseEncoder,
    open_store: Callable[[], IndexStore],
    *,
    encoder_name: str | None,
    is_serving: bool,
) -> Iterator[IndexComponents]:
    """Open the index's store without opening a generation. A new installation starts with the named `encoder_name`.

    A `is_serving` process does not search a generation whose index is lost. If it cannot use the active generation,
    raises `IndexMismatchError` before calling `open_store`.
    """
    first = encoders.get_by_name(encoder_name)
    active = records.ensure_first_generation(first.fingerprint, sparse_encoder.fingerprint, first.dimension)
    if is_serving:
        require_matching_encoders(active, encoders, sparse_encoder, encoder_name=encoder_name)
    store = open_store()
    # guard: lost-index-serving
    generations = OpenGenerations(records, store, encoders, sparse_encoder, reject_lost_index=is_serving)
    try:
        yield IndexComponents(store, generations, encoders, sparse_encoder)
    finally:
        generations.close()
