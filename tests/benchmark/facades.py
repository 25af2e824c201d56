"""What the API adds to search and to answers, and whether clients that go away end their work: counts and times.

python -m tests.benchmark.facades overhead         # searches over HTTP beside the engine's, on the data folder
python -m tests.benchmark.facades first-token      # the first token of an answer beside the model's own
python -m tests.benchmark.facades leaving          # clients of every protocol that go away, 100 of each
"""

import asyncio
import json
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
import uvicorn
from rich.console import Console

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_embedded_services
from api.cli.console_logging import configure_logging
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.private_service import run_private_server
from retrieval.search.requests import SearchRequest
from tests.benchmark.figures import AsJson, print_figures, print_rows, query_texts
from tests.support.facades import (
    FACADES,
    asks,
    build_chat_facade,
    build_responses_facade,
    build_rest_facade,
    seconds_until_nothing_is_asked,
)
from tests.support.harbour import Harbour, Model, harbour
from tests.support.proxies import caddy, nginx
from tests.support.scripted_openai import wanted_members

app = typer.Typer(help=__doc__, no_args_is_help=True)

_SIGNS: Mapping[str, str] = {
    "REST": "event: delta",
    "chat": '"content": "',
    "responses": "event: response.output_text.delta",
}
"""The beginning of the first line that has text of the answer, for each protocol that streams."""
_WARM_UP = 16
_TURN = 10
_LIMIT_SECONDS = 2.0


@app.callback()
def configure() -> None:
    """Log what goes wrong, and no request."""
    configure_logging(logging.WARNING)


@app.command()
def overhead(
    queries: Annotated[int, typer.Option(help="How many searches of each.", min=_TURN)] = 400,
    seed: Annotated[int, typer.Option(help="Chooses the queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Hybrid searches over HTTP by a client in another process, in turns with the engine's own of other queries.

    Stop the service first: the folder's index has one owner.
    """
    settings = read_settings(llm="none", query_cache_bytes=0)
    fetch_missing_model_files(settings)
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        open_embedded_services(settings) as services,
        run_private_server(services, uvicorn.Server) as (_, socket, key),
        Console(stderr=True).status("Searching …"),
    ):
        texts = query_texts(
            services.documents.catalog, services.contents.texts, 2 * queries + 2 * _WARM_UP, seed, home=settings.home
        )

        def engine(some: list[str]) -> list[float]:
            return [
                _timed(lambda text=text: services.asking.searcher.search(SearchRequest(DEFAULT_TENANT, text)))
                for text in some
            ]

        engine(texts[:_WARM_UP])
        _over_http(pool, socket, key, texts[_WARM_UP : 2 * _WARM_UP])
        own, api = list[float](), list[float]()
        for at in range(2 * _WARM_UP, len(texts) - 2 * _TURN + 1, 2 * _TURN):
            own += engine(texts[at : at + _TURN])
            api += _over_http(pool, socket, key, texts[at + _TURN : at + 2 * _TURN])
    print_figures({"searches": len(api), **_beside(api, own, "api", "engine")}, as_json)


@app.command()
def first_token(
    model_ms: Annotated[int, typer.Option(help="How long the model takes to its first token.", min=1)] = 500,
    router_ms: Annotated[
        int,
        typer.Option(
            help="How long the model takes to choose a strategy. By default, the first token and then 50 tokens in a "
            "second, because a choice is complete only with its last token.",
            min=1,
        ),
    ] = 1_500,
    count: Annotated[int, typer.Option(help="How many answers for each row.", min=4)] = 20,
    is_direct: Annotated[
        bool, typer.Option("--direct", help="Ask for the strategy `direct`. By default, the service chooses.")
    ] = False,
    answers_early: Annotated[
        bool, typer.Option("--early/--no-early", help="Whether answers begin while the strategy is chosen.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """The first piece of an answer's text by every protocol that streams, without a proxy and through each proxy.

    To choose a strategy, the service may first ask the model. Each is measured in turns with the first piece that the
    model sends for the same prompt. Unlike requests to a GPU, requests to this model do not slow each other down: where
    an answer begins while the strategy is chosen, a GPU gains less. nginx and Caddy must be installed. They run as
    their packages are set up, and with their files of `deploy/proxies/`.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        service = stack.enter_context(harbour(home / "service", Model(), early_answers=answers_early))
        service.model.choose_delay = lambda request: (
            (router_ms if "strategy" in wanted_members(request) else model_ms) / 1000
        )
        clients = {"direct": stack.enter_context(httpx.Client(base_url=service.url, timeout=60))}
        for name, run in {"nginx": nginx, "Caddy": caddy}.items():
            for is_ours in (False, True):
                folder = home / f"{name}-{is_ours}"
                folder.mkdir()
                proxy = stack.enter_context(run(folder, service.url, is_ours=is_ours))
                clients[f"{name}, {'our file' if is_ours else 'its defaults'}"] = stack.enter_context(proxy.connect())
        rows: dict[tuple[str, str], tuple[list[float], list[float]]] = {
            (protocol, route): ([], []) for protocol in _SIGNS for route in clients
        }
        _measure_first_tokens(service, clients, rows, count, is_direct=is_direct)
    print_rows([_describe_first_tokens(protocol, rows) for protocol in _SIGNS], as_json)


def _describe_first_tokens(
    protocol: str, rows: Mapping[tuple[str, str], tuple[list[float], list[float]]]
) -> dict[str, Any]:
    figures: dict[str, Any] = {"protocol": protocol}
    for (other, route), (api, own) in rows.items():
        if other == protocol:
            figures |= {f"{route}: {name}": figure for name, figure in _beside(api, own, "api", "model").items()}
    return figures


def _measure_first_tokens(
    service: Harbour,
    clients: Mapping[str, httpx.Client],
    rows: Mapping[tuple[str, str], tuple[list[float], list[float]]],
    count: int,
    *,
    is_direct: bool,
) -> None:
    """Add the milliseconds of the service and of its model to each row, one answer of every row after the other."""
    headers = {"Authorization": f"Bearer {service.key}"}
    model = {"model": "leadline:direct"} if is_direct else {}
    facades = {
        "REST": build_rest_facade(stream=True, **({"strategy": "direct"} if is_direct else {})),
        "chat": build_chat_facade(stream=True, **model),
        "responses": build_responses_facade(stream=True, **model),
    }
    with httpx.Client(timeout=60) as http:
        for number in range(-1, count):
            for row, ((protocol, route), (api, own)) in enumerate(rows.items()):
                facade, sign = facades[protocol], _SIGNS[protocol]
                body = facade.body(f"Who kept lighthouse {row} in {1800 + number}?")
                took = _first(clients[route], facade.path, body, sign, headers)
                asked = next(
                    each for each in reversed(service.model.requests) if each.get("stream") and not wanted_members(each)
                )
                alone = _first(http, f"{service.model.url}/chat/completions", asked, '"content"', {})
                if number >= 0:  # The first round connects and warms up.
                    api.append(took)
                    own.append(alone)


@app.command()
def leaving(
    count: Annotated[int, typer.Option(help="How many clients of each protocol.", min=1)] = 100,
    as_json: AsJson = False,
) -> None:
    """Clients that go away while a model is asked: how many ended its work within two seconds, and how fast."""
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as home, harbour(Path(home), Model()) as service:
        service.model.fault = "wait"
        rows = [{"protocol": name, **_left(service, name, count)} for name in FACADES]
    print_rows(rows, as_json)


def _left(service: Harbour, name: str, count: int) -> dict[str, Any]:
    took: list[float] = []
    for number in range(count):
        ask = asks(service.url, service.key, FACADES[name], f"Who kept lamp {number} of {name}?")
        took.append(asyncio.run(seconds_until_nothing_is_asked(ask, service.model, limit_seconds=10 * _LIMIT_SECONDS)))
    return {
        "clients": count,
        "ended_within_2_s": sum(each <= _LIMIT_SECONDS for each in took),
        "p50_ms": round(float(np.median(took)) * 1000),
        "slowest_ms": round(max(took) * 1000) if np.isfinite(max(took)) else "never",
    }


def _beside(api: list[float], own: list[float], name: str, other: str) -> dict[str, Any]:
    """The medians of two, their ratio and their difference."""
    first, second = float(np.median(api)), float(np.median(own))
    return {
        f"{name}_p50_ms": round(first, 2),
        f"{other}_p50_ms": round(second, 2),
        "ratio": round(first / second, 3),
        "added_ms": round(first - second, 2),
    }


def _timed(work: Any) -> float:  # noqa: ANN401 - any callable
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _first(http: httpx.Client, url: str, body: dict[str, Any], sign: str, headers: dict[str, str]) -> float:
    """Milliseconds until the first line with a sign in it."""
    begun = time.perf_counter()
    with http.stream("POST", url, json=body, headers=headers) as response:
        for line in response.iter_lines():
            if sign in line:
                return (time.perf_counter() - begun) * 1000
    raise AssertionError(f"nothing came of {json.dumps(body)[:200]}")


def _over_http(pool: Executor, socket: str, key: str, texts: list[str]) -> list[float]:
    return pool.submit(_search, socket, key, texts).result()


def _search(socket: str, key: str, texts: list[str]) -> list[float]:
    """Search from a process of its own, one after the other over one connection, and time each."""
    with httpx.Client(
        base_url="http://leadline",
        headers={"Authorization": f"Bearer {key}"},
        transport=httpx.HTTPTransport(uds=socket),
        timeout=60,
    ) as http:
        http.get("/health/live")  # so that connecting is not timed
        return [
            _timed(lambda text=text: http.post("/v1/search", json={"query": text}).raise_for_status()) for text in texts
        ]


if __name__ == "__main__":
    app()
