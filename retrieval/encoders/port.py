"""The interface of bi-encoders, which convert text to unit vectors. Queries and documents are encoded separately."""

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
    """One unit vector per text, in order, and the number of tokens read from each text."""

    vectors: DenseVector
    token_counts: tuple[int, ...]

    @property
    def total_tokens(self) -> int:
        return sum(self.token_counts)


class Embedder(Protocol):
    """A bi-encoder.

    `fingerprint` identifies the model, revision, precision, prompts and dimension. Vectors with different fingerprints
    cannot be compared.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        """Encode documents. Texts longer than the encoder's context window are truncated.

        Raises `EncoderError` if encoding fails. `is_background` marks work that no user is waiting for, which a local
        encoder runs at a lower priority.
        """

    def embed_query(self, text: str) -> DenseVector:
        """Encode a query as a unit vector of shape `(dimension,)`, without waiting for documents of other threads."""

    def close(self) -> None: ...


# Sentences on unrelated topics, used to measure an encoder's cosine between unrelated texts.
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
    """Compute the encoder's cosine floor: the cosine that is mapped to a score of 0.

    The floor is as far below the mean cosine of unrelated texts as 1 is above it. It depends on the encoder, because
    the cosine of unrelated texts is about 0 for some encoders and 0.7 for others. Raises `EncoderError` if the encoder
    fails.
    """
    vectors = encoder.embed_documents(UNRELATED_SENTENCES).vectors
    cosines = vectors @ vectors.T
    return float(2 * cosines[np.triu_indices(len(cosines), 1)].mean() - 1)


def normalize_vectors(vectors: DenseVector) -> DenseVector:
    """Scale each row to unit length. Raises `EncoderError` if a row is all zeros or not finite."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise EncoderError("The encoder returned a vector that is all zeros or not finite.")
    scaled: DenseVector = (vectors / lengths).astype(np.float32)
    return scaled


class HashingEmbedder:
    """A fake embedder for tests, which hashes words so that texts with common words have similar vectors."""

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.fingerprint = f"hashing-words/{dimension}"

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
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
