"""Speed, always as a ratio to the bare parts, measured in the same run: `python -m tests.benchmark.speed`."""

import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_embedded_services
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.ingest import iter_files, upload_batch
from api.cli.private_service import open_services_client
from api.settings.settings import Settings
from retrieval.build import build_sparse_encoder
from retrieval.index.port import SearchScope
from retrieval.models.store import ModelStore
from retrieval.search.ranking import CANDIDATES
from retrieval.search.search import SearchRequest
from tests.benchmark import concurrency, pdf_speed, stages
from tests.benchmark.bare_encoder import bare_rates, sample_chunks
from tests.benchmark.figures import AsJson, print_figures, query_texts

app = typer.Typer(help="Measure how fast this machine ingests and searches.", no_args_is_help=True)
app.command()(concurrency.concurrency)
app.command()(stages.stages)
app.command()(pdf_speed.pdf)
app.command()(pdf_speed.pdf_memory)


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="A folder of documents.")],
    bare_chunks: Annotated[int, typer.Option(help="Chunks to time the bare encoder on.", min=512)] = 6144,
    as_json: AsJson = False,
) -> None:
    """Ingest a folder into an empty service, and compare its tokens per second with the bare encoder's.

    The bare encoder embeds a sample of the same folder's chunks, half before the ingest and half after it; its figure
    is the median over batches. The pipeline's figure is all tokens by the time from the first upload to `ready`.
    """
    settings = read_settings(llm="none")
    fetch_missing_model_files(settings)
    console = Console(stderr=True)
    files = list(iter_files([folder]))
    sample = sample_chunks(files, bare_chunks)
    half = len(sample) // 2
    with console.status("The bare encoder …"):
        bare = bare_rates(ModelStore(settings.models), sample[:half])
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as home, console.status("Ingesting …") as status:
        own = Settings(**{**settings.model_dump(), "home": Path(home)})
        with open_embedded_services(own) as services, open_services_client(services) as client:
            report = upload_batch(
                client,
                files,
                collection="default",
                target_state="ready",
                on_progress=lambda stage, done, total, _: status.update(f"Until {stage}: {done:,} of {total:,}"),
            )
    peak = _peak_mib()
    with console.status("The bare encoder again …"):
        bare += bare_rates(ModelStore(settings.models), sample[half:])
    pipeline = report.tokens / (report.ready_seconds or 1.0)
    print_figures(
        {
            "files": report.files,
            "failed": len(report.failed) + len(report.rejected),
            "chunks": report.chunks,
            "tokens": report.tokens,
            "searchable_seconds": report.searchable_seconds,
            "ready_seconds": report.ready_seconds,
            "tokens_per_second": round(pipeline),
            "bare_tokens_per_second": round(statistics.median(bare)),
            "ratio": round(pipeline / statistics.median(bare), 4),
            "resident_peak_mib": peak,
        },
        as_json,
    )


@app.command()
def search(
    queries: Annotated[int, typer.Option(help="How many queries.", min=10)] = 200,
    seed: Annotated[int, typer.Option(help="Chooses the queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Hybrid search over the data folder, next to the bare cost of embedding the query plus the engine's own queries.

    Queries are runs of words from the documents. For each query the three ways run one after the other, in an order
    that turns. Stop the service first: the folder's index has one owner.
    """
    settings = read_settings(llm="none", query_cache_bytes=0)
    fetch_missing_model_files(settings)
    sparse = build_sparse_encoder()
    ways: dict[str, list[float]] = {"service": [], "rest": [], "bare": []}
    with open_embedded_services(settings) as services, open_services_client(services) as client:
        texts = query_texts(services.documents.catalog, services.contents.texts, queries, seed, home=settings.home)

        def service(text: str) -> None:
            services.asking.searcher.uncached.search(SearchRequest(DEFAULT_TENANT, text, rerank=False))

        def rest(text: str) -> None:
            client.post("/v1/search", {"query": text})

        def bare(text: str) -> None:
            with services.asking.searcher.uncached.generations.use_active_generation() as made:
                words, vector = sparse.encode_query(text), made.encoder.embed_query(text)
                best, _ = made.index.search(
                    SearchScope(DEFAULT_TENANT), sparse_vector=words, dense_vector=vector, limit=CANDIDATES
                )
                made.index.load_chunks(SearchScope(DEFAULT_TENANT), [hit.id for hit in best[:10]])

        runs = {"service": service, "rest": rest, "bare": bare}
        for text in texts[:10]:  # first calls pay for caches and lazy parts
            for call in runs.values():
                call(text)
        order = list(runs)
        for text in texts:
            for name in order:
                begun = time.perf_counter()
                runs[name](text)
                ways[name].append((time.perf_counter() - begun) * 1000)
            order.append(order.pop(0))
        chunks = sum(total.chunks for total in services.documents.catalog.compute_state_totals(DEFAULT_TENANT).values())
    figures: dict[str, Any] = {"queries": len(texts), "chunks": chunks}
    for name, times in ways.items():
        prefix = "" if name == "service" else f"{name}_"
        figures[f"{prefix}p50_ms"] = round(float(np.percentile(times, 50)), 2)
        figures[f"{prefix}p95_ms"] = round(float(np.percentile(times, 95)), 2)
    for quantile in ("p50", "p95"):
        figures[f"{quantile}_ratio"] = round(figures[f"{quantile}_ms"] / figures[f"bare_{quantile}_ms"], 3)
    figures["ratio"] = figures["p50_ratio"]
    print_figures(figures, as_json)


def _peak_mib() -> int:
    """The most memory this process ever had resident; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    app()
