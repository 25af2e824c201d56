"""Receive uploads. Each upload is streamed to disk, identified, hashed, fsynced and committed before it is accepted."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ingest.chunking import get_chunker_fingerprint
from ingest.parsing.charsets import HEAD_BYTES
from ingest.parsing.containers import OLE, ZIP
from ingest.parsing.registry import FORMATS
from ingest.parsing.sniff import sniff_container_type, sniff_media_type
from ingest.storage.accounts.access import Readers
from ingest.storage.accounts.records import OPEN_ACCESS, CollectionAccess
from ingest.storage.blobs.store import BlobStore, IncomingUpload
from ingest.storage.counts import format_count
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import AcceptedUpload, Arrival, Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import (
    BacklogFullError,
    BatchNotFoundError,
    BatchStateError,
    CollectionNotFoundError,
    DocumentNotFoundError,
    DocumentStateError,
    EmptyUploadError,
    PreconditionFailedError,
    StorageFullError,
    StorageReadOnlyError,
    StoredFileNotFoundError,
    UploadError,
    UploadTooLargeError,
)
from ingest.storage.inbound import check_metadata, check_text
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Failure, JobPriority
from ingest.storage.quotas.records import Account, Quota, QuotaExceededError, QuotaStatus, StorageQuotaExceededError
from ingest.storage.quotas.store import Quotas, build_storage_error
from ingest.storage.remarks import Remark
from ingest.storage.uploads.records import StoredFile

_MAX_NAME_CHARS = 255
Kept = TypeVar("Kept", covariant=True)  # The type of the result of accepting an upload.
# Errors after which no database row refers to the stored bytes, so the bytes can be deleted.
_NOT_RECORDED = (
    DocumentNotFoundError,
    StoredFileNotFoundError,
    CollectionNotFoundError,
    PreconditionFailedError,
    BatchNotFoundError,
    BatchStateError,
    QuotaExceededError,
)
# Errors that the uploaded file did not cause, so the client can send the file again unchanged.
TEMPORARY_ERRORS = (BacklogFullError, StorageFullError, StorageReadOnlyError, StorageQuotaExceededError)


@dataclass(frozen=True)
class Replacement:
    """The document to replace. Unless `if_match` is None, it must contain the document's latest version."""

    document_id: str
    if_match: frozenset[str] | None


@dataclass(frozen=True)
class UploadRequest:
    """The owner of an upload, and the sender's description of it.

    `name` is for display; the file type is detected from the content. A replacement keeps the collection, attributes
    and readers of its document. `batch_id` is the batch, if any, and `key_id` the API key. `readers` are the subjects
    that may see the document; None means the whole tenant. `sender` contains the sender's subjects, `owner` is the
    sender's name, and `collections` are the collections that the sender may write to. `purpose` applies only to files
    without a collection.
    """

    tenant_id: str
    collection: str
    name: str
    declared_type: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    priority: JobPriority = JobPriority.INTERACTIVE
    replaces: Replacement | None = None
    batch_id: str | None = None
    key_id: str = ""
    readers: frozenset[str] | None = None
    sender: Readers = None
    collections: CollectionAccess = OPEN_ACCESS
    # The name of an entry is the entry's path in the container and is not shortened.
    is_entry: bool = False
    purpose: str = ""
    # Seconds after which a file without a collection is deleted with its documents.
    expires_after: float | None = None
    owner: str = ""


class Receiver(Protocol[Kept]):
    """Accepts uploads when they are complete."""

    def accept_upload(self, request: UploadRequest, incoming_upload: IncomingUpload, media_type: str) -> Kept:
        """Accept a complete upload and return the result."""

    def record_rejection(self, request: UploadRequest, error: UploadError) -> None:
        """Record that an upload was rejected."""


class Intake:
    """Adds uploaded files to the catalog. No other code adds files to it.

    with intake.receive(request) as upload:
        for block in blocks:
            upload.write(block)
        accepted = upload.accept()
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        batches: Batches,
        *,
        max_bytes: int,
        backlog: Callable[[str], int] = lambda _: 0,
        max_backlog: int = 1,
        quotas: Quotas | None = None,
    ) -> None:
        """Create an intake.

        `backlog` counts a tenant's waiting documents. Uploads are rejected if there are `max_backlog` or more. Without
        `quotas`, an upload that exceeds the quota of its tenant or key is rejected only after it has fully arrived.
        """
        self._catalog = catalog
        self._blobs = blobs
        self._batches = batches
        self._max_bytes = max_bytes
        self._backlog = backlog
        self._max_backlog = max_backlog
        self._quotas = quotas

    @contextmanager
    def receive_upload(self, request: UploadRequest) -> Iterator["Upload[AcceptedUpload]"]:
        """Open an upload: write its blocks, then call `accept`. If the context exits before that, nothing is stored.

        Raises an `UploadError` if the upload is rejected, `BatchNotFoundError` or `BatchStateError` if files cannot be
        added to the batch, `InputError` if the description is invalid, and `CollectionNotFoundError` or
        `RoleMissingError` if the sender may not write to the collection.
        """
        self.check_description(request)
        with self.open_upload(request, self) as upload:
            yield upload

    @contextmanager
    def open_upload(
        self, request: UploadRequest, receiver: Receiver[AcceptedUpload], *, pending_bytes: int = 0
    ) -> Iterator["Upload[AcceptedUpload]"]:
        """Open an upload that `receiver` accepts when it is complete. Its description is not checked.

        `pending_bytes` is the total size of other files that are waiting to be accepted, which also count against the
        quotas. Raises an `UploadError` if the upload is rejected.
        """
        self.require_backlog_capacity(request.tenant_id)
        full = find_nearest_quota(self._quotas, request)
        # guard: held-bytes-quota
        room = self._max_bytes if full is None else min(self._max_bytes, max(0, full.remaining - pending_bytes))
        with self._blobs.receive_upload(max_bytes=room) as incoming:
            yield Upload(receiver, request, incoming, full if room < self._max_bytes else None)

    def require_upload_allowed(self, request: UploadRequest, size_bytes: int) -> None:
        """Check limits and quotas for an upload of `size_bytes` bytes before it arrives.

        Raises the same errors as `receive`.
        """
        if not size_bytes:
            raise EmptyUploadError(Remark("file_empty"))
        if size_bytes > self._max_bytes:
            raise UploadTooLargeError(Remark("file_too_large", bytes=self._max_bytes))
        self.check_description(request)
        self.require_backlog_capacity(request.tenant_id)
        full = find_nearest_quota(self._quotas, request)
        if full is not None and full.remaining < size_bytes:
            raise build_storage_error(full)
        self._blobs.require_free_space(size_bytes)

    @contextmanager
    def resume_upload(
        self, request: UploadRequest, incoming_upload: IncomingUpload, head: bytes
    ) -> Iterator["Upload[AcceptedUpload]"]:
        """Open an upload like `receive`, but one that has partly arrived. `head` contains the file's first bytes."""
        self.check_description(request)
        self.require_backlog_capacity(request.tenant_id)
        find_nearest_quota(self._quotas, request)
        yield Upload(self, request, incoming_upload, None, head)

    def check_description(self, request: UploadRequest) -> None:
        """Check the strings in an upload's description, and whether files can be added to its collection and batch.

        Raises the same errors as `receive`, except those about the file's content and size.
        """
        for at in ("collection", "name", "batch_id"):
            check_text(getattr(request, at) or "", at)
        check_metadata(request.attributes)
        request.collections.require_writable(request.collection)
        if request.batch_id is not None:  # The batch is checked again when the upload is recorded.
            self._batches.require_open_batch(request.tenant_id, request.batch_id)

    def require_backlog_capacity(self, tenant_id: str) -> None:
        """Raise `BacklogFullError` if too many of a tenant's documents are waiting to be indexed."""
        waiting = self._backlog(tenant_id)
        if waiting >= self._max_backlog:
            raise BacklogFullError(
                f"The limit of {format_count(self._max_backlog, 'document')} waiting to be indexed has been reached."
            )

    def retry_document(
        self,
        tenant_id: str,
        document_id: str,
        *,
        sender: Readers,
        collections: CollectionAccess = OPEN_ACCESS,
        key_id: str = "",
        priority: JobPriority = JobPriority.INTERACTIVE,
    ) -> AcceptedUpload:
        """Upload the stored bytes of a failed document again.

        Raises the same errors as `receive`, `DocumentNotFoundError` if the document does not exist, and
        `DocumentStateError` if it has not failed.
        """
        document = self._catalog.load_document(tenant_id, document_id, readers=sender)
        version = document.version
        if version.state is not VersionState.FAILED:
            raise DocumentStateError(
                f"The document is {version.state}. Only failed documents can be retried.",
                hint="If its content has changed, replace the document.",
            )
        request = UploadRequest(
            tenant_id,
            document.collection,
            version.name,
            priority=priority,
            replaces=Replacement(document.id, frozenset({document.tag})),
            key_id=key_id,
            sender=sender,
            collections=collections,
            is_entry=document.container_id is not None,
        )
        with self.receive_upload(request) as upload:
            try:
                for block in self._blobs.iter_blocks(version.blob_key):
                    upload.write(block)
            except KeyError as error:
                raise DocumentStateError(
                    "The stored file of the document no longer exists.", hint="Upload the file again."
                ) from error
            return upload.accept()

    def accept_stored_file(self, request: UploadRequest, file: StoredFile) -> AcceptedUpload:
        """Create a document from a stored file, as if the client had uploaded it again. The collection must exist.

        Raises the same errors as `receive`, and `StoredFileNotFoundError` if the file does not exist.
        """
        self.check_description(request)
        self.require_backlog_capacity(request.tenant_id)
        self._blobs.require_free_space()
        key = build_original_key()
        try:
            self._blobs.copy(file.blob_key, key)
        except KeyError as error:
            raise StoredFileNotFoundError(f"File {file.id!r} not found.") from error
        return self._commit_arrival(
            self._build_arrival(request, file.media_type, file.content_sha256, file.size_bytes, key, file.id), request
        )

    def accept_upload(self, request: UploadRequest, incoming_upload: IncomingUpload, media_type: str) -> AcceptedUpload:
        """Commit a complete upload. Blobs are never shared, so a document's blob can be deleted with the document."""
        content_sha256 = incoming_upload.finish()
        reach_fault_point("upload.synced")
        key, size = build_original_key(), incoming_upload.size
        self._blobs.commit_upload(incoming_upload, key)
        reach_fault_point("upload.kept")
        return self._commit_arrival(self._build_arrival(request, media_type, content_sha256, size, key), request)

    def _build_arrival(
        self, request: UploadRequest, media_type: str, sha256: str, size: int, key: str, file_id: str | None = None
    ) -> Arrival:
        return Arrival(
            tenant_id=request.tenant_id,
            collection=request.collection,
            name=request.name if request.is_entry else clean_display_name(request.name),
            media_type=media_type,
            content_sha256=sha256,
            size_bytes=size,
            blob_key=key,
            fingerprint=build_processing_fingerprint(media_type),
            attributes=request.attributes,
            priority=request.priority,
            batch_id=request.batch_id,
            key_id=request.key_id,
            readers=request.readers,
            sender=request.sender,
            uploaded_by=request.owner,
            file_id=file_id,
        )

    def _commit_arrival(self, arrival: Arrival, request: UploadRequest) -> AcceptedUpload:
        try:
            accepted = self._record_arrival(arrival, request.replaces)
        except _NOT_RECORDED:
            self._blobs.delete(arrival.blob_key)
            raise
        reach_fault_point("upload.accepted")
        if not accepted.created:
            self._blobs.delete(arrival.blob_key)
        return accepted

    def record_rejection(self, request: UploadRequest, error: UploadError) -> None:
        """Record a rejected file as a failure in its batch, unless the client can send it again unchanged."""
        if request.batch_id is None or isinstance(error, TEMPORARY_ERRORS):
            return
        failure = Failure(error.code, *error.public_message)
        self._batches.record_rejected_file(
            request.tenant_id, request.batch_id, clean_display_name(request.name), failure
        )

    def _record_arrival(self, arrival: Arrival, replacement: Replacement | None) -> AcceptedUpload:
        if replacement is None:
            return self._catalog.accept_upload(arrival)
        return self._catalog.replace_document(arrival, replacement.document_id, replacement.if_match)


class Upload(Generic[Kept]):
    """An upload that arrives in blocks of any size. `full` is the quota that limits its size, if any."""

    def __init__(
        self,
        receiver: Receiver[Kept],
        request: UploadRequest,
        incoming_upload: IncomingUpload,
        nearest_quota: QuotaStatus | None = None,
        head: bytes = b"",
    ) -> None:
        self._full = nearest_quota
        self._intake = receiver
        self._request = request
        self._incoming = incoming_upload
        self._head = head
        self._media_type: str | None = None

    def write(self, block: bytes) -> None:
        """Add a block. A file of an unsupported type is rejected as soon as its first bytes arrive."""
        with self._record_rejections():
            self._incoming.write(block)
            if self._media_type is None and len(self._head) < HEAD_BYTES:
                self._head += block[: HEAD_BYTES - len(self._head)]
                if len(self._head) == HEAD_BYTES:
                    self._sniff_media_type()

    def finish(self) -> int:
        """Close the file of a complete upload until it is accepted, and return its size in bytes."""
        with self._record_rejections():
            self._detect_media_type()
            self._incoming.close()
            return self._incoming.size

    def compute_sha256(self) -> str:
        """Close the file of a complete upload until it is accepted, and return its SHA-256 as hexadecimal digits."""
        self.finish()
        with self._record_rejections():
            return self._incoming.finish()

    def accept(self, request: UploadRequest | None = None) -> Kept:
        """Commit the upload, durably. `request` replaces the description with which the upload was opened."""
        with self._record_rejections():
            self._detect_media_type()
            return self._intake.accept_upload(request or self._request, self._incoming, self._media_type or "")

    def _detect_media_type(self) -> None:
        """Detect the media type of the whole file."""
        if self._media_type is None and self._head:
            self._sniff_media_type()
        if self._media_type in (ZIP, OLE):
            with self._incoming.open_reader() as file:
                self._media_type = sniff_container_type(file)

    @contextmanager
    def _record_rejections(self) -> Iterator[None]:
        try:
            yield
        except UploadTooLargeError as error:
            if self._full is not None:
                raise build_storage_error(self._full) from error
            self._intake.record_rejection(self._request, error)
            raise
        except UploadError as error:
            self._intake.record_rejection(self._request, error)
            raise

    def _sniff_media_type(self) -> None:
        self._media_type = sniff_media_type(self._head, self._request.name, self._request.declared_type)


def find_nearest_quota(
    quotas: Quotas | None, request: UploadRequest, kinds: Sequence[Quota] = (Quota.DOCUMENTS, Quota.BYTES)
) -> QuotaStatus | None:
    """Return the byte quota with the least space remaining.

    Raises `StorageQuotaExceededError` if a quota is exhausted. This check avoids receiving bytes that cannot be stored;
    quotas are enforced when the upload is committed.
    """
    if quotas is None:
        return None
    standings = quotas.load_statuses(Account(request.tenant_id, request.key_id), kinds)
    for standing in standings:
        if not standing.remaining and not (standing.quota is Quota.DOCUMENTS and request.replaces):
            raise build_storage_error(standing)
    of_bytes = (standing for standing in standings if standing.quota is Quota.BYTES)
    return min(of_bytes, key=lambda each: each.remaining, default=None)


def build_original_key() -> str:
    """Return a new blob key for an upload. Its prefix distributes the blobs over folders."""
    token = secrets.token_hex(16)
    return f"original/{token[:2]}/{token}"


def build_processing_fingerprint(media_type: str) -> str:
    """Return the combined fingerprint of the parser for a media type and the chunker."""
    return f"{FORMATS[media_type].fingerprint}+{get_chunker_fingerprint()}"


def clean_display_name(name: str) -> str:
    """Return the last path component of a name, without control characters and never empty or over 255 characters."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable())[:_MAX_NAME_CHARS].strip() or "unnamed"
