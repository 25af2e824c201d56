"""Files: bytes that are kept before, and whether or not, documents of collections are made of them.

A document that came without one is a file, too, under its own id.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ASSISTANTS = "assistants"


@dataclass(frozen=True)
class StoredFile:
    """A file; one with a `document_id` is that document, and has no bytes besides the document's."""

    id: str
    tenant_id: str
    name: str
    purpose: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    owner: str
    created_at: float
    key_id: str = ""
    document_id: str | None = None


@dataclass(frozen=True)
class NamedFile:
    """A document as searches and citations name its file, with the document's metadata."""

    id: str
    name: str
    attributes: Mapping[str, Any]


def generate_file_id() -> str:
    return f"file-{uuid.uuid4().hex}"
