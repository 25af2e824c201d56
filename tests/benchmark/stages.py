"""Milliseconds of each stage of a search, as the service itself says them with every answer."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_embedded_services
from api.build.language_model import select_reranker
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.private_service import open_services_client
from api.client import ServiceError
from retrieval.models.store import ModelStore
from tests.benchmark.figures import AsJson, print_rows, query_texts

# One retriever at a time tells what each one's part of `engine` is.
_SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "bm25": {"mode": "bm25", "rerank": False},
    "dense": {"mode": "dense", "rerank": False},
    "hybrid": {"rerank": False},
    "reranked": {"rerank": True},
}
_WARM_UP = 10


def stages(
    queries: Annotated[int, typer.Option(help="How many queries.", min=10)] = 200,
    seed: Annotated[int, typer.Option(help="Chooses the queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show p50 and p95 of every stage of searches over the data folder, with and without reranking, one at a time.

    Queries are runs of words from the documents; each is searched for in all ways, in an order that turns. The stages
    are those of `timings_ms` in the answer and of `leadline_search_stage_seconds` in the metrics; `processor` is the
    processor time of the whole request, of all threads, which says more than the clock where others use the machine.
    Stop the service first: the folder's index has one owner.
    """
    settings = read_settings(llm="none", query_cache_bytes=0, token_cache_bytes=0)
    fetch_missing_model_files(settings)
    without = set() if select_reranker(settings, ModelStore(settings.models)) else {"reranked"}
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in _SEARCHES if name not in without}
    with (
        open_embedded_services(settings) as services,
        open_services_client(services) as client,
        Console(stderr=True).status("Searching …"),
    ):
        chunks = sum(total.chunks for total in services.documents.catalog.compute_state_totals(DEFAULT_TENANT).values())
        texts = query_texts(services.documents.catalog, services.contents.texts, queries, seed, home=settings.home)
        order = list(taken)
        for number, text in enumerate([*texts[:_WARM_UP], *texts]):
            for name in order:
                begun = time.process_time()
                found = client.post("/v1/search", {**_SEARCHES[name], "query": text})
                spent = (time.process_time() - begun) * 1000
                if (reranked := found["reranked"]) and reranked["state"] == "failed":
                    raise ServiceError(f"Not reranked: {reranked['detail']}")
                if number >= _WARM_UP:  # first calls pay for caches and lazy parts
                    for stage, milliseconds in {**found["timings_ms"], "processor": spent}.items():
                        taken[name].setdefault(stage, []).append(milliseconds)
            order.append(order.pop(0))
    print_rows([{"search": name, "chunks": chunks, **_quantiles(each)} for name, each in taken.items()], as_json)


def _quantiles(stages_ms: Mapping[str, list[float]]) -> dict[str, float]:
    return {
        f"{stage} p{percent}": round(float(np.percentile(values, percent)), 2)
        for stage, values in stages_ms.items()
        for percent in (50, 95)
    }
