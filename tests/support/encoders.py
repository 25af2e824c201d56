"""Several encoders that need no model: a process of a test cluster can move from one to another."""

from collections.abc import Callable

from retrieval.encoders.port import Embedder, HashingEmbedder
from retrieval.encoders.registry import EncoderChoice, Encoders
from tests.support.poison import PoisonedEncoder

# The dimension of each, by its name; the first is the one that everything begins with.
DIMENSIONS = {"hashing": 64, "hashing-32": 32, "hashing-96": 96}


def hashing_encoders(make: Callable[[int], Embedder] = HashingEmbedder) -> Encoders:
    return Encoders(
        [
            EncoderChoice(name, HashingEmbedder(dimension).fingerprint, dimension, lambda d=dimension: make(d))  # type: ignore[misc]
            for name, dimension in DIMENSIONS.items()
        ]
    )


def cluster_encoders() -> Encoders:
    """Those of a test cluster obey poisoned documents."""
    return hashing_encoders(PoisonedEncoder)
