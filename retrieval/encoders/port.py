"""The port of the bi-encoder: text in, unit vectors out; queries and documents are encoded separately."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EncoderError

DenseVector = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddedTexts:
    """Unit vectors, one row per text in the order given, and how many tokens of each text the encoder read."""

    vectors: DenseVector
    token_counts: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.token_counts)


class Embedder(Protocol):
    """A bi-encoder. `fingerprint` names model, revision, precision, prompt and dimension; vectors of two never mix."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed_documents(self, texts: Sequence[str], *, in_background: bool = False) -> EmbeddedTexts:
        """Encode documents; texts past the encoder's window are cut. Raises `EncoderError`.

        `in_background` marks work that nobody waits for: an encoder on this machine gives priority to all other work.
        """

    def embed_query(self, text: str) -> DenseVector:
        """Return one unit vector of shape `(dimension,)`; quick, and not delayed by `documents` in another thread."""

    def close(self) -> None: ...


# Sentences that have nothing to do with each other.
UNRELATED_SENTENCES = (
    "The bakery opens at six in the morning.",
    "Copper melts at a little over a thousand degrees.",
    "She has played the cello since her childhood.",
    "The treaty was signed by both parliaments in spring.",
    "Frogs lay their eggs in shallow ponds.",
    "The printer in the second office is out of paper.",
    "Our team lost the final by two goals.",
    "A mortgage is repaid in monthly instalments.",
)


def compute_cosine_floor(encoder: Embedder) -> float:
    """Return the cosine that lies as far below that of unrelated texts as 1 lies above it.

    Encoders use different parts of the scale: unrelated texts have a cosine of about 0 by one, and of 0.7 by another.
    Raises `EncoderError`.
    """
    vectors = encoder.embed_documents(UNRELATED_SENTENCES).vectors
    cosines = vectors @ vectors.T
    return float(2 * cosines[np.triu_indices(len(cosines), 1)].mean() - 1)


def normalize_vectors(rows: DenseVector) -> DenseVector:
    """Scale rows to length 1. Raises `EncoderError` for a row without a direction, since nothing is near to it."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise EncoderError("The encoder gave a vector of zeros, or of what is no number.")
    scaled: DenseVector = (rows / lengths).astype(np.float32)
    return scaled


class HashingEmbedder:
    """A bag of hashed words for tests: different texts get different vectors, and shared words bring them nearer."""

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.fingerprint = f"hashing-words/{dimension}"

    def embed_documents(self, texts: Sequence[str], *, in_background: bool = False) -> EmbeddedTexts:
        vectors = (
            np.stack([self.embed_query(text) for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)
        )
        return EmbeddedTexts(vectors, tuple(len(text.split()) for text in texts))

    def embed_query(self, text: str) -> DenseVector:
        vector = np.full(self.dimension, 1e-3, np.float32)
        for word in text.casefold().split():
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            vector[int.from_bytes(digest[:4], "little") % self.dimension] += 1 if digest[4] % 2 else -1
        return vector / np.float32(np.linalg.norm(vector))

    def close(self) -> None:
        return None
