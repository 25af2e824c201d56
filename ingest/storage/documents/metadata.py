"""Validation of user-defined metadata and access lists, and merging of metadata changes."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from ingest.storage.documents.records import Document, DocumentChange
from ingest.storage.errors import MetadataError
from ingest.storage.inbound import MAX_METADATA_BYTES, check_metadata

MAX_METADATA_VALUES = 1_000
MAX_READERS = 200
_SUBJECT_PATTERN = re.compile(r"(user|group):\S(?:[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,198}\S)?")


def validate_metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata if it is valid for a document. Raises `InputError` or `MetadataError` if it is not."""
    check_metadata(value)
    values = sum(len(member) if isinstance(member, list) else 1 for member in value.values())
    if values > MAX_METADATA_VALUES:
        raise MetadataError(
            f"The metadata has {values:,} values; the limit is {MAX_METADATA_VALUES:,}.",
            hint="Remove some values, or move them into the document's text.",
        )
    return dict(value)


def validate_readers(subjects: Collection[str]) -> frozenset[str]:
    """Return the access list if it is valid. Raises `MetadataError` if it is not."""
    readers = frozenset(subjects)
    wrong = [subject for subject in sorted(readers) if not _SUBJECT_PATTERN.fullmatch(subject)]
    if wrong:
        raise MetadataError(
            f"{wrong[0][:100]!r} is not a valid reader.", hint="Name users and groups: user:ann, group:hr."
        )
    if len(readers) > MAX_READERS:
        raise MetadataError(
            f"The document would have {len(readers):,} readers; the limit is {MAX_READERS}.",
            hint="Put the users into a group and name the group.",
        )
    return readers


def require_own_access(readers: frozenset[str] | None, own_subjects: frozenset[str] | None) -> None:
    """Raise `MetadataError` unless `readers` includes a subject in `own_subjects`, the caller's subjects.

    `own_subjects` is None for an admin, who needs no entry in the list.
    """
    if own_subjects is not None and readers is not None and readers.isdisjoint(own_subjects):
        raise MetadataError(
            "You would lose access to the document with this list of readers.",
            hint=f"Add one of {', '.join(sorted(own_subjects)[:5])}."
            if own_subjects
            else "Use the key of a user or an admin.",
        )


def merge_metadata(document: Document, change: DocumentChange) -> dict[str, Any]:
    """Return a document's metadata after a change (RFC 7396). Raises `MetadataError` if it exceeds a limit."""
    values = {**document.attributes, **change.metadata}
    kept = {name: value for name, value in values.items() if value is not None}
    size = len(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MAX_METADATA_BYTES:
        raise MetadataError(f"The metadata would have {size:,} bytes; the limit is {MAX_METADATA_BYTES:,}.")
    return validate_metadata(kept)
