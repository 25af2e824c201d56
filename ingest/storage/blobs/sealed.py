"""Blobs that are sealed: what the store holds cannot be read, or changed unnoticed, without one of the keys.

`ingest.storage.blobs.sealed_format` has the format. A file of the format before, or one from before there was a key, is
read until the catalog records that every file is bound to its name; from then on it is refused, because whoever can
write the store could have put it there. Keys without a slash are notes of the store itself, and not sealed; nor are
uploads that are not finished.
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from cryptography.exceptions import InvalidTag

from ingest.storage.blobs.keyring import KeyRing
from ingest.storage.blobs.sealed_format import (
    FRAME_BYTES,
    HEAD_BYTES,
    SEALED_FRAME_BYTES,
    Head,
    SealingFile,
    bound_name,
    is_sealed,
    key_id_in,
)
from ingest.storage.blobs.store import BlobStore, Incoming, LocalRoom, blocks_of
from ingest.storage.errors import BlobChangedError, BlobKeyError
from ingest.storage.sealing import SEALED_NOTE, NoSealRecord, Sealing, SealRecord

# What `leadline blobs` counts and seals anew.
SEALED_KINDS = ("original", "text", "tables", "quarantine")
_NOTE = b"leadline keeps sealed files here\n"
_HEADS_KEPT = 4096
# How late a process may learn that files of earlier formats are refused.
_LEARNT_SECONDS = 5.0


class FileFormat(StrEnum):
    """How a file is kept in the store."""

    BOUND = "bound to its name"
    UNBOUND = "sealed, and not bound to its name"
    PLAIN = "not sealed"
    FOREIGN = "sealed with a key that is missing"


@dataclass
class _Policy:
    """What the catalog records, asked for no more often than is needed; a store that is bound stays so."""

    record: SealRecord
    always_binds: bool
    clock: Callable[[], float] = time.monotonic
    _is_bound: bool = False
    _known_until: float = 0.0

    def refuses_unbound(self) -> bool:
        if not self._is_bound and self.clock() >= self._known_until:
            self._look()
        return self._is_bound

    def binds(self) -> bool:
        """True if new files are bound to their names, by the record as it is now."""
        return self.always_binds or self._is_bound or self._look() is not Sealing.MIXED

    def _look(self) -> Sealing:
        found = self.record.sealing()
        self._is_bound = found is Sealing.BOUND
        self._known_until = self.clock() + _LEARNT_SECONDS
        return found


class SealedBlobs:
    """Seals what another store keeps."""

    def __init__(self, inner: BlobStore, ring: KeyRing, record: SealRecord, *, always_binds: bool = False) -> None:
        """`record` says which formats are read and written; with `always_binds` new files are bound in any case."""
        self.inner = inner
        self.record = record
        self._ring = ring
        self._policy = _Policy(record, always_binds)
        self._heads: OrderedDict[str, Head | None] = OrderedDict()
        self._lock = threading.Lock()
        self.local_folder = inner.local_folder
        self._room = LocalRoom(inner.local_folder, 0)

    @property
    def place(self) -> str:
        return self.inner.place

    def mark(self) -> None:
        """Mark a store that has no mark yet, so that nobody takes its files for plain ones.

        One that holds nothing is bound from its first file on: no earlier release has written to it.
        """
        if self.inner.size(SEALED_NOTE) is not None:
            return
        if not any(True for kind in SEALED_KINDS for _ in self.inner.keys(kind)):
            self.record.record_sealing(Sealing.BOUND)
        self.inner.create(SEALED_NOTE, self._sealed(SEALED_NOTE, _NOTE, bound=self._policy.binds()))

    def require_key(self) -> None:
        """Raise `BlobKeyError` unless one of the keys opens the mark of the store, if it has one."""
        try:
            note = self.inner.read(SEALED_NOTE)
        except KeyError:
            return
        head = self._head_in(SEALED_NOTE, note)
        try:
            is_ours = head is not None and self._opened(SEALED_NOTE, head, note[HEAD_BYTES:], 0) == _NOTE
        except BlobChangedError:
            is_ours = False
        if not is_ours:
            raise BlobKeyError(f"The mark {SEALED_NOTE} in {self.place} is not as it was written.")

    def put(self, key: str, content: bytes) -> None:
        self.put_file(key, BytesIO(content))

    def put_file(self, key: str, file: BinaryIO) -> None:
        at = file.tell()
        size = file.seek(0, os.SEEK_END) - at
        file.seek(at)
        if "/" not in key:
            self.inner.put_file(key, file)
            return

        def put(bound: bool) -> None:
            file.seek(at)
            self._forget(key)
            self.inner.put_file(key, cast(BinaryIO, SealingFile(file, self._new_head(key, size, bound=bound))))
            self._forget(key)

        self._write(put)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        def put(bound: bool) -> None:
            for key in contents:
                self._forget(key)
            self.inner.put_all({key: self._sealed(key, content, bound=bound) for key, content in contents.items()})
            for key in contents:
                self._forget(key)

        self._write(put)

    def create(self, key: str, content: bytes) -> bytes:
        return self.inner.create(key, content)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        head = self._head(key)
        if head is None:
            return self.inner.read(key, start, length)
        try:
            return self._read(key, head, start, length)
        except (BlobChangedError, BlobKeyError):
            self._forget(key)  # it may have been written anew, by this process or another
            head = self._head(key)
            return self.inner.read(key, start, length) if head is None else self._read(key, head, start, length)

    def size(self, key: str) -> int | None:
        try:
            head = self._head(key)
        except KeyError:
            return None
        return self.inner.size(key) if head is None else head.size

    def blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return blocks_of(self, key, start, end)

    def delete(self, key: str) -> int:
        self._forget(key)
        return self.inner.delete(key)

    def copy(self, source: str, key: str) -> None:
        with self.local(source) as path, path.open("rb") as file:
            self.put_file(key, file)

    def move(self, source: str, key: str) -> bool:
        if bound_name(source) != bound_name(key):
            try:
                self.copy(source, key)
            except KeyError:
                return False
            self.delete(source)
            return True
        self._forget(source)
        self._forget(key)
        return self.inner.move(source, key)

    def file(self, key: str) -> Path | None:
        return None

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        with self._room.spooled(self.blocks(key)) as path:
            yield path

    def keys(self, prefix: str) -> Iterator[str]:
        return self.inner.keys(prefix)

    def age_seconds(self, key: str) -> float:
        return self.inner.age_seconds(key)

    def receive(self, *, max_bytes: int) -> AbstractContextManager[Incoming]:
        return self.inner.receive(max_bytes=max_bytes)

    @contextmanager
    def append(self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int) -> Iterator[Incoming]:
        with self.inner.append(key, size, digest, max_bytes=max_bytes) as incoming:
            yield incoming
        if incoming.kept:
            self.inner.delete(key)

    def begun(self, key: str) -> Iterator[bytes]:
        return self.inner.begun(key)

    def keep(self, incoming: Incoming, key: str) -> None:
        with incoming.reading() as file:
            self.put_file(key, file)
        incoming.kept = True

    def discard_unfinished(self, *, older_than_seconds: float = 0.0) -> int:
        return self.inner.discard_unfinished(older_than_seconds=older_than_seconds)

    def require_room(self, size: int = 0) -> None:
        self.inner.require_room(size)

    def has_room_to_work(self) -> bool:
        return self.inner.has_room_to_work()

    def format_of(self, key: str) -> FileFormat:
        """Return how a file is kept, whatever is recorded. Raises `KeyError`."""
        written = self.inner.read(key, 0, HEAD_BYTES)
        if not is_sealed(written):
            return FileFormat.PLAIN
        if key_id_in(written) not in self._ring.by_id:
            return FileFormat.FOREIGN
        return FileFormat.BOUND if Head(written, b"", key).is_bound else FileFormat.UNBOUND

    def reseal(self, key: str, *, accept_unbound: bool = False) -> bool:
        """Seal a file with the first key, in the format that new files get, unless it is; True if that was to be done.

        Whoever reads meanwhile reads either. One that is written anew meanwhile is left as it is: it has the first key.
        Once every file is recorded as bound, one that is not is refused, unless they are accepted. Raises `KeyError`,
        `BlobKeyError` and `BlobChangedError`.
        """
        # guard: reseal-refuses-unbound
        readable = self.accepting_unbound() if accept_unbound else self
        before = readable._head_now(key)
        is_first = before is not None and before.key_id == self._ring.first[0]
        if before is not None and is_first and (before.is_bound or not self._policy.binds()):
            return False
        with readable.local(key) as path, path.open("rb") as file:
            now = readable._head_now(key)
            if (now and now.written) != (before and before.written):
                return False
            self.put_file(key, file)
        return True

    def accepting_unbound(self) -> "SealedBlobs":
        """Return a view of this store that reads files, too, which are not bound to their names."""
        return SealedBlobs(self.inner, self._ring, NoSealRecord())

    def reseal_note(self) -> None:
        """Seal the mark with the first key, when everything else is: the other keys can be taken out then."""
        self.inner.put(SEALED_NOTE, self._sealed(SEALED_NOTE, _NOTE, bound=self._policy.binds()))

    def _write(self, put: Callable[[bool], None]) -> None:
        """Put files in the format that is recorded, and once more if another was recorded meanwhile.

        Whoever records that new files are bound finds every file that was put before; so none is left unbound.
        """
        bound = self._policy.binds()
        put(bound)
        # guard: file-bound-while-resealing
        if not bound and self._policy.binds():
            put(True)

    def _read(self, key: str, head: Head, start: int, length: int | None) -> bytes:
        end = head.size if length is None else min(head.size, start + length)
        if start >= end:
            self._authenticate(key, head)
            return b""
        first, last = start // FRAME_BYTES, (end - 1) // FRAME_BYTES
        at = HEAD_BYTES + first * SEALED_FRAME_BYTES
        sealed = self.inner.read(key, at, (last - first + 1) * SEALED_FRAME_BYTES)
        opened = self._opened(key, head, sealed, first)
        found = opened[start - first * FRAME_BYTES : end - first * FRAME_BYTES]
        # guard: truncated-sealed-file
        if len(found) != end - start:  # frames are missing at the end
            raise _changed(key)
        return found

    def _authenticate(self, key: str, head: Head) -> None:
        """Open the first frame, because a size is only as true as the frames that it was sealed with."""
        if head.is_bound:
            self._opened(key, head, self.inner.read(key, HEAD_BYTES, SEALED_FRAME_BYTES), 0)

    def _opened(self, key: str, head: Head, sealed: bytes, first: int) -> bytes:
        """Open frames from number `first` on. Raises `BlobChangedError` for one that is not as it was written."""
        pieces = []
        # Without a byte there is still a frame to open: an empty file in the bound format has one.
        for number, at in enumerate(range(0, max(1, len(sealed)), SEALED_FRAME_BYTES), start=first):
            expected = min(FRAME_BYTES, head.size - number * FRAME_BYTES)
            try:
                frame = head.open(number, sealed[at : at + SEALED_FRAME_BYTES])
            except InvalidTag as error:
                raise _changed(key) from error
            if len(frame) != expected:
                raise _changed(key)
            pieces.append(frame)
        return b"".join(pieces)

    def _sealed(self, key: str, content: bytes, *, bound: bool) -> bytes:
        return SealingFile(BytesIO(content), self._new_head(key, len(content), bound=bound)).read()

    def _new_head(self, key: str, size: int, *, bound: bool) -> Head:
        return Head.new(self._ring.first, size, bound_name(key), bound=bound)

    def _head(self, key: str) -> Head | None:
        """Return the head of a sealed file; None for one that is not sealed, while such files are read.

        Raises `KeyError`, `BlobKeyError`, and `BlobChangedError` for a file of a format that is refused.
        """
        if "/" not in key:
            return None
        head = self._known_head(key)
        # guard: unbound-files-refused
        if (head is None or not head.is_bound) and self._policy.refuses_unbound():
            found = FileFormat.PLAIN if head is None else FileFormat.UNBOUND
            raise BlobChangedError(f"{key} in {self.place} is {found}; every file was sealed and bound to its name.")
        return head

    def _known_head(self, key: str) -> Head | None:
        with self._lock:
            if key in self._heads:
                self._heads.move_to_end(key)
                return self._heads[key]
        head = self._head_in(key, self.inner.read(key, 0, HEAD_BYTES))
        if head is not None:
            # guard: sealed-empty-file
            if not head.size:
                self._authenticate(key, head)
            with self._lock:
                self._heads[key] = head
                while len(self._heads) > _HEADS_KEPT:
                    self._heads.popitem(last=False)
        return head

    def _head_now(self, key: str) -> Head | None:
        self._forget(key)
        return self._head(key)

    def _head_in(self, key: str, written: bytes) -> Head | None:
        written = written[:HEAD_BYTES]
        if not is_sealed(written):
            return None
        if len(written) != HEAD_BYTES:
            raise _changed(key)
        identifier = key_id_in(written)
        found = self._ring.by_id.get(identifier)
        if found is None:
            raise BlobKeyError(
                f"{key} in {self.place} was sealed with the key {identifier.hex()}, which is not in LEADLINE_BLOB_KEYS."
            )
        return Head(written, found, bound_name(key))

    def _forget(self, key: str) -> None:
        with self._lock:
            self._heads.pop(key, None)


def _changed(key: str) -> BlobChangedError:
    return BlobChangedError(f"{key} was changed or damaged in the store.")
