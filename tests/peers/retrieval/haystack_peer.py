"""Haystack: `DocumentSplitter` and the two retrievers of `InMemoryDocumentStore`, alone and by reciprocal ranks."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from tests.peers.retrieval.vectors import Vectors

SEARCHES = ("bm25", "vectors", "hybrid")


class Peer:
    def __init__(self, vectors: Vectors) -> None:
        retrievers = import_module("haystack.components.retrievers.in_memory")
        self._vectors = vectors
        self._store = import_module("haystack.document_stores.in_memory").InMemoryDocumentStore()
        self._bm25 = retrievers.InMemoryBM25Retriever(self._store)
        self._dense = retrievers.InMemoryEmbeddingRetriever(self._store)
        joiners = import_module("haystack.components.joiners")
        self._joiner = joiners.DocumentJoiner(join_mode="reciprocal_rank_fusion")

    def index(self, texts: Mapping[str, str]) -> None:
        """Split by the splitter's own size, 200 words."""
        document = import_module("haystack").Document
        splitter = import_module("haystack.components.preprocessors").DocumentSplitter()
        splitter.warm_up()
        whole = [document(content=text, meta={"text": identifier}) for identifier, text in texts.items()]
        chunks = splitter.run(documents=whole)["documents"]
        embedded = self._vectors.documents([chunk.content for chunk in chunks])
        replace = import_module("dataclasses").replace
        self._store.write_documents(
            [replace(chunk, embedding=vector) for chunk, vector in zip(chunks, embedded, strict=True)]
        )

    def search(self, search: str, query: str, top_k: int) -> list[tuple[str, int, int]]:
        found: list[list[Any]] = []
        if search != "vectors":
            found.append(self._bm25.run(query=query, top_k=top_k)["documents"])
        if search != "bm25":
            found.append(self._dense.run(query_embedding=self._vectors.query(query), top_k=top_k)["documents"])
        best = self._joiner.run(documents=found)["documents"] if search == "hybrid" else found[0]
        starts = [(chunk.meta["text"], chunk.meta["split_idx_start"], chunk.content) for chunk in best[:top_k]]
        return [(identifier, start, start + len(content)) for identifier, start, content in starts]
