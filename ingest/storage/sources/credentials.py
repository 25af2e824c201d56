"""Encrypts the credentials of sources, so that a copy of the catalog does not disclose them.

The keys come from a setting. Without it, a key is generated in a file beside the catalog, which no backup contains.
"""

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ingest.storage.blobs.keyring import BadKeyError, KeyRing, generate_key
from ingest.storage.errors import SourceCredentialsError


class CredentialCipher:
    """Encrypts with the first key and decrypts with any key. Without `keys`, the key is in `key_file`, if it is given.

    The file is created when credentials are first encrypted.
    """

    def __init__(self, keys: str | None = None, key_file: Path | None = None) -> None:
        self._keys = keys
        self._key_file = key_file

    def encrypt(self, source_id: str, values: Mapping[str, str]) -> str:
        """Encrypt the credentials of a source. Raises `SourceCredentialsError` if there is no key."""
        # guard: source-credentials-sealed
        return self._open(creates=True).encrypt(json.dumps([source_id, dict(values)]).encode()).decode()

    def decrypt(self, source_id: str, sealed: str | None) -> dict[str, str]:
        """Decrypt the credentials of a source. Raises `SourceCredentialsError` if no key fits."""
        if sealed is None:
            return {}
        try:
            owner, values = json.loads(self._open().decrypt(sealed.encode()))
        except (InvalidToken, ValueError) as error:
            raise SourceCredentialsError("The credentials were encrypted with another key.") from error
        if owner != source_id:  # Somebody copied them within the catalog.
            raise SourceCredentialsError("The credentials belong to another source.")
        return dict(values)

    def _open(self, *, creates: bool = False) -> MultiFernet:
        text = self._keys or self._read_key_file(creates=creates)
        try:
            return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in KeyRing.parse(text).keys])
        except BadKeyError as error:
            raise SourceCredentialsError("LEADLINE_SOURCE_KEYS contains an invalid key, or is not set.") from error

    def _read_key_file(self, *, creates: bool) -> str:
        if self._key_file is None:
            return ""
        if creates and not self._key_file.exists():
            # Another process may create the file at the same time: the first one wins, and nobody reads half a key.
            draft = self._key_file.with_name(f"{self._key_file.name}.{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(generate_key())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self._key_file)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return self._key_file.read_text() if self._key_file.exists() else ""
