"""Many chunks made of few: real ones again and again, each copy changed a little, and their exact nearest neighbours.

An index can so be measured at a size for which there are no texts, or no time to embed them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ingest.storage.documents.records import derive_chunk_id
from retrieval.encoders.port import DenseVector
from retrieval.index.port import IndexedChunk

# A copy's vector is the original's plus a random one of this length: their cosine is about 0.89.
_NOISE = 0.5
# The share of a copy's words that are left out, and the share that another chunk's words replace.
_CHANGED = 0.1
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Batch:
    """Chunks with their texts and unit vectors, a row for each."""

    chunks: list[IndexedChunk]
    texts: list[str]
    vectors: DenseVector


class Repetition:
    """Chunk number n is a copy of original number n modulo their count; the first copies are the originals."""

    def __init__(
        self, chunks: Sequence[IndexedChunk], texts: Sequence[str], vectors: DenseVector, *, seed: int
    ) -> None:
        """`vectors` has shape (chunks, dimension) and rows of length 1."""
        if not chunks or len(chunks) != len(texts) or len(chunks) != len(vectors):
            raise ValueError("each original needs its text and its vector, and there must be one")
        self._chunks = chunks
        self._words = [text.split() for text in texts]
        self._texts = texts
        self._vectors = vectors
        self._random = np.random.default_rng(seed)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    def batches(self, start: int, end: int, *, size: int, reworded: bool = True) -> Iterator[Batch]:
        """Chunks from number `start` to before number `end`. Call it once for each number: copies are drawn anew.

        Copies that are not `reworded` have the originals' texts.
        """
        for at in range(start, end, size):
            yield self._batch(range(at, min(at + size, end)), reworded)

    def _batch(self, numbers: range, reworded: bool) -> Batch:
        originals = np.array([number % len(self._chunks) for number in numbers])
        copies = [number // len(self._chunks) for number in numbers]
        vectors = self._vectors[originals]
        changed = np.array(copies) > 0
        noise = self._random.normal(0, _NOISE / np.sqrt(vectors.shape[1]), vectors.shape).astype(np.float32)
        vectors = vectors + noise * changed[:, None]
        chunks = [_copy(self._chunks[original], copy) for original, copy in zip(originals, copies, strict=True)]
        texts = [
            self._reworded(original) if copy and reworded else self._texts[original]
            for original, copy in zip(originals, copies, strict=True)
        ]
        return Batch(chunks, texts, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def _reworded(self, original: int) -> str:
        words, others = self._words[original], self._words[self._random.integers(len(self._words))]
        fates = self._random.random(len(words))
        kept = (
            others[position % len(others)] if others and fate < 2 * _CHANGED else word
            for position, (word, fate) in enumerate(zip(words, fates, strict=True))
            if fate >= _CHANGED
        )
        return " ".join(kept)


class NearestRows:
    """The rows with the largest inner products with each query, of all rows that were compared so far."""

    def __init__(self, queries: DenseVector, count: int) -> None:
        """`queries` has shape (queries, dimension). Each of them keeps `count` rows."""
        self._queries = queries
        self._scores = np.full((len(queries), count), -np.inf, np.float32)
        self.rows = np.zeros((len(queries), count), np.int64)

    def compare(self, vectors: DenseVector, numbers: NDArray[np.int64]) -> None:
        """Compare more rows, given their vectors and row numbers. `rows` has the best ones, best first."""
        scores = self._queries @ vectors.T
        both = np.hstack([self._scores, scores])
        named = np.hstack([self.rows, np.broadcast_to(numbers, scores.shape)])
        order = np.argsort(-both, axis=1, kind="stable")[:, : self.rows.shape[1]]
        self._scores, self.rows = np.take_along_axis(both, order, 1), np.take_along_axis(named, order, 1)


class VectorFile:
    """Rows of single precision in a file, so that a million of them do not count as memory."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        self._file: BinaryIO = path.open("wb")
        self.rows = 0

    def append(self, vectors: DenseVector) -> None:
        self._file.write(np.ascontiguousarray(vectors, np.float32).tobytes())
        self.rows += len(vectors)

    def nearest(self, queries: DenseVector, count: int, *, rows_at_once: int = _ROWS_AT_ONCE) -> NDArray[np.int64]:
        """The rows with the largest inner products, best first: shape (queries, count), by comparing with every row."""
        self._file.flush()
        found = NearestRows(queries, count)
        with self._path.open("rb") as file:
            for start in range(0, self.rows, rows_at_once):
                block = np.frombuffer(file.read(rows_at_once * self._dimension * 4), np.float32)
                vectors = block.reshape(-1, self._dimension)
                found.compare(vectors, np.arange(start, start + len(vectors)))
        return found.rows

    def close(self) -> None:
        self._file.close()


def _copy(chunk: IndexedChunk, copy: int) -> IndexedChunk:
    """Another chunk of another document, of which each copy has one."""
    if not copy:
        return chunk
    version = f"{chunk.version_id}-{copy}"
    return replace(
        chunk,
        id=derive_chunk_id(version, chunk.start, chunk.end),
        document_id=f"{chunk.document_id}-{copy}",
        version_id=version,
    )
