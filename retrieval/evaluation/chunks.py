"""Evaluate chunking: measure how much relevant and how much other text the retrieved chunks contain.

The measures are those of Chroma's report "Evaluating Chunking Strategies for Retrieval" (Smith & Troynikov, 2024), over
code points instead of tokens. Let E be the excerpts that answer a question, and R the chunks found for it. Then recall
= |E and R| / |E|, precision = |E and R| / |R|, IoU = |E and R| / (|E| + |R| - |E and R|). The `best` of a measure is
its value for exactly the chunks that overlap an excerpt; no search of these chunks can exceed it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ingest.storage.documents.records import derive_chunk_id
from retrieval.encoders.port import Embedder, compute_cosine_floor
from retrieval.evaluation.passages import DocumentSpan
from retrieval.evaluation.runs import EvaluationRun
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.port import Index, IndexedChunk, SearchScope
from retrieval.search.ranking import CANDIDATES, Stopwatch, rank_chunks
from retrieval.search.requests import Fusion

# A function that returns the spans of a document's chunks, given the document's name and text.
TextSplitter = Callable[[str, str], Sequence[tuple[int, int]]]
_TENANT = "evaluation"
_ENCODING_BATCH = 512


def index_chunks(
    texts: Mapping[str, str], splitter: TextSplitter, index: Index, encoder: Embedder, sparse_encoder: SparseEncoder
) -> dict[str, DocumentSpan]:
    """Add every document's chunks to an empty index, and return their spans, keyed by chunk id."""
    places = {
        derive_chunk_id(name, start, end): DocumentSpan(name, start, end)
        for name, text in texts.items()
        for start, end in splitter(name, text)
    }
    ids = list(places)
    for at in range(0, len(ids), _ENCODING_BATCH):
        some = ids[at : at + _ENCODING_BATCH]
        bodies = [texts[places[i].document][places[i].start : places[i].end] for i in some]
        index.upsert_chunks(
            [_build_indexed_chunk(i, places[i]) for i in some],
            [sparse_encoder.encode_document(body) for body in bodies],
        )
        index.set_dense_vectors(some, encoder.embed_documents(bodies).vectors)
    return places


def search_chunks(
    questions: Mapping[str, str],
    chunk_spans: Mapping[str, DocumentSpan],
    index: Index,
    encoder: Embedder,
    sparse_encoder: SparseEncoder,
    *,
    max_chars: int,
) -> dict[str, list[DocumentSpan]]:
    """Return each question's best chunks by hybrid search: as many as fit into `max_chars`, but at least one.

    A limit in characters treats chunks of all sizes fairly, unlike a limit on the number of chunks.
    """
    floor, clock = compute_cosine_floor(encoder), Stopwatch()
    found: dict[str, list[DocumentSpan]] = {}
    for question, text in questions.items():
        ranking = rank_chunks(
            index,
            SearchScope(_TENANT),
            sparse_vector=sparse_encoder.encode_query(text),
            dense_vector=encoder.embed_query(text),
            depth=CANDIDATES,
            fusion=Fusion.CONVEX,
            use_feedback=False,
            cosine_floor=floor,
            stopwatch=clock,
        )
        found[question] = _select_fitting_spans([chunk_spans[identifier] for identifier, _ in ranking.best], max_chars)
    return found


def judge_chunks(
    results: Mapping[str, Sequence[DocumentSpan]],
    answer_spans: Mapping[str, Sequence[DocumentSpan]],
    chunk_spans: Iterable[DocumentSpan],
) -> EvaluationRun:
    """Compute the measures for each question. `chunk_spans` are the spans of all chunks."""
    by_document: dict[str, list[DocumentSpan]] = {}
    for place in chunk_spans:
        by_document.setdefault(place.document, []).append(place)
    figures: dict[str, dict[str, float]] = {
        name: {} for name in ("recall", "precision", "iou", "best precision", "best iou")
    }
    for question, excerpts in answer_spans.items():
        touching = {
            chunk
            for excerpt in excerpts
            for chunk in by_document.get(excerpt.document, ())
            if _count_shared_chars(chunk, excerpt) > 0
        }
        recall, precision, iou = _compute_measures(excerpts, results.get(question, ()))
        _, best_precision, best_iou = _compute_measures(excerpts, list(touching))
        for name, value in zip(figures, (recall, precision, iou, best_precision, best_iou), strict=True):
            figures[name][question] = value
    return EvaluationRun(figures)


def _compute_measures(excerpts: Sequence[DocumentSpan], chunks: Sequence[DocumentSpan]) -> tuple[float, float, float]:
    """Return recall, precision and IoU. Text contained in two chunks counts twice in |R|, but once in the overlap."""
    wanted = _collect_code_points(excerpts)
    hit = len(wanted & _collect_code_points(chunks))
    size = sum(chunk.end - chunk.start for chunk in chunks)
    return hit / len(wanted), hit / size if size else 0.0, hit / (len(wanted) + size - hit)


def _collect_code_points(spans: Sequence[DocumentSpan]) -> set[tuple[str, int]]:
    return {(place.document, at) for place in spans for at in range(place.start, place.end)}


def _count_shared_chars(first: DocumentSpan, second: DocumentSpan) -> int:
    return min(first.end, second.end) - max(first.start, second.start)


def _select_fitting_spans(ranked_spans: Sequence[DocumentSpan], max_chars: int) -> list[DocumentSpan]:
    """Return the first spans whose total length is at most `max_chars`, but always at least one."""
    chosen: list[DocumentSpan] = []
    for place in ranked_spans:
        max_chars -= place.end - place.start
        if chosen and max_chars < 0:
            break
        chosen.append(place)
    return chosen


def _build_indexed_chunk(chunk_id: str, span: DocumentSpan) -> IndexedChunk:
    return IndexedChunk(
        id=chunk_id,
        tenant_id=_TENANT,
        collection="",
        document_id=span.document,
        version_id=span.document,
        ordinal=0,
        start=span.start,
        end=span.end,
        byte_start=0,
        byte_end=0,
        page=None,
        heading_path=(),
    )
