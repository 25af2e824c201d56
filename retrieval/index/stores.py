"""Stores for the generations of an index. Each generation is a folder on this machine, or a collection on a server.

The first generation's name has no number, because early releases had only one generation.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.storage.blobs.store import fsync_path
from ingest.storage.errors import InstallationMismatchError
from ingest.storage.operations.installation import (
    Installation,
    build_mismatch_error,
    read_folder_marker,
    write_folder_marker,
)
from retrieval.errors import IndexRefusedError
from retrieval.index.copies import NewReplica, Replicas
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.edge.shard_folder import compute_shard_size
from retrieval.index.edge.shard_room import ShardDiskSpace, UncheckedDiskSpace
from retrieval.index.generations import IndexPresence, IndexSize
from retrieval.index.port import Index
from retrieval.index.server.settings import QdrantServerSettings

if TYPE_CHECKING:
    from retrieval.index.server.qdrant_server_connection import QdrantConnection

_FIRST_GENERATION = 1
# Name of the file that marks an index that was found to be complete. If the index is recreated, the new index has no
# such file.
_COMPLETE_FILE = "COMPLETE"


class FolderStore:
    """A store in the folders `index`, `index-g2` and so on in a data folder."""

    def __init__(self, home: Path, installation: Installation, disk_space: ShardDiskSpace | None = None) -> None:
        self._home = home
        self._installation = installation
        self._room = disk_space or UncheckedDiskSpace()

    def build_folder_path(self, generation_id: int) -> Path:
        return self._home / _build_numbered_name("index", generation_id)

    def open_index(self, generation_id: int, dimension: int) -> Index:
        folder = self.build_folder_path(generation_id)
        owner = read_folder_marker(folder)
        # guard: index-folder-of-installation
        if owner is not None:
            self._require_ownership(generation_id, owner)
        index = QdrantEdgeIndex(folder, dimension=dimension, disk_space=self._room)
        if owner is None:
            try:
                require_known_versions(index, self._installation, f"the index in {folder}")
                write_folder_marker(folder, self._installation.id)
            except BaseException:
                index.close()
                raise
        return index

    def remove_index(self, generation_id: int) -> None:
        if (owner := self.find_owner(generation_id)) is not None:
            self._require_ownership(generation_id, owner)
        shutil.rmtree(self.build_folder_path(generation_id), ignore_errors=True)

    def check_presence(self, generation_id: int) -> IndexPresence:
        folder = self.build_folder_path(generation_id)
        if not folder.is_dir():
            return IndexPresence.ABSENT
        return IndexPresence.MARKED if (folder / _COMPLETE_FILE).exists() else IndexPresence.UNMARKED

    def mark_complete(self, generation_id: int) -> None:
        folder = self.build_folder_path(generation_id)
        with (folder / _COMPLETE_FILE).open("w") as file:
            file.write(f"{generation_id}\n")
            file.flush()
            os.fsync(file.fileno())
        fsync_path(folder)

    def find_size(self, generation_id: int) -> IndexSize | None:
        folder = self.build_folder_path(generation_id)
        return IndexSize(disk_bytes=compute_shard_size(folder)) if folder.is_dir() else None

    def list_differences(self, generation_id: int) -> list[str]:
        return []  # A folder has no settings that could differ.

    def find_replicas(self, generation_id: int) -> Replicas | None:
        return None

    def start_replication(self, generation_id: int, new_replica: NewReplica) -> None:
        raise IndexRefusedError("An index in the data folder cannot have replicas.")

    def find_owner(self, generation_id: int) -> str | None:
        return read_folder_marker(self.build_folder_path(generation_id))

    def take_ownership(self, generation_id: int) -> None:
        if self.build_folder_path(generation_id).is_dir():
            write_folder_marker(self.build_folder_path(generation_id), self._installation.id, replace=True)

    def _require_ownership(self, generation_id: int, owner: str) -> None:
        if owner != self._installation.id:
            raise build_mismatch_error(
                self._installation.id, f"the index in {self.build_folder_path(generation_id)}", owner
            )


class ServerStore:
    """A store in the collections `leadline`, `leadline-g2` and so on of a Qdrant server.

    The installation's id is stored in the collection's metadata, which searches and counts ignore.
    """

    def __init__(
        self, url: str, installation: Installation, *, api_key: str | None, settings: QdrantServerSettings
    ) -> None:
        self._url = url
        self._installation = installation
        self._api_key = api_key
        self._settings = replace(settings, installation=installation.id)

    def open_index(self, generation_id: int, dimension: int) -> Index:
        # Import the adapter lazily, because qdrant-client is installed only with the cluster extra.
        from retrieval.index.server.qdrant_server_index import QdrantServerIndex

        settings = self._build_settings(generation_id)
        if (owner := self.find_owner(generation_id)) is not None:
            self._require_ownership(settings, owner)
        index = QdrantServerIndex(self._url, dimension=dimension, api_key=self._api_key, settings=settings)
        try:
            # Read the owner again, because another installation may have created the collection in the meantime.
            if (owner := self.find_owner(generation_id)) is None:
                require_known_versions(
                    index, self._installation, f"the collection {settings.collection} at {self._url}"
                )
                self.take_ownership(generation_id)
                owner = self.find_owner(generation_id)
            self._require_ownership(settings, owner)
        except BaseException:
            index.close()
            raise
        return index

    def remove_index(self, generation_id: int) -> None:
        from retrieval.index.server.qdrant_server_collection import delete_collection

        settings = self._build_settings(generation_id)
        if (owner := self.find_owner(generation_id)) is not None:
            # guard: index-server-of-installation
            self._require_ownership(settings, owner)
        with self._connect() as connection:
            delete_collection(connection, settings)

    def check_presence(self, generation_id: int) -> IndexPresence:
        from retrieval.index.server.qdrant_server_collection import check_presence

        with self._connect() as connection:
            return check_presence(connection, self._build_settings(generation_id))

    def mark_complete(self, generation_id: int) -> None:
        from retrieval.index.server.qdrant_server_collection import mark_complete

        with self._connect() as connection:
            mark_complete(connection, self._build_settings(generation_id))

    def find_size(self, generation_id: int) -> IndexSize | None:
        from retrieval.index.server.qdrant_server_collection import find_point_count

        with self._connect() as connection:
            points = find_point_count(connection, self._build_settings(generation_id))
        return None if points is None else IndexSize(points=points)

    def list_differences(self, generation_id: int) -> list[str]:
        from retrieval.index.server.qdrant_server_collection import list_differences

        with self._connect() as connection:
            return list_differences(connection, self._build_settings(generation_id))

    def find_replicas(self, generation_id: int) -> Replicas | None:
        from retrieval.index.server.qdrant_server_copies import fetch_replicas

        with self._connect() as connection:
            return fetch_replicas(connection, self._build_settings(generation_id))

    def start_replication(self, generation_id: int, new_replica: NewReplica) -> None:
        from retrieval.index.server.qdrant_server_copies import start_shard_replication

        with self._connect() as connection:
            start_shard_replication(connection, self._build_settings(generation_id), new_replica)

    def describe_server(self) -> str:
        """Return a user-facing description of the server. Raises `IndexUnavailableError` if it cannot be used."""
        from retrieval.index.server.qdrant_server_collection import describe_server

        with self._connect() as connection:
            return describe_server(connection, self._settings)

    def find_owner(self, generation_id: int) -> str | None:
        from retrieval.index.server.qdrant_server_collection import find_installation_id

        with self._connect() as connection:
            return find_installation_id(connection, self._build_settings(generation_id))

    def take_ownership(self, generation_id: int) -> None:
        from retrieval.index.server.qdrant_server_collection import find_point_count, store_installation_id

        with self._connect() as connection:
            if find_point_count(connection, self._build_settings(generation_id)) is not None:
                store_installation_id(connection, self._build_settings(generation_id))

    def _build_settings(self, generation_id: int) -> QdrantServerSettings:
        return replace(self._settings, collection=_build_numbered_name(self._settings.collection, generation_id))

    def _require_ownership(self, settings: QdrantServerSettings, owner: str | None) -> None:
        if owner != self._installation.id:
            error = build_mismatch_error(
                self._installation.id, f"the collection {settings.collection} at {self._url}", owner
            )
            error.hint = f"To share a server with other installations, change LEADLINE_QDRANT_COLLECTION. {error.hint}"
            raise error

    @contextmanager
    def _connect(self) -> "Iterator[QdrantConnection]":
        from retrieval.index.server.qdrant_server_connection import QdrantConnection

        seconds = self._settings.read_timeout_seconds
        connection = QdrantConnection(self._url, api_key=self._api_key, timeout_seconds=seconds)
        try:
            yield connection
        finally:
            connection.close()


def require_known_versions(index: Index, installation: Installation, description: str) -> None:
    """Check that an index without an installation id can belong to this installation.

    This is the case if the index is empty or the catalog knows at least one of its versions. Otherwise, raises
    `InstallationMismatchError`.
    """
    versions = set(index.count_chunks_by_version())
    # guard: index-without-id
    if versions and not installation.knows_version(versions):
        raise InstallationMismatchError(
            f"{description[0].upper()}{description[1:]} contains chunks of {len(versions):,} versions, none of "
            "which is in the catalog."
        )


def _build_numbered_name(name: str, generation_id: int) -> str:
    return name if generation_id == _FIRST_GENERATION else f"{name}-g{generation_id}"
