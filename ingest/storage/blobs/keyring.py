"""Keys that seal stored files. The first key seals; each of them can open."""

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.fernet import Fernet

_KEY_BYTES = 32
_ID_BYTES = 8


class BadKeyError(ValueError):
    """The setting contains a text that is not a key."""


def generate_key() -> str:
    """Generate a key."""
    return Fernet.generate_key().decode()


@dataclass(frozen=True)
class KeyRing:
    """Keys and their ids. An id is a hash and reveals nothing about its key."""

    keys: tuple[bytes, ...]

    @classmethod
    def parse(cls, written: str) -> "KeyRing":
        """Parse keys that are separated by white space. Raises `BadKeyError`."""
        try:
            keys = tuple(urlsafe_b64decode(key) for key in written.split())
        except ValueError as error:
            raise BadKeyError(str(error)) from error
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise BadKeyError("A key has 32 bytes in Base64.")
        return cls(keys)

    @property
    def sealing_key(self) -> tuple[bytes, bytes]:
        """The id and the key that seal new files."""
        return compute_key_id(self.keys[0]), self.keys[0]

    @property
    def by_id(self) -> Mapping[bytes, bytes]:
        return {compute_key_id(key): key for key in self.keys}


def compute_key_id(key: bytes) -> bytes:
    """Compute the id of a key, which the head of each file sealed with it contains."""
    return hashlib.sha256(b"leadline key id\0" + key).digest()[:_ID_BYTES]
