"""The format of a sealed file: a head, followed by frames.

The head contains the id of the key, a random salt and the size of the content. HKDF-SHA256 derives a separate key for
each file from the key, the salt, the head and the file's name. AES-256-GCM seals each frame of 64 KiB with the derived
key and the frame's number. Therefore frames cannot be swapped, omitted or added, and no file can be substituted for
another. Reading a range decrypts only the frames that overlap it. The construction is that of Tink's streaming AEAD,
except that the head contains the size, instead of a flag on the last frame. An empty file has one frame without
content, so that it cannot be forged without the key.

In the previous format, the derived key did not depend on the name, and an empty file had no frame.
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
# Matches the part of a name that quarantine adds. A quarantined file stays bound to its original name, because moving
# the file renames it without resealing it.
_QUARANTINE_PREFIX = re.compile(r"quarantine/\d{4}-\d\d-\d\d/")


def has_seal_head(content: bytes) -> bool:
    """Return whether these are the first bytes of a sealed file, in either format."""
    return content.startswith(_MAGICS)


def get_bound_name(key: str) -> str:
    """Return the name to which a file is bound: its key without the quarantine folder."""
    return _QUARANTINE_PREFIX.sub("", key, count=1)


@dataclass(frozen=True)
class SealHead:
    """The head of a sealed file, the key named in it, and the name of the file."""

    written: bytes
    key: bytes
    name: str

    @classmethod
    def create(cls, key: tuple[bytes, bytes], size: int, name: str, *, is_bound: bool) -> "SealHead":
        """Create the head of a new file of `size` bytes. `key` consists of the sealing key's id and the key itself."""
        magic = MAGIC if is_bound else UNBOUND_MAGIC
        return cls(magic + key[0] + os.urandom(_SALT) + size.to_bytes(_SIZE, "big"), key[1], name)

    @property
    def is_bound(self) -> bool:
        return self.written.startswith(MAGIC)

    @property
    def size(self) -> int:
        """The size of the content in bytes, before sealing."""
        return int.from_bytes(self.written[-_SIZE:], "big")

    @property
    def frame_count(self) -> int:
        """The number of frames in the file."""
        return max(-(-self.size // FRAME_BYTES), int(self.is_bound))

    @property
    def key_id(self) -> bytes:
        return parse_key_id(self.written)

    @cached_property
    def cipher(self) -> AESGCM:
        salt = self.written[len(MAGIC) + ID_BYTES : -_SIZE]
        # Concatenating the head and the name is unambiguous, because the head has a fixed length.
        # guard: sealed-file-bound-to-name
        info = self.written + self.name.encode() if self.is_bound else self.written
        return AESGCM(HKDF(SHA256(), 32, salt=salt, info=info).derive(self.key))

    def seal_frame(self, frame_number: int, frame: bytes) -> bytes:
        return self.cipher.encrypt(frame_number.to_bytes(12, "big"), frame, None)

    def decrypt_frame(self, frame_number: int, frame: bytes) -> bytes:
        """Decrypt a frame. Raises `InvalidTag` if the frame was changed."""
        return self.cipher.decrypt(frame_number.to_bytes(12, "big"), frame, None)


def parse_key_id(head: bytes) -> bytes:
    """Return the key id in the head of a sealed file."""
    return head[len(MAGIC) : len(MAGIC) + ID_BYTES]


class _ReadableFile(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class SealingFile(RawIOBase):
    """A readable file with the sealed form of another file, whose size must be known."""

    def __init__(self, file: _ReadableFile, head: SealHead) -> None:
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
            raise ValueError("The file was truncated while it was being sealed.")
        self._left -= wanted
        self._number += 1
        return self._head.seal_frame(self._number - 1, frame)
