"""Leadline on the same corpus: the whole service, as `leadline eval retrieval` runs it, and its searcher alone."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console

from api.cli.judged_collection import JudgedCollection, indexed
from api.services import DEFAULT_TENANT
from retrieval.evaluation.judged import BeirFolder
from retrieval.requests import SearchRequest
from tests.peers.retrieval.figures import TOP_K, Found

SERVICE, SEARCHER = "leadline", "leadline searcher"


def measure(data: BeirFolder, console: Console) -> dict[str, Found]:
    """Texts are uploaded, chunked and embedded; the service is asked over HTTP, then the searcher in this process."""
    with indexed(data, None, console) as collection:

        def service(text: str) -> list[str]:
            asked = {"query": text, "top_k": TOP_K, "per_document": 1}
            return [hit["document"] for hit in collection.client.post("/v1/search", asked)["hits"]]

        def searcher(text: str) -> list[str]:
            request = SearchRequest(DEFAULT_TENANT, text, top_k=TOP_K, per_document=1)
            return [hit.passage.document_id for hit in collection.services.searcher.search(request).hits]

        return {name: _ask(collection, data, way) for name, way in ((SERVICE, service), (SEARCHER, searcher))}


def _ask(collection: JudgedCollection, data: BeirFolder, search: Callable[[str], Sequence[str]]) -> Found:
    found = Found(seconds=collection.indexing_seconds or 0.0)
    search(data.queries[next(iter(data.qrels))])  # a first one is not timed, as with the peers
    for query in data.qrels:
        begun = time.perf_counter()
        documents = search(data.queries[query])
        found.milliseconds[query] = (time.perf_counter() - begun) * 1000
        found.rankings[query] = [owner for document in documents for owner in collection.owners[document]]
    return found
