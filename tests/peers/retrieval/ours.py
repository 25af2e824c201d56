"""Leadline on the same questions: the whole service, as `leadline eval retrieval` runs it, searched over HTTP."""

from api.cli.console import Console
from api.cli.evaluate import build_search_request, convert_to_spans, post_search
from api.cli.judged_collection import open_judged_collection
from tests.peers.retrieval.corpora import Asked
from tests.peers.retrieval.figures import Found

NAME = "leadline"
SEARCHES = ("bm25", "dense", "hybrid", "reranked")


def measure(asked: Asked, console: Console) -> dict[str, Found]:
    """Upload, chunk and embed the texts, and search in every way; return what each found by its name."""
    with open_judged_collection(asked.data, None, console) as collection:
        requests = {search: build_search_request(search, asked.data) for search in SEARCHES}
        return {
            search: {
                query: convert_to_spans(collection, post_search(collection, text, request)["hits"])
                for query, text in asked.queries.items()
            }
            for search, request in requests.items()
        }
