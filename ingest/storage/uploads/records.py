"""Records of uploaded files, from which documents may have been created.

A document that was uploaded directly is also presented as a file, under the document's id.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ASSISTANTS = "assistants"


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file. If `document_id` is set, it is the document with this id, and has no separate bytes.

    At `expires_at`, the file is deleted with its documents.
    """

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
    expires_at: float | None = None


@dataclass(frozen=True)
class NamedFile:
    """A document's file as shown in search results and citations, with the document's metadata."""

    id: str
    name: str
    attributes: Mapping[str, Any]


def generate_file_id() -> str:
    return f"file-{uuid.uuid4().hex}"
