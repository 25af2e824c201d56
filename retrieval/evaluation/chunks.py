"""How well chunks fit the excerpts that answer questions: what a few of them bring of those, and how much else.

The measures are those of Chroma's report "Evaluating Chunking Strategies for Retrieval" (Smith & Troynikov, 2024), over
code points instead of tokens. With E the excerpts of a question and R the chunks found for it: recall = |E and R| /
|E|, precision = |E and R| / |R|, IoU = |E and R| / (|E| + |R| - |E and R|). The `best` of a measure is that of the
chunks that touch an excerpt, all of them and no other: what no search of these chunks can exceed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ingest.storage.documents.records import chunk_id
from retrieval.encoders.port import Embedder, cosine_floor
from retrieval.evaluation.passages import Place
from retrieval.evaluation.runs import Run
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.port import Index, IndexedChunk, Scope
from retrieval.search.ranking import CANDIDATES, Clock, rank
from retrieval.search.requests import Fusion

# Takes a document's name and text, and returns the spans of its chunks.
Cutter = Callable[[str, str], Sequence[tuple[int, int]]]
_TENANT = "evaluation"
_ENCODED_AT_ONCE = 512


def index_chunks(
    texts: Mapping[str, str], cut: Cutter, index: Index, encoder: Embedder, sparse: SparseEncoder
) -> dict[str, Place]:
    """Put every document's chunks into an empty index, and return their places by id."""
    places = {
        chunk_id(name, start, end): Place(name, start, end)
        for name, text in texts.items()
        for start, end in cut(name, text)
    }
    ids = list(places)
    for at in range(0, len(ids), _ENCODED_AT_ONCE):
        some = ids[at : at + _ENCODED_AT_ONCE]
        bodies = [texts[places[i].document][places[i].start : places[i].end] for i in some]
        index.upsert([_record(i, places[i]) for i in some], [sparse.document(body) for body in bodies])
        index.set_dense(some, encoder.documents(bodies).vectors)
    return places


def find_chunks(
    questions: Mapping[str, str],
    places: Mapping[str, Place],
    index: Index,
    encoder: Embedder,
    sparse: SparseEncoder,
    *,
    characters: int,
) -> dict[str, list[Place]]:
    """Return the best chunks of each question by hybrid search, as many as fit `characters`, and at least one.

    An equal number of characters is fair to chunks of every size; an equal number of chunks is not.
    """
    floor, clock = cosine_floor(encoder), Clock()
    found: dict[str, list[Place]] = {}
    for question, text in questions.items():
        ranking = rank(
            index,
            Scope(_TENANT),
            sparse=sparse.query(text),
            dense=encoder.query(text),
            depth=CANDIDATES,
            fusion=Fusion.CONVEX,
            feedback=False,
            floor=floor,
            clock=clock,
        )
        found[question] = _fitting([places[identifier] for identifier, _ in ranking.best], characters)
    return found


def judge_chunks(
    found: Mapping[str, Sequence[Place]], wanted: Mapping[str, Sequence[Place]], places: Iterable[Place]
) -> Run:
    """Compute the measures of every question; `places` are those of all chunks."""
    by_document: dict[str, list[Place]] = {}
    for place in places:
        by_document.setdefault(place.document, []).append(place)
    figures: dict[str, dict[str, float]] = {
        name: {} for name in ("recall", "precision", "iou", "best precision", "best iou")
    }
    for question, excerpts in wanted.items():
        touching = {
            chunk
            for excerpt in excerpts
            for chunk in by_document.get(excerpt.document, ())
            if _shared(chunk, excerpt) > 0
        }
        recall, precision, iou = _measures(excerpts, found.get(question, ()))
        _, best_precision, best_iou = _measures(excerpts, list(touching))
        for name, value in zip(figures, (recall, precision, iou, best_precision, best_iou), strict=True):
            figures[name][question] = value
    return Run(figures)


def _measures(excerpts: Sequence[Place], chunks: Sequence[Place]) -> tuple[float, float, float]:
    """Return recall, precision and IoU; what two chunks share counts twice among what was found, and once as found."""
    wanted = _points(excerpts)
    hit = len(wanted & _points(chunks))
    size = sum(chunk.end - chunk.start for chunk in chunks)
    return hit / len(wanted), hit / size if size else 0.0, hit / (len(wanted) + size - hit)


def _points(places: Sequence[Place]) -> set[tuple[str, int]]:
    return {(place.document, at) for place in places for at in range(place.start, place.end)}


def _shared(one: Place, other: Place) -> int:
    return min(one.end, other.end) - max(one.start, other.start)


def _fitting(ranked: Sequence[Place], characters: int) -> list[Place]:
    """Return the first places that fit together; the first one always."""
    chosen: list[Place] = []
    for place in ranked:
        characters -= place.end - place.start
        if chosen and characters < 0:
            break
        chosen.append(place)
    return chosen


def _record(identifier: str, place: Place) -> IndexedChunk:
    return IndexedChunk(
        id=identifier,
        tenant_id=_TENANT,
        collection="",
        document_id=place.document,
        version_id=place.document,
        ordinal=0,
        start=place.start,
        end=place.end,
        byte_start=0,
        byte_end=0,
        page=None,
        heading_path=(),
    )
