"""Compares uploaded files with their digests before they are parsed or rendered."""

from pathlib import Path

from ingest.storage.digests import compute_file_sha256
from ingest.storage.documents.records import Version
from ingest.storage.errors import ContentChangedError


def require_unchanged_original(path: Path, version: Version) -> None:
    """Raise `ContentChangedError` unless the file contains the bytes that were uploaded for the version."""
    if compute_file_sha256(path) != version.content_sha256:
        raise ContentChangedError(f"The original of document {version.document_id} was changed after it was uploaded.")
