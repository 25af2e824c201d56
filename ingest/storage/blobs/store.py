"""Store bytes by key: uploaded originals, normalized texts and their maps; and the settings of where they are stored.

The port of what stores and reads them is `Blobs`, and that of what keeps them all `BlobStore`. `DirectoryBlobs` keeps
each key in a file under one folder that can be moved; `ingest.storage.blobs.bucket` and `ingest.storage.blobs.sealed`
are others.
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
from typing import BinaryIO, Protocol

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.errors import (
    BlobNameError,
    EmptyUploadError,
    StorageFullError,
    StorageReadOnlyError,
    UploadTooLargeError,
)

_NO_SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CONCURRENT_PUTS = 16
BLOCK_BYTES = 4 << 20
# Folders and the name of a file. A key is a path in the blob folder, and a backup or a catalog that somebody changed
# may name any key; so no part is empty, `.` or `..`.
_KEY_PART = r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*"
_KEY_PATTERN = re.compile(rf"{_KEY_PART}(?:/{_KEY_PART})*")


def is_valid_key(key: str) -> bool:
    """True for a key that Leadline could have made: its path stays inside the blob folder."""
    return _KEY_PATTERN.fullmatch(key) is not None


def require_valid_key(key: str) -> str:
    """Return the key. Raises `BlobNameError` unless it is one that Leadline could have made."""
    # guard: blob-key-in-folder
    if not is_valid_key(key):
        raise BlobNameError(f"{key!r} is not the key of a stored file.")
    return key


class Blobs(Protocol):
    """Write once, read whole or in ranges, delete. Keys are relative paths made by us, never by a user."""

    def put(self, key: str, content: bytes) -> None:
        """Store durably before returning; an earlier content is replaced in one step. Raises `StorageFullError`."""

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Put what is left to read of a file, as `put` does, a block at a time."""

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Put each key as `put` does; all of them are durable when it returns."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read `length` bytes from `start`, or to the end. Raises `KeyError` when there is no such key."""

    def delete(self, key: str) -> int:
        """Remove a key and return the bytes freed; 0 when there was nothing."""


@dataclass
class IncomingUpload:
    """An upload on its way to disk: counted, hashed and bounded as it arrives. It is `kept` once it has a key."""

    path: Path
    max_bytes: int
    _file: BinaryIO
    size: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    kept: bool = False

    def write(self, block: bytes) -> None:
        """Add a block. Raises `UploadTooLargeError` at the limit and `StorageFullError` when the disk is full."""
        self.size += len(block)
        if self.size > self.max_bytes:
            raise UploadTooLargeError(f"The file is larger than the limit of {self.max_bytes:,} bytes.")
        with translate_disk_errors():
            self._file.write(block)
        self._digest.update(block)

    @contextmanager
    def open_reader(self) -> Iterator[BinaryIO]:
        """Open what was written so far to read."""
        if not self._file.closed:
            with translate_disk_errors():
                self._file.flush()
        with self.path.open("rb") as file:
            yield file

    def close(self) -> None:
        """Fsync and close the file of an upload that is whole and waits: it holds no descriptor until it is kept."""
        self.pause()
        self._file.close()

    def pause(self) -> int:
        """Fsync, and return how many bytes are durable."""
        with translate_disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
        return self.size

    def truncate(self, size: int) -> None:
        """Take back what was written after `size` bytes."""
        self._file.flush()
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def finish(self) -> str:
        """Fsync and return the SHA-256 in hex. Raises `EmptyUploadError` when nothing was written."""
        if self.size == 0:
            raise EmptyUploadError("The file is empty.")
        if not self._file.closed:
            self.pause()
        return self._digest.hexdigest()


class BlobStore(Blobs, Protocol):
    """Keeps everything of an installation. `local_folder` is on this machine, for files in use; `place` is for people.

    A key without a slash is a note of the store's own, such as the mark of its installation.
    """

    local_folder: Path

    @property
    def location(self) -> str: ...

    def receive(self, *, max_bytes: int) -> AbstractContextManager[IncomingUpload]:
        """Open a file to stream an upload into; it is removed at the end of the block unless `keep` took it."""

    def resume_upload(
        self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int
    ) -> AbstractContextManager[IncomingUpload]:
        """Open an upload that was begun, to go on after `size` bytes of this `digest`; what it has beyond is cut off.

        What `pause` counted stays at the end of the block unless `keep` took it. Raises `KeyError` when there is no
        such key.
        """

    def iter_upload_blocks(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an upload that was begun, in blocks. Raises `KeyError` at the first."""

    def commit_upload(self, incoming: IncomingUpload, key: str) -> None:
        """Give a finished upload its key, durably. Call inside the block, after `finish`."""

    def copy(self, source: str, key: str) -> None:
        """Give the content of a key another one besides. Raises `KeyError` when there is no such key."""

    def move(self, source: str, key: str) -> bool:
        """Give the content of a key another one instead; False if it is gone."""

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        """Store a content unless the key has one, and return that which it has now."""

    def find_size(self, key: str) -> int | None:
        """Return how many bytes a read of the key returns; None when there is no such key."""

    def iter_blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end` in blocks of bounded size. Raises `KeyError` at the first."""

    def get_local_path(self, key: str) -> Path | None:
        """Return the path that the content has on this machine, or would have; None for a store without such files."""

    def local_file(self, key: str) -> AbstractContextManager[Path]:
        """Open the content as a file of this machine, for the length of the block, to be read by path.

        Raises `KeyError` when there is no such key.
        """

    def iter_keys(self, prefix: str) -> Iterator[str]:
        """List the keys below a folder, in no order; one written or deleted meanwhile may be included or not."""

    def get_age_seconds(self, key: str) -> float:
        """Seconds since a key was written; 0.0 if it is gone."""

    def discard_unfinished(self, *, older_than_seconds: float = 0.0) -> int:
        """Remove the files of uploads whose process was killed; returns how many."""

    def require_free_space(self, size: int = 0) -> None:
        """Raise `StorageFullError` when taking `size` bytes would go below the free-space watermark."""

    def has_space_to_work(self) -> bool:
        """True while work on accepted documents may go on: it may use three quarters of the reserve for uploads."""


class SpoolFolder:
    """A folder of this machine for files on their way, with its watermarks of free space."""

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self.local_folder = folder
        self._incoming = folder / "incoming"
        self._min_free_bytes = min_free_bytes
        self._incoming.mkdir(parents=True, exist_ok=True)

    def require_free_space(self, size: int = 0) -> None:
        """Raise `StorageFullError` when taking `size` bytes would go below the free-space watermark."""
        free = shutil.disk_usage(self.local_folder).free
        if free - size < self._min_free_bytes:
            raise StorageFullError(
                f"The disk has {free:,} bytes free, and {self._min_free_bytes:,} are kept in reserve."
            )

    def has_space_to_work(self) -> bool:
        """True while work on accepted documents may go on: it may use three quarters of the reserve for uploads."""
        return shutil.disk_usage(self.local_folder).free >= self._min_free_bytes // 4

    @contextmanager
    def receive(self, *, max_bytes: int) -> Iterator[IncomingUpload]:
        """Open a file to stream an upload into; it is removed at the end of the block unless `keep` took it."""
        self.require_free_space()
        path = self.build_new_path()
        try:
            with translate_disk_errors(), path.open("x+b") as file:
                yield IncomingUpload(path, max_bytes, file)
        finally:
            path.unlink(missing_ok=True)

    def discard_unfinished(self, *, older_than_seconds: float = 0.0) -> int:
        """Remove the files of uploads whose process was killed; returns how many.

        While others may be uploading, give an age that no upload reaches.
        """
        left = [path for path in self._incoming.iterdir() if _get_age_seconds(path) >= older_than_seconds]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def build_new_path(self) -> Path:
        """Return a path for a new file on its way."""
        return self._incoming / secrets.token_hex(16)

    @contextmanager
    def spooled_file(self, blocks: Iterator[bytes]) -> Iterator[Path]:
        """Write blocks to a file, which is removed at the end of the block."""
        path = self.build_new_path()
        try:
            with translate_disk_errors(), path.open("xb") as file:
                file.writelines(blocks)
            yield path
        finally:
            path.unlink(missing_ok=True)


class DirectoryBlobs(SpoolFolder):
    """Blobs as files. Every write goes to a temporary name, is fsynced and renamed."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        super().__init__(root, min_free_bytes)
        self._root = root
        self._root_name = str(root)  # a search reads ten passages, and joining paths took most of the time

    @property
    def location(self) -> str:
        return f"the blob folder {self._root}"

    def resolve_path(self, key: str) -> Path:
        """Return the file that holds `key`. Raises `BlobNameError` for a path that could lead out of the folder."""
        return self._root / require_valid_key(key)

    def get_local_path(self, key: str) -> Path | None:
        return self.resolve_path(key)

    @contextmanager
    def local_file(self, key: str) -> Iterator[Path]:
        path = self.resolve_path(key)
        if not path.exists():
            raise KeyError(key)
        yield path

    @contextmanager
    def resume_upload(
        self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int
    ) -> Iterator[IncomingUpload]:
        """Open a file that was begun, to go on after `size` bytes of this `digest`; what it has beyond them is cut off.

        It stays at the end of the block unless `keep` took it. Raises `KeyError` when there is no such key.
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
        """Give a finished upload its key, durably. Call inside the `receive` block, after `finish`."""
        self._rename(incoming.path, key)
        incoming.kept = True

    def copy(self, source: str, key: str) -> None:
        """Give the content of a key another one besides; where the file system can, without writing it again.

        Raises `KeyError` when there is no such key.
        """
        path = self._incoming / secrets.token_hex(16)
        try:
            with translate_disk_errors():
                _link_or_copy(self.resolve_path(source), path)
            self._rename(path, key)
        except FileNotFoundError as error:
            raise KeyError(source) from error
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
            self._rename(path, key)
        finally:
            path.unlink(missing_ok=True)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        if len(contents) <= 2:
            for key, content in contents.items():
                self.put(key, content)
            return
        # In parallel, the file system commits many files at once, in a tenth of the time.
        with ThreadPoolExecutor(min(_CONCURRENT_PUTS, len(contents)), "put") as pool:
            list(pool.map(self.put, contents.keys(), contents.values()))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            descriptor = os.open(f"{self._root_name}/{require_valid_key(key)}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise KeyError(key) from error
        try:
            wanted = os.fstat(descriptor).st_size - start if length is None else length
            return _read_fully(descriptor, start, wanted)
        finally:
            os.close(descriptor)

    def delete(self, key: str) -> int:
        path = self.resolve_path(key)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        # The folder stays, also when it is empty: a `put` may have just made sure that it is there.
        # guard: blob-folder-kept
        return size

    def move(self, source: str, key: str) -> bool:
        target = self.resolve_path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.resolve_path(source).rename(target)
        except FileNotFoundError:
            return False
        fsync_path(target.parent)
        return True

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        """Store a content unless the key has one, and return that which it has now."""
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
        """List the keys below a folder, in no order; one written or deleted meanwhile may be included or not.

        Files with names that Leadline never gives are not listed.
        """
        for folder, _, names in os.walk(self._root / prefix):
            within = Path(folder).relative_to(self._root).as_posix()
            yield from filter(is_valid_key, (f"{within}/{name}" for name in names))

    def get_age_seconds(self, key: str) -> float:
        """Seconds since a key was written; 0.0 if it is gone."""
        return _get_age_seconds(self.resolve_path(key))

    def _rename(self, path: Path, key: str) -> None:
        target = self.resolve_path(key)
        with translate_disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            fsync_path(target.parent)


def iter_range_blocks(blobs: BlobStore, key: str, start: int, end: int | None) -> Iterator[bytes]:
    """Yield a range of a key's bytes by reads of `BLOCK_BYTES`. Raises `KeyError` at the first."""
    size = blobs.find_size(key)
    if size is None:
        raise KeyError(key)
    end = size if end is None else min(end, size)
    for at in range(start, end, BLOCK_BYTES):
        yield blobs.read(key, at, min(BLOCK_BYTES, end - at))


def compute_blocks_sha256(blocks: Iterator[bytes]) -> str:
    """Return the SHA-256 of what blocks hold, in hex."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Turn the system's "no space" into `StorageFullError`, and "read-only" into `StorageReadOnlyError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE_ERRNOS:
            raise StorageFullError("The disk is full.") from error
        # guard: read-only-in-words
        if error.errno == errno.EROFS:
            raise StorageReadOnlyError("The file system of the data folder is mounted read-only.") from error
        raise


def _link_or_copy(source: Path, target: Path) -> None:
    """Link a file, which is written once, or else copy it."""
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


def _read_fully(descriptor: int, start: int, wanted: int) -> bytes:
    """Read to the end of the range; one `pread` may return less, as on a network file system."""
    pieces: list[bytes] = []
    while wanted > 0 and (piece := os.pread(descriptor, wanted, start)):
        pieces.append(piece)
        start, wanted = start + len(piece), wanted - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _get_age_seconds(path: Path) -> float:
    """Seconds since the file was written; 0.0 if it is gone."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def fsync_path(path: Path) -> None:
    """Make a file durable, or the names in a folder: what was renamed there survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BlobSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    blobs: str = Field(
        "folder",
        pattern=r"^(folder|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?)$",
        description="Where originals and texts are kept: `folder`, in LEADLINE_HOME, or `s3://BUCKET/PREFIX` of an "
        "S3-compatible server, for which the extra `s3` is installed.",
    )
    s3_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="The address of that server; Amazon's if not set."
    )
    s3_region: str | None = Field(None, description="The region of the bucket.")
    s3_access_key_id: str | None = Field(
        None, description="The id of the key; if not set, `AWS_…` variables or the machine's role are used."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="The secret of that key.")
    s3_virtual_hosts: bool | None = Field(
        None, description="Whether the bucket is in the host's name, as Amazon wants it, or in the path."
    )
    s3_seconds: float = Field(
        60.0, gt=0, description="How long one request to that server may take; it is repeated for twice as long."
    )
    blob_keys: SecretStr | None = Field(
        None,
        description="Keys that seal originals and texts, made by `leadline blobs key`, with spaces between them. The "
        "first seals; put a new one before the old one to rotate, then run `leadline blobs reseal`.",
    )
    blob_binding: bool = Field(
        False,
        description="Bind new sealed files to their names before `leadline blobs reseal` has run. The release before "
        "cannot read them: set it once every process has this release.",
    )
