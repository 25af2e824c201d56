"""The index at sizes of up to ten million generated chunks: `python -m tests.benchmark.big_index --seconds 3600`."""

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import structlog
import typer
from rich.console import Console

from ingest.storage.errors import LeadlineError
from retrieval.build import build_sparse_encoder
from retrieval.encoders.port import DenseVector
from retrieval.evaluation.metrics import compute_mean, recall_at_k
from retrieval.index.edge.compaction import MaintenancePolicy
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.edge.resident_memory import get_resident_size
from retrieval.index.edge.shard_folder import compute_shard_size
from retrieval.index.port import Index, SearchScope
from retrieval.index.server.settings import QdrantServerSettings
from retrieval.search.ranking import CANDIDATES, Stopwatch, rank_chunks
from retrieval.search.requests import Fusion
from tests.benchmark.figures import AsJson, print_rows
from tests.benchmark.generated_chunks import DIMENSION, Batch, ChunkGenerator, name_chunk, name_tenant
from tests.eval.repeating import NearestRows
from tests.support.compacted_index import BY_HAND
from tests.support.vector_servers import VARIABLE, named, vector_server

_TOP = 10
_WARM_UP = 10
_MODES = ("dense", "bm25", "hybrid")
_SETTINGS = QdrantServerSettings()
_MIB = 1024**2
# Disk of a generated chunk before the first size was measured. A compaction needs as much again.
_CHUNK_BYTES = 4_000
_SPARE_BYTES = 1024**3
# Part of the time that is kept to measure the first size, if writing it takes all the time.
_FIRST_MEASUREMENT_SHARE = 0.1

console = Console(stderr=True)


@dataclass(frozen=True)
class Target:
    """An index to open: the one in a folder, or, with a URL, the collection of a server."""

    folder: Path
    url: str = ""

    def open(self, policy: MaintenancePolicy) -> Index:
        if not self.url:
            return QdrantEdgeIndex(self.folder, dimension=DIMENSION, policy=policy)
        from retrieval.index.server.qdrant_server_index import QdrantServerIndex  # installed with the cluster extra

        return QdrantServerIndex(self.url, dimension=DIMENSION, api_key=None, settings=_SETTINGS)


@dataclass(frozen=True)
class Queries:
    texts: list[str]
    vectors: DenseVector


@dataclass(frozen=True)
class Searches:
    """The measurements of a fresh process: milliseconds by mode, and resident bytes.

    `nearest` has the dense candidates of each hybrid search by the number of its query.
    """

    open_ms: float
    elapsed_ms: dict[str, list[float]]
    processor_ms: dict[str, float]
    nearest: dict[int, list[str]]
    resident_before: int
    resident_after: int


class Growth:
    """An index that grows, with the seconds spent on it so far and the exact nearest chunks of each query.

    `generate_seconds` include encoding the words and comparing all vectors.
    """

    def __init__(self, target: Target, generator: ChunkGenerator, queries: Queries, *, unsealed: int) -> None:
        self.target = target
        self.queries = queries
        self.chunks = 0
        self.generate_seconds = self.write_seconds = self.optimize_seconds = 0.0
        self._generator = generator
        self._unsealed = unsealed
        self._nearest = NearestRows(queries.vectors, _TOP)
        self._sparse = build_sparse_encoder()

    def list_nearest_chunks(self) -> list[list[str]]:
        """Return the ids of the tenant's chunks nearest to each query, best first."""
        return [[name_chunk(number) for number in row] for row in self._nearest.rows.tolist()]

    def grow(self, size: int, *, until: float) -> None:
        """Write and compact chunks until there are `size`, or the clock reaches `until`. The index is then closed."""
        unsealed, done = 0, False
        batches = self._generator.iter_batches(self.chunks, size)
        with console.status("Writing …") as status, closing(self.target.open(BY_HAND)) as index:
            while not done:
                unsealed += self._write(partial(next, batches), index)
                done = self.chunks == size or time.monotonic() > until
                if done or unsealed >= self._unsealed:
                    status.update(f"Compacting {self.chunks:,} chunks …")
                    self._optimize(index)
                    unsealed = 0
                status.update(f"Writing: {self.chunks:,} of {size:,} chunks")

    def _write(self, batch: Callable[[], Batch], index: Index) -> int:
        """Write a batch as workers do: first the words, then the vectors. Return the number of chunks."""
        begun = time.perf_counter()
        made = batch()
        weights = [self._sparse.encode_document(text) for text in made.texts]
        own = np.array([chunk.tenant_id == name_tenant(0) for chunk in made.chunks])
        self._nearest.compare(made.vectors[own], made.numbers[own])
        generated = time.perf_counter()
        index.upsert_chunks(made.chunks, weights)
        index.set_dense_vectors([chunk.id for chunk in made.chunks], made.vectors)
        self.generate_seconds += generated - begun
        self.write_seconds += time.perf_counter() - generated
        self.chunks += len(made.chunks)
        return len(made.chunks)

    def _optimize(self, index: Index) -> None:
        begun = time.perf_counter()
        if not isinstance(index, QdrantEdgeIndex):
            _wait_until_optimized(self.target.url)
        elif not index.compact():
            raise OSError("The index was not compacted.")
        self.optimize_seconds += time.perf_counter() - begun


@dataclass(frozen=True)
class Step:
    """The cost of the latest size, from which the cost of the next size is estimated."""

    chunks: int
    added: int
    growth_seconds: float
    measure_seconds: float
    disk_bytes: int


def benchmark(
    sizes: Annotated[str, typer.Option(help="Numbers of chunks at which to measure.")] = (
        "100000,300000,1000000,3000000,10000000"
    ),
    seconds: Annotated[float, typer.Option(help="Do not begin a size that would take longer than this in total.")] = (
        3_600.0
    ),
    queries: Annotated[int, typer.Option(help="How many queries for each of the three modes.", min=10)] = 100,
    tenants: Annotated[int, typer.Option(help="Tenants that share the index; one of them searches.", min=1)] = 1,
    unsealed: Annotated[int, typer.Option(help="Compact after so many chunks; the product: about 10,000.")] = (200_000),
    folder: Annotated[Path | None, typer.Option(help="Put the index into a new folder here.", file_okay=False)] = None,
    server: Annotated[bool, typer.Option(help=f"Measure the vector server that {VARIABLE} names instead.")] = False,
    seed: Annotated[int, typer.Option(help="Chooses the vectors, words and queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write, compact and search an index of generated chunks as it grows.

    Neither documents nor an encoder are needed. Each size is searched in a process of its own. Recall is that of the
    ten nearest vectors among a hybrid search's dense candidates, compared with every vector of the tenant.
    """
    asked = len(_MODES) * (_WARM_UP + queries)
    wanted = parse_sizes(sizes, 2 * asked * tenants)
    if server and not named():
        raise typer.BadParameter(f"{VARIABLE} names no vector server", param_hint="--server")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    rows: list[dict[str, Any]] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="leadline-big-index-", dir=folder) as scratch, ExitStack() as stack:
        home = Path(scratch)
        url = stack.enter_context(vector_server(home / "server")).url if server else ""
        try:
            for row in measure_sizes(
                Target(home / "index", url), wanted, seconds, asked, ChunkGenerator(seed, tenants=tenants), unsealed
            ):
                rows.append(row)
                print_rows([row], as_json)
        except (LeadlineError, OSError, MemoryError, BrokenProcessPool, httpx.HTTPError) as error:
            failed = True
            console.print(f"Stopped after {len(rows)} sizes: {error}")
    if not as_json and len(rows) > 1:
        print_rows(rows, as_json)
    if failed:
        raise typer.Exit(1)


def parse_sizes(text: str, least: int) -> list[int]:
    """Return the numbers of a list such as "100000,300000", in ascending order. Raises `typer.BadParameter`."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise typer.BadParameter("give whole numbers, separated by commas", param_hint="--sizes") from error
    if found[0] < least:
        raise typer.BadParameter(f"each size must be at least {least:,}", param_hint="--sizes")
    return found


def measure_sizes(
    target: Target, sizes: Sequence[int], seconds: float, queries: int, generator: ChunkGenerator, unsealed: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each size, until the next one would not fit into the time or on the disk."""
    until = time.monotonic() + seconds
    growth = Growth(target, generator, Queries(*generator.generate_queries(queries)), unsealed=unsealed)
    step: Step | None = None
    target.folder.mkdir()
    for size in sizes:
        begun, before = time.monotonic(), growth.chunks
        free_bytes = shutil.disk_usage(target.folder).free
        if obstacle := find_obstacle(size, step, seconds_left=until - begun, free_bytes=free_bytes):
            console.print(f"Not measured at {size:,} chunks: {obstacle}")
            return
        reserved = step.measure_seconds * size / step.chunks if step else _FIRST_MEASUREMENT_SHARE * seconds
        growth.grow(size, until=until - reserved)
        grown = time.monotonic()
        row, disk_bytes = _measure(growth)
        step = Step(growth.chunks, growth.chunks - before, grown - begun, time.monotonic() - grown, disk_bytes)
        yield row
        if growth.chunks < size:
            console.print(f"Stopped at {growth.chunks:,} of {size:,} chunks, because the time is used up.")
            return


def find_obstacle(size: int, step: Step | None, *, seconds_left: float, free_bytes: int) -> str:
    """Say why an index of `size` chunks cannot be measured, or return an empty text."""
    if step is None:
        needed_seconds, needed_bytes = 0.0, 2.0 * size * _CHUNK_BYTES
    else:
        added = size - step.chunks
        needed_seconds = step.growth_seconds * added / step.added + step.measure_seconds * size / step.chunks
        needed_bytes = step.disk_bytes / step.chunks * (size + added)
    needed_bytes += _SPARE_BYTES
    if needed_seconds > seconds_left:
        return f"it would take about {needed_seconds:,.0f} s, and {max(0.0, seconds_left):,.0f} s are left."
    if needed_bytes > free_bytes:
        return f"it would need about {needed_bytes / _MIB:,.0f} MiB, and {free_bytes / _MIB:,.0f} MiB are free."
    return ""


def compute_recall(found: Sequence[Sequence[str]], nearest: Sequence[Sequence[str]]) -> float:
    """Return the mean share of each query's nearest chunks that are among as many of the first chunks found."""
    return compute_mean(
        [recall_at_k(ids, dict.fromkeys(wanted, 1), len(wanted)) for ids, wanted in zip(found, nearest, strict=True)]
    )


def _wait_until_optimized(url: str) -> None:
    while True:
        reply = httpx.get(f"{url}/collections/{_SETTINGS.collection}", timeout=60).raise_for_status()
        if reply.json()["result"]["status"] == "green":
            return
        time.sleep(0.2)


def _measure(growth: Growth) -> tuple[dict[str, Any], int]:
    """Return the row of a size, and the index's bytes on this machine's disk."""
    process = multiprocessing.get_context("spawn")
    with console.status(f"Searching {growth.chunks:,} chunks …"), ProcessPoolExecutor(1, mp_context=process) as pool:
        searches = pool.submit(_search, growth.target, growth.queries).result()
    disk_bytes = compute_shard_size(growth.target.folder.parent)
    nearest = growth.list_nearest_chunks()
    row: dict[str, Any] = {
        "chunks": growth.chunks,
        "generate_seconds": round(growth.generate_seconds, 1),
        "write_seconds": round(growth.write_seconds, 1),
        "optimize_seconds": round(growth.optimize_seconds, 1),
        "open_ms": round(searches.open_ms),
        "recall@10": round(
            compute_recall(list(searches.nearest.values()), [nearest[query] for query in searches.nearest]), 4
        ),
        **_summarize(searches.elapsed_ms),
        **{f"{mode}_cpu_ms": round(value, 2) for mode, value in searches.processor_ms.items()},
    }
    if disk_mib := round(disk_bytes / _MIB):  # A server at an address has its files elsewhere.
        row["disk_mib"] = disk_mib
    if not growth.target.url:  # The memory of a server is not this process's.
        row["index_resident_mib"] = round((searches.resident_after - searches.resident_before) / _MIB)
    return row, disk_bytes


def _summarize(elapsed_ms: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {
        f"{mode}_p{percent}_ms": round(float(np.percentile(values, percent)), 2)
        for mode, values in elapsed_ms.items()
        for percent in (50, 95)
    }


def _search(target: Target, queries: Queries) -> Searches:
    """Search in a process of its own, whose memory is the index's except for what it had before it opened the index."""
    sparse, scope = build_sparse_encoder(), SearchScope(name_tenant(0))
    words = [sparse.encode_query(text) for text in queries.texts]
    elapsed_ms: dict[str, list[float]] = {mode: [] for mode in _MODES}
    processor_ms = dict.fromkeys(_MODES, 0.0)
    nearest: dict[int, list[str]] = {}
    rounds = len(words) // len(_MODES)
    before, begun = get_resident_size(), time.perf_counter()
    with closing(target.open(MaintenancePolicy())) as index:
        open_ms = (time.perf_counter() - begun) * 1000
        # Each search has a query of its own, because a second search for the same query finds its pages in memory.
        for query in range(rounds * len(_MODES)):
            mode = _MODES[query % len(_MODES)]
            begun, processor = time.perf_counter(), time.process_time()
            ranking = rank_chunks(
                index,
                scope,
                sparse_vector=None if mode == "dense" else words[query],
                dense_vector=None if mode == "bm25" else queries.vectors[query],
                depth=CANDIDATES,
                fusion=Fusion.CONVEX,
                use_feedback=False,
                cosine_floor=0.0,
                stopwatch=Stopwatch(),
            )
            if query >= _WARM_UP * len(_MODES):
                elapsed_ms[mode].append((time.perf_counter() - begun) * 1000)
                processor_ms[mode] += (time.process_time() - processor) * 1000 / (rounds - _WARM_UP)
                if mode == "hybrid":
                    nearest[query] = [hit.id for hit in ranking.by_dense]
        return Searches(open_ms, elapsed_ms, processor_ms, nearest, before, get_resident_size())


if __name__ == "__main__":
    typer.run(benchmark)
