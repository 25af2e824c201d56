"""Select visible candidates as hits, with a limit per document, and grouped by document if requested."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ingest.storage.documents.catalog import VisibleVersion
from retrieval.index.port import IndexedChunk, IndexReader, SearchScope
from retrieval.search.requests import SearchRequest

VisibleLookup = Callable[[str, Collection[str]], Mapping[str, VisibleVersion]]


@dataclass(frozen=True)
class SelectedChunk:
    """A selected candidate, with its document's title and its fused score."""

    chunk: IndexedChunk
    visible: VisibleVersion
    score: float


def select_hits(
    index: IndexReader,
    lookup: VisibleLookup,
    scope: SearchScope,
    candidates: Sequence[tuple[str, float]],
    request: SearchRequest,
) -> tuple[list[SelectedChunk], int]:
    """Return the hits, best first, and the number of candidates skipped because they must not be shown.

    Candidates are looked up in pages, because the first page usually contains enough hits.
    """
    taken: dict[str, list[SelectedChunk]] = {}
    chosen: list[SelectedChunk] = []
    passed_over = 0
    page = request.top_k * (1 if request.max_per_document is None else 3)
    for at in range(0, len(candidates), page):
        some = candidates[at : at + page]
        chunks = index.load_chunks(scope, [identifier for identifier, _ in some])
        shown = lookup(request.tenant_id, {chunk.version_id for chunk in chunks.values()})
        for identifier, score in some:
            chunk = chunks.get(identifier)
            if chunk is None or chunk.version_id not in shown:
                passed_over += 1
                continue
            candidate = SelectedChunk(chunk, shown[chunk.version_id], score)
            if _add_candidate(candidate, taken, request):
                chosen.append(candidate)
            if not request.grouped and len(chosen) == request.top_k:
                return chosen, passed_over
    if request.grouped:
        chosen = [each for group in taken.values() for each in group]
    return chosen, passed_over


def _add_candidate(
    candidate: SelectedChunk, selected_chunks: dict[str, list[SelectedChunk]], request: SearchRequest
) -> bool:
    """Add a candidate unless the limit of its document or, in a grouped search, of documents is reached.

    Returns whether the candidate was added.
    """
    document = candidate.chunk.document_id
    if request.grouped and document not in selected_chunks and len(selected_chunks) == request.top_k:
        return False
    group = selected_chunks.setdefault(document, [])
    if request.max_per_document is not None and len(group) >= request.max_per_document:
        return False
    group.append(candidate)
    return True
