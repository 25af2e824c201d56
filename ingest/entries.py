"""Entries: the files in an archive, a mailbox or a message, each of which becomes a document of its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A file from a container whose bytes are safe in the blobs; its document is yet to be made.

    `path` is where it stands in the container, unique there; `fingerprint` names its parser and the chunker.
    """

    path: str
    media_type: str
    content_sha256: str
    size_bytes: int
    blob_key: str
    fingerprint: str
