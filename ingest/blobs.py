"""Bytes by key: uploaded originals, normalized texts and their maps.

The port is `Blobs`; `DirectoryBlobs` keeps each key in a file under one folder that can be moved.
"""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from ingest.errors import EmptyUploadError, StorageFullError, UploadTooLargeError

_OUT_OF_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PUTS_AT_ONCE = 16


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
class Incoming:
    """An upload on its way to disk: counted, hashed and bounded as it arrives."""

    path: Path
    max_bytes: int
    _file: BinaryIO
    size: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def write(self, block: bytes) -> None:
        """Add a block. Raises `UploadTooLargeError` at the limit and `StorageFullError` when the disk is full."""
        self.size += len(block)
        if self.size > self.max_bytes:
            raise UploadTooLargeError(f"The file is larger than the limit of {self.max_bytes:,} bytes.")
        with translating_out_of_room():
            self._file.write(block)
        self._digest.update(block)

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Open what was written so far to read."""
        with translating_out_of_room():
            self._file.flush()
        with self.path.open("rb") as file:
            yield file

    def pause(self) -> int:
        """Fsync, and return how many bytes are durable."""
        with translating_out_of_room():
            self._file.flush()
            os.fsync(self._file.fileno())
        return self.size

    def cut(self, size: int) -> None:
        """Take back what was written after `size` bytes."""
        self._file.flush()
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def finish(self) -> str:
        """Fsync and return the SHA-256 in hex. Raises `EmptyUploadError` when nothing was written."""
        if self.size == 0:
            raise EmptyUploadError("The file is empty.")
        with translating_out_of_room():
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._digest.hexdigest()


class DirectoryBlobs:
    """Blobs as files. Every write goes to a temporary name, is fsynced and renamed."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self._root = root
        self._root_name = str(root)  # a search reads ten passages, and joining paths took most of the time
        self._incoming = root / "incoming"
        self._min_free_bytes = min_free_bytes
        self._incoming.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Return the file that holds `key`, for parsers that read by path."""
        return self._root / key

    def require_room(self, size: int = 0) -> None:
        """Raise `StorageFullError` when taking `size` bytes would go below the free-space watermark."""
        free = shutil.disk_usage(self._root).free
        if free - size < self._min_free_bytes:
            raise StorageFullError(
                f"The disk has {free:,} bytes free, and {self._min_free_bytes:,} are kept in reserve."
            )

    def has_room_to_work(self) -> bool:
        """True while work on accepted documents may go on: it may use three quarters of the reserve for uploads."""
        return shutil.disk_usage(self._root).free >= self._min_free_bytes // 4

    @contextmanager
    def receive(self, *, max_bytes: int) -> Iterator[Incoming]:
        """Open a file to stream an upload into; it is removed at the end of the block unless `keep` took it."""
        self.require_room()
        path = self._incoming / secrets.token_hex(16)
        try:
            with translating_out_of_room(), path.open("xb") as file:
                yield Incoming(path, max_bytes, file)
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def append(self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int) -> Iterator[Incoming]:
        """Open a file that was begun, to go on after `size` bytes of this `digest`; what it has beyond them is cut off.

        It stays at the end of the block unless `keep` took it. Raises `KeyError` when there is no such key.
        """
        self.require_room()
        try:
            file = self.path(key).open("r+b")
        except FileNotFoundError as error:
            raise KeyError(key) from error
        with translating_out_of_room(), file:
            incoming = Incoming(self.path(key), max_bytes, file, size, digest)
            incoming.cut(size)
            yield incoming

    def keep(self, incoming: Incoming, key: str) -> None:
        """Give a finished upload its key, durably. Call inside the `receive` block, after `finish`."""
        self._rename(incoming.path, key)

    def copy(self, source: str, key: str) -> None:
        """Give the content of a key another one besides; where the file system can, without writing it again.

        Raises `KeyError` when there is no such key.
        """
        path = self._incoming / secrets.token_hex(16)
        try:
            with translating_out_of_room():
                _link(self.path(source), path)
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
            with translating_out_of_room(), path.open("xb") as target:
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
        with ThreadPoolExecutor(min(_PUTS_AT_ONCE, len(contents)), "put") as pool:
            list(pool.map(self.put, contents.keys(), contents.values()))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            descriptor = os.open(f"{self._root_name}/{key}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise KeyError(key) from error
        try:
            wanted = os.fstat(descriptor).st_size - start if length is None else length
            return _read_fully(descriptor, start, wanted)
        finally:
            os.close(descriptor)

    def delete(self, key: str) -> int:
        path = self.path(key)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        # The folder stays, also when it is empty: a `put` may have just made sure that it is there.
        return size

    def discard_unfinished(self, *, older_than_seconds: float = 0.0) -> int:
        """Remove the files of uploads whose process was killed; returns how many.

        While others may be uploading, give an age that no upload reaches.
        """
        left = [path for path in self._incoming.iterdir() if _age(path) >= older_than_seconds]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys below a folder, in no order; one written or deleted meanwhile may be included or not."""
        for folder, _, names in os.walk(self._root / prefix):
            within = Path(folder).relative_to(self._root).as_posix()
            yield from (f"{within}/{name}" for name in names)

    def age_seconds(self, key: str) -> float:
        """Seconds since a key was written; 0.0 if it is gone."""
        return _age(self.path(key))

    def _rename(self, path: Path, key: str) -> None:
        target = self.path(key)
        with translating_out_of_room():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            fsync_path(target.parent)


@contextmanager
def translating_out_of_room() -> Iterator[None]:
    """Turn the operating system's "no space" into `StorageFullError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _OUT_OF_ROOM:
            raise StorageFullError("The disk is full.") from error
        raise


def _link(source: Path, target: Path) -> None:
    """Link a file, which is written once, or else copy it."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _OUT_OF_ROOM:
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


def _age(path: Path) -> float:
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
