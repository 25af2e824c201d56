"""Late interaction: match each token of the query with the most similar token of a passage.

The bi-encoder computes the token vectors of the passages to rerank during the search. Storing them for every chunk
would take 250 times as much space as the chunk's single vector. A cache holds the most recently used vectors.
"""

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from retrieval.encoders.port import DenseVector
from retrieval.errors import EncoderError, RerankerError, RerankerTimeoutError
from retrieval.rerank.port import CorpusSnapshot, require_remaining_seconds
from retrieval.rerank.token_cache import TokenCache

# Number of passages per batch. Batches are small, because the deadline is checked only between batches, and larger
# batches are not faster and need more padding.
_BATCH_SIZE = 4


class TokenEncoder(Protocol):
    """An encoder that converts text to unit-length vectors, one row per token, in token order."""

    @property
    def fingerprint(self) -> str: ...

    def encode_texts(self, texts: Sequence[str]) -> list[DenseVector]:
        """Return the token vectors of each text. Raises `EncoderError` if the encoder fails."""

    def encode_query(self, text: str) -> tuple[DenseVector, DenseVector]:
        """Return a query's token vectors, and a weight for each token. Common words have lower weights.

        Raises `EncoderError` if the encoder fails.
        """

    def close(self) -> None: ...


class LateInteractionReranker:
    """A reranker that computes MaxSim over token vectors. Rare query words count more than common ones."""

    def __init__(self, encoder: TokenEncoder, cache: TokenCache | None = None) -> None:
        self.fingerprint = f"maxsim-weighted/{encoder.fingerprint}"
        self._encoder = encoder
        self._cache = cache or TokenCache(0)
        # Calls run one at a time, because two concurrent calls would each take twice as long.
        self._turn = threading.Lock()

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        if not self._turn.acquire(timeout=require_remaining_seconds(deadline)):
            raise RerankerTimeoutError("Late interaction was busy until the deadline.")
        try:
            return self._compute_scores(query, passages, deadline, corpus)
        except EncoderError as error:
            raise RerankerError(error.detail, hint=error.hint) from error
        finally:
            self._turn.release()

    def close(self) -> None:
        self._encoder.close()

    def _compute_scores(
        self, query: str, passages: Sequence[str], deadline: float, corpus: CorpusSnapshot | None
    ) -> list[float]:
        asked, weights = self._encoder.encode_query(query)
        return [compute_maxsim(asked, tokens, weights) for tokens in self._encode_passages(passages, deadline, corpus)]

    def _encode_passages(
        self, passages: Sequence[str], deadline: float, corpus: CorpusSnapshot | None
    ) -> list[DenseVector]:
        """Return each passage's token vectors, from the cache or encoded in batches of similar length."""
        kept = [None] * len(passages) if corpus is None else self._cache.find_vectors(corpus, passages)
        found = {row: tokens for row, tokens in enumerate(kept) if tokens is not None}
        order = sorted(set(range(len(passages))).difference(found), key=lambda row: len(passages[row]))
        for at in range(0, len(order), _BATCH_SIZE):
            require_remaining_seconds(deadline)
            rows = order[at : at + _BATCH_SIZE]
            for row, tokens in zip(rows, self._encoder.encode_texts([passages[row] for row in rows]), strict=True):
                found[row] = tokens
                if corpus is not None:
                    self._cache.store_vectors(corpus, passages[row], tokens)
        return [found[row] for row in range(len(passages))]


def compute_maxsim(query: DenseVector, passage: DenseVector, weights: DenseVector) -> float:
    """Return the weighted mean, over the query's tokens, of the highest cosine with any token of the passage.

    Rows have unit length. `weights` has one number for each row of the query. If all weights are 0, all rows count
    equally.

    Sources: Khattab & Zaharia, ColBERT, SIGIR 2020; weights by the rarity of tokens as in Zhang et al., BERTScore, ICLR
    2020.
    """
    # Use `einsum` instead of `@`. With `@`, BLAS threads spin while they wait for each other, so ten passages take 27
    # ms instead of 2 ms.
    nearest = np.einsum("qd,pd->qp", query, passage).max(axis=1)
    return float(np.average(nearest, weights=weights if weights.any() else None))
