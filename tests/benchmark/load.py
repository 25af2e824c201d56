"""A service under load, on this machine alone: `python -m tests.benchmark.load --minutes 10`.

Arrivals do not wait for answers: each request is sent when its time has come, and is timed from then.
"""

import asyncio
import itertools
import math
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console

from tests.benchmark.figures import AsJson, print_rows
from tests.benchmark.load_service import Loaded, loaded_service

# The refusals of a service that has too much to do; each must say when to come back.
_BUSY = frozenset({429, 503})
_CALIBRATION_CLIENTS = 4
# The share of the highest throughput at which the service is measured: room for bursts, as machines are sized.
_CALIBRATED_SHARE = 0.5
_PROBE_SECONDS = 0.25
_MOST_IN_FLIGHT = 2_000
_TIMEOUT_SECONDS = 60.0
_ANSWERS = 0.05  # of the requests; all others are searches

Send = Callable[[httpx.AsyncClient, int], Any]


@dataclass
class Outcomes:
    """What became of requests: milliseconds of those that succeeded, by kind, and statuses of all."""

    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, status: int, milliseconds: float, *, says_when: bool) -> None:
        if status == 200:
            self.milliseconds.setdefault(kind, []).append(milliseconds)
        silent = status in _BUSY and not says_when
        self.statuses[f"{status} without Retry-After" if silent else str(status)] += 1

    @property
    def faults(self) -> int:
        """Count everything that is neither a success nor a refusal that says when to come back."""
        good = {"200", *map(str, _BUSY)}
        return sum(count for status, count in self.statuses.items() if status not in good)

    def percentile(self, kind: str, share: float) -> float | None:
        found = self.milliseconds.get(kind)
        return round(float(np.percentile(found, share)), 1) if found else None

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"requests": self.statuses.total(), "faults": self.faults}
        for kind in sorted(self.milliseconds):
            figures |= {f"{kind}_p50_ms": self.percentile(kind, 50), f"{kind}_p99_ms": self.percentile(kind, 99)}
        return {**figures, "statuses": ", ".join(f"{name}: {count}" for name, count in sorted(self.statuses.items()))}


class Tenant:
    """Sends one tenant's searches and answers, each with other words."""

    def __init__(self, loaded: Loaded, key: str, seed: int) -> None:
        self._queries = itertools.cycle(random.Random(seed).sample(loaded.queries, len(loaded.queries)))
        self._headers = {"Authorization": f"Bearer {key}"}
        self._random = random.Random(seed)

    async def send(self, http: httpx.AsyncClient, outcomes: Outcomes, due: float) -> None:
        """Send one request and add what becomes of it, timed from when it was `due`."""
        kind = "answer" if self._random.random() < _ANSWERS else "search"
        query, status, says_when = next(self._queries), 0, False
        try:
            if kind == "search":
                response = await http.post("/v1/search", json={"query": query}, headers=self._headers)
            else:
                body = {"question": f"What is said of {query}?", "strategy": "direct"}
                response = await http.post("/v1/answers", json=body, headers=self._headers)
            status, says_when = response.status_code, "retry-after" in response.headers
        except httpx.HTTPError as error:
            outcomes.statuses[type(error).__name__] += 1
            return
        outcomes.add(kind, status, (time.perf_counter() - due) * 1000, says_when=says_when)


def load(
    minutes: Annotated[float, typer.Option(help="How long each of the measurements takes.", min=0.1)] = 10.0,
    size: Annotated[int, typer.Option(help="Tokens of the documents that are searched.")] = 200_000,
    rate: Annotated[float, typer.Option(help="Requests a second instead of the calibrated rate.")] = 0.0,
    only_greedy: Annotated[bool, typer.Option("--only-greedy", help="Only the part with two tenants.")] = False,
    cheap_vectors: Annotated[bool, typer.Option(help="An encoder that costs nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a service under load: at a calibrated rate, at three times that, and with one tenant that wants everything.

    Service, model and clients share this machine, so that the load average is part of the figures. Requests are 19
    searches to one answer. It stops by itself, and ends with 1 after any fault: a request that neither succeeded nor
    was told when to come back.
    """
    console = Console(stderr=True)
    with console.status("Starting …"), loaded_service(size_tokens=size, cheap_vectors=cheap_vectors) as loaded:
        rows = asyncio.run(_measured(loaded, minutes * 60, rate, only_greedy, console.print))
    print_rows(rows, as_json)
    raise typer.Exit(int(any(row.get("faults") for row in rows)))


async def _measured(
    loaded: Loaded, seconds: float, rate: float, only_greedy: bool, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    one, two = Tenant(loaded, loaded.key, 1), Tenant(loaded, loaded.other_key, 2)
    async with _client(loaded) as http:
        highest = await _throughput(http, one, min(30.0, seconds / 2))
        rate = rate or _CALIBRATED_SHARE * highest
        say(f"{highest:.1f} requests a second at most; the calibrated rate is {rate:.1f}.")
        rows = []
        if not only_greedy:
            rows.append(await _part("calibrated rate", loaded, http, seconds, [(one, rate)]))
            rows.append(await _part("three times that", loaded, http, seconds, [(one, 3 * rate)]))
        # A tenant's share of two is half of what the machine can do; forty times a small part of it is more than that.
        share = rate / 20
        alone = await _part("one tenant alone", loaded, http, seconds, [(two, share)])
        both = await _part(
            "beside another at forty times its rate", loaded, http, seconds, [(two, share), (one, 40 * share)]
        )
        rows += [alone, {**both, "p95_ratio": _ratio(both["first_p95_ms"], alone["first_p95_ms"])}]
    return rows


async def _part(
    name: str, loaded: Loaded, http: httpx.AsyncClient, seconds: float, tenants: Sequence[tuple[Tenant, float]]
) -> dict[str, Any]:
    """Measure one load: the outcomes of all, the first tenant's searches, health, memory and the machine's load."""
    outcomes = [Outcomes() for _ in tenants]
    health: dict[str, list[float]] = {"live": [], "ready": []}
    over = asyncio.Event()
    before, memory = os.getloadavg()[0], loaded.megabytes()
    async with _client(loaded) as probe, asyncio.TaskGroup() as group:
        probes = [group.create_task(_probe(probe, kind, times, over)) for kind, times in health.items()]
        arrivals = [
            group.create_task(_arrive(http, tenant, rate, seconds, each))
            for (tenant, rate), each in zip(tenants, outcomes, strict=True)
        ]
        await asyncio.wait(arrivals)
        over.set()
        await asyncio.wait(probes)
    whole = Outcomes(statuses=sum((each.statuses for each in outcomes), Counter()))
    for each in outcomes:
        for kind, times in each.milliseconds.items():
            whole.milliseconds.setdefault(kind, []).extend(times)
    return {
        "part": name,
        "seconds": round(seconds),
        "requests_per_second": round(sum(rate for _, rate in tenants), 1),
        **whole.figures(),
        "first_p95_ms": outcomes[0].percentile("search", 95),
        **{f"{kind}_{what}": value for kind, times in health.items() for what, value in _health(times).items()},
        "memory_mb": round(loaded.megabytes()),
        "memory_growth": f"{(loaded.megabytes() / memory - 1) * 100:+.1f} %",
        "load_average": f"{before:.1f} to {os.getloadavg()[0]:.1f}",
    }


async def _arrive(http: httpx.AsyncClient, tenant: Tenant, rate: float, seconds: float, outcomes: Outcomes) -> None:
    """Send requests at random instants, `rate` a second, and wait for what becomes of them."""
    random_source, begun = random.Random(7), time.perf_counter()
    due, flying = begun, set[asyncio.Task[None]]()
    while True:
        due += random_source.expovariate(rate)
        if due > begun + seconds:
            break
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if len(flying) >= _MOST_IN_FLIGHT:
            outcomes.statuses["not sent"] += 1
            continue
        task = asyncio.create_task(tenant.send(http, outcomes, due))
        flying.add(task)
        task.add_done_callback(flying.discard)
    if flying:
        await asyncio.wait(flying)


async def _throughput(http: httpx.AsyncClient, tenant: Tenant, seconds: float) -> float:
    """Return the requests a second of clients that send the next one when they have an answer."""
    outcomes, begun = Outcomes(), time.perf_counter()

    async def client() -> None:
        while time.perf_counter() < begun + seconds:
            await tenant.send(http, outcomes, time.perf_counter())

    await asyncio.gather(*(client() for _ in range(_CALIBRATION_CLIENTS)))
    if outcomes.faults or not outcomes.statuses["200"]:
        raise RuntimeError(f"The calibration met faults: {dict(outcomes.statuses)}")
    return outcomes.statuses["200"] / (time.perf_counter() - begun)


async def _probe(http: httpx.AsyncClient, kind: str, times: list[float], over: asyncio.Event) -> None:
    """Ask for health again and again; what does not answer counts with all the time that it was waited for."""
    while not over.is_set():
        begun = time.perf_counter()
        try:
            failed = (await http.get(f"/health/{kind}")).status_code != 200
        except httpx.HTTPError:
            failed = True
        times.append(math.inf if failed else (time.perf_counter() - begun) * 1000)
        await asyncio.sleep(_PROBE_SECONDS)


def _health(times: Sequence[float]) -> dict[str, Any]:
    answered = [each for each in times if each != math.inf]
    figures: dict[str, Any] = {"failed": len(times) - len(answered)}
    if answered:
        figures |= {"p99_ms": round(float(np.percentile(answered, 99)), 1), "slowest_ms": round(max(answered), 1)}
    return figures


def _ratio(first: float | None, second: float | None) -> float | None:
    return round(first / second, 2) if first and second else None


@asynccontextmanager
async def _client(loaded: Loaded) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=_MOST_IN_FLIGHT, max_keepalive_connections=100)
    timeout = httpx.Timeout(_TIMEOUT_SECONDS)
    async with httpx.AsyncClient(base_url=loaded.url, limits=limits, timeout=timeout, trust_env=False) as http:
        yield http


if __name__ == "__main__":
    typer.run(load)
