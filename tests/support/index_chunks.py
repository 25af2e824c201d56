"""Chunks and their BM25 weights for tests of the index."""

import uuid

from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.port import Index, IndexedChunk

_ENCODER = Bm25Encoder()


def indexed_chunk(
    name: str, *, tenant: str = "ann", version: str = "v1", collection: str = "default", digest: str = ""
) -> IndexedChunk:
    """A chunk whose id follows from its name, its version and its tenant."""
    identifier = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{tenant}/{version}/{name}"))
    return IndexedChunk(
        identifier, tenant, collection, f"doc-{version}", version, 3, 10, 20, 11, 22, 7, ("Part", "Chapter"), digest
    )


def put_words(index: Index, texts: dict[IndexedChunk, str]) -> None:
    """Write chunks with the words of their texts and without vectors."""
    index.upsert_chunks(list(texts), [_ENCODER.encode_document(text) for text in texts.values()])
