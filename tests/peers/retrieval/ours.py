"""Leadline on the same questions: the whole service, as `leadline eval retrieval` runs it, searched over HTTP."""

import time

from rich.console import Console

from api.cli.evaluate import as_places, ask, request_of
from api.cli.judged_collection import indexed
from tests.peers.retrieval.corpora import Asked
from tests.peers.retrieval.figures import Found

NAME = "leadline"
SEARCHES = ("bm25", "dense", "hybrid", "reranked")


def measure(asked: Asked, console: Console) -> dict[str, Found]:
    """Upload, chunk and embed the texts, and search in every way; return what each found by its name."""
    with indexed(asked.data, None, console) as collection:
        found: dict[str, Found] = {}
        for search in SEARCHES:
            one = found[search] = Found(collection.indexing_seconds or 0.0)
            request = request_of(search, asked.data)
            ask(collection, next(iter(asked.queries.values())), request)  # a first one is not timed, as with the peers
            for query, text in asked.queries.items():
                begun = time.perf_counter()
                hits = ask(collection, text, request)["hits"]
                one.milliseconds[query] = (time.perf_counter() - begun) * 1000
                one.passages[query] = as_places(collection, hits)
        return found
