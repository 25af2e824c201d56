"""Makes the retrieval parts of the embedded deployment: the only module that names their concrete classes."""

from pathlib import Path

from retrieval.bm25 import Bm25Encoder, SparseEncoder
from retrieval.embedding import Embedder
from retrieval.index import Index
from retrieval.models.manifest import model_file
from retrieval.models.store import ModelStore
from retrieval.openvino_embedder import OpenVinoEmbedder
from retrieval.qdrant_edge_index import QdrantEdgeIndex

_ENCODER = "all-MiniLM-L6-v2-int8.onnx"
_TOKENIZER = "all-MiniLM-L6-v2-tokenizer.json"


def embedded_index(home: Path, dimension: int) -> Index:
    """The shard in the data folder, made when it is not there yet."""
    return QdrantEdgeIndex(home / "index", dimension=dimension)


def embedded_encoder(models: ModelStore) -> Embedder:
    """Raises `ModelMissingError` when a file has not been fetched."""
    return OpenVinoEmbedder(models.path(model_file(_ENCODER)), models.path(model_file(_TOKENIZER)))


def sparse_encoder() -> SparseEncoder:
    return Bm25Encoder()
