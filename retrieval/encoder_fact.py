"""Which encoders an index was built with: remembered in the catalog, and compared at every start."""

from ingest.catalog.catalog import Catalog
from retrieval.bm25 import SparseEncoder
from retrieval.embedding import Embedder
from retrieval.errors import IndexMismatchError

_FACT = "encoder"


def require_same_encoder(catalog: Catalog, encoder: Embedder, sparse: SparseEncoder) -> None:
    """Raises `IndexMismatchError` when the index holds vectors of another model, dimension or tokenization."""
    fingerprint = f"{encoder.fingerprint} {sparse.fingerprint}"
    known = catalog.fact(_FACT)
    if known is None:
        catalog.remember(_FACT, fingerprint)
    elif known != fingerprint:
        raise IndexMismatchError(f"The index was built with {known}, and this release encodes with {fingerprint}.")
