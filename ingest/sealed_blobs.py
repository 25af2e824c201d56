"""Blobs that are sealed: what the store holds cannot be read, or changed unnoticed, without one of the keys.

A sealed blob is a head and frames. The head has the id of the key, a random salt and the size of the content; key, salt
and head make the key of this blob alone (HKDF-SHA256), with which each frame of 64 KiB is sealed by AES-256-GCM under
its number. So frames cannot be exchanged, left out or added, and a range is read by the frames that it touches. It is
the construction of Tink's streaming AEAD, with the size in the head in place of a mark of the last frame.

What was stored before there was a key is read as it is, until `reseal`. Keys without a slash are notes of the store
itself, and not sealed; nor are uploads that are not finished.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ingest.blob_stores import SEALED_NOTE
from ingest.blobs import BlobStore, Incoming, LocalRoom, blocks_of
from ingest.errors import BlobKeyError
from ingest.keyring import KeyRing

MAGIC = b"LLSEAL1\n"
_NOTE = b"leadline keeps sealed files here\n"
_ID, _SALT, _SIZE = 8, 16, 8
HEAD_BYTES = len(MAGIC) + _ID + _SALT + _SIZE
FRAME_BYTES = 64 << 10
_TAG_BYTES = 16
_SEALED_FRAME_BYTES = FRAME_BYTES + _TAG_BYTES
_HEADS_KEPT = 4096


@dataclass(frozen=True)
class Head:
    """The head of a sealed blob, and the key that it names."""

    written: bytes
    key: bytes

    @property
    def size(self) -> int:
        """The size of the content."""
        return int.from_bytes(self.written[-_SIZE:], "big")

    @property
    def key_id(self) -> bytes:
        return self.written[len(MAGIC) : len(MAGIC) + _ID]

    @cached_property
    def cipher(self) -> AESGCM:
        salt = self.written[len(MAGIC) + _ID : -_SIZE]
        return AESGCM(HKDF(SHA256(), 32, salt=salt, info=self.written).derive(self.key))

    def seal(self, number: int, frame: bytes) -> bytes:
        return self.cipher.encrypt(number.to_bytes(12, "big"), frame, None)

    def open(self, number: int, frame: bytes) -> bytes:
        """Raises `InvalidTag`."""
        return self.cipher.decrypt(number.to_bytes(12, "big"), frame, None)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class SealingFile(RawIOBase):
    """Reads a file of known size, sealed."""

    def __init__(self, file: _Readable, head: Head) -> None:
        self._file = file
        self._head = head
        self._ready = head.written
        self._number = 0
        self._left = head.size

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        pieces, missing = [], None if size is None or size < 0 else size
        while missing is None or missing > 0:
            if not self._ready:
                self._ready = self._next()
                if not self._ready:
                    break
            piece = self._ready[:missing]
            self._ready = self._ready[len(piece) :]
            pieces.append(piece)
            missing = None if missing is None else missing - len(piece)
        return b"".join(pieces)

    def _next(self) -> bytes:
        if not self._left:
            return b""
        wanted = min(FRAME_BYTES, self._left)
        frame = self._file.read(wanted)
        if len(frame) != wanted:
            raise ValueError("a file that is sealed has become shorter")
        self._left -= wanted
        self._number += 1
        return self._head.seal(self._number - 1, frame)


class SealedBlobs:
    """Seals what another store keeps."""

    def __init__(self, inner: BlobStore, ring: KeyRing) -> None:
        self.inner = inner
        self._ring = ring
        self._heads: OrderedDict[str, Head | None] = OrderedDict()
        self._lock = threading.Lock()
        self.local_folder = inner.local_folder
        self._room = LocalRoom(inner.local_folder, 0)

    @property
    def place(self) -> str:
        return self.inner.place

    def require_key(self) -> None:
        """Raise `BlobKeyError` unless one of the keys opens what is kept; a store without sealed files gets a mark."""
        note = self.inner.create(SEALED_NOTE, self._sealed(_NOTE))
        head = self._head_in(SEALED_NOTE, note)
        if head is None or self._opened(SEALED_NOTE, head, note[HEAD_BYTES:], 0) != _NOTE:
            raise BlobKeyError(f"The mark {SEALED_NOTE} in {self.place} is not as it was written.")

    def put(self, key: str, content: bytes) -> None:
        self.put_file(key, BytesIO(content))

    def put_file(self, key: str, file: BinaryIO) -> None:
        at = file.tell()
        size = file.seek(0, os.SEEK_END) - at
        file.seek(at)
        self._forget(key)
        if "/" not in key:
            self.inner.put_file(key, file)
        else:
            self.inner.put_file(key, cast(BinaryIO, SealingFile(file, self._new_head(size))))
        self._forget(key)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        for key in contents:
            self._forget(key)
        self.inner.put_all({key: self._sealed(content) for key, content in contents.items()})
        for key in contents:
            self._forget(key)

    def create(self, key: str, content: bytes) -> bytes:
        return self.inner.create(key, content)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        head = self._head(key)
        if head is None:
            return self.inner.read(key, start, length)
        try:
            return self._read(key, head, start, length)
        except (InvalidTag, BlobKeyError):
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
        self._forget(key)
        self.inner.copy(source, key)

    def move(self, source: str, key: str) -> bool:
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

    def reseal(self, key: str) -> bool:
        """Seal a blob with the first key, unless it is; True if that was to be done. Raises `KeyError`, `BlobKeyError`.

        Whoever reads meanwhile reads either. One that is written anew meanwhile is left as it is: it has the first key.
        """
        before = self._head_now(key)
        if before is not None and before.key_id == self._ring.first[0]:
            return False
        with self.local(key) as path, path.open("rb") as file:
            now = self._head_now(key)
            if (now and now.written) != (before and before.written):
                return False
            self.put_file(key, file)
        return True

    def reseal_note(self) -> None:
        """Seal the mark with the first key, when everything else is: the other keys can be taken out then."""
        self.inner.put(SEALED_NOTE, self._sealed(_NOTE))

    def _read(self, key: str, head: Head, start: int, length: int | None) -> bytes:
        end = head.size if length is None else min(head.size, start + length)
        if start >= end:
            return b""
        first, last = start // FRAME_BYTES, (end - 1) // FRAME_BYTES
        at = HEAD_BYTES + first * _SEALED_FRAME_BYTES
        sealed = self.inner.read(key, at, (last - first + 1) * _SEALED_FRAME_BYTES)
        opened = self._opened(key, head, sealed, first)
        found = opened[start - first * FRAME_BYTES : end - first * FRAME_BYTES]
        # guard: truncated-sealed-file
        if len(found) != end - start:  # frames are missing at the end
            raise _changed(key)
        return found

    def _opened(self, key: str, head: Head, sealed: bytes, first: int) -> bytes:
        """Open frames from number `first` on. Raises `BlobKeyError` for one that is not as it was written."""
        pieces = []
        for number, at in enumerate(range(0, len(sealed), _SEALED_FRAME_BYTES), start=first):
            expected = min(FRAME_BYTES, head.size - number * FRAME_BYTES)
            try:
                frame = head.open(number, sealed[at : at + _SEALED_FRAME_BYTES])
            except InvalidTag as error:
                raise _changed(key) from error
            if len(frame) != expected:
                raise _changed(key)
            pieces.append(frame)
        return b"".join(pieces)

    def _sealed(self, content: bytes) -> bytes:
        return SealingFile(BytesIO(content), self._new_head(len(content))).read()

    def _new_head(self, size: int) -> Head:
        identifier, key = self._ring.first
        return Head(MAGIC + identifier + os.urandom(_SALT) + size.to_bytes(_SIZE, "big"), key)

    def _head(self, key: str) -> Head | None:
        """Return the head of a sealed blob; None for one that is not. Raises `KeyError` and `BlobKeyError`."""
        if "/" not in key:
            return None
        with self._lock:
            if key in self._heads:
                self._heads.move_to_end(key)
                return self._heads[key]
        head = self._head_in(key, self.inner.read(key, 0, HEAD_BYTES))
        if head is not None:
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
        if not written.startswith(MAGIC):
            return None
        if len(written) != HEAD_BYTES:
            raise _changed(key)
        identifier = written[len(MAGIC) : len(MAGIC) + _ID]
        found = self._ring.by_id.get(identifier)
        if found is None:
            raise BlobKeyError(
                f"{key} in {self.place} was sealed with the key {identifier.hex()}, which is not in LEADLINE_BLOB_KEYS."
            )
        return Head(written, found)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._heads.pop(key, None)


def _changed(key: str) -> BlobKeyError:
    return BlobKeyError(
        f"{key} is not as it was written.", hint="It was changed or damaged in the store: put it back from a backup."
    )
