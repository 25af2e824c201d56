"""Blobs stored as objects on an S3-compatible server, with a local folder for files in use."""

import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from ingest.storage.blobs.local_copies import COPIED_FOLDERS, LocalCopies
from ingest.storage.blobs.store import BLOCK_BYTES, BlobSettings, IncomingUpload, SpoolFolder, translate_disk_errors
from ingest.storage.errors import BlobStoreRejectedError, BlobStoreUnavailableError, EmptyUploadError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig, S3Config

# Number of concurrent requests of one `put_all`, and of all searches and answers that read texts. The requests spend
# most of their time waiting for the network: with 64, the texts and maps of 50 hits take two round trips.
_CONCURRENT_WRITES = 16
_CONCURRENT_READS = 64
# Size of a part of a large object. An upload uses memory for all of the parts that it sends concurrently.
_PART_BYTES = 8 << 20
_CONCURRENT_PARTS = 4
_PARTS_FOLDER = "parts"
_CONNECT_SECONDS = 5.0
_RETRIES = 5
# Time for which further reads fail at once after a read got no response, so that they do not wait one after the other.
_AWAY_SECONDS = 1.0
# Time for which a response counts as recent, so that health checks send few requests.
_RESPONSE_SECONDS = 5.0
# Matches the library's message if the library finds neither keys nor a role, after asking the cloud provider's metadata
# service.
_NO_IDENTITY = re.compile(r"169\.254\.|metadata|credential", re.IGNORECASE)
# Matches the library's message if a server rejects a range because it starts beyond the end of the object.
_BEYOND_END = re.compile(r"InvalidRange|416 Range Not Satisfiable")
# Hints for the S3 error codes of permanent errors, which are not retried.
_HINTS: Mapping[str, str] = {
    "RequestTimeTooSkewed": "This machine's clock differs from the server's by more than 15 minutes. "
    "Correct the clock.",
    "NoSuchBucket": "The bucket in LEADLINE_BLOBS does not exist. Create it, or correct its name.",
    "PermanentRedirect": "The bucket is in another region. Set LEADLINE_S3_REGION to that region.",
    "AuthorizationHeaderMalformed": "The bucket is in another region. Set LEADLINE_S3_REGION to that region.",
    "InvalidAccessKeyId": "LEADLINE_S3_ACCESS_KEY_ID is unknown to the server. Correct the setting.",
    "SignatureDoesNotMatch": "LEADLINE_S3_SECRET_ACCESS_KEY does not match LEADLINE_S3_ACCESS_KEY_ID. "
    "Correct the settings.",
    "AccessDenied": "Give the access key permission to read, write, list and delete objects in the bucket.",
}
_NO_CREDENTIALS = "Set LEADLINE_S3_ACCESS_KEY_ID and LEADLINE_S3_SECRET_ACCESS_KEY, or assign a role to the machine."


class ObjectBlobs(SpoolFolder):
    """Blobs stored as objects under a prefix in a bucket.

    Each object is written atomically, with a checksum that the server verifies.
    """

    concurrent_reads = _CONCURRENT_READS

    def __init__(
        self,
        store: S3Store,
        location: str,
        folder: Path,
        *,
        min_free_bytes: int = 0,
        copies: LocalCopies | None = None,
        reading_store: S3Store | None = None,
    ) -> None:
        """Initialize the store.

        If `copies` is given, `read` keeps copies of texts and tables there. If `reading_store` is given, it is used for
        reads, and has a shorter timeout; after a read got no response, further reads fail at once for a second.
        """
        super().__init__(folder, min_free_bytes)
        self.copies = copies
        self._store = store
        self._reading_store = reading_store or store
        self._away_seconds = 0.0 if reading_store is None else _AWAY_SECONDS
        self._away_until = self._responded_until = 0.0
        self._place = location

    @property
    def location(self) -> str:
        return self._place

    def require_response(self) -> None:
        if time.monotonic() < self._responded_until:
            return
        _request_listing(self._reading_store)
        self._responded_until = time.monotonic() + _RESPONSE_SECONDS

    def put(self, key: str, content: bytes) -> None:
        self.discard_copies(key)
        with _translate_errors():
            obstore.put(self._store, key, content, use_multipart=len(content) > _PART_BYTES, chunk_size=_PART_BYTES)

    def put_file(self, key: str, file: BinaryIO) -> None:
        first = file.read(_PART_BYTES)
        if len(first) < _PART_BYTES:
            self.put(key, first)
            return
        self.discard_copies(key)
        with _translate_errors():
            obstore.put(
                self._store,
                key,
                _iter_file_blocks(first, file),
                chunk_size=_PART_BYTES,
                max_concurrency=_CONCURRENT_PARTS,
            )

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        with ThreadPoolExecutor(min(_CONCURRENT_WRITES, len(contents) or 1), "put") as pool:
            list(pool.map(self.put, contents.keys(), contents.values()))

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        with _translate_errors(), suppress(AlreadyExistsError):
            obstore.put(self._store, key, content, mode="create", use_multipart=False)
        return self.read(key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if self.copies is None or length == 0 or key.partition("/")[0] not in COPIED_FOLDERS:
            return self._read_object(key, start, length)
        return self.copies.read(key, start, length, partial(self._read_object, key))

    def _read_object(self, key: str, start: int, length: int | None) -> bytes:
        with self._limit_waiting(), _translate_errors(key):
            if length is None:
                return self._get_object(key, {"range": {"offset": start}} if start else {})
            if length <= 0:
                self._fetch_object_size(key)  # Raises an error if the object does not exist.
                return b""
            return self._get_object(key, {"range": (start, start + length)})

    def iter_blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        while True:
            length = BLOCK_BYTES if end is None else max(0, min(BLOCK_BYTES, end - start))
            block = self._read_object(key, start, length)
            if block:
                yield block
            start += len(block)
            if len(block) < BLOCK_BYTES or start == end:
                return

    def find_size(self, key: str) -> int | None:
        try:
            with self._limit_waiting(), _translate_errors(key):
                return self._fetch_object_size(key)
        except KeyError:
            return None

    def delete(self, key: str) -> int:
        self.discard_copies(key)
        size = self.find_size(key)
        if size is None:
            return 0
        with _translate_errors(), suppress(NotFoundError):
            obstore.delete(self._store, key)
        if key.startswith("uploads/"):
            size += sum(self.delete(part.key) for part in self.list_upload_parts(key))
        return size

    def copy(self, source_key: str, key: str) -> None:
        self.discard_copies(key)
        with _translate_errors(source_key):
            obstore.copy(self._store, source_key, key)

    def move(self, source_key: str, key: str) -> bool:
        try:
            self.copy(source_key, key)
        except KeyError:
            return False
        self.delete(source_key)
        return True

    def get_local_path(self, key: str) -> Path | None:
        return None

    @contextmanager
    def provide_local_file(self, key: str) -> Iterator[Path]:
        with self.provide_spooled_file(self.iter_blocks(key)) as path:
            yield path

    def iter_keys(self, prefix: str) -> Iterator[str]:
        with _translate_errors():
            for page in obstore.list(self._store, f"{prefix}/"):
                yield from (each["path"] for each in page)

    def get_age_seconds(self, key: str) -> float:
        try:
            with _translate_errors(key):
                written = obstore.head(self._store, key)["last_modified"]
        except KeyError:
            return 0.0
        return max(0.0, time.time() - written.timestamp())

    def commit_upload(self, incoming: IncomingUpload, key: str) -> None:
        with incoming.open_reader() as file:
            self.put_file(key, file)
        incoming.kept = True

    @contextmanager
    def resume_upload(
        self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int
    ) -> Iterator[IncomingUpload]:
        """Resume an unfinished upload.

        `IncomingUpload.pause` stores the bytes received since the last part as another part, in a separate object.
        """
        self.require_free_space()
        if self.find_size(key) is None:
            raise KeyError(key)
        path = self.build_spool_path()
        try:
            with translate_disk_errors(), path.open("x+b") as file:
                parts = _UploadParts(self, key)
                if parts.end < size:
                    raise KeyError(key)
                incoming = _ResumedUpload(path, max_bytes, file, parts.end, digest, parts=parts, base=parts.end)
                incoming.truncate(size)
                yield incoming
            if incoming.kept:
                self.delete(key)
        finally:
            path.unlink(missing_ok=True)

    def iter_upload_blocks(self, key: str) -> Iterator[bytes]:
        return _UploadParts(self, key).iter_blocks()

    def discard_unfinished_uploads(self, *, min_age_seconds: float = 0.0) -> int:
        """Delete local files of killed processes and parts of uploads that no longer exist, and return their number."""
        gone = [
            part
            for part in self.iter_keys(_PARTS_FOLDER)
            if self.find_size(_parse_upload_key(part)) is None and self.get_age_seconds(part) >= min_age_seconds
        ]
        for part in gone:
            self.delete(part)
        return len(gone) + super().discard_unfinished_uploads(min_age_seconds=min_age_seconds)

    def list_upload_parts(self, key: str) -> list["_UploadPart"]:
        """List the parts of an unfinished upload by offset. Of parts with the same offset, the largest comes first."""
        with _translate_errors():
            pages = obstore.list(self._store, f"{_PARTS_FOLDER}/{key}/")
            found = [
                _UploadPart(each["path"], _parse_part_offset(each["path"]), each["size"])
                for page in pages
                for each in page
            ]
        return sorted(found, key=lambda part: (part.offset, -part.size))

    def _get_object(self, key: str, options: "GetOptions") -> bytes:
        """Read an object, or a range of it, in one request. A range that starts beyond the end is empty."""
        try:
            return bytes(obstore.get(self._reading_store, key, options=options).bytes())
        except BaseError as error:
            if _BEYOND_END.search(str(error)):
                return b""
            raise

    def _fetch_object_size(self, key: str) -> int:
        return int(obstore.head(self._reading_store, key)["size"])

    @contextmanager
    def _limit_waiting(self) -> Iterator[None]:
        """Fail at once if another read has just got no response."""
        if time.monotonic() < self._away_until:
            raise BlobStoreUnavailableError("The file store does not respond.")
        try:
            yield
        except BlobStoreUnavailableError:
            self._away_until = time.monotonic() + self._away_seconds
            raise


@dataclass(frozen=True)
class _UploadPart:
    key: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class _UploadParts:
    """The contiguous parts of an upload. Parts that another writer added concurrently are ignored."""

    def __init__(self, blobs: ObjectBlobs, key: str) -> None:
        self._blobs = blobs
        self._key = key
        self._chain: list[_UploadPart] = []
        for part in blobs.list_upload_parts(key):
            if part.offset == self.end:
                self._chain.append(part)

    @property
    def end(self) -> int:
        return self._chain[-1].end if self._chain else 0

    def add_part(self, file: BinaryIO, size: int) -> None:
        """Store the remaining bytes of a file, of which there are `size`, as the next part."""
        part = _UploadPart(f"{_PARTS_FOLDER}/{self._key}/{self.end:016d}-{secrets.token_hex(8)}", self.end, size)
        self._blobs.put_file(part.key, file)
        self._chain.append(part)

    def truncate(self, size: int) -> None:
        """Discard everything after the first `size` bytes."""
        while self.end > size:
            last = self._chain.pop()
            if last.offset < size:
                self.add_part(BytesIO(self._blobs.read(last.key, 0, size - last.offset)), size - last.offset)
            self._blobs.delete(last.key)

    def iter_blocks(self) -> Iterator[bytes]:
        for part in self._chain:
            yield from self._blobs.iter_blocks(part.key)


@dataclass
class _ResumedUpload(IncomingUpload):
    """An upload whose first `base` bytes are stored as parts. The local file contains only the bytes after `base`."""

    parts: _UploadParts = field(kw_only=True)
    base: int = field(kw_only=True)
    _is_finished: bool = False

    @contextmanager
    def open_reader(self) -> Iterator[BinaryIO]:
        """Open the complete upload as one file.

        Raises `BlobStoreUnavailableError` if the parts of a finished upload have changed.
        """
        self.pause()
        whole = self.path.with_name(f"{self.path.name}-whole")
        digest = hashlib.sha256()
        try:
            with translate_disk_errors(), whole.open("xb") as file:
                for block in self.parts.iter_blocks():
                    digest.update(block)
                    file.write(block)
            if self._is_finished and digest.digest() != self._digest.digest():
                raise BlobStoreUnavailableError(
                    "The stored parts of the upload differ from the bytes that were sent.",
                    hint="Upload the file again.",
                )
            with whole.open("rb") as file:
                yield file
        finally:
            whole.unlink(missing_ok=True)

    def pause(self) -> int:
        """Store the bytes received since the last part as another part. Return how many bytes are durable."""
        if self.size > self.base:
            self._file.flush()
            with self.path.open("rb") as file:
                self.parts.add_part(file, self.size - self.base)
            self._restart_local_file(self.size)
        return self.size

    def truncate(self, size: int) -> None:
        if size <= self.base:
            self.parts.truncate(size)
            self._restart_local_file(size)
        else:
            self._file.flush()
            self._file.truncate(size - self.base)
            self._file.seek(size - self.base)
        self.size = size

    def finish(self) -> str:
        if self.size == 0:
            raise EmptyUploadError("The file is empty.")
        self.pause()
        self._is_finished = True
        return self._digest.hexdigest()

    def _restart_local_file(self, stored_size: int) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.base = stored_size


def open_bucket(
    settings: BlobSettings, folder: Path, *, min_free_bytes: int = 0, is_serving: bool = False
) -> ObjectBlobs:
    """Open the bucket named in LEADLINE_BLOBS, and send it a first request.

    If `is_serving` is true, texts and tables that are read are copied to the local disk, up to the limit in `settings`,
    and reads have the short timeout in `settings`.

    Raises `BlobStoreRejectedError` if the server rejects the request, and `BlobStoreUnavailableError` if it does not
    respond.
    """
    bucket, _, prefix = settings.blobs.removeprefix("s3://").strip("/").partition("/")
    given = {
        "endpoint": settings.s3_endpoint,
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key_id,
        "secret_access_key": settings.s3_secret_access_key and settings.s3_secret_access_key.get_secret_value(),
        "checksum_algorithm": "SHA256",
        "virtual_hosted_style_request": settings.s3_virtual_hosts,
    }
    config = cast("S3Config", {name: value for name, value in given.items() if value is not None})
    seconds = timedelta(seconds=settings.s3_seconds)
    client: ClientConfig = {
        "timeout": seconds,
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "allow_http": (settings.s3_endpoint or "").startswith("http://"),
    }

    def build_store(client: "ClientConfig", retry_timeout: timedelta) -> S3Store:
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": retry_timeout}
        return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, retry_config=retry)

    copies = reading_store = None
    if is_serving:
        # The timeout restarts with the bytes that arrive, so that it does not limit the size of a file.
        wait = timedelta(seconds=settings.s3_read_seconds)
        reading: ClientConfig = {**client, "connect_timeout": wait, "read_timeout": wait}
        reading_store = build_store(reading, wait)
        if settings.s3_copies_bytes:
            copies = LocalCopies(folder / "copies", settings.s3_copies_bytes, min_free_bytes=min_free_bytes)
    store = build_store(client, seconds * 2)
    _request_listing(store)
    return ObjectBlobs(
        store,
        f"the bucket {settings.blobs}",
        folder,
        min_free_bytes=min_free_bytes,
        copies=copies,
        reading_store=reading_store,
    )


def _request_listing(store: S3Store) -> None:
    """Send a cheap request to find out whether the server responds and accepts the credentials."""
    with _translate_errors():
        next(iter(obstore.list(store, "installation-check/", chunk_size=1)), None)


def _iter_file_blocks(first_block: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield first_block
    while block := file.read(_PART_BYTES):
        yield block


def _parse_upload_key(part_key: str) -> str:
    return part_key.removeprefix(f"{_PARTS_FOLDER}/").rpartition("/")[0]


def _parse_part_offset(part_key: str) -> int:
    return int(part_key.rpartition("/")[2].partition("-")[0])


@contextmanager
def _translate_errors(key: str | None = None) -> Iterator[None]:
    """Translate the library's errors.

    If an object is missing and `key` is given, the error becomes a `KeyError`.
    """
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        said = str(error)
        code = next((code for code in _HINTS if code in said), None)
        if isinstance(error, NotFoundError | FileNotFoundError) and key is not None and code is None:
            raise KeyError(key) from error
        if code is not None:
            raise BlobStoreRejectedError(f"The file store rejected the request: {code}.", hint=_HINTS[code]) from error
        if isinstance(error, UnauthenticatedError | PermissionDeniedError | NotFoundError):
            raise BlobStoreRejectedError(f"The file store rejected the request: {_shorten_message(said)}") from error
        if _NO_IDENTITY.search(said):
            raise BlobStoreRejectedError(
                "No credentials for the file store were found.", hint=_NO_CREDENTIALS
            ) from error
        raise BlobStoreUnavailableError(f"The file store does not respond: {_shorten_message(said)}") from error


def _shorten_message(message: str) -> str:
    return " ".join(message.split())[:300]
