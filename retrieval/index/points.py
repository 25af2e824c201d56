"""Convert chunks to points of the vector engine and back, for the embedded and the server adapter."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic_core import to_jsonable_python

from retrieval.encoders.port import DenseVector
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
    # Arguments by position take two thirds of the time of arguments by name, and a search loads 50 chunks.
    return IndexedChunk(
        chunk_id,
        payload[TENANT],
        payload[COLLECTION],
        payload[DOCUMENT],
        payload[VERSION],
        payload["ordinal"],
        start,
        end,
        byte_start,
        byte_end,
        payload.get("page"),
        tuple(payload["headings"]),
        payload.get(DIGEST, ""),
    )


def pair_near_duplicates(
    vectors: Mapping[str, DenseVector], chunk_ids: Sequence[str], others: Sequence[str], *, min_cosine: float
) -> set[tuple[str, str]]:
    """Return the pairs that `IndexReader.find_near_duplicates` describes, given the chunks' vectors."""
    ones, others = [each for each in chunk_ids if each in vectors], [each for each in others if each in vectors]
    if not ones or not others:
        return set()
    cosines = np.stack([vectors[each] for each in ones]) @ np.stack([vectors[each] for each in others]).T
    rows, columns = np.nonzero(cosines >= min_cosine)
    pairs = ((ones[row], others[column]) for row, column in zip(rows.tolist(), columns.tolist(), strict=True))
    return {(one, other) for one, other in pairs if one != other}


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


def convert_point_ids(points: Sequence[Any]) -> list[str]:
    """Return the ids of points as strings. Converting all ids at once is eight times as fast as one by one."""
    ids: list[str] = to_jsonable_python([point.id for point in points])
    return ids


def rank_points(points: Sequence[Any]) -> list[ScoredChunk]:
    """Convert points returned by the engine or the server to ranked chunks.

    Points with equal scores arrive in no fixed order, so they are sorted.
    """
    return sort_by_score(map(ScoredChunk, convert_point_ids(points), [point.score for point in points]))
