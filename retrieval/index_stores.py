"""Stores for the generations of an index: a folder each on this machine, or a collection each on a server.

The first generation has a name without a number, from the time when there was only one.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retrieval.generations import Size
from retrieval.index import Index
from retrieval.qdrant_edge_index import QdrantEdgeIndex
from retrieval.retries import RetryPolicy
from retrieval.shard_folder import shard_bytes

_BRIEFLY = RetryPolicy(attempts=3, first_wait_seconds=0.1, longest_wait_seconds=0.5)
# Six waits that total 6.5 to 13 seconds, enough for a server to restart.
_PATIENTLY = RetryPolicy(attempts=7, first_wait_seconds=0.5, longest_wait_seconds=8.0)


Quantization = Literal["none", "int8"]
Place = Literal["disk", "memory"]


@dataclass(frozen=True)
class QdrantServerSettings:
    """Server settings; those from `shard_number` to `words` apply only when a collection is made.

    See `vector_server_settings` for what each is, and for advice. `facet_values` is how many versions are counted in
    one request; if there are more, they are counted page by page.

    A search is given up soon, because a person waits; a worker's job may wait while the server starts again.
    """

    collection: str = "leadline"
    shard_number: int = 1
    replication_factor: int = 1
    write_consistency_factor: int = 1
    quantization: Quantization = "none"
    ef_construct: int = 100
    indexing_threshold_kb: int = 20_000
    vectors: Place = "disk"
    words: Place = "memory"
    facet_values: int = 10_000
    read_timeout_seconds: int = 10
    write_timeout_seconds: int = 60
    search_retries: RetryPolicy = _BRIEFLY
    work_retries: RetryPolicy = _PATIENTLY


if TYPE_CHECKING:
    from retrieval.qdrant_server_connection import QdrantConnection

_FIRST = 1


class FolderStore:
    """A store with the folders `index`, `index-g2` and so on in a data folder."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def folder(self, generation_id: int) -> Path:
        return self._home / _numbered("index", generation_id)

    def open(self, generation_id: int, dimension: int) -> Index:
        return QdrantEdgeIndex(self.folder(generation_id), dimension=dimension)

    def remove(self, generation_id: int) -> None:
        shutil.rmtree(self.folder(generation_id), ignore_errors=True)

    def size(self, generation_id: int) -> Size | None:
        folder = self.folder(generation_id)
        return Size(disk_bytes=shard_bytes(folder)) if folder.is_dir() else None

    def differences(self, generation_id: int) -> list[str]:
        return []  # a folder is kept in one way only


class ServerStore:
    """A store with the collections `leadline`, `leadline-g2` and so on of a Qdrant server."""

    def __init__(self, url: str, *, api_key: str | None, settings: QdrantServerSettings) -> None:
        self._url = url
        self._api_key = api_key
        self._settings = settings

    def open(self, generation_id: int, dimension: int) -> Index:
        # The client is installed only with the cluster's extra.
        from retrieval.qdrant_server_index import QdrantServerIndex

        settings = self._of(generation_id)
        return QdrantServerIndex(self._url, dimension=dimension, api_key=self._api_key, settings=settings)

    def remove(self, generation_id: int) -> None:
        from retrieval.qdrant_server_collection import drop

        connection = self._connect()
        try:
            drop(connection, self._of(generation_id))
        finally:
            connection.close()

    def size(self, generation_id: int) -> Size | None:
        from retrieval.qdrant_server_collection import points_in

        connection = self._connect()
        try:
            points = points_in(connection, self._of(generation_id))
        finally:
            connection.close()
        return None if points is None else Size(points=points)

    def differences(self, generation_id: int) -> list[str]:
        from retrieval.qdrant_server_collection import differences

        connection = self._connect()
        try:
            return differences(connection, self._of(generation_id))
        finally:
            connection.close()

    def describe(self) -> str:
        """Return in words which server answers. Raises `IndexUnavailableError` for one that cannot be used."""
        from retrieval.qdrant_server_collection import describe_server

        connection = self._connect()
        try:
            return describe_server(connection, self._settings)
        finally:
            connection.close()

    def _of(self, generation_id: int) -> QdrantServerSettings:
        return replace(self._settings, collection=_numbered(self._settings.collection, generation_id))

    def _connect(self) -> "QdrantConnection":
        from retrieval.qdrant_server_connection import QdrantConnection

        seconds = self._settings.read_timeout_seconds
        return QdrantConnection(self._url, api_key=self._api_key, timeout_seconds=seconds)


def _numbered(name: str, generation_id: int) -> str:
    return name if generation_id == _FIRST else f"{name}-g{generation_id}"
