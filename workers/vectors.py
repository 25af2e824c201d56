"""The texts that are encoded, and the vectors that need not be: those of the version that a staged one replaces."""

import hashlib
from collections.abc import Iterator, Sequence

from ingest.chunking import Chunk, context_line
from ingest.documents import Version, chunk_id
from ingest.texts import Texts
from retrieval.index import DenseVector, IndexWriter

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


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
