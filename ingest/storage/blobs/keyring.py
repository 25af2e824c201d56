"""The keys that seal stored files.

The first key seals new files. A file is opened with the key that sealed it.
"""

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.fernet import Fernet

_KEY_BYTES = 32
_ID_BYTES = 8


class BadKeyError(ValueError):
    """Raised if the setting contains an invalid key."""


def generate_key() -> str:
    """Generate a key."""
    return Fernet.generate_key().decode()


@dataclass(frozen=True)
class KeyRing:
    """The configured keys and their ids. An id is a hash that does not reveal the key."""

    keys: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Parse keys separated by white space. Raises `BadKeyError` if one of them is invalid."""
        try:
            keys = tuple(urlsafe_b64decode(key) for key in text.split())
        except ValueError as error:
            raise BadKeyError(str(error)) from error
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise BadKeyError("A key must be 32 bytes, encoded as URL-safe Base64.")
        return cls(keys)

    @property
    def sealing_key(self) -> tuple[bytes, bytes]:
        """The id of the key that seals new files, and the key itself."""
        return compute_key_id(self.keys[0]), self.keys[0]

    @property
    def by_id(self) -> Mapping[bytes, bytes]:
        return {compute_key_id(key): key for key in self.keys}


def compute_key_id(key: bytes) -> bytes:
    """Compute the id of a key. The head of a sealed file contains the id of its key."""
    return hashlib.sha256(b"leadline key id\0" + key).digest()[:_ID_BYTES]
