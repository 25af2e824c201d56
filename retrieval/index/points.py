"""Convert chunks to points of the vector engine and back, for the embedded and the server adapter."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from retrieval.errors import IndexUnavailableError
from retrieval.index.port import IndexedChunk, ScoredChunk, SearchScope, sort_by_score

# The names of a point's two vectors.
DENSE, SPARSE = "dense", "bm25"
# Names of the payload fields that are used in filters. Each of these fields has a keyword index.
TENANT, COLLECTION, DOCUMENT, VERSION, DIGEST = "tenant", "collection", "document", "version", "digest"
# Name of the payload field with the subjects that may see the chunk. The field is absent if the whole tenant may see
# it.
READERS = "readers"
KEYWORDS = (TENANT, COLLECTION, DOCUMENT, VERSION, DIGEST, READERS)
# Value stored instead of an empty list of readers, because the engine treats an empty list as an absent field.
_NOBODY = "nobody"
# Number of points per write. Qdrant recommends 64 to 256.
BATCH_POINTS = 256
# Number of points per page when the points of a collection are listed.
PAGE_POINTS = 1000


def build_payload(chunk: IndexedChunk) -> dict[str, Any]:
    """Build a chunk's payload, which contains everything except its id and its vectors."""
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
    """Build the part of a payload that restricts a chunk to these readers."""
    return {READERS: sorted(readers) or [_NOBODY]}


def parse_chunk(chunk_id: str, payload: Mapping[str, Any] | None) -> IndexedChunk:
    """Convert a point's payload back to its chunk. Raises `IndexUnavailableError` if the point has no payload."""
    if payload is None:
        raise IndexUnavailableError(f"Point {chunk_id} has no payload.")
    start, end, byte_start, byte_end = payload["span"]
    return IndexedChunk(
        id=chunk_id,
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
    """Return whether a chunk loaded by id is in a query's scope, ignoring its readers.

    The readers are checked in the catalog, because changes of readers reach the index with a delay.
    """
    return (
        chunk.tenant_id == scope.tenant_id
        and (not scope.collections or chunk.collection in scope.collections)
        and chunk.collection not in scope.closed
        and (not scope.documents or chunk.document_id in scope.documents)
        and chunk.version_id not in scope.hidden_versions
    )


def rank_points(points: Sequence[Any]) -> list[ScoredChunk]:
    """Convert points returned by the engine or the server to ranked chunks.

    Points with equal scores arrive in no fixed order, so they are sorted. All ids are converted in one call, which is
    eight times as fast as converting them one by one.
    """
    ids: list[str] = to_jsonable_python([point.id for point in points])
    return sort_by_score(map(ScoredChunk, ids, [point.score for point in points]))
