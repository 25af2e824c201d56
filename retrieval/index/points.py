"""Chunks as points of the vector engine: the code that the embedded and the server adapter share."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from retrieval.errors import IndexUnavailableError
from retrieval.index.port import IndexedChunk, ScoredChunk, SearchScope, sort_best_first

# The names of a point's two vectors.
DENSE, SPARSE = "dense", "bm25"
# The payload fields that filters name; each has a keyword index.
TENANT, COLLECTION, DOCUMENT, VERSION, DIGEST = "tenant", "collection", "document", "version", "digest"
# Who may see the chunk; absent in chunks that are open to the tenant.
READERS = "readers"
KEYWORDS = (TENANT, COLLECTION, DOCUMENT, VERSION, DIGEST, READERS)
# Written for a list that names nobody: the engine takes an empty list for an absent one.
_NOBODY = "nobody"
# Points per write, within the 64 to 256 that the engine's makers recommend.
BATCH_POINTS = 256
# Points per page when a whole version is read.
PAGE_POINTS = 1000


def build_payload(chunk: IndexedChunk) -> dict[str, Any]:
    """Return the payload of a chunk: everything except its id and its vectors."""
    return {
        TENANT: chunk.tenant_id,
        COLLECTION: chunk.collection,
        DOCUMENT: chunk.document_id,
        VERSION: chunk.version_id,
        "ordinal": chunk.ordinal,
        "span": [chunk.start, chunk.end, chunk.byte_start, chunk.byte_end],
        "page": chunk.page,
        "headings": list(chunk.heading_path),
        DIGEST: chunk.digest,
    }


def build_readers_payload(readers: Collection[str]) -> dict[str, Any]:
    """Return the part of a payload that closes a chunk to all but these readers."""
    return {READERS: sorted(readers) or [_NOBODY]}


def parse_chunk(identifier: str, payload: Mapping[str, Any] | None) -> IndexedChunk:
    """Return the chunk that `payload_of` was made from; a missing page is None."""
    if payload is None:
        raise IndexUnavailableError(f"Point {identifier} has no payload.")
    start, end, byte_start, byte_end = payload["span"]
    return IndexedChunk(
        id=identifier,
        tenant_id=payload[TENANT],
        collection=payload[COLLECTION],
        document_id=payload[DOCUMENT],
        version_id=payload[VERSION],
        ordinal=payload["ordinal"],
        start=start,
        end=end,
        byte_start=byte_start,
        byte_end=byte_end,
        page=payload.get("page"),
        heading_path=tuple(payload["headings"]),
        digest=payload.get(DIGEST, ""),
    )


def is_in_scope(scope: SearchScope, chunk: IndexedChunk) -> bool:
    """True if the chunk passes the filter of a scope's queries, readers apart, for chunks that were asked for by id.

    Who may see a chunk is for the catalog to say, since the index may learn of a change a moment later.
    """
    return (
        chunk.tenant_id == scope.tenant_id
        and (not scope.collections or chunk.collection in scope.collections)
        and chunk.collection not in scope.closed
        and (not scope.documents or chunk.document_id in scope.documents)
        and chunk.version_id not in scope.hidden_versions
    )


def rank_points(points: Sequence[Any]) -> list[ScoredChunk]:
    """Rank the points of the engine or the server, because their ties come in no fixed order.

    All ids are made text at once: one by one takes eight times as long.
    """
    ids: list[str] = to_jsonable_python([point.id for point in points])
    return sort_best_first(map(ScoredChunk, ids, [point.score for point in points]))
