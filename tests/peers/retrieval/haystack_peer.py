"""Haystack: `DocumentSplitter` and the two retrievers of `InMemoryDocumentStore`, alone and by reciprocal ranks."""

from collections.abc import Mapping
from importlib import import_module

from tests.peers.retrieval.spans import Passage
from tests.peers.retrieval.vectors import Vectors


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

    def search(self, query: str, top_k: int) -> dict[str, list[Passage]]:
        bm25 = self._bm25.run(query=query, top_k=top_k)["documents"]
        vectors = self._dense.run(query_embedding=self._vectors.query(query), top_k=top_k)["documents"]
        hybrid = self._joiner.run(documents=[bm25, vectors])["documents"][:top_k]
        return {
            search: [
                (chunk.meta["text"], start := chunk.meta["split_idx_start"], start + len(chunk.content))
                for chunk in chunks
            ]
            for search, chunks in (("bm25", bm25), ("vectors", vectors), ("hybrid", hybrid))
        }
