"""Makes the retrieval parts of the embedded deployment: the only module that names their concrete classes."""

from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.bm25 import Bm25Encoder, SparseEncoder
from retrieval.embedding import Embedder
from retrieval.index import Index
from retrieval.models.manifest import model_file
from retrieval.models.store import ModelStore
from retrieval.openvino_embedder import OpenVinoEmbedder
from retrieval.qdrant_edge_index import QdrantEdgeIndex
from retrieval.qdrant_server_settings import QdrantServerSettings

if TYPE_CHECKING:
    from retrieval.qdrant_server_index import QdrantServerIndex

_ENCODER = "all-MiniLM-L6-v2-int8.onnx"
_TOKENIZER = "all-MiniLM-L6-v2-tokenizer.json"


def embedded_index(home: Path, dimension: int) -> Index:
    """The shard in the data folder, made when it is not there yet."""
    return QdrantEdgeIndex(home / "index", dimension=dimension)


def server_index(
    url: str,
    dimension: int,
    *,
    api_key: str | None = None,
    settings: QdrantServerSettings | None = None,
) -> "QdrantServerIndex":
    """The collection of a Qdrant server, made when it is not there yet. For one process: make it after a fork.

    Raises `IndexUnavailableError` or `IndexMismatchError` in words.
    """
    # Only the cluster's extra brings the client.
    from retrieval.qdrant_server_index import QdrantServerIndex

    return QdrantServerIndex(url, dimension=dimension, api_key=api_key, settings=settings or QdrantServerSettings())


def embedded_encoder(models: ModelStore) -> Embedder:
    """Raises `ModelMissingError` when a file has not been fetched."""
    return OpenVinoEmbedder(models.path(model_file(_ENCODER)), models.path(model_file(_TOKENIZER)))


def sparse_encoder() -> SparseEncoder:
    return Bm25Encoder()
