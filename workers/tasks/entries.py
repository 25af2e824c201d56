"""Stores the bytes of a container's entries as blobs, before the entries become documents."""

import hashlib
from typing import BinaryIO

from ingest.intake import build_processing_fingerprint
from ingest.parsing.types import FoundEntry
from ingest.storage.blobs.store import Blobs
from ingest.storage.documents.records import Entry, Version

_BLOCK_BYTES = 256 * 1024
_MAX_SMALL_BYTES = 1024**2
_BATCH_FILES = 64
_BATCH_BYTES = 16 * 1024**2


class EntryStore:
    """Stores the entries of one version as blobs. A repeated ingest writes the same keys, so no entry is stored twice.

    Small files are stored in batches, because a disk syncs many files as fast as one.
    """

    def __init__(self, blobs: Blobs, version: Version) -> None:
        self._blobs = blobs
        self._version = version
        self._found: list[Entry] = []
        self._waiting: dict[str, bytes] = {}

    def store_entry(self, entry: FoundEntry, file: BinaryIO) -> None:
        """Store an entry's bytes. They are durable when `finish` returns.

        Raises `StorageFullError` if the disk is full.
        """
        sha256, size = hashlib.sha256(), 0
        while block := file.read(_BLOCK_BYTES):
            sha256.update(block)
            size += len(block)
        file.seek(0)
        name = hashlib.sha256(f"{self._version.id}/{entry.file}".encode()).hexdigest()[:32]
        key = f"original/{name[:2]}/{name}"
        self._found.append(
            Entry(
                entry.path,
                entry.media_type,
                sha256.hexdigest(),
                size,
                key,
                build_processing_fingerprint(entry.media_type),
            )
        )
        if size > _MAX_SMALL_BYTES:
            self._blobs.put_file(key, file)
            return
        self._waiting[key] = file.read()
        if len(self._waiting) >= _BATCH_FILES or sum(map(len, self._waiting.values())) >= _BATCH_BYTES:
            self._store_batch()

    def finish_entries(self) -> tuple[Entry, ...]:
        """Store the remaining entries, and return all of the version's entries."""
        self._store_batch()
        return tuple(self._found)

    def remove_entries(self) -> None:
        """Remove the stored entries, because their version was withdrawn and will not use them."""
        self._waiting.clear()
        for entry in self._found:
            self._blobs.delete(entry.blob_key)

    def _store_batch(self) -> None:
        if self._waiting:
            self._blobs.put_all(self._waiting)
            self._waiting = {}
