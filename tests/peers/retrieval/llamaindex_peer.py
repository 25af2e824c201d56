"""LlamaIndex: a `VectorStoreIndex` and `BM25Retriever` in a `QueryFusionRetriever`, without a language model."""

from importlib import import_module
from typing import Any

# Candidates of each retriever, as of ours.
_DEPTH = 100


class Peer:
    def __init__(self, model: str) -> None:
        self._embedding = import_module("llama_index.embeddings.huggingface").HuggingFaceEmbedding(model_name=model)
        self._retriever: Any = None

    def index(self, texts: list[tuple[str, str]]) -> None:
        core = import_module("llama_index.core")
        documents = [core.Document(text=text, doc_id=identifier) for identifier, text in texts]
        index = core.VectorStoreIndex.from_documents(documents, embed_model=self._embedding)
        bm25 = import_module("llama_index.retrievers.bm25").BM25Retriever
        self._retriever = import_module("llama_index.core.retrievers").QueryFusionRetriever(
            [index.as_retriever(similarity_top_k=_DEPTH), bm25.from_defaults(index=index, similarity_top_k=_DEPTH)],
            llm=import_module("llama_index.core.llms").MockLLM(),
            mode="reciprocal_rerank",
            num_queries=1,
            use_async=False,
            similarity_top_k=_DEPTH,
        )

    def search(self, query: str, top_k: int) -> list[str]:
        """Long texts were split, so a document may be found twice."""
        found = dict.fromkeys(hit.node.ref_doc_id for hit in self._retriever.retrieve(query))
        return list(found)[:top_k]
