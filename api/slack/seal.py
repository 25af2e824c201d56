"""Seals the tokens of workspaces: who reads the catalog alone cannot use them."""

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from api.slack.errors import SealError
from ingest.storage.blobs.keyring import KeyRing


class Seal:
    """Seals with the first of its keys and opens with any. Raises `SealError` for what is no key."""

    def __init__(self, keys: str) -> None:
        try:
            self._fernet = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in KeyRing.read(keys).keys])
        except ValueError as error:
            raise SealError(
                "LEADLINE_SLACK_TOKEN_KEYS has something that is no key.", hint="Make keys with `leadline slack key`."
            ) from error

    def close(self, token: str) -> str:
        return self._fernet.encrypt(token.encode()).decode()

    def open(self, sealed: str) -> str:
        """Raises `SealError` if none of the keys sealed it."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise SealError(
                "A workspace's token was sealed with a key that is not among LEADLINE_SLACK_TOKEN_KEYS.",
                hint="Put the earlier key back behind the new one, or install the app in the workspace again.",
            ) from error

    def again(self, sealed: str) -> str:
        """Seal anew with the first key what any of the keys sealed."""
        return self._fernet.rotate(sealed.encode()).decode()
