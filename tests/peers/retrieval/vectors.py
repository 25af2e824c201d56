"""The encoder that comes with Leadline, for a peer: all get the same vectors, so that what differs is the software."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from retrieval.encoders.openvino_embedder import OpenVinoEmbedder


class Vectors:
    """Vectors of length 1, as lists of numbers, which every peer takes. The encoder is loaded when first used."""

    def __init__(self, model: str, tokenizer: str) -> None:
        self._files = Path(model), Path(tokenizer)

    def documents(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._encoder.embed_documents(texts).vectors.tolist()
        return vectors

    def query(self, text: str) -> list[float]:
        vector: list[float] = self._encoder.embed_query(text).tolist()
        return vector

    @cached_property
    def _encoder(self) -> OpenVinoEmbedder:
        return OpenVinoEmbedder(*self._files)
