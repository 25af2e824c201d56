"""BM25 weights for documents and queries: the sparse half of hybrid retrieval.

`Bm25Encoder` uses the engine's own encoder, so that term ids agree with a Qdrant server's. The engine multiplies the
document's weight by the term's idf at query time (`Modifier.Idf`).
"""

import re
from collections import Counter
from typing import Protocol

from qdrant_edge import Bm25, Bm25Config

from retrieval.index import SparseVector

# Mean number of terms in a chunk without stop words: 84 to 112 on books, abstracts and encyclopaedia articles cut at
# 1,000 characters. BM25's quality is flat around it.
AVERAGE_CHUNK_TERMS = 100.0
_WORD = re.compile(r"\w[\w'’.-]*")


class SparseEncoder(Protocol):
    """A port that turns text into term weights; `fingerprint` names every choice that changes the weights."""

    @property
    def fingerprint(self) -> str: ...

    def document(self, text: str) -> SparseVector: ...

    def query(self, text: str) -> SparseVector: ...


class Bm25Encoder:
    """`bm25(k1, b)` with stop words and Snowball stemming.

    score(q, d) = sum over terms of qtf * idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * |d| / avgdl)).
    Source: Robertson & Zaragoza, The Probabilistic Relevance Framework (2009); k1 = 1.2 and b = 0.75 are its usual
    values.
    """

    def __init__(
        self, *, language: str = "english", k1: float = 1.2, b: float = 0.75, avgdl: float = AVERAGE_CHUNK_TERMS
    ) -> None:
        self._bm25 = Bm25(Bm25Config(k=k1, b=b, avg_len=avgdl, language=language))
        self.fingerprint = f"bm25-edge/{language}/{k1}/{b}/{avgdl}"

    def document(self, text: str) -> SparseVector:
        vector = self._bm25.embed_document(text)
        return SparseVector(tuple(vector.indices), tuple(vector.values))

    def query(self, text: str) -> SparseVector:
        """Return each query term weighted by how often it occurs; the engine's own encoder would weigh every term 1."""
        counts: Counter[int] = Counter()
        for word in _WORD.findall(text):
            counts.update(self._bm25.embed_query(word).indices)
        return SparseVector(tuple(counts), tuple(float(count) for count in counts.values()))


def matched_words(encoder: SparseEncoder, query: str, text: str) -> tuple[str, ...]:
    """Return the query words that BM25 finds in the text, each once, in query order; stop words are left out."""
    there = set(encoder.document(text).indices)
    asked = {word: encoder.query(word).indices for word in dict.fromkeys(_WORD.findall(query))}
    return tuple(word for word, terms in asked.items() if there.intersection(terms))
