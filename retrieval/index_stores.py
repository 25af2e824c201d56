"""Where the generations of an index are kept: a folder each on this machine, or a collection each on a server.

The first has the name that it had when there was only one.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.generations import Size
from retrieval.index import Index
from retrieval.qdrant_edge_index import QdrantEdgeIndex
from retrieval.qdrant_server_settings import QdrantServerSettings
from retrieval.shard_folder import shard_bytes

if TYPE_CHECKING:
    from retrieval.qdrant_server_connection import QdrantConnection

_FIRST = 1


class FolderStore:
    """`index`, `index-g2` and so on in a data folder."""

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


class ServerStore:
    """The collections `leadline`, `leadline-g2` and so on of a Qdrant server."""

    def __init__(self, url: str, *, api_key: str | None, settings: QdrantServerSettings) -> None:
        self._url = url
        self._api_key = api_key
        self._settings = settings

    def open(self, generation_id: int, dimension: int) -> Index:
        # Only the cluster's extra brings the client.
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

    def _of(self, generation_id: int) -> QdrantServerSettings:
        return replace(self._settings, collection=_numbered(self._settings.collection, generation_id))

    def _connect(self) -> "QdrantConnection":
        from retrieval.qdrant_server_connection import QdrantConnection

        seconds = self._settings.read_timeout_seconds
        return QdrantConnection(self._url, api_key=self._api_key, timeout_seconds=seconds)


def _numbered(name: str, generation_id: int) -> str:
    return name if generation_id == _FIRST else f"{name}-g{generation_id}"
