"""The server adapter as tests open it: few dimensions, short waits."""

from retrieval.errors import RetryPolicy
from retrieval.index.port import SearchScope
from retrieval.index.server.qdrant_server_index import QdrantServerIndex
from retrieval.index.server.settings import QdrantServerSettings

DIMENSION = 8
ANN = SearchScope("ann")
SOON = RetryPolicy(attempts=4, first_wait_seconds=0.01, longest_wait_seconds=0.02)
PATIENTLY = RetryPolicy(attempts=600, first_wait_seconds=0.05, longest_wait_seconds=0.1)


def opened(
    url: str,
    name: str,
    *,
    dimension: int = DIMENSION,
    retries: RetryPolicy = SOON,
    search_retries: RetryPolicy | None = None,
    api_key: str | None = None,
    facet_values: int = 10_000,
    read_timeout_seconds: int = 60,
) -> QdrantServerIndex:
    settings = QdrantServerSettings(
        collection=name,
        facet_values=facet_values,
        read_timeout_seconds=read_timeout_seconds,
        search_retries=search_retries or retries,
        work_retries=retries,
    )
    return QdrantServerIndex(url, dimension=dimension, api_key=api_key, settings=settings)
