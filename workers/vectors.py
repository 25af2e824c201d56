"""The chunks and texts that an index is made from, and the vectors that they are given.

Vectors that need not be made again are those of the version that a staged one replaces.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ingest.chunking import Chunk, context_line
from ingest.documents import Document, JobKind, Version, chunk_id
from ingest.faultpoints import reach
from ingest.texts import Texts, byte_spans
from retrieval.generations import OpenGeneration
from retrieval.index import DenseVector, IndexedChunk, IndexWriter

_READ_AT_ONCE = 256


def with_context(title: str, chunk: Chunk, text: str) -> str:
    """What BM25 and the encoder read of a chunk: where it stands, and then what it says."""
    return f"{context_line(title, chunk.heading_path)}\n{text}"


def chunk_texts(texts: Texts, version: Version, chunks: Sequence[Chunk]) -> Iterator[tuple[str, str]]:
    """The id of each chunk and its text with the context line, for chunks in reading order."""
    title = version.title or version.name
    for at in range(0, len(chunks), _READ_AT_ONCE):
        some = chunks[at : at + _READ_AT_ONCE]
        offset = some[0].start
        body = texts.read(version.id, offset, some[-1].end)
        for chunk in some:
            text = with_context(title, chunk, body[chunk.start - offset : chunk.end - offset])
            yield chunk_id(version.id, chunk.start, chunk.end), text


def indexed_chunks(document: Document, version: Version, text: str, chunks: Sequence[Chunk]) -> Iterator[IndexedChunk]:
    """The chunks of a version's whole text as the index keeps them."""
    for chunk, (byte_start, byte_end) in zip(chunks, byte_spans(text, chunks), strict=True):
        yield IndexedChunk(
            id=chunk_id(version.id, chunk.start, chunk.end),
            tenant_id=document.tenant_id,
            collection=document.collection,
            document_id=document.id,
            version_id=version.id,
            ordinal=chunk.ordinal,
            start=chunk.start,
            end=chunk.end,
            byte_start=byte_start,
            byte_end=byte_end,
            page=chunk.page,
            heading_path=chunk.heading_path,
        )


class KeptVectors:
    """The vectors of a version that is being searched, by the text they were made from."""

    def __init__(self, texts: Texts, index: IndexWriter, version: Version) -> None:
        self._index = index
        self._ids: dict[bytes, str] = {}
        characters = 0
        for identifier, text in chunk_texts(texts, version, texts.map(version.id).chunks):
            self._ids[_digest(text)] = identifier
            characters += len(text)
        self._tokens_per_character = (version.tokens or 0) / max(1, characters)

    def find(self, texts: Sequence[str]) -> dict[str, DenseVector]:
        """The vectors of those texts that a chunk has word for word, context line included, by text."""
        known = {text: self._ids[digest] for text in texts if (digest := _digest(text)) in self._ids}
        vectors = self._index.dense(sorted(set(known.values())))
        return {text: vectors[identifier] for text, identifier in known.items() if identifier in vectors}

    def tokens(self, text: str) -> float:
        """About how many tokens a text has: nobody counts them again, so it is their share of what was counted."""
        return len(text) * self._tokens_per_character


@dataclass(frozen=True)
class Portion:
    """Chunks of a version that get their vectors together; `kept` are those of the version that it replaces."""

    version: Version
    chunks: Sequence[Chunk]
    kept: KeptVectors | None = None

    def tokens(self, text: str) -> float:
        return self.kept.tokens(text) if self.kept else 0.0


@dataclass(frozen=True)
class Written:
    """Tokens of chunks that have their vectors, and how many of these vectors are old ones."""

    tokens: int
    reused: int

    def __add__(self, other: "Written") -> "Written":
        return Written(self.tokens + other.tokens, self.reused + other.reused)


class VectorWriter:
    """Encodes chunks and gives them their vectors, in one generation of the index and with its encoder."""

    def __init__(self, texts: Texts, made: OpenGeneration, kind: JobKind) -> None:
        self._texts = texts
        self._made = made
        self._kind = kind

    def write(self, portions: Sequence[Portion]) -> list[Written]:
        """Give the chunks of several versions their vectors, the new ones encoded together."""
        texts = [list(chunk_texts(self._texts, portion.version, portion.chunks)) for portion in portions]
        kept = [
            portion.kept.find([text for _, text in part]) if portion.kept else {}
            for portion, part in zip(portions, texts, strict=True)
        ]
        old = [(i, known[text]) for part, known in zip(texts, kept, strict=True) for i, text in part if text in known]
        new = [(i, text) for part, known in zip(texts, kept, strict=True) for i, text in part if text not in known]
        if old:
            self._made.index.set_dense([i for i, _ in old], np.stack([vector for _, vector in old]))
        counts = self._encode(new) if new else {}
        return [
            Written(
                round(sum(counts[i] if i in counts else portion.tokens(text) for i, text in part)),
                sum(i not in counts for i, _ in part),
            )
            for portion, part in zip(portions, texts, strict=True)
        ]

    def _encode(self, new: Sequence[tuple[str, str]]) -> dict[str, int]:
        """How many tokens each chunk has, by id."""
        ids = [i for i, _ in new]
        embedded = self._made.encoder.documents([text for _, text in new])
        reach(f"{self._kind}.encoded")
        self._made.index.set_dense(ids, embedded.vectors)
        reach(f"{self._kind}.written")
        return dict(zip(ids, embedded.token_counts, strict=True))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
