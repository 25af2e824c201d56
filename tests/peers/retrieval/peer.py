"""One peer over one corpus, in the peer's environment: a request as JSON on standard input, JSON lines out.

The request names `system`, `model` and `tokenizer` (files of the encoder) and `top_k`, and holds `texts` and `queries`
by id. The lines are one for each query, `{"query": …, "found": {search: [[id, start, end], …]}}`, best first, in code
points of the text; or, as the last, `{"error": …}`. The environment has the peer, and what the encoder needs.
"""

import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from tests.peers.retrieval.vectors import Vectors

SYSTEMS = ("langchain", "llamaindex", "haystack", "txtai")


def measure(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Do what the request says, with the peer of that name."""
    module = import_module(f"tests.peers.retrieval.{asked['system']}_peer")
    peer = module.Peer(Vectors(asked["model"], asked["tokenizer"]))
    peer.index(asked["texts"])
    for identifier, text in asked["queries"].items():
        yield {"query": identifier, "found": peer.search(text, asked["top_k"])}


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
