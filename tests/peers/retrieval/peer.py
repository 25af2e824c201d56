"""One peer over one corpus, in the peer's environment: a request as JSON on standard input, JSON lines out.

The request names `system`, `model` (a sentence-transformers folder) and `top_k`, and holds `texts` and `queries` as
pairs of id and text. The lines are `{"threads": …}`, `{"indexed": …, "seconds": …}` and for each query
`{"query": …, "ms": …, "found": [ids, best first]}`; or, as the last, `{"error": …}`. Loading the model is not timed,
nor a first query. It imports nothing of ours: it runs where only the peer is installed.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

SYSTEMS = ("langchain", "llamaindex", "haystack", "txtai")


def measure(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the peer of that name does with the request."""
    peer = import_module(f"{asked['system']}_peer").Peer(asked["model"])
    yield {"threads": import_module("torch").get_num_threads()}
    begun = time.perf_counter()
    peer.index(asked["texts"])
    yield {"indexed": len(asked["texts"]), "seconds": time.perf_counter() - begun}
    peer.search(asked["queries"][0][1], asked["top_k"])
    for identifier, text in asked["queries"]:
        begun = time.perf_counter()
        found = peer.search(text, asked["top_k"])
        yield {"query": identifier, "ms": (time.perf_counter() - begun) * 1000, "found": found}


def main() -> None:
    # What the libraries print is not to stand between the lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        for line in measure(json.load(sys.stdin)):
            print(json.dumps(line), file=lines, flush=True)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its outcome
        print(json.dumps({"error": f"{type(error).__name__}: {str(error)[:500]}"}), file=lines, flush=True)


if __name__ == "__main__":
    main()
