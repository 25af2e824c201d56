"""LangChain as its tutorial on retrieval has it: `RecursiveCharacterTextSplitter` and `InMemoryVectorStore`.

Beside it an `EnsembleRetriever` of that store and `BM25Retriever`, which is its hybrid search without a service. It is
told to tell chunks apart by an id: by their text, its default, chunks of equal text add up and come first (on
`chunking-eval` MRR .34, where its vectors alone have .61).
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from tests.peers.retrieval.spans import Passage
from tests.peers.retrieval.vectors import Vectors

# The tutorial's, in characters; the class's own default of 4,000 is more than the encoder reads.
_CHUNK, _OVERLAP = 1000, 200


class Peer:
    def __init__(self, vectors: Vectors) -> None:
        splitters = import_module("langchain_text_splitters")
        self._splitter = splitters.RecursiveCharacterTextSplitter(
            chunk_size=_CHUNK, chunk_overlap=_OVERLAP, add_start_index=True
        )
        self._store = import_module("langchain_core.vectorstores").InMemoryVectorStore(_embeddings(vectors))
        self._bm25: Any = None

    def index(self, texts: Mapping[str, str]) -> None:
        chunks = self._splitter.create_documents(list(texts.values()), [{"id": identifier} for identifier in texts])
        for number, chunk in enumerate(chunks):
            chunk.metadata["chunk"] = number
        self._store.add_documents(chunks)
        self._bm25 = import_module("langchain_community.retrievers").BM25Retriever.from_documents(chunks)

    def search(self, query: str, top_k: int) -> dict[str, list[Passage]]:
        self._bm25.k = top_k
        lists = [self._bm25.invoke(query), self._store.similarity_search(query, k=top_k)]
        ensemble = import_module("langchain_classic.retrievers").EnsembleRetriever(
            retrievers=[self._bm25, self._store.as_retriever()], id_key="chunk"
        )
        found = {"vectors": lists[1], "hybrid": ensemble.weighted_reciprocal_rank(lists)[:top_k]}
        return {
            search: [
                (chunk.metadata["id"], start := chunk.metadata["start_index"], start + len(chunk.page_content))
                for chunk in chunks
            ]
            for search, chunks in found.items()
        }


def _embeddings(vectors: Vectors) -> object:
    base: Any = import_module("langchain_core.embeddings").Embeddings

    class Embeddings(base):  # type: ignore[misc]
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return vectors.documents(texts)

        def embed_query(self, text: str) -> list[float]:
            return vectors.query(text)

    return Embeddings()
