"""Office files with a password, of which nothing can be read without it."""

from pathlib import Path

from ingest.errors import EncryptedDocumentError
from ingest.parsing.types import ParsedDocument

ENCRYPTED_OFFICE_PARSER = "encrypted-office-1"


def parse_encrypted(path: Path) -> ParsedDocument:
    """Raise `EncryptedDocumentError`."""
    raise EncryptedDocumentError("The Office file is encrypted and asks for a password.")
