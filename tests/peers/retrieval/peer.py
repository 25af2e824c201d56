"""One peer over one corpus, in the peer's environment: a request as JSON on standard input, JSON lines out.

The request names `system`, `model` and `tokenizer` (files of the encoder) and `top_k`, and holds `texts` and `queries`
by id. The lines are `{"searches": [names], "seconds": …}` once the corpus is indexed, and then for each search and
query `{"search": …, "query": …, "ms": …, "found": [[id, start, end], …]}`, best first, in code points of the text; or,
as the last, `{"error": …}`. Loading the encoder is not timed, nor is a first query.

The environment has the peer, and what the encoder needs. A peer searches for the names in its `SEARCHES`.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from tests.peers.retrieval.vectors import Vectors

SYSTEMS = ("langchain", "llamaindex", "haystack", "txtai")


def measure(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Do what the request says, with the peer of that name."""
    module = import_module(f"tests.peers.retrieval.{asked['system']}_peer")
    vectors = Vectors(asked["model"], asked["tokenizer"])
    peer = module.Peer(vectors)
    vectors.query("a first one loads the encoder")
    begun = time.perf_counter()
    peer.index(asked["texts"])
    yield {"searches": module.SEARCHES, "seconds": time.perf_counter() - begun}
    for search in module.SEARCHES:
        peer.search(search, next(iter(asked["queries"].values())), asked["top_k"])
        for identifier, text in asked["queries"].items():
            begun = time.perf_counter()
            found = peer.search(search, text, asked["top_k"])
            milliseconds = (time.perf_counter() - begun) * 1000
            yield {"search": search, "query": identifier, "ms": milliseconds, "found": found}


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
