"""Receive uploads that can resume after a lost connection. Arriving bytes are hashed and fsynced to a blob.

The catalog never counts more bytes than are durable, and marks an upload as complete only after its document is
recorded. Therefore the process may be killed at any time: the next process truncates the file to the size that the
catalog has recorded.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from ingest.intake import TEMPORARY_ERRORS, Intake, Upload, UploadRequest
from ingest.parsing.charsets import HEAD_BYTES
from ingest.storage.blobs.store import BlobStore, IncomingUpload
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.errors import IngestError, LeaseLostError, UploadError, UploadNotFoundError
from ingest.storage.quotas.records import Account
from ingest.storage.uploads.partial import PartialUpload, Uploads

log = structlog.get_logger(__name__)

_FOLDER = "uploads"
# Number of bytes and seconds after which a writer records its progress. After a crash, the client must resend all bytes
# that arrived after the last record.
_STEP_BYTES, _STEP_SECONDS = 16 * 1024 * 1024, 10.0
_MAX_CACHED_DIGESTS = 256
_SUPERSEDE_WAIT_SECONDS = 5.0

RequestOf = Callable[[PartialUpload], UploadRequest]


class ResumableUploads:
    """Creates uploads, appends to them, and turns complete ones into documents."""

    def __init__(self, upload_records: Uploads, blobs: BlobStore, intake: Intake) -> None:
        self._rows = upload_records
        self._blobs = blobs
        self._intake = intake
        self._writers: dict[str, UploadWriter] = {}
        self._digests: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()
        self._lock = threading.Lock()

    def create_upload(
        self, request: UploadRequest, owner: str, length: int, description: Mapping[str, Any], header: str
    ) -> PartialUpload:
        """Create an upload of `length` bytes. Raises an `UploadError` if limits or quotas do not allow it."""
        self._intake.require_upload_allowed(request, length)
        account = Account(request.tenant_id, request.key_id)
        made = self._rows.create(account, owner, length, description, header)
        self._blobs.put(_build_key(made.id), b"")
        return made

    def load_upload(self, tenant_id: str, identifier: str, owner: str) -> PartialUpload:
        """Return an upload with its progress.

        Raises `UploadNotFoundError` if the owner has no upload with this id.
        """
        return self._rows.load(tenant_id, identifier, owner)

    def load_upload_to_resume(self, tenant_id: str, identifier: str, owner: str) -> PartialUpload:
        """Return an upload for a client that lost its connection.

        If the client's previous request is still open, end it first.
        """
        found = self._rows.load(tenant_id, identifier, owner)
        with self._lock:
            writer = self._writers.get(identifier)
        if writer is None:
            return found
        writer.supersede()
        return self._rows.load(tenant_id, identifier, owner)

    def cancel_upload(self, tenant_id: str, identifier: str, owner: str) -> None:
        """Cancel an upload. Raises `UploadNotFoundError`, or `UploadTakenError` if another request is writing to it."""
        self._rows.delete(tenant_id, identifier, owner)
        self._blobs.delete(_build_key(identifier))

    @contextmanager
    def open_upload(
        self, tenant_id: str, identifier: str, owner: str, offset: int, build_request: RequestOf
    ) -> Iterator["UploadWriter"]:
        """Open an upload to append to it. Bytes that have arrived stay stored unless the file is rejected.

        Raises `UploadNotFoundError`, `UploadOffsetError` if the client continues at the wrong offset,
        `UploadTakenError` if another request is writing to it, and an `UploadError` if the file is rejected.
        """
        found, token = self._rows.acquire_lease(tenant_id, identifier, owner, offset)
        try:
            with self._open_writer(found, token, build_request(found)) as writer:
                yield writer
        except KeyError as error:
            self._rows.discard(identifier, token)
            raise UploadNotFoundError(f"The stored data of upload {identifier!r} no longer exists.") from error
        except UploadError as error:
            if isinstance(error, TEMPORARY_ERRORS):
                self._release_lease(found, token)
            else:
                self._rows.discard(identifier, token)
                self._blobs.delete(_build_key(identifier))
            raise
        except BaseException:
            self._release_lease(found, token)
            raise

    @contextmanager
    def _open_writer(
        self, partial_upload: PartialUpload, token: str, request: UploadRequest
    ) -> Iterator["UploadWriter"]:
        key = _build_key(partial_upload.id)
        digest = self._load_digest(partial_upload)
        head = self._read_head(key, partial_upload.received)
        with (
            self._blobs.resume_upload(
                key, partial_upload.received, digest, max_bytes=partial_upload.length
            ) as incoming,
            self._intake.resume_upload(request, incoming, head) as upload,
        ):
            writer = self._writers[partial_upload.id] = UploadWriter(
                self._rows, partial_upload, token, incoming, upload
            )
            try:
                yield writer
            finally:
                writer.is_over.set()
                with self._lock:
                    self._writers.pop(partial_upload.id, None)
                if writer.received is not None:
                    self._cache_digest(
                        partial_upload.id, writer.received, digest if writer.received == incoming.size else None
                    )

    def _release_lease(self, partial_upload: PartialUpload, token: str) -> None:
        """Release the lease, so that another request can continue from the recorded progress."""
        with suppress(LeaseLostError, UploadNotFoundError):  # The lease has already ended.
            now = self._rows.load(partial_upload.tenant_id, partial_upload.id, partial_upload.owner)
            self._rows.release_lease(partial_upload.id, token, now.received)

    def _load_digest(self, partial_upload: PartialUpload) -> "hashlib._Hash":
        """Return the digest of the received bytes from this process's cache, or compute it from the blob."""
        with self._lock:
            size, kept = self._digests.get(partial_upload.id, (0, hashlib.sha256()))
        if size == partial_upload.received:
            return kept.copy()
        digest = hashlib.sha256()
        left = partial_upload.received
        for block in self._blobs.iter_upload_blocks(_build_key(partial_upload.id)):
            digest.update(block[:left])
            left -= min(left, len(block))
        return digest

    def _read_head(self, key: str, received_bytes: int) -> bytes:
        """Return the first bytes of an upload."""
        head, wanted = b"", min(HEAD_BYTES, received_bytes)
        for block in self._blobs.iter_upload_blocks(key) if wanted else ():
            head += block[: wanted - len(head)]
            if len(head) == wanted:
                break
        return head

    def _cache_digest(self, identifier: str, received_bytes: int, digest: "hashlib._Hash | None") -> None:
        with self._lock:
            self._digests.pop(identifier, None)
            if digest is not None:
                self._digests[identifier] = (received_bytes, digest.copy())
            while len(self._digests) > _MAX_CACHED_DIGESTS:
                self._digests.popitem(last=False)


class UploadWriter:
    """Appends blocks to one upload. If `checked` is set, blocks count only after `finish` has verified them."""

    def __init__(
        self,
        upload_records: Uploads,
        partial_upload: PartialUpload,
        token: str,
        incoming: IncomingUpload,
        upload: Upload[AcceptedUpload],
    ) -> None:
        self._rows = upload_records
        self._found = partial_upload
        self._token = token
        self._incoming = incoming
        self._upload = upload
        self._told_at = time.monotonic()
        self._told = partial_upload.received
        self.checked = False
        self.received: int | None = None
        self.is_over, self.is_superseded = threading.Event(), False
        self._end_early: Callable[[], object] = lambda: None

    @property
    def remaining_bytes(self) -> int:
        """The number of bytes still to arrive."""
        return self._found.length - self._incoming.size

    def set_supersede_callback(self, callback: Callable[[], object]) -> None:
        """Set a function to call when the client reconnects. It may be called from any thread."""
        self._end_early = callback

    def supersede(self) -> None:
        """Stop the request that is appending, and wait a few seconds for it to finish."""
        self.is_superseded = True
        self._end_early()
        self.is_over.wait(_SUPERSEDE_WAIT_SECONDS)

    def write(self, block: bytes) -> None:
        """Append a block. Raises an `UploadError`, or `LeaseLostError` if another request now owns the upload."""
        self._upload.write(block)
        late = time.monotonic() - self._told_at > _STEP_SECONDS
        if late or self._incoming.size - self._told >= _STEP_BYTES:
            self._record_progress(self._found.received if self.checked else self._flush_to_disk())

    def finish(self) -> AcceptedUpload | None:
        """Finish this request. If the upload is now complete, accept it and return the document."""
        if self.remaining_bytes:
            self.received = self._incoming.pause()
            self._rows.release_lease(self._found.id, self._token, self.received)
            return None
        try:
            accepted = self._upload.accept()
        except IngestError as error:
            lasting = isinstance(error, UploadError) and not isinstance(error, TEMPORARY_ERRORS)
            # A row may refer to the file only under its final name. If renaming it failed, drop the last byte: when
            # the client sends it again, renaming is retried.
            if not lasting and not self._incoming.kept:
                self.truncate(self._found.length - 1)
            raise
        self._rows.finish(self._found.id, self._token, accepted.document.id)
        return accepted

    def save_partial(self) -> None:
        """Save the bytes that arrived before the connection was lost. If `checked` is set, discard them."""
        arrived, size = self._incoming.size, self._found.received if self.checked else self._flush_to_disk()
        self.truncate(size)
        # The digest covers all bytes that arrived, so it is valid only if all of them were saved.
        self.received = size if size == arrived else None
        self._rows.release_lease(self._found.id, self._token, size)

    def truncate(self, size: int) -> None:
        """Truncate the file to `size` bytes."""
        if size < self._incoming.size:
            self._incoming.truncate(size)
        self._incoming.pause()
        self._record_progress(size)

    def _flush_to_disk(self) -> int:
        """Make the bytes durable and return how many of them count.

        The last byte counts only once the document is recorded.
        """
        return min(self._incoming.pause(), self._found.length - 1)

    def _record_progress(self, received_bytes: int) -> None:
        self._rows.record_progress(self._found.id, self._token, received_bytes)
        self._told, self._told_at = self._incoming.size, time.monotonic()


def expire_uploads(upload_records: Uploads, blobs: BlobStore) -> int:
    """Remove expired uploads, and files without an upload, such as those of a deleted tenant. Return the total count.

    The row of an upload is created before its file, so a file without a row is never a new upload.
    """
    removed = sum(blobs.delete(_build_key(identifier)) >= 0 for identifier in upload_records.delete_expired_uploads())
    there = {key.rpartition("/")[2]: key for key in blobs.iter_keys(_FOLDER)}
    for identifier in set(there) - upload_records.select_existing_ids(list(there)):
        removed += blobs.delete(there[identifier]) >= 0
    return removed


def _build_key(identifier: str) -> str:
    return f"{_FOLDER}/{identifier[:2]}/{identifier}"
