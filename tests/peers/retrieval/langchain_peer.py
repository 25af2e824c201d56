"""LangChain: an `EnsembleRetriever` of `BM25Retriever` and `QdrantVectorStore` in memory, with their defaults.

The vector store's own hybrid mode needs a sparse model of a hub; the ensemble is what is used without one.
"""

from importlib import import_module
from typing import Any

# Candidates of each retriever, as of ours.
_DEPTH = 100


class Peer:
    def __init__(self, model: str) -> None:
        self._embeddings = import_module("langchain_huggingface").HuggingFaceEmbeddings(model_name=model)
        self._retriever: Any = None

    def index(self, texts: list[tuple[str, str]]) -> None:
        document = import_module("langchain_core.documents").Document
        documents = [document(page_content=text, metadata={"id": identifier}) for identifier, text in texts]
        store = import_module("langchain_qdrant").QdrantVectorStore.from_documents(
            documents, self._embeddings, location=":memory:", collection_name="corpus"
        )
        bm25 = import_module("langchain_community.retrievers").BM25Retriever.from_documents(documents, k=_DEPTH)
        self._retriever = import_module("langchain_classic.retrievers").EnsembleRetriever(
            retrievers=[bm25, store.as_retriever(search_kwargs={"k": _DEPTH})], weights=[0.5, 0.5]
        )

    def search(self, query: str, top_k: int) -> list[str]:
        return [document.metadata["id"] for document in self._retriever.invoke(query)[:top_k]]
