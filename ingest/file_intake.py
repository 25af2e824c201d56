"""Files that belong to no collection yet are received as documents are, and kept without being read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingest.intake import Upload, UploadRequest, display_name, nearest_quota, original_key
from ingest.storage.blobs.store import BlobStore, Incoming
from ingest.storage.errors import UploadError
from ingest.storage.inbound import check_text
from ingest.storage.quotas.records import Quota, QuotaExceededError
from ingest.storage.quotas.store import Quotas
from ingest.storage.uploads.files import Files
from ingest.storage.uploads.records import StoredFile, new_file_id


class FileIntake:
    """The way in for files that belong to no collection yet."""

    def __init__(self, files: Files, blobs: BlobStore, *, max_bytes: int, quotas: Quotas | None = None) -> None:
        self._files = files
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._quotas = quotas

    @contextmanager
    def receive(self, request: UploadRequest) -> Iterator[Upload[StoredFile]]:
        """Open an upload, as `Intake.receive` does; the request's collection and metadata are not looked at."""
        check_text(request.name, "name")
        full = nearest_quota(self._quotas, request, [Quota.BYTES])
        room = self._max_bytes if full is None else min(self._max_bytes, full.left)
        with self._blobs.receive(max_bytes=room) as incoming:
            yield Upload(self, request, incoming, full if room < self._max_bytes else None)

    def accept(self, request: UploadRequest, incoming: Incoming, media_type: str) -> StoredFile:
        """Commit a finished upload."""
        sha256 = incoming.finish()
        key, size = original_key(), incoming.size
        self._blobs.keep(incoming, key)
        file = StoredFile(
            id=new_file_id(),
            tenant_id=request.tenant_id,
            name=display_name(request.name),
            purpose=request.purpose,
            media_type=media_type,
            content_sha256=sha256,
            size_bytes=size,
            blob_key=key,
            owner=request.owner,
            created_at=time.time(),
            key_id=request.key_id,
        )
        try:
            self._files.add(file)
        except QuotaExceededError:
            self._blobs.delete(key)
            raise
        return file

    def refused(self, request: UploadRequest, error: UploadError) -> None:
        """Record nothing: no batch waits for the file."""
