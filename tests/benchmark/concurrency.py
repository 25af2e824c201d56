"""Many searches at once over HTTP, next to one after the other."""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import numpy as np
import typer
import uvicorn
from rich.console import Console

from api.build.embedded import open_embedded_services
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.private_service import run_private_server
from tests.benchmark.figures import AsJson, print_rows, query_texts

_WARM_UP = 16
_TIMEOUT = httpx.Timeout(120.0)


@dataclass(frozen=True)
class Load:
    """Milliseconds of each request in the order in which they ended, and seconds for all of them."""

    request_ms: list[float]
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Searches a second, and how long one takes."""
        return {
            "searches": len(self.request_ms),
            "searches_per_second": round(len(self.request_ms) / self.seconds, 1),
            "p50_ms": round(float(np.percentile(self.request_ms, 50)), 1),
            "p95_ms": round(float(np.percentile(self.request_ms, 95)), 1),
            "slowest_ms": round(max(self.request_ms), 1),
        }


def concurrency(
    clients: Annotated[int, typer.Option(help="How many searches at once.", min=2)] = 32,
    queries: Annotated[int, typer.Option(help="How many searches with one client, and again with all.", min=10)] = 640,
    seed: Annotated[int, typer.Option(help="Chooses the queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Hybrid searches of many clients at once over HTTP, next to those of one client.

    The service is in this process and the clients are in another, on the same machine; each client sends its next
    search when it has the answer to the one before. Stop the service first: the folder's index has one owner.
    """
    settings = read_settings(llm="none", query_cache_bytes=0)
    fetch_missing_model_files(settings)
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        open_embedded_services(settings) as services,
        run_private_server(services, uvicorn.Server) as (_, socket, key),
        Console(stderr=True).status("Searching …"),
    ):
        texts = query_texts(services.documents.catalog, services.contents.texts, queries, seed, home=settings.home)
        _load(pool, socket, key, texts[:_WARM_UP], clients)
        rows = [{"clients": count, **_load(pool, socket, key, texts, count).figures()} for count in (1, clients)]
    rows[1]["throughput_ratio"] = round(rows[1]["searches_per_second"] / rows[0]["searches_per_second"], 2)
    print_rows(rows, as_json)


def _load(pool: Executor, socket: str, key: str, texts: Sequence[str], clients: int) -> Load:
    return pool.submit(_send_all, socket, key, list(texts), clients).result()


def _send_all(socket: str, key: str, texts: list[str], clients: int) -> Load:
    """Searches from a process of its own. Raises `httpx.HTTPStatusError` when one search fails."""
    return asyncio.run(_search_at_once(socket, key, texts, clients))


async def _search_at_once(socket: str, key: str, texts: list[str], clients: int) -> Load:
    waiting, times = iter(texts), list[float]()

    async def client(http: httpx.AsyncClient) -> None:
        for text in waiting:
            begun = time.perf_counter()
            response = await http.post("/v1/search", json={"query": text})
            times.append((time.perf_counter() - begun) * 1000)
            response.raise_for_status()

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(
        base_url="http://leadline",
        headers={"Authorization": f"Bearer {key}"},
        transport=httpx.AsyncHTTPTransport(uds=socket, limits=limits),
        timeout=_TIMEOUT,
    ) as http:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(http))
        return Load(times, time.perf_counter() - begun)
