"""Uploads that go on after a lost connection: their bytes as blobs, hashed and fsynced as they arrive.

The catalog never says that an upload has more bytes than are durable, nor that it is whole before its document is
recorded. So a process may die at any moment: what the file has beyond the catalog's count is cut off by the next one.
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
# A writer says how far it is after so much, or so long: what a killed process has received since is sent again.
_STEP_BYTES, _STEP_SECONDS = 16 * 1024 * 1024, 10.0
_MAX_CACHED_DIGESTS = 256
_SUPERSEDE_WAIT_SECONDS = 5.0

RequestOf = Callable[[PartialUpload], UploadRequest]


class ResumableUploads:
    """Begins uploads, adds to them, and makes documents of those that are whole."""

    def __init__(self, rows: Uploads, blobs: BlobStore, intake: Intake) -> None:
        self._rows = rows
        self._blobs = blobs
        self._intake = intake
        self._writers: dict[str, UploadWriter] = {}
        self._digests: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()
        self._lock = threading.Lock()

    def create(
        self, request: UploadRequest, owner: str, length: int, description: Mapping[str, Any], header: str
    ) -> PartialUpload:
        """Begin an upload of `length` bytes. Raises what keeps it from being taken, before anything is sent."""
        self._intake.require_admissible(request, length)
        account = Account(request.tenant_id, request.key_id)
        made = self._rows.create(account, owner, length, description, header)
        self._blobs.put(_build_key(made.id), b"")
        return made

    def find(self, tenant_id: str, identifier: str, owner: str) -> PartialUpload:
        """Read how far an upload is. Raises `UploadNotFoundError`."""
        return self._rows.load(tenant_id, identifier, owner)

    def find_to_resume(self, tenant_id: str, identifier: str, owner: str) -> PartialUpload:
        """As `find`, for a client that lost its connection: a request of this process that still waits for it ends."""
        found = self._rows.load(tenant_id, identifier, owner)
        with self._lock:
            writer = self._writers.get(identifier)
        if writer is None:
            return found
        writer.supersede()
        return self._rows.load(tenant_id, identifier, owner)

    def cancel(self, tenant_id: str, identifier: str, owner: str) -> None:
        """Give an upload up. Raises `UploadNotFoundError` and `UploadTakenError`."""
        self._rows.delete(tenant_id, identifier, owner)
        self._blobs.delete(_build_key(identifier))

    @contextmanager
    def open_to_append(
        self, tenant_id: str, identifier: str, owner: str, offset: int, request_of: RequestOf
    ) -> Iterator["UploadWriter"]:
        """Open an upload to add to; what arrived stays, unless the file turns out to be none that is taken.

        Raises `UploadNotFoundError`, `UploadOffsetError`, `UploadTakenError`, and the `UploadError`s.
        """
        found, token = self._rows.acquire(tenant_id, identifier, owner, offset)
        try:
            with self._open_writer(found, token, request_of(found)) as writer:
                yield writer
        except KeyError as error:
            self._rows.discard(identifier, token)
            raise UploadNotFoundError(f"The bytes of the upload {identifier!r} are gone.") from error
        except UploadError as error:
            if isinstance(error, TEMPORARY_ERRORS):
                self._release(found, token)
            else:
                self._rows.discard(identifier, token)
                self._blobs.delete(_build_key(identifier))
            raise
        except BaseException:
            self._release(found, token)
            raise

    @contextmanager
    def _open_writer(self, found: PartialUpload, token: str, request: UploadRequest) -> Iterator["UploadWriter"]:
        key = _build_key(found.id)
        digest = self._load_digest(found)
        head = self._read_head(key, found.received)
        with (
            self._blobs.resume_upload(key, found.received, digest, max_bytes=found.length) as incoming,
            self._intake.resume(request, incoming, head) as upload,
        ):
            writer = self._writers[found.id] = UploadWriter(self._rows, found, token, incoming, upload)
            try:
                yield writer
            finally:
                writer.is_over.set()
                with self._lock:
                    self._writers.pop(found.id, None)
                if writer.received is not None:
                    self._cache_digest(found.id, writer.received, digest if writer.received == incoming.size else None)

    def _release(self, found: PartialUpload, token: str) -> None:
        """Let another request go on, after what the writer recorded last."""
        with suppress(LeaseLostError, UploadNotFoundError):  # then there is nothing to release
            now = self._rows.load(found.tenant_id, found.id, found.owner)
            self._rows.release(found.id, token, now.received)

    def _load_digest(self, found: PartialUpload) -> "hashlib._Hash":
        """Return the digest of what is there: as this process kept it, or made anew."""
        with self._lock:
            size, kept = self._digests.get(found.id, (0, hashlib.sha256()))
        if size == found.received:
            return kept.copy()
        digest = hashlib.sha256()
        left = found.received
        for block in self._blobs.iter_upload_blocks(_build_key(found.id)):
            digest.update(block[:left])
            left -= min(left, len(block))
        return digest

    def _read_head(self, key: str, received: int) -> bytes:
        """Return the first bytes of what is there."""
        head, wanted = b"", min(HEAD_BYTES, received)
        for block in self._blobs.iter_upload_blocks(key) if wanted else ():
            head += block[: wanted - len(head)]
            if len(head) == wanted:
                break
        return head

    def _cache_digest(self, identifier: str, received: int, digest: "hashlib._Hash | None") -> None:
        with self._lock:
            self._digests.pop(identifier, None)
            if digest is not None:
                self._digests[identifier] = (received, digest.copy())
            while len(self._digests) > _MAX_CACHED_DIGESTS:
                self._digests.popitem(last=False)


class UploadWriter:
    """Adds blocks to one upload. With `checked`, nothing counts before `end` is told that the blocks are right."""

    def __init__(
        self, rows: Uploads, found: PartialUpload, token: str, incoming: IncomingUpload, upload: Upload[AcceptedUpload]
    ) -> None:
        self._rows = rows
        self._found = found
        self._token = token
        self._incoming = incoming
        self._upload = upload
        self._told_at = time.monotonic()
        self._told = found.received
        self.checked = False
        self.received: int | None = None
        self.is_over, self.is_superseded = threading.Event(), False
        self._end_early: Callable[[], object] = lambda: None

    @property
    def room(self) -> int:
        """The bytes that are missing."""
        return self._found.length - self._incoming.size

    def set_supersede_callback(self, end_early: Callable[[], object]) -> None:
        """Have `end_early` called, from any thread, when the client has come back by another connection."""
        self._end_early = end_early

    def supersede(self) -> None:
        """End the request that adds, and wait a little until it has."""
        self.is_superseded = True
        self._end_early()
        self.is_over.wait(_SUPERSEDE_WAIT_SECONDS)

    def write(self, block: bytes) -> None:
        """Add a block. Raises the `UploadError`s, and `LeaseLostError` if another request has the upload by now."""
        self._upload.write(block)
        late = time.monotonic() - self._told_at > _STEP_SECONDS
        if late or self._incoming.size - self._told >= _STEP_BYTES:
            self._record_progress(self._found.received if self.checked else self._flush_durable())

    def finish(self) -> AcceptedUpload | None:
        """End this request's part, and return the document if the upload is whole."""
        if self.room:
            self.received = self._incoming.pause()
            self._rows.release(self._found.id, self._token, self.received)
            return None
        try:
            accepted = self._upload.accept()
        except IngestError as error:
            lasting = isinstance(error, UploadError) and not isinstance(error, TEMPORARY_ERRORS)
            # Once the file has another name, a row may have it. Else its client sends the end again, which tries again.
            if not lasting and not self._incoming.kept:
                self.truncate(self._found.length - 1)
            raise
        self._rows.finish(self._found.id, self._token, accepted.document.id)
        return accepted

    def save_partial(self) -> None:
        """Keep what arrived before the connection was lost; of checked blocks, nothing."""
        arrived, size = self._incoming.size, self._found.received if self.checked else self._flush_durable()
        self.truncate(size)
        self.received = size if size == arrived else None  # the digest has what arrived
        self._rows.release(self._found.id, self._token, size)

    def truncate(self, size: int) -> None:
        """Keep only so many bytes."""
        if size < self._incoming.size:
            self._incoming.truncate(size)
        self._incoming.pause()
        self._record_progress(size)

    def _flush_durable(self) -> int:
        """Return how many bytes may count; the last one only counts with the document."""
        return min(self._incoming.pause(), self._found.length - 1)

    def _record_progress(self, received: int) -> None:
        self._rows.record_progress(self._found.id, self._token, received)
        self._told, self._told_at = self._incoming.size, time.monotonic()


def expire_uploads(rows: Uploads, blobs: BlobStore) -> int:
    """Remove uploads whose time is over, and files that no upload has, as of a deleted tenant; return how many.

    A row is there before its file.
    """
    removed = sum(blobs.delete(_build_key(identifier)) >= 0 for identifier in rows.delete_expired())
    there = {key.rpartition("/")[2]: key for key in blobs.iter_keys(_FOLDER)}
    for identifier in set(there) - rows.select_known(list(there)):
        removed += blobs.delete(there[identifier]) >= 0
    return removed


def _build_key(identifier: str) -> str:
    return f"{_FOLDER}/{identifier[:2]}/{identifier}"
