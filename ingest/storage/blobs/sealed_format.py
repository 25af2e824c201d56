"""The format of a sealed file: a head and frames.

The head has the id of the key, a random salt and the size of the content. Key, salt, head and the file's name make the
key of this file alone (HKDF-SHA256), with which each frame of 64 KiB is sealed by AES-256-GCM under its number. So
frames cannot be exchanged, left out or added, no file can take the place of another, and a range is read by the frames
that it touches. It is the construction of Tink's streaming AEAD, with the size in the head in place of a mark of the
last frame. An empty file has a frame without content, so that nobody can make one.

In the format before this one, the name had no part in the key, and an empty file had no frame.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from io import RawIOBase
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

UNBOUND_MAGIC = b"LLSEAL1\n"
MAGIC = b"LLSEAL2\n"
_MAGICS = (MAGIC, UNBOUND_MAGIC)
ID_BYTES = 8
_SALT, _SIZE = 16, 8
HEAD_BYTES = len(MAGIC) + ID_BYTES + _SALT + _SIZE
FRAME_BYTES = 64 << 10
_TAG_BYTES = 16
SEALED_FRAME_BYTES = FRAME_BYTES + _TAG_BYTES
# Files are put aside and back by renaming, without a key; so a file keeps the name that it has in its place.
_QUARANTINE_PREFIX = re.compile(r"quarantine/\d{4}-\d\d-\d\d/")


def is_sealed(written: bytes) -> bool:
    """True if a file that begins so is sealed, in either format."""
    return written.startswith(_MAGICS)


def get_bound_name(key: str) -> str:
    """Return the name that a file is bound to: its key, also while it is in quarantine."""
    return _QUARANTINE_PREFIX.sub("", key, count=1)


@dataclass(frozen=True)
class SealHead:
    """The head of a sealed file, the key that it names, and the name of the file."""

    written: bytes
    key: bytes
    name: str

    @classmethod
    def create(cls, key: tuple[bytes, bytes], size: int, name: str, *, bound: bool) -> "SealHead":
        """Make the head of a new file of `size` bytes; `key` is the id and the key that seals it."""
        magic = MAGIC if bound else UNBOUND_MAGIC
        return cls(magic + key[0] + os.urandom(_SALT) + size.to_bytes(_SIZE, "big"), key[1], name)

    @property
    def is_bound(self) -> bool:
        return self.written.startswith(MAGIC)

    @property
    def size(self) -> int:
        """The size of the content."""
        return int.from_bytes(self.written[-_SIZE:], "big")

    @property
    def frame_count(self) -> int:
        """The number of frames."""
        return max(-(-self.size // FRAME_BYTES), int(self.is_bound))

    @property
    def key_id(self) -> bytes:
        return parse_key_id(self.written)

    @cached_property
    def cipher(self) -> AESGCM:
        salt = self.written[len(MAGIC) + ID_BYTES : -_SIZE]
        # The head has one length, so head and name together are unambiguous.
        # guard: sealed-file-bound-to-name
        info = self.written + self.name.encode() if self.is_bound else self.written
        return AESGCM(HKDF(SHA256(), 32, salt=salt, info=info).derive(self.key))

    def seal(self, number: int, frame: bytes) -> bytes:
        return self.cipher.encrypt(number.to_bytes(12, "big"), frame, None)

    def open(self, number: int, frame: bytes) -> bytes:
        """Raises `InvalidTag`."""
        return self.cipher.decrypt(number.to_bytes(12, "big"), frame, None)


def parse_key_id(written: bytes) -> bytes:
    """Return the id of the key in the head of a sealed file."""
    return written[len(MAGIC) : len(MAGIC) + ID_BYTES]


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class SealingFile(RawIOBase):
    """Reads a file of known size, sealed."""

    def __init__(self, file: _Readable, head: SealHead) -> None:
        self._file = file
        self._head = head
        self._ready = head.written
        self._number = 0
        self._left = head.size
        self._frames = head.frame_count

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        pieces, missing = [], None if size is None or size < 0 else size
        while missing is None or missing > 0:
            if not self._ready:
                self._ready = self._seal_next_frame()
                if not self._ready:
                    break
            piece = self._ready[:missing]
            self._ready = self._ready[len(piece) :]
            pieces.append(piece)
            missing = None if missing is None else missing - len(piece)
        return b"".join(pieces)

    def _seal_next_frame(self) -> bytes:
        if self._number == self._frames:
            return b""
        wanted = min(FRAME_BYTES, self._left)
        frame = self._file.read(wanted)
        if len(frame) != wanted:
            raise ValueError("a file that is sealed has become shorter")
        self._left -= wanted
        self._number += 1
        return self._head.seal(self._number - 1, frame)
