"""Chunks and their texts in the form accepted by an index, and the computation of their vectors.

A vector is reused if the tenant has another chunk with the same text.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document, Version, derive_chunk_id
from ingest.storage.instrumentation import reach_fault_point, record_span
from ingest.storage.queue.records import JobKind
from ingest.storage.texts.chunks import Chunk, build_context_line
from ingest.storage.texts.layout import Layout
from ingest.storage.texts.texts import Texts, compute_byte_spans
from retrieval.encoders.port import DenseVector
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import OpenGeneration
from retrieval.index.languages import Language
from retrieval.index.port import IndexedChunk, IndexVectors, SparseVector

_READ_BATCH_CHUNKS = 256
_BATCH_DIGESTS = 256
# Maximum number of characters from a table's header that precede each chunk of the table's rows. The encoder reads only
# 256 tokens.
MAX_TABLE_HEADER_CHARS = 300
_TOKENS_PER_CHARACTER = 0.25
_rule = re.compile(r"\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*")
_pipe = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class IndexedText:
    """The indexed text of a chunk: its context line, its table's header if it lacks one, and the chunk itself.

    When converted to a string, it is the encoder's input. Pipes and rules of tables are omitted, because they account
    for a quarter of a table's tokens and the encoder reads only 256.
    """

    context: str
    header: str
    body: str

    def __str__(self) -> str:
        return "\n".join([self.context, *filter(None, [_extract_cells(self.header), _extract_cells(self.body)])])


def _extract_cells(text: str) -> str:
    """Reduce the rows of Markdown tables in a text to their cells."""
    if "|" not in text:
        return text
    lines = (line for line in text.split("\n") if not _rule.fullmatch(line))
    return "\n".join(" ".join(_pipe.sub(" ", line).split()) if line.startswith("|") else line for line in lines)


def _shorten_header(header: str) -> str:
    """Shorten a header to its maximum length. A second row, with years or units, gets up to half of the characters."""
    lines = header.split("\n")
    if len(header) <= MAX_TABLE_HEADER_CHARS or len(lines) < 3 or not _rule.fullmatch(lines[1]):
        return header[:MAX_TABLE_HEADER_CHARS]
    second = lines[2][: MAX_TABLE_HEADER_CHARS // 2]
    return f"{lines[0][: MAX_TABLE_HEADER_CHARS - len(second) - 1]}\n{second}"


def build_indexed_text(title: str, chunk: Chunk, text: str, layout: Layout, offset: int = 0) -> IndexedText:
    """Build the indexed text of a chunk.

    `text` begins at code point `offset` and contains the chunk and its table's header.
    """
    above = layout.find_table_header(chunk.start)
    header = _shorten_header(text[above[0] - offset : above[1] - offset]) if above else ""
    return IndexedText(
        build_context_line(title, chunk.heading_path), header, text[chunk.start - offset : chunk.end - offset]
    )


def iter_chunk_texts(texts: Texts, version: Version, chunks: Sequence[Chunk]) -> Iterator[tuple[str, IndexedText]]:
    """Yield each chunk's id and indexed text, for chunks in reading order."""
    title, layout = version.title or version.name, texts.load_map(version.id).layout
    for at in range(0, len(chunks), _READ_BATCH_CHUNKS):
        some = chunks[at : at + _READ_BATCH_CHUNKS]
        headers = (header[0] for chunk in some if (header := layout.find_table_header(chunk.start)))
        offset = min([some[0].start, *headers])
        body = texts.read(version.id, offset, some[-1].end)
        for chunk in some:
            yield (
                derive_chunk_id(version.id, chunk.start, chunk.end),
                build_indexed_text(title, chunk, body, layout, offset),
            )


def compute_word_weights(encoder: SparseEncoder, text: IndexedText, *, name: str, language: Language) -> SparseVector:
    """Compute the BM25 weights of a chunk, including its headings, the file's name and its table's header.

    The encoder does not read the file name, because the name contains search terms but no meaning to embed.
    """
    known = [] if name in text.context else [PurePath(name).stem]
    # guard: table-header-indexed
    context = "\n".join([text.context, *known, *filter(None, [text.header])])
    return encoder.encode_document(text.body, context=context, language=language)


def iter_indexed_chunks(
    document: Document, version: Version, text: str, chunks: Sequence[Chunk], layout: Layout
) -> Iterator[IndexedChunk]:
    """Yield the chunks of a version's whole text as records for the index."""
    title = version.title or version.name
    for chunk, (byte_start, byte_end) in zip(chunks, compute_byte_spans(text, chunks), strict=True):
        yield IndexedChunk(
            id=derive_chunk_id(version.id, chunk.start, chunk.end),
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
            digest=compute_text_digest(str(build_indexed_text(title, chunk, text, layout))),
        )


@dataclass(frozen=True)
class Portion:
    """Chunks of one version that are embedded together. `staged` is true if another version is still active."""

    version: Version
    chunks: Sequence[Chunk]
    staged: bool = False


@dataclass(frozen=True)
class VectorCounts:
    """The number of tokens of embedded chunks, and the number of vectors that were reused from other chunks."""

    tokens: int
    reused: int

    def __add__(self, other: "VectorCounts") -> "VectorCounts":
        return VectorCounts(self.tokens + other.tokens, self.reused + other.reused)


@dataclass(frozen=True)
class _MissingVector:
    """A chunk that needs a vector. Chunks with the same key share a vector.

    The key contains the tenant, so that nobody can infer another tenant's texts from the duration of an upload.
    """

    id: str
    key: tuple[str, str]
    text: str


@dataclass(frozen=True)
class _KnownVector:
    """A vector and the number of tokens of its text: counted for a new vector, estimated for a reused one."""

    vector: DenseVector
    tokens: int
    is_reused: bool


class VectorWriter:
    """Adds vectors to chunks in one index generation, reusing existing vectors or computing new ones.

    The index itself is the cache of vectors: it is separate for each tenant and encoder, as durable as the chunks, and
    free of deleted content.
    """

    def __init__(self, texts: Texts, catalog: Catalog, generation: OpenGeneration, kind: JobKind) -> None:
        self._texts = texts
        self._catalog = catalog
        self._made = generation
        self._kind = kind

    def write_vectors(self, portions: Sequence[Portion]) -> list[VectorCounts]:
        """Write the vectors of several versions' chunks. All new texts are encoded together, and each only once."""
        parts = [
            [
                _MissingVector(i, (portion.version.tenant_id, compute_text_digest(str(text))), str(text))
                for i, text in iter_chunk_texts(self._texts, portion.version, portion.chunks)
            ]
            for portion in portions
        ]
        wanted = [each for part in parts for each in part]
        known = self._find_known_vectors(wanted)
        missing = {each.key: each.text for each in wanted if each.key not in known}
        if missing:
            with record_span("embeddings", {"gen_ai.operation.name": "embeddings", "leadline.texts": len(missing)}):
                embedded = self._made.encoder.embed_documents(list(missing.values()), is_background=True)
            reach_fault_point(f"{self._kind}.encoded")
            for key, vector, tokens in zip(missing, embedded.vectors, embedded.token_counts, strict=True):
                known[key] = _KnownVector(vector, tokens, is_reused=False)
        if wanted:
            self._made.index.set_dense_vectors(
                [each.id for each in wanted], np.stack([known[e.key].vector for e in wanted])
            )
            reach_fault_point(f"{self._kind}.written")
        return [
            VectorCounts(
                sum(known[each.key].tokens for each in part),
                sum(known[each.key].is_reused for each in part),
            )
            for part in parts
        ]

    def _find_known_vectors(self, missing_vectors: Sequence[_MissingVector]) -> dict[tuple[str, str], _KnownVector]:
        """Find the vectors of other chunks with the same texts.

        Vectors of the given chunks themselves are not reused, so that their tokens are counted.
        """
        ids = {each.id for each in missing_vectors}
        copied = self._find_copied_vectors(missing_vectors)
        others = _find_chunks_by_text(self._made.index, {each.key for each in missing_vectors} - copied.keys())
        found = {key: hit for key, hit in others.items() if hit[0].id not in ids}
        rates = self._load_token_rates({chunk.version_id for chunk, _ in found.values()})
        return copied | {
            key: _KnownVector(
                vector, round((c.end - c.start) * rates.get(c.version_id, _TOKENS_PER_CHARACTER)), is_reused=True
            )
            for key, (c, vector) in found.items()
        }

    def _find_copied_vectors(self, missing_vectors: Sequence[_MissingVector]) -> dict[tuple[str, str], _KnownVector]:
        """Find the vectors of these texts in the generation from which vectors are copied."""
        # guard: copied-vectors
        if self._made.copied is None:
            return {}
        same = _find_chunks_by_text(self._made.copied, {each.key for each in missing_vectors})
        return {
            each.key: _KnownVector(same[each.key][1], round(len(each.text) * _TOKENS_PER_CHARACTER), is_reused=True)
            for each in missing_vectors
            # guard: copy-vectors-same-text
            if each.key in same
        }

    def _load_token_rates(self, version_ids: Collection[str]) -> dict[str, float]:
        """Load the tokens per character of versions whose tokens are known, to estimate the tokens of single chunks."""
        versions = self._catalog.load_versions(version_ids).values() if version_ids else ()
        return {v.id: v.tokens / v.characters for v in versions if v.tokens and v.characters}


def _find_chunks_by_text(
    index: IndexVectors, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[IndexedChunk, DenseVector]]:
    """For each tenant and digest, find a chunk in the index that has a vector."""
    found: dict[tuple[str, str], tuple[IndexedChunk, DenseVector]] = {}
    for tenant in sorted({tenant for tenant, _ in keys}):
        digests = sorted(digest for of, digest in keys if of == tenant)
        for at in range(0, len(digests), _BATCH_DIGESTS):
            same = index.find_chunks_by_digest(tenant, digests[at : at + _BATCH_DIGESTS])
            found |= {(tenant, digest): hit for digest, hit in same.items()}
    return found


def compute_text_digest(text: str) -> str:
    """Compute the 128-bit digest of a text.

    This size makes it infeasible to find another text with the same digest.
    """
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=16).digest()).decode().rstrip("=")
