"""Receive files that do not belong to a collection yet. They are checked like documents, but not parsed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingest.intake import Upload, UploadRequest, build_original_key, clean_display_name, find_nearest_quota
from ingest.storage.blobs.store import BlobStore, IncomingUpload
from ingest.storage.errors import UploadError
from ingest.storage.inbound import check_text
from ingest.storage.quotas.records import Quota, QuotaExceededError
from ingest.storage.quotas.store import Quotas
from ingest.storage.uploads.files import Files
from ingest.storage.uploads.records import StoredFile, generate_file_id


class FileIntake:
    """Receives files that do not belong to a collection yet."""

    def __init__(self, files: Files, blobs: BlobStore, *, max_bytes: int, quotas: Quotas | None = None) -> None:
        self._files = files
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._quotas = quotas

    @contextmanager
    def receive_file(self, request: UploadRequest) -> Iterator[Upload[StoredFile]]:
        """Open an upload like `Intake.receive`, ignoring the request's collection and metadata."""
        check_text(request.name, "name")
        full = find_nearest_quota(self._quotas, request, [Quota.BYTES])
        room = self._max_bytes if full is None else min(self._max_bytes, full.remaining)
        with self._blobs.receive_upload(max_bytes=room) as incoming:
            yield Upload(self, request, incoming, full if room < self._max_bytes else None)

    def accept_upload(self, request: UploadRequest, incoming_upload: IncomingUpload, media_type: str) -> StoredFile:
        """Commit a complete upload."""
        sha256 = incoming_upload.finish()
        key, size, now = build_original_key(), incoming_upload.size, time.time()
        self._blobs.commit_upload(incoming_upload, key)
        file = StoredFile(
            id=generate_file_id(),
            tenant_id=request.tenant_id,
            name=clean_display_name(request.name),
            purpose=request.purpose,
            media_type=media_type,
            content_sha256=sha256,
            size_bytes=size,
            blob_key=key,
            owner=request.owner,
            created_at=now,
            key_id=request.key_id,
            expires_at=None if request.expires_after is None else now + request.expires_after,
        )
        try:
            self._files.add(file)
        except QuotaExceededError:
            self._blobs.delete(key)
            raise
        return file

    def record_rejection(self, request: UploadRequest, error: UploadError) -> None:
        """Do nothing, because only files in a collection belong to a batch."""
