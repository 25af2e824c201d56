"""Haystack: a pipeline of the in-memory store's two retrievers and `DocumentJoiner`, by reciprocal ranks."""

from importlib import import_module
from typing import Any

# Candidates of each retriever, as of ours.
_DEPTH = 100


class Peer:
    def __init__(self, model: str) -> None:
        embedders = import_module("haystack_integrations.components.embedders.sentence_transformers")
        retrievers = import_module("haystack.components.retrievers.in_memory")
        joiner = import_module("haystack.components.joiners").DocumentJoiner(join_mode="reciprocal_rank_fusion")
        self._embedder = embedders.SentenceTransformersDocumentEmbedder(model=model, progress_bar=False)
        self._embedder.warm_up()
        self._store = import_module("haystack.document_stores.in_memory").InMemoryDocumentStore()
        self._pipeline: Any = import_module("haystack").Pipeline()
        embedder = embedders.SentenceTransformersTextEmbedder(model=model, progress_bar=False)
        self._pipeline.add_component("embedder", embedder)
        self._pipeline.add_component("dense", retrievers.InMemoryEmbeddingRetriever(self._store, top_k=_DEPTH))
        self._pipeline.add_component("bm25", retrievers.InMemoryBM25Retriever(self._store, top_k=_DEPTH))
        self._pipeline.add_component("joiner", joiner)
        self._pipeline.connect("embedder.embedding", "dense.query_embedding")
        self._pipeline.connect("bm25", "joiner")
        self._pipeline.connect("dense", "joiner")

    def index(self, texts: list[tuple[str, str]]) -> None:
        document = import_module("haystack").Document
        documents = [document(id=identifier, content=text) for identifier, text in texts]
        self._store.write_documents(self._embedder.run(documents=documents)["documents"])

    def search(self, query: str, top_k: int) -> list[str]:
        found = self._pipeline.run({"embedder": {"text": query}, "bm25": {"query": query}})
        return [document.id for document in found["joiner"]["documents"][:top_k]]
