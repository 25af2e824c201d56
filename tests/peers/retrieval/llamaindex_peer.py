"""LlamaIndex as its starter tutorial has it: `VectorStoreIndex.from_documents`, whose splitter is `SentenceSplitter`.

Beside it a `QueryFusionRetriever` of that index and `BM25Retriever`, by reciprocal ranks and without rewriting.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from tests.peers.retrieval.spans import Passage, Spans
from tests.peers.retrieval.vectors import Vectors

# What BM25 gives the fusion; it refuses more than there are chunks.
_DEPTH = 100


class Peer:
    def __init__(self, vectors: Vectors) -> None:
        self._embedding = _embedding(vectors)
        self._texts: Mapping[str, str] = {}
        self._index: Any = None
        self._bm25: Any = None

    def index(self, texts: Mapping[str, str]) -> None:
        core = import_module("llama_index.core")
        documents = [core.Document(text=text, doc_id=identifier) for identifier, text in texts.items()]
        self._texts = texts
        self._index = core.VectorStoreIndex.from_documents(documents, embed_model=self._embedding)
        bm25 = import_module("llama_index.retrievers.bm25").BM25Retriever
        self._bm25 = bm25.from_defaults(index=self._index, similarity_top_k=min(_DEPTH, len(self._index.docstore.docs)))

    def search(self, query: str, top_k: int) -> dict[str, list[Passage]]:
        vectors = self._index.as_retriever(similarity_top_k=top_k)
        hybrid = import_module("llama_index.core.retrievers").QueryFusionRetriever(
            [vectors, self._bm25],
            llm=import_module("llama_index.core.llms").MockLLM(),
            mode="reciprocal_rerank",
            num_queries=1,
            use_async=False,
            similarity_top_k=top_k,
        )
        return {
            "vectors": self._passages(vectors.retrieve(query)),
            "hybrid": self._passages(hybrid.retrieve(query)),
        }

    def _passages(self, hits: Iterable[Any]) -> list[Passage]:
        found: list[Passage] = []
        for node in (hit.node for hit in hits):
            start, end = node.start_char_idx, node.end_char_idx
            if start is None:  # the splitter did not find its own chunk again
                start, end = Spans(self._texts[node.ref_doc_id]).of(node.text)
            found.append((node.ref_doc_id, start, end))
        return found


def _embedding(vectors: Vectors) -> object:
    base: Any = import_module("llama_index.core.embeddings").BaseEmbedding

    class Embedding(base):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            return vectors.query(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return vectors.query(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return vectors.documents([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return vectors.documents(texts)

    return Embedding(embed_batch_size=256)
