"""Storage of bytes by key: uploaded originals, normalized texts and their maps. Also defines the storage settings.

`Blobs` is the interface for code that reads and writes content, and `BlobStore` is the interface of the complete store.
`DirectoryBlobs` stores each key as a file in a folder that can be moved. `ingest.storage.blobs.bucket` and
`ingest.storage.blobs.sealed` contain other implementations.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.errors import (
    BlobNameError,
    EmptyUploadError,
    StorageFullError,
    StorageReadOnlyError,
    UploadTooLargeError,
)

if TYPE_CHECKING:
    from ingest.storage.blobs.local_copies import LocalCopies

_NO_SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CONCURRENT_PUTS = 16
BLOCK_BYTES = 4 << 20
# Matches one part of a key. A key is a path in the blob folder: names of folders, and of a file. A manipulated backup
# or catalog may contain any string as a key, so no part of a key may be empty, `.` or `..`.
_KEY_PART = r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*"
_KEY_PATTERN = re.compile(rf"{_KEY_PART}(?:/{_KEY_PART})*")


def is_valid_key(key: str) -> bool:
    """Return whether Leadline could have created this key. The path of a valid key stays inside the blob folder."""
    return _KEY_PATTERN.fullmatch(key) is not None


def require_valid_key(key: str) -> str:
    """Return the key. Raises `BlobNameError` if Leadline cannot have created it."""
    # guard: blob-key-in-folder
    if not is_valid_key(key):
        raise BlobNameError(f"{key!r} is not a valid key of a stored file.")
    return key


class Blobs(Protocol):
    """Stores content by key, and reads it completely or in ranges.

    Keys are relative paths that Leadline creates, never a user.
    """

    def put(self, key: str, content: bytes) -> None:
        """Store content durably. Existing content is replaced atomically.

        Raises `StorageFullError` if the disk is full.
        """

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Store a file, from its current position to its end, one block at a time. See `put`."""

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Store the content of several keys. All content is durable when this method returns. See `put`."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read `length` bytes from `start`, or all remaining bytes if `length` is None.

        Raises `KeyError` if the key does not exist.
        """

    def delete(self, key: str) -> int:
        """Delete a key and return the number of bytes freed. Returns 0 if the key does not exist."""

    def discard_copies(self, key: str) -> None:
        """Delete the local copies of a key's content, so that the next read reads the stored content."""


@dataclass
class IncomingUpload:
    """An upload that is being written to disk. Its bytes are counted, hashed and limited as they arrive.

    `kept` is true once the upload is stored under a key.
    """

    path: Path
    max_bytes: int
    _file: BinaryIO
    size: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    kept: bool = False

    def write(self, block: bytes) -> None:
        """Append a block.

        Raises `UploadTooLargeError` if the upload exceeds the limit, and `StorageFullError` if the disk is full.
        """
        self.size += len(block)
        if self.size > self.max_bytes:
            raise UploadTooLargeError(f"The file is larger than the limit of {self.max_bytes:,} bytes.")
        with translate_disk_errors():
            self._file.write(block)
        self._digest.update(block)

    @contextmanager
    def open_reader(self) -> Iterator[BinaryIO]:
        """Open the bytes written so far for reading."""
        if not self._file.closed:
            with translate_disk_errors():
                self._file.flush()
        with self.path.open("rb") as file:
            yield file

    def close(self) -> None:
        """Sync and close the file. This releases the file descriptor of a complete upload that has to wait."""
        self.pause()
        self._file.close()

    def pause(self) -> int:
        """Sync the file and return how many bytes are durable."""
        with translate_disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
        return self.size

    def truncate(self, size: int) -> None:
        """Discard the bytes after the first `size` bytes."""
        self._file.flush()
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def finish(self) -> str:
        """Sync the file and return its SHA-256 as hexadecimal digits. Raises `EmptyUploadError` if it is empty."""
        if self.size == 0:
            raise EmptyUploadError("The file is empty.")
        if not self._file.closed:
            self.pause()
        return self._digest.hexdigest()


class BlobStore(Blobs, Protocol):
    """Stores all files of an installation.

    `local_folder` is a folder on this machine for files in use. `location` is a description for users. A key without a
    slash belongs to the store's own records, such as the marker file of its installation. `concurrent_reads` is the
    number of reads that should run at once: 1 if reads do not wait for the network. `copies` are the copies on the
    local disk, or None if the store keeps none.
    """

    local_folder: Path
    concurrent_reads: int
    copies: "LocalCopies | None"

    @property
    def location(self) -> str: ...

    def receive_upload(self, *, max_bytes: int) -> AbstractContextManager[IncomingUpload]:
        """Open a file for an incoming upload.

        The file is deleted at the end of the block unless the upload was committed.
        """

    def resume_upload(
        self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int
    ) -> AbstractContextManager[IncomingUpload]:
        """Resume an unfinished upload after its first `size` bytes, whose hash is `digest`. Later bytes are discarded.

        Bytes that `pause` has reported as durable remain after the block, unless the upload was committed. Raises
        `KeyError` if the key does not exist.
        """

    def iter_upload_blocks(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an unfinished upload in blocks.

        If the key does not exist, the first iteration raises `KeyError`.
        """

    def commit_upload(self, incoming: IncomingUpload, key: str) -> None:
        """Store a finished upload durably under a key. Call this inside the block, after `IncomingUpload.finish`."""

    def copy(self, source_key: str, key: str) -> None:
        """Copy the content of `source_key` to `key`. Raises `KeyError` if `source_key` does not exist."""

    def move(self, source_key: str, key: str) -> bool:
        """Move the content of `source_key` to `key`. Return false if `source_key` does not exist."""

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        """Store the content unless the key exists. Return the content that the key has afterwards."""

    def find_size(self, key: str) -> int | None:
        """Return the size of a key's content in bytes, or None if the key does not exist."""

    def iter_blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to but not including `end`, in blocks of limited size.

        If the key does not exist, the first iteration raises `KeyError`.
        """

    def get_local_path(self, key: str) -> Path | None:
        """Return the local path of a key, or None if the store's files are remote or sealed.

        The path may not exist.
        """

    def provide_local_file(self, key: str) -> AbstractContextManager[Path]:
        """Provide the content as a local file, for code that needs a path. The path is valid until the block ends.

        Raises `KeyError` if the key does not exist.
        """

    def iter_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys in a folder, in arbitrary order.

        Keys that are written or deleted during the iteration may be missing or included.
        """

    def get_age_seconds(self, key: str) -> float:
        """Return how many seconds ago a key was written, or 0.0 if it does not exist."""

    def discard_unfinished_uploads(self, *, min_age_seconds: float = 0.0) -> int:
        """Delete the files of uploads whose process was killed, and return the number of deleted files."""

    def require_free_space(self, size: int = 0) -> None:
        """Raise `StorageFullError` if storing `size` bytes would use space that is reserved."""

    def has_processing_space(self) -> bool:
        """Return whether at least a quarter of the reserve is free, which is enough to process accepted documents."""

    def require_response(self) -> None:
        """Raise `BlobStoreError` if the store is remote and does not respond, or rejects requests."""


class SpoolFolder:
    """A local folder for files in transit, which checks the free space on its disk."""

    concurrent_reads = 1
    copies: "LocalCopies | None" = None

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self.local_folder = folder
        self._incoming = folder / "incoming"
        self._min_free_bytes = min_free_bytes
        self._incoming.mkdir(parents=True, exist_ok=True)

    def require_free_space(self, size: int = 0) -> None:
        """Raise `StorageFullError` if storing `size` bytes would use space that is reserved."""
        free = shutil.disk_usage(self.local_folder).free
        if free - size < self._min_free_bytes:
            raise StorageFullError(
                f"The disk is almost full: {free:,} bytes are free, and {self._min_free_bytes:,} are reserved."
            )

    def discard_copies(self, key: str) -> None:
        """Delete the local copies of a key's content, so that the next read reads the stored content."""
        if self.copies is not None:
            self.copies.discard(key)

    def has_processing_space(self) -> bool:
        """Return whether at least a quarter of the reserve is free, which is enough to process accepted documents."""
        return shutil.disk_usage(self.local_folder).free >= self._min_free_bytes // 4

    def require_response(self) -> None:
        """Do nothing: a folder has no server that could fail to respond."""

    @contextmanager
    def receive_upload(self, *, max_bytes: int) -> Iterator[IncomingUpload]:
        """Open a file for an incoming upload.

        The file is deleted at the end of the block unless the upload was committed.
        """
        self.require_free_space()
        path = self.build_spool_path()
        try:
            with translate_disk_errors(), path.open("x+b") as file:
                yield IncomingUpload(path, max_bytes, file)
        finally:
            path.unlink(missing_ok=True)

    def discard_unfinished_uploads(self, *, min_age_seconds: float = 0.0) -> int:
        """Delete the files of uploads whose process was killed, and return the number of deleted files.

        While uploads may be in progress, pass an age that no upload in progress reaches.
        """
        left = [path for path in self._incoming.iterdir() if _get_file_age_seconds(path) >= min_age_seconds]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def build_spool_path(self) -> Path:
        """Return a path for a new file in transit."""
        return self._incoming / secrets.token_hex(16)

    @contextmanager
    def provide_spooled_file(self, blocks: Iterator[bytes]) -> Iterator[Path]:
        """Write blocks to a temporary file, which is deleted when the context ends."""
        path = self.build_spool_path()
        try:
            with translate_disk_errors(), path.open("xb") as file:
                file.writelines(blocks)
            yield path
        finally:
            path.unlink(missing_ok=True)


class DirectoryBlobs(SpoolFolder):
    """Blobs stored as files in a folder. Each file is written under a temporary name, synced and then renamed."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        super().__init__(root, min_free_bytes)
        self._root = root
        # The folder is stored as a string, because joining `Path`s is the slowest step of reading a passage.
        self._root_name = str(root)

    @property
    def location(self) -> str:
        return f"the blob folder {self._root}"

    def resolve_path(self, key: str) -> Path:
        """Return the path of a key's file. Raises `BlobNameError` if the key could lead out of the folder."""
        return self._root / require_valid_key(key)

    def get_local_path(self, key: str) -> Path | None:
        return self.resolve_path(key)

    @contextmanager
    def provide_local_file(self, key: str) -> Iterator[Path]:
        path = self.resolve_path(key)
        if not path.exists():
            raise KeyError(key)
        yield path

    @contextmanager
    def resume_upload(
        self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int
    ) -> Iterator[IncomingUpload]:
        """Resume an unfinished upload after its first `size` bytes, whose hash is `digest`. Later bytes are discarded.

        The file remains after the block, unless the upload was committed. Raises `KeyError` if the key does not exist.
        """
        self.require_free_space()
        try:
            file = self.resolve_path(key).open("r+b")
        except FileNotFoundError as error:
            raise KeyError(key) from error
        with translate_disk_errors(), file:
            incoming = IncomingUpload(self.resolve_path(key), max_bytes, file, size, digest)
            # guard: upload-recorded-bytes
            incoming.truncate(size)
            yield incoming

    def iter_upload_blocks(self, key: str) -> Iterator[bytes]:
        return self.iter_blocks(key)

    def commit_upload(self, incoming: IncomingUpload, key: str) -> None:
        """Store a finished upload durably under a key. Call this inside the block, after `IncomingUpload.finish`."""
        self._rename_to_key(incoming.path, key)
        incoming.kept = True

    def copy(self, source_key: str, key: str) -> None:
        """Copy the content of `source_key` to `key`, using a hard link if the file system supports it.

        Raises `KeyError` if `source_key` does not exist.
        """
        path = self._incoming / secrets.token_hex(16)
        try:
            with translate_disk_errors():
                _link_or_copy_file(self.resolve_path(source_key), path)
            self._rename_to_key(path, key)
        except FileNotFoundError as error:
            raise KeyError(source_key) from error
        finally:
            path.unlink(missing_ok=True)

    def put(self, key: str, content: bytes) -> None:
        self.put_file(key, BytesIO(content))

    def put_file(self, key: str, file: BinaryIO) -> None:
        path = self._incoming / secrets.token_hex(16)
        try:
            with translate_disk_errors(), path.open("xb") as target:
                shutil.copyfileobj(file, target)
                target.flush()
                os.fsync(target.fileno())
            self._rename_to_key(path, key)
        finally:
            path.unlink(missing_ok=True)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        if len(contents) <= 2:
            for key, content in contents.items():
                self.put(key, content)
            return
        # Writing files in parallel takes a tenth of the time, because the file system syncs many of them together.
        with ThreadPoolExecutor(min(_CONCURRENT_PUTS, len(contents)), "put") as pool:
            list(pool.map(self.put, contents.keys(), contents.values()))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            descriptor = os.open(f"{self._root_name}/{require_valid_key(key)}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise KeyError(key) from error
        try:
            wanted = os.fstat(descriptor).st_size - start if length is None else length
            return _read_byte_range(descriptor, start, wanted)
        finally:
            os.close(descriptor)

    def delete(self, key: str) -> int:
        path = self.resolve_path(key)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        # Empty folders are not removed, because a concurrent `put` may just have checked that the folder exists.
        # guard: blob-folder-kept
        return size

    def move(self, source_key: str, key: str) -> bool:
        target = self.resolve_path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.resolve_path(source_key).rename(target)
        except FileNotFoundError:
            return False
        fsync_path(target.parent)
        return True

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        """Store the content unless the key exists. Return the content that the key has afterwards."""
        target, draft = self.resolve_path(key), self.resolve_path(f"{key}.{os.getpid()}.{secrets.token_hex(8)}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with translate_disk_errors(), draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        fsync_path(target.parent)
        return self.read(key)

    def find_size(self, key: str) -> int | None:
        try:
            return self.resolve_path(key).stat().st_size
        except FileNotFoundError:
            return None

    def iter_blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return iter_range_blocks(self, key, start, end)

    def iter_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys in a folder, in arbitrary order.

        Keys that are written or deleted during the iteration may be missing or included. Files with names that Leadline
        never creates are skipped.
        """
        for folder, _, names in os.walk(self._root / prefix):
            within = Path(folder).relative_to(self._root).as_posix()
            yield from filter(is_valid_key, (f"{within}/{name}" for name in names))

    def get_age_seconds(self, key: str) -> float:
        """Return how many seconds ago a key was written, or 0.0 if it does not exist."""
        return _get_file_age_seconds(self.resolve_path(key))

    def _rename_to_key(self, path: Path, key: str) -> None:
        target = self.resolve_path(key)
        with translate_disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            fsync_path(target.parent)


def iter_range_blocks(blobs: BlobStore, key: str, start: int, end: int | None) -> Iterator[bytes]:
    """Yield a range of a key's bytes in blocks of `BLOCK_BYTES`.

    If the key does not exist, the first iteration raises `KeyError`.
    """
    size = blobs.find_size(key)
    if size is None:
        raise KeyError(key)
    end = size if end is None else min(end, size)
    for at in range(start, end, BLOCK_BYTES):
        yield blobs.read(key, at, min(BLOCK_BYTES, end - at))


def compute_blocks_sha256(blocks: Iterator[bytes]) -> str:
    """Compute the SHA-256 of all blocks together, as hexadecimal digits."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Raise `StorageFullError` if the disk is full, and `StorageReadOnlyError` if it is mounted read-only."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE_ERRNOS:
            raise StorageFullError("The disk is full.") from error
        # guard: read-only-in-words
        if error.errno == errno.EROFS:
            raise StorageReadOnlyError("The file system of the data folder is mounted read-only.") from error
        raise


def _link_or_copy_file(source: Path, target: Path) -> None:
    """Create a hard link to a file, or copy it if the file system does not support hard links.

    Links are safe because stored files are never changed in place.
    """
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_SPACE_ERRNOS:
            raise
        with source.open("rb") as file, target.open("xb") as copied:
            shutil.copyfileobj(file, copied)
            copied.flush()
            os.fsync(copied.fileno())


def _read_byte_range(descriptor: int, start: int, length: int) -> bytes:
    """Read a complete range, with several calls if necessary.

    A single `pread` may return fewer bytes than requested, for example on a network file system.
    """
    pieces: list[bytes] = []
    while length > 0 and (piece := os.pread(descriptor, length, start)):
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _get_file_age_seconds(path: Path) -> float:
    """Return how many seconds ago a file was written, or 0.0 if it does not exist."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def fsync_path(path: Path) -> None:
    """Sync a file or a folder. Syncing a folder makes renames in it survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BlobSettings(BaseSettings):
    """Settings from environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    blobs: str = Field(
        "folder",
        pattern=r"^(folder|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?)$",
        description="Where originals and texts are stored: `folder` (in LEADLINE_HOME), or `s3://BUCKET/PREFIX` on an "
        "S3-compatible server, which requires the `s3` extra.",
    )
    s3_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="The address of the S3-compatible server. Default: Amazon S3."
    )
    s3_region: str | None = Field(None, description="The region of the bucket.")
    s3_access_key_id: str | None = Field(
        None, description="The access key id. Default: the `AWS_…` variables or the machine's role."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="The secret access key.")
    s3_virtual_hosts: bool | None = Field(
        None, description="True if the bucket is part of the host name, as Amazon requires; false if it is in the path."
    )
    s3_seconds: float = Field(
        60.0, gt=0, description="Timeout of a request to the S3-compatible server. Retries continue for twice as long."
    )
    s3_read_seconds: float = Field(
        5.0,
        gt=0,
        description="How long requests and jobs wait for the next bytes of a file from the S3-compatible server. "
        "Uploads and maintenance wait as long as LEADLINE_S3_SECONDS.",
    )
    s3_copies_bytes: int = Field(
        1 << 30,
        ge=0,
        description="Disk space in bytes for local copies of texts and record tables in the bucket, which stay sealed. "
        "The least recently used copies are deleted first. 0 keeps no copies.",
    )
    blob_keys: SecretStr | None = Field(
        None,
        description="Keys that seal originals and texts, from `leadline blobs key`, separated by spaces. The first key "
        "seals. To rotate, put a new key before the old one and run `leadline blobs reseal`.",
    )
    blob_binding: bool = Field(
        False,
        description="Bind new sealed files to their names even before `leadline blobs reseal` has run. The previous "
        "release cannot read such files, so enable this only when every process runs this release.",
    )
