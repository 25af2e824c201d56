"""txtai: `Segmentation` by paragraphs, as its examples cut texts, and `Embeddings`, by vectors alone and hybrid."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.peers.retrieval.spans import Passage, Spans
from tests.peers.retrieval.vectors import Vectors


class Peer:
    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        embeddings: Any = import_module("txtai").Embeddings

        def transform(texts: list[str]) -> NDArray[np.float32]:  # it calls what is no plain function once more
            return self._transform(texts)

        settings = {"method": "external", "transform": transform}
        self._embeddings = {"vectors": embeddings(settings), "hybrid": embeddings({**settings, "hybrid": True})}
        self._known: dict[str, list[float]] = {}
        self._passages: list[Passage] = []

    def index(self, texts: Mapping[str, str]) -> None:
        cut = import_module("txtai.pipeline").Segmentation(paragraphs=True)
        chunks: list[str] = []
        for identifier, text in texts.items():
            spans = Spans(text)
            for chunk in cut(text):
                chunks.append(chunk)
                self._passages.append((identifier, *spans.of(chunk)))
        self._known = dict(zip(chunks, self._vectors.documents(chunks), strict=True))
        for each in self._embeddings.values():
            each.index((number, chunk, None) for number, chunk in enumerate(chunks))

    def search(self, query: str, top_k: int) -> dict[str, list[Passage]]:
        return {
            search: [self._passages[number] for number, _ in embeddings.search(query, top_k)]
            for search, embeddings in self._embeddings.items()
        }

    def _transform(self, texts: list[str]) -> NDArray[np.float32]:
        """Return vectors of chunks or of a query: txtai asks for both alike."""
        vectors = [self._known[text] if text in self._known else self._vectors.query(text) for text in texts]
        return np.array(vectors, dtype=np.float32)
