"""Search in an index of a million chunks or more, out of the data folder's own: `python -m tests.eval.index_growth`."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from api.admission.services import DEFAULT_TENANT
from api.build.index_access import IndexAccess, open_index_access
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.settings.settings import Settings
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import DataFolderBusyError
from ingest.storage.texts.chunks import build_context_line
from retrieval.build import build_sparse_encoder, open_embedded_encoder
from retrieval.encoders.port import DenseVector
from retrieval.index.edge.compaction import MaintenancePolicy
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.edge.resident_memory import get_resident_size
from retrieval.index.edge.shard_folder import compute_shard_size
from retrieval.index.port import IndexedChunk, SearchScope, SparseVector
from retrieval.models.store import ModelStore
from retrieval.search.ranking import Stopwatch, rank_chunks
from retrieval.search.requests import Fusion
from tests.benchmark.figures import AsJson, print_rows, query_texts
from tests.eval.repeating import Repetition, VectorFile

_INDEX = "index"
_BATCH = 2_048
_DEPTH = 100
_TOP = 10
_WARM_UP = 20
_PAGE = 500
# Compacted so seldom, an index grows faster and takes more memory meanwhile; compacted, it is the same.
_SELDOM = MaintenancePolicy(unsealed_points=400_000, journal_points=400_000)
_NO_WORDS = SparseVector((), ())
_MIB = 1024**2

Show = Callable[[str], None]


@dataclass(frozen=True)
class Looks:
    """What a fresh process saw of an index: milliseconds and nearest chunks by query, and its resident bytes."""

    search_ms: list[float]
    rank_ms: list[float]
    nearest: list[list[str]]
    resident_before: int
    resident_after: int


@dataclass(frozen=True)
class Grown:
    """An index in a folder, with the vectors that went into it and the chunk of each row."""

    home: Path
    vectors: VectorFile
    rows: list[str]
    seconds: float


def index(
    chunks: Annotated[
        list[int] | None,
        typer.Option(help="Measure at this many chunks; may be given again. [default: 100000 and 1000000]", min=1000),
    ] = None,
    queries: Annotated[int, typer.Option(help="How many queries.", min=10)] = 200,
    words: Annotated[bool, typer.Option(help="Index the chunks' words, too.")] = True,
    minutes: Annotated[float, typer.Option(help="Grow no further after so long, and measure what there is.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Chooses the queries, and what copies change.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Hybrid search, recall and memory of the embedded index as it grows to a million chunks and more.

    The chunks are those of the data folder, again and again: a copy's vector has a cosine of about 0.89 with the
    original's, and a fifth of its words are left out or replaced. Each size is measured in a process of its own with
    the encoder and the index open. A search is embedding the query, one look by words and by meaning, fusion and
    feedback. Recall is that of the ten nearest vectors, against comparing with every one. Stop the service first.
    """
    until = time.monotonic() + minutes * 60
    sizes = sorted(set(chunks or (100_000, 1_000_000)))
    settings = read_settings(llm="none")
    fetch_missing_model_files(settings)
    with Console(stderr=True).status("Reading the data folder …") as status:
        with open_index_access(settings, cluster=None) as access:
            originals, texts = _originals(access, seed), _queries(access, settings, queries, seed)
        with tempfile.TemporaryDirectory(prefix="leadline-bench-", dir=settings.home) as scratch:
            vectors = _query_vectors(settings, texts)
            rows = []
            for grown in _growing(Path(scratch), originals, sizes, status.update, words=words, until=until):
                rows.append(_measure(settings, grown, texts, vectors))
                rows[-1]["p50_to_first"] = round(rows[-1]["p50_ms"] / rows[0]["p50_ms"], 2)
                print_rows(rows[-1:], as_json)


def _originals(access: IndexAccess, seed: int) -> Repetition:
    """Every chunk of the folder that has a vector, with what the index was given of it."""
    if access.deps is None or access.generations is None:
        raise DataFolderBusyError("A running service has the data folder open.", hint="Stop it first.")
    chunks: list[IndexedChunk] = []
    texts: list[str] = []
    vectors: list[DenseVector] = []
    with access.generations.use_active_generation() as made:
        after = 0
        while page := access.catalog.list_documents(
            DEFAULT_TENANT, DocumentFilter(states=[VersionState.READY]), after=after, limit=_PAGE
        ):
            after = page[-1].sequence
            for document in page:
                points = list(made.index.iter_version_chunks(DEFAULT_TENANT, document.version.id))
                dense = made.index.load_dense_vectors([point.id for point in points])
                for point in (point for point in points if point.id in dense):
                    body = access.deps.texts.read_bytes(point.version_id, point.byte_start, point.byte_end)
                    chunks.append(point)
                    texts.append(f"{build_context_line(document.name, point.heading_path)}\n{body}")
                    vectors.append(dense[point.id])
    return Repetition(chunks, texts, np.stack(vectors), seed=seed)


def _queries(access: IndexAccess, settings: Settings, count: int, seed: int) -> list[str]:
    assert access.deps is not None, "_originals comes first"
    return query_texts(access.catalog, access.deps.texts, count, seed, home=settings.home)


def _query_vectors(settings: Settings, texts: Sequence[str]) -> DenseVector:
    with closing(open_embedded_encoder(ModelStore(settings.models))) as encoder:
        return np.stack([encoder.embed_query(text) for text in texts])


def _growing(
    home: Path, originals: Repetition, sizes: Sequence[int], show: Show, *, words: bool, until: float
) -> Iterator[Grown]:
    """The index at each size, compacted and closed; it grows on when the next is asked for, and not after `until`."""
    sparse, rows = build_sparse_encoder(), list[str]()
    vectors = VectorFile(home / "vectors", originals.dimension)
    with closing(vectors):
        for size in sizes:
            if time.monotonic() > until:
                return
            begun = time.perf_counter()
            with closing(QdrantEdgeIndex(home / _INDEX, dimension=originals.dimension, policy=_SELDOM)) as made:
                for batch in originals.batches(len(rows), size, size=_BATCH, reworded=words):
                    if time.monotonic() > until:
                        break
                    identifiers = [chunk.id for chunk in batch.chunks]
                    made.upsert_chunks(
                        batch.chunks, [sparse.encode_document(text) if words else _NO_WORDS for text in batch.texts]
                    )
                    made.set_dense_vectors(identifiers, batch.vectors)
                    vectors.append(batch.vectors)
                    rows += identifiers
                    show(f"Writing: {len(rows):,} of {sizes[-1]:,} chunks")
                show(f"Compacting {len(rows):,} chunks …")
                made.compact()
            show(f"Measuring at {len(rows):,} chunks …")
            yield Grown(home, vectors, rows, time.perf_counter() - begun)


def _measure(settings: Settings, grown: Grown, texts: Sequence[str], vectors: DenseVector) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        looks = pool.submit(_look, grown.home, settings.models, list(texts)).result()
    exact = grown.vectors.nearest(vectors, _TOP)
    resident = (looks.resident_after - looks.resident_before) / _MIB
    return {
        "chunks": len(grown.rows),
        "build_seconds": round(grown.seconds, 1),
        "p50_ms": round(float(np.percentile(looks.search_ms, 50)), 2),
        "p95_ms": round(float(np.percentile(looks.search_ms, 95)), 2),
        "index_p50_ms": round(float(np.percentile(looks.rank_ms, 50)), 2),
        "index_p95_ms": round(float(np.percentile(looks.rank_ms, 95)), 2),
        "recall@10": round(_recall(looks.nearest, grown.rows, exact), 4),
        "index_resident_mib": round(resident),
        "process_resident_mib": round(looks.resident_after / _MIB),
        "index_disk_mib": round(compute_shard_size(grown.home / _INDEX) / _MIB),
    }


def _recall(nearest: Sequence[Sequence[str]], rows: Sequence[str], exact: NDArray[np.int64]) -> float:
    shares = [
        len({rows[number] for number in wanted} & set(found)) / _TOP
        for found, wanted in zip(nearest, exact, strict=True)
    ]
    return float(np.mean(shares))


def _look(home: Path, models: Path, texts: list[str]) -> Looks:
    """For a process of its own: what it has resident beside the encoder is the index's."""
    scope, sparse, warm_up = SearchScope(DEFAULT_TENANT), build_sparse_encoder(), texts[:_WARM_UP]
    search_ms: list[float] = []
    rank_ms: list[float] = []
    nearest: list[list[str]] = []
    with closing(open_embedded_encoder(ModelStore(models))) as encoder:
        for text in warm_up:
            encoder.embed_query(text)
        before = get_resident_size()
        with closing(QdrantEdgeIndex(home / _INDEX, dimension=encoder.dimension)) as made:
            for position, text in enumerate([*warm_up, *texts]):
                begun = time.perf_counter()
                words, meaning = sparse.encode_query(text), encoder.embed_query(text)
                embedded = time.perf_counter()
                rank_chunks(
                    made,
                    scope,
                    sparse_vector=words,
                    dense_vector=meaning,
                    depth=_DEPTH,
                    fusion=Fusion.CONVEX,
                    use_feedback=True,
                    cosine_floor=-1.0,
                    stopwatch=Stopwatch(),
                )
                ended = time.perf_counter()
                if position >= len(warm_up):
                    search_ms.append((ended - begun) * 1000)
                    rank_ms.append((ended - embedded) * 1000)
            after = get_resident_size()
            for text in texts:
                _, found = made.search(scope, sparse_vector=None, dense_vector=encoder.embed_query(text), limit=_TOP)
                nearest.append([hit.id for hit in found])
    return Looks(search_ms, rank_ms, nearest, before, after)


if __name__ == "__main__":
    typer.run(index)
