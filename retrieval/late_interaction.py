"""Late interaction: each token of the query is matched with the most similar token of a passage.

The token vectors come from the bi-encoder and are made again for the passages that are reranked: stored for every
chunk, they would take 250 times the room of the chunk's one vector.
"""

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from retrieval.errors import EncoderError, RerankerError, RerankerTimeoutError
from retrieval.index import DenseVector
from retrieval.reranker import seconds_left

# The deadline is checked between batches.
_PASSAGES_A_BATCH = 8


class TokenEncoder(Protocol):
    """A port that turns each text into token vectors of length 1, a row each, in the tokens' order."""

    @property
    def fingerprint(self) -> str: ...

    def tokens(self, texts: Sequence[str]) -> list[DenseVector]:
        """Return the token vectors of each text. Raises `EncoderError`."""

    def query(self, text: str) -> tuple[DenseVector, DenseVector]:
        """Return the token vectors of a query, and the weight of each token: common words say little.

        Raises `EncoderError`.
        """

    def close(self) -> None: ...


class LateInteractionReranker:
    """MaxSim over a token encoder's vectors, in which rare words of the query count more than common ones."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self.fingerprint = f"maxsim-weighted/{encoder.fingerprint}"
        self._encoder = encoder
        self._turn = threading.Lock()  # two calls at once would each take twice as long

    def scores(self, query: str, passages: Sequence[str], *, until: float) -> Sequence[float]:
        if not self._turn.acquire(timeout=seconds_left(until)):
            raise RerankerTimeoutError("Late interaction was busy until the time was over.")
        try:
            return self._scores(query, passages, until)
        except EncoderError as error:
            raise RerankerError(error.detail, hint=error.hint) from error
        finally:
            self._turn.release()

    def close(self) -> None:
        self._encoder.close()

    def _scores(self, query: str, passages: Sequence[str], until: float) -> list[float]:
        """Score in batches of similar length, so that little is spent on padding."""
        asked, weights = self._encoder.query(query)
        found = [0.0] * len(passages)
        order = sorted(range(len(passages)), key=lambda position: len(passages[position]))
        for at in range(0, len(order), _PASSAGES_A_BATCH):
            seconds_left(until)
            rows = order[at : at + _PASSAGES_A_BATCH]
            for row, tokens in zip(rows, self._encoder.tokens([passages[row] for row in rows]), strict=True):
                found[row] = maxsim(asked, tokens, weights)
        return found


def maxsim(query: DenseVector, passage: DenseVector, weights: DenseVector) -> float:
    """Return the weighted mean, over the query's tokens, of the greatest cosine with a passage's token.

    Rows have length 1; `weights` has one number for each of the query's rows, and counts all alike if all are 0.
    Sources: Khattab & Zaharia, ColBERT, SIGIR 2020; weights by how rare a token is as in Zhang et al., BERTScore,
    ICLR 2020.
    """
    nearest = (query @ passage.T).max(axis=1)
    return float(np.average(nearest, weights=weights if weights.any() else None))
