"""Searches and answers whose texts are in a bucket, in turns with those whose texts are in a folder.

In the bucket, each is measured with an empty folder of local copies, and again with the copies: times, requests, and
round trips, which are requests that began after the one before had ended. The model replies at once.

python -m tests.benchmark.bucket               # a server on this machine, which delays each request by 20 ms
"""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from api.build.language_model import RemoteLanguageModel
from api.cli.console_logging import configure_logging
from ingest.storage.texts.texts import Texts
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.benchmark.figures import AsJson, print_rows
from tests.support.cluster import wait_until
from tests.support.delaying_proxy import DelayingProxy, count_round_trips, delaying
from tests.support.s3_server import bucket_environment, s3_server
from tests.support.scripted_openai import scripted_openai, wanted_members
from tests.support.service import listening, running

app = typer.Typer(help=__doc__)

_WORDS = (
    *("harbour", "lamp", "keeper", "storm", "ledger", "vessel", "anchor", "pilot"),
    *("cargo", "rope", "mast", "tide", "signal", "beacon", "quay", "crane"),
)


# The recursive run searches the text of every document, and sends five documents to the model.
_CELLS = (
    'found = grep("keeper storm")\nprint(len(found), count("harbour"), "ONE IS DONE")',
    'read_ones = outline()[:5]\nprint(llm_query_batched([read(each) for each in read_ones]), "TWO IS DONE")',
    'submit("The reports name a keeper [1].", [read(outline()[0])[:60]])',
)
_PROFILE = ModelProfile("scripted", 16_000, 1_000, writes_code=True, parallel_calls=8)


@app.command()
def compare(
    documents: Annotated[int, typer.Option(help="How many documents.", min=60)] = 200,
    rounds: Annotated[int, typer.Option(help="How many turns of each.", min=4)] = 20,
    delay_ms: Annotated[int, typer.Option(help="How long the server waits before each request.", min=0)] = 20,
    as_json: AsJson = False,
) -> None:
    """Searches for 10 and for 50 hits, answers and recursive runs, each once in the folder and twice in the bucket."""
    configure_logging(logging.WARNING)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        url, proxy = stack.enter_context(delaying(stack.enter_context(s3_server()), delay_ms))
        model = stack.enter_context(scripted_openai(window_tokens=_PROFILE.context_tokens))
        model.reply = _reply
        clients: dict[str, httpx.Client] = {}
        for name, settings in {"folder": {}, "bucket": bucket_environment(url)}.items():
            (home / name).mkdir()
            chat = RemoteLanguageModel(model.url, ChatModel(build_remote_chat_model(model.url, _PROFILE), _PROFILE))
            services, _ = stack.enter_context(
                running(home / name, language_model=chat, query_cache_bytes=0, **settings)
            )
            address, key = stack.enter_context(listening(services))
            headers = {"Authorization": f"Bearer {key}"}
            clients[name] = stack.enter_context(httpx.Client(base_url=address, headers=headers, timeout=120))
            _upload(clients[name], documents)
            texts = services.contents.texts
        copies = home / "bucket" / "blobs-in-use" / "copies"
        tasks: dict[str, Callable[[httpx.Client, str], None]] = {
            "search for 10": lambda http, query: _search(http, query, 10),
            "search for 50": lambda http, query: _search(http, query, 50),
            "answer": lambda http, query: _answer(http, query, "direct"),
            "recursive run": lambda http, query: _answer(http, query, "recursive"),
        }
        rows = [_measure(name, perform, clients, proxy, texts, copies, rounds) for name, perform in tasks.items()]
    print_rows(rows, as_json)


def _reply(request: dict[str, Any]) -> str:
    prompt = str(request["messages"][-1]["content"])
    if "verdicts" in wanted_members(request):
        return json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": ""}]})
    if "python" not in str(request["messages"]):
        return "The reports name a keeper [1]."
    done = sum(f"{number} IS DONE" in prompt.replace(f'"{number} IS DONE"', "") for number in ("ONE", "TWO"))
    return f"```python\n{_CELLS[done]}\n```"


def _search(http: httpx.Client, query: str, hits: int) -> None:
    found = http.post("/v1/search", json={"query": query, "top_k": hits}).raise_for_status().json()
    assert len(found["hits"]) == hits


def _answer(http: httpx.Client, query: str, strategy: str) -> None:
    body = {"question": f"Which reports name {query}?", "strategy": strategy}
    response = http.post("/v1/answers", json=body)
    assert response.is_success, response.text
    answer = response.json()
    assert answer["strategy"] == strategy
    assert "keeper" in answer["text"], answer


def _upload(http: httpx.Client, documents: int) -> None:
    random = np.random.default_rng(0)
    for number in range(documents):
        text = f"# Report {number}\n\n" + " ".join(random.choice(_WORDS, 200))
        http.post("/v1/documents", params={"name": f"{number}.md"}, content=text.encode()).raise_for_status()
    wait_until(
        lambda: http.get("/v1/status").json()["documents"].get("ready") == documents, what="all are ready", seconds=600
    )


def _measure(
    task: str,
    perform: Callable[[httpx.Client, str], None],
    clients: dict[str, httpx.Client],
    proxy: type[DelayingProxy],
    texts: Texts,
    copies: Path,
    rounds: int,
) -> dict[str, Any]:
    took: dict[str, list[float]] = {"folder": [], "cold": [], "warm": []}
    requests: dict[str, list[int]] = {name: [] for name in took}
    trips: dict[str, list[int]] = {name: [] for name in took}
    for number in range(-1, rounds):
        query = f"{_WORDS[number % len(_WORDS)]} {_WORDS[(number * 7 + 3) % len(_WORDS)]} {number}"
        for http in clients.values():  # Neither is the first to see a query, and to compute what is cached for it.
            perform(http, query)
        # The folder's turn comes first and last by turns, because what the process caches favours the later ones.
        for name in ("folder", "cold", "warm") if number % 2 else ("cold", "warm", "folder"):
            if name == "cold":
                shutil.rmtree(copies, ignore_errors=True)
                texts._map.cache_clear()  # As in a process that has just started
            proxy.times.clear()
            begun = time.perf_counter()
            perform(clients["folder" if name == "folder" else "bucket"], query)
            if number >= 0:  # The first round opens connections.
                took[name].append((time.perf_counter() - begun) * 1000)
                requests[name].append(len(proxy.times))
                trips[name].append(count_round_trips(proxy.times))
    medians = {name: float(np.median(each)) for name, each in took.items()}
    return {
        "task": task,
        **{f"{name}_p50_ms": round(each, 1) for name, each in medians.items()},
        "warm_ratio": round(medians["warm"] / medians["folder"], 2),
        "cold_requests": float(np.median(requests["cold"])),
        "cold_round_trips": float(np.median(trips["cold"])),
        "warm_requests": float(np.median(requests["warm"])),
    }


if __name__ == "__main__":
    app()
