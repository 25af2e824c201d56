"""Leadline on the same questions: the whole service, as `leadline eval retrieval` runs it, searched over HTTP."""

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
        requests = {search: request_of(search, asked.data) for search in SEARCHES}
        return {
            search: {
                query: as_places(collection, ask(collection, text, request)["hits"])
                for query, text in asked.queries.items()
            }
            for search, request in requests.items()
        }
