"""Chunks generated from a seed: their vectors are around cluster centres, and their words follow Zipf's law.

Chunk number n is the same however many chunks are generated, so an index can grow in steps. Queries resemble the first
chunks. Words do not depend on each other, so chunks have about twice as many distinct pairs of words as English prose:
at 10,000 chunks, they have 113 distinct terms per chunk, and chunks of 48 books and two collections have 65.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.storage.documents.records import derive_chunk_id
from retrieval.encoders.port import DenseVector
from retrieval.index.port import IndexedChunk

DIMENSION = 384
BATCH_CHUNKS = 2_048
_CLUSTERS = 1_000
# Lengths of the random vectors that are added to a centre (1.0 long) and to a query's own chunk. The cosine is about
# 0.61 for two chunks of a cluster, and about 0.89 for a query and its own chunk.
_CHUNK_NOISE = 0.8
_QUERY_NOISE = 0.5
_DOCUMENT_CHUNKS = 20
# A chunk of 1,000 characters has about 100 words that are not stop words (`AVERAGE_CHUNK_TERMS`).
_CHUNK_WORDS = 100
_CHUNK_CHARACTERS = 1_000
_QUERY_WORDS = 6
_VOCABULARY = 200_000
# The most frequent words of a language are its stop words, which are not indexed. Without them, no word is in nearly
# every chunk.
_STOP_WORDS = 100
_SYLLABLES = [first + second for first in "bdfgklmnprtvz" for second in "aou"]


@dataclass(frozen=True)
class Batch:
    """Chunks with their numbers, texts and unit vectors, a row for each."""

    numbers: NDArray[np.int64]
    chunks: list[IndexedChunk]
    texts: list[str]
    vectors: DenseVector


class ChunkGenerator:
    """Generates chunks of `tenants` tenants, whose documents alternate."""

    def __init__(self, seed: int, *, tenants: int = 1) -> None:
        random = np.random.default_rng(seed)
        self._seed = seed
        self._tenants = tenants
        self._centres = _scale_to_unit_length(random.standard_normal((_CLUSTERS, DIMENSION), np.float32))
        self._words = np.array([_spell_word(number) for number in range(_VOCABULARY)], object)
        # Zipf's law: the frequency of a word is inversely proportional to its rank.
        self._shares = np.cumsum(1 / (_STOP_WORDS + 1 + np.arange(_VOCABULARY)))
        self._shares /= self._shares[-1]

    def iter_batches(self, start: int, end: int) -> Iterator[Batch]:
        """Yield the chunks from number `start` to before number `end`."""
        for block in range(start // BATCH_CHUNKS, -(-end // BATCH_CHUNKS)):
            first = block * BATCH_CHUNKS
            yield self._generate_block(block, slice(max(0, start - first), min(BATCH_CHUNKS, end - first)))

    def generate_queries(self, count: int) -> tuple[list[str], DenseVector]:
        """Return queries for the first tenant, as texts and as unit vectors of shape (count, DIMENSION).

        Query number q has words of one of the first chunks, and a vector near that chunk's.
        """
        # With several tenants, the first one has only a part of the first chunks.
        needed = count * self._tenants + _DOCUMENT_CHUNKS * self._tenants
        own = [
            (text, vector)
            for batch in self.iter_batches(0, needed)
            for chunk, text, vector in zip(batch.chunks, batch.texts, batch.vectors, strict=True)
            if chunk.tenant_id == name_tenant(0)
        ][:count]
        noise = np.random.default_rng([self._seed, 1]).standard_normal((count, DIMENSION), np.float32)
        vectors = np.stack([vector for _, vector in own]) + noise * np.float32(_QUERY_NOISE / np.sqrt(DIMENSION))
        return [" ".join(text.split()[:_QUERY_WORDS]) for text, _ in own], _scale_to_unit_length(vectors)

    def _generate_block(self, block: int, part: slice) -> Batch:
        random = np.random.default_rng([self._seed, 0, block])
        centres = self._centres[random.integers(_CLUSTERS, size=BATCH_CHUNKS)]
        noise = random.standard_normal((BATCH_CHUNKS, DIMENSION), np.float32)
        words = np.searchsorted(self._shares, random.random((BATCH_CHUNKS, _CHUNK_WORDS)))
        numbers = (np.arange(BATCH_CHUNKS) + block * BATCH_CHUNKS)[part]
        vectors = centres[part] + noise[part] * np.float32(_CHUNK_NOISE / np.sqrt(DIMENSION))
        texts = [" ".join(row) for row in self._words[words[part]]]
        chunks = [self._build_chunk(number, text) for number, text in zip(numbers.tolist(), texts, strict=True)]
        return Batch(numbers, chunks, texts, _scale_to_unit_length(vectors))

    def _build_chunk(self, number: int, text: str) -> IndexedChunk:
        document, ordinal = divmod(number, _DOCUMENT_CHUNKS)
        start = ordinal * _CHUNK_CHARACTERS
        end = start + _CHUNK_CHARACTERS
        return IndexedChunk(
            id=name_chunk(number),
            tenant_id=name_tenant(document % self._tenants),
            collection="default",
            document_id=f"document-{document}",
            version_id=_name_version(document),
            ordinal=ordinal,
            start=start,
            end=end,
            byte_start=start,
            byte_end=end,
            page=None,
            heading_path=(),
            digest=hashlib.sha256(text.encode()).hexdigest(),
        )


def name_chunk(number: int) -> str:
    """Return the id of a chunk."""
    document, ordinal = divmod(number, _DOCUMENT_CHUNKS)
    start = ordinal * _CHUNK_CHARACTERS
    return derive_chunk_id(_name_version(document), start, start + _CHUNK_CHARACTERS)


def name_tenant(number: int) -> str:
    """Return the id of a tenant, of which the first is number 0."""
    return f"tenant-{number}"


def _name_version(document: int) -> str:
    return f"version-{document}"


def _spell_word(number: int) -> str:
    """Spell a number as a word that stands for no other number: a syllable for each digit, least significant first."""
    syllables: list[str] = []
    while number or not syllables:
        number, digit = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[digit])
    return "quo" + "".join(syllables)


def _scale_to_unit_length(vectors: DenseVector) -> DenseVector:
    scaled: DenseVector = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled
