"""`leadline bench concurrency`: many searches at once over HTTP, next to one after the other."""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import numpy as np
import typer
import uvicorn
from rich.console import Console

from api.cli.bench_figures import AsJson, print_rows, query_texts
from api.cli.environment import read_settings
from api.cli.fetching import fetch_needed
from api.cli.private_service import private_server
from api.embedded import open_embedded

_LOOK_SECONDS = 0.005
_WARM_UP = 16
_TIMEOUT = httpx.Timeout(120.0)


@dataclass(frozen=True)
class Load:
    """Milliseconds of each request in the order in which they ended, and seconds for all of them."""

    request_ms: list[float]
    seconds: float


class LagWatch:
    """How late an event loop comes to a task that wants to run every few milliseconds."""

    def __init__(self) -> None:
        self._lags_ms: list[float] = []

    def take(self) -> list[float]:
        """Those seen since the last time."""
        lags, self._lags_ms = self._lags_ms, []
        return lags

    async def run(self) -> None:
        while True:
            wanted = time.perf_counter() + _LOOK_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            self._lags_ms.append((time.perf_counter() - wanted) * 1000)


class WatchedServer(uvicorn.Server):
    """Its event loop's lag is in `lag`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.lag = LagWatch()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self._watching = asyncio.create_task(self.lag.run())

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await super().shutdown(sockets)  # type: ignore[arg-type]


def concurrency(
    clients: Annotated[int, typer.Option(help="How many searches at once.", min=2)] = 32,
    queries: Annotated[int, typer.Option(help="How many searches with one client, and again with all.", min=10)] = 640,
    seed: Annotated[int, typer.Option(help="Chooses the queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Hybrid searches of many clients at once over HTTP, next to those of one client.

    The service is in this process and the clients are in another, on the same machine; each client sends its next
    search when it has the answer to the one before. `loop_lag` is how late the service's event loop comes to what is
    due. Stop the service first: the folder's index has one owner.
    """
    settings = read_settings(llm="none", query_cache_bytes=0)
    fetch_needed(settings)
    spawning = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawning) as pool,
        open_embedded(settings) as services,
        private_server(services, WatchedServer) as (server, socket, key),
        Console(stderr=True).status("Searching …"),
    ):
        texts = query_texts(services.catalog, services.texts, queries, seed, home=settings.home)
        _load(pool, socket, key, texts[:_WARM_UP], clients)
        server.lag.take()
        rows = [_row(server, _load(pool, socket, key, texts, count), count) for count in (1, clients)]
    rows[1]["throughput_ratio"] = round(rows[1]["searches_per_second"] / rows[0]["searches_per_second"], 2)
    print_rows(rows, as_json)


def _load(pool: Executor, socket: str, key: str, texts: Sequence[str], clients: int) -> Load:
    return pool.submit(_send_all, socket, key, list(texts), clients).result()


def _row(server: WatchedServer, load: Load, clients: int) -> dict[str, Any]:
    times, lags = load.request_ms, server.lag.take()
    return {
        "clients": clients,
        "searches": len(times),
        "searches_per_second": round(len(times) / load.seconds, 1),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "slowest_ms": round(max(times), 1),
        "loop_lag_p99_ms": round(float(np.percentile(lags, 99)), 1),
        "loop_lag_slowest_ms": round(max(lags), 1),
    }


def _send_all(socket: str, key: str, texts: list[str], clients: int) -> Load:
    """For a process of its own. Raises `httpx.HTTPStatusError` when one search fails."""
    return asyncio.run(_clients(socket, key, texts, clients))


async def _clients(socket: str, key: str, texts: list[str], clients: int) -> Load:
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
