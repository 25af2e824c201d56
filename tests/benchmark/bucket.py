"""Searches whose texts are in a bucket, in turns with searches whose texts are in a folder: times and requests.

Searches in the bucket are measured with an empty folder of local copies, and again with the copies.

python -m tests.benchmark.bucket               # a server on this machine, which delays each request by 20 ms
"""

import logging
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from api.cli.console_logging import configure_logging
from tests.benchmark.figures import AsJson, print_rows
from tests.support.cluster import wait_until
from tests.support.delaying_proxy import DelayingProxy, delaying
from tests.support.s3_server import bucket_environment, s3_server
from tests.support.service import listening, running

app = typer.Typer(help=__doc__)

_WORDS = (
    *("harbour", "lamp", "keeper", "storm", "ledger", "vessel", "anchor", "pilot"),
    *("cargo", "rope", "mast", "tide", "signal", "beacon", "quay", "crane"),
)


@app.command()
def search(
    documents: Annotated[int, typer.Option(help="How many documents.", min=60)] = 200,
    rounds: Annotated[int, typer.Option(help="How many searches of each.", min=4)] = 20,
    delay_ms: Annotated[int, typer.Option(help="How long the server waits before each request.", min=0)] = 20,
    as_json: AsJson = False,
) -> None:
    """Searches for 10 and for 50 hits, each query once in the folder and once in the bucket."""
    configure_logging(logging.WARNING)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        url, proxy = stack.enter_context(delaying(stack.enter_context(s3_server()), delay_ms))
        clients: dict[str, httpx.Client] = {}
        for name, settings in {"folder": {}, "bucket": bucket_environment(url)}.items():
            (home / name).mkdir()
            services, _ = stack.enter_context(running(home / name, query_cache_bytes=0, **settings))
            address, key = stack.enter_context(listening(services))
            headers = {"Authorization": f"Bearer {key}"}
            clients[name] = stack.enter_context(httpx.Client(base_url=address, headers=headers, timeout=120))
            _upload(clients[name], documents)
        copies = home / "bucket" / "blobs-in-use" / "copies"
        rows = [_measure(clients, proxy, copies, hits, rounds) for hits in (10, 50)]
    print_rows(rows, as_json)


def _upload(http: httpx.Client, documents: int) -> None:
    random = np.random.default_rng(0)
    for number in range(documents):
        text = f"# Report {number}\n\n" + " ".join(random.choice(_WORDS, 200))
        http.post("/v1/documents", params={"name": f"{number}.md"}, content=text.encode()).raise_for_status()
    wait_until(
        lambda: http.get("/v1/status").json()["documents"]["ready"] == documents, what="all are ready", seconds=600
    )


def _measure(
    clients: dict[str, httpx.Client], proxy: type[DelayingProxy], copies: Path, hits: int, rounds: int
) -> dict[str, Any]:
    took: dict[str, list[float]] = {"folder": [], "cold": [], "warm": []}
    requests = dict.fromkeys(took, 0)
    for number in range(-1, rounds):
        query = f"{_WORDS[number % len(_WORDS)]} {_WORDS[(number * 7 + 3) % len(_WORDS)]} {number}"
        for name in took:
            if name == "cold":
                shutil.rmtree(copies, ignore_errors=True)
            http, before, begun = (
                clients["folder" if name == "folder" else "bucket"],
                proxy.requests,
                time.perf_counter(),
            )
            found = http.post("/v1/search", json={"query": query, "top_k": hits}).raise_for_status().json()
            if number >= 0:  # The first round opens connections.
                assert len(found["hits"]) == hits
                took[name].append((time.perf_counter() - begun) * 1000)
                requests[name] += proxy.requests - before
    medians = {name: float(np.median(each)) for name, each in took.items()}
    return {
        "hits": hits,
        **{f"{name}_p50_ms": round(each, 1) for name, each in medians.items()},
        "cold_ratio": round(medians["cold"] / medians["folder"], 2),
        "warm_ratio": round(medians["warm"] / medians["folder"], 2),
        "cold_requests": round(requests["cold"] / rounds, 1),
        "warm_requests": round(requests["warm"] / rounds, 1),
    }


if __name__ == "__main__":
    app()
