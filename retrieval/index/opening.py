"""The components of a deployment's index in one object: the store, the open generations, and the encoders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.storage.generations.store import GenerationRecords
from retrieval.encoders.registry import Encoders
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import IndexStore, require_fit
from retrieval.index.open_generations import OpenGenerations


@dataclass(frozen=True)
class IndexParts:
    """The index components that a deployment's API and workers use."""

    store: IndexStore
    generations: OpenGenerations
    encoders: Encoders
    sparse: SparseEncoder


@contextmanager
def open_index(
    records: GenerationRecords,
    encoders: Encoders,
    sparse: SparseEncoder,
    open_store: Callable[[], IndexStore],
    *,
    encoder: str | None,
    serving: bool,
) -> Iterator[IndexParts]:
    """Open the index's store without opening a generation. A new installation starts with the named `encoder`.

    A `serving` process does not search a generation whose index is lost. If it cannot use the active generation, raises
    `IndexMismatchError` before calling `open_store`.
    """
    first = encoders.get_by_name(encoder)
    active = records.ensure_first(first.fingerprint, sparse.fingerprint, first.dimension)
    if serving:
        require_fit(active, encoders, sparse, chosen=encoder)
    store = open_store()
    # guard: lost-index-serving
    generations = OpenGenerations(records, store, encoders, sparse, refuse_lost=serving)
    try:
        yield IndexParts(store, generations, encoders, sparse)
    finally:
        generations.close()
