"""Digests of files derived from documents: texts, text maps, text positions, and record tables.

The digests are stored in the catalog, and all content is compared with them when it is read. Digests of blocks make
this cheap: reading a passage hashes only the blocks that overlap it, not a whole book. If a text was changed in the
store, reading it raises an error, so a changed text is never shown as the document's.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

BLOCK_BYTES = 64 << 10
_HASH_BYTES = 32


@dataclass(frozen=True)
class Digest:
    """The size of a file, its SHA-256, and the concatenated SHA-256 hashes of its blocks."""

    size: int
    sha256: bytes
    blocks: bytes

    @classmethod
    def from_content(cls, content: bytes) -> "Digest":
        return cls.from_blocks([content])

    @classmethod
    def from_blocks(cls, byte_chunks: Iterable[bytes]) -> "Digest":
        """Compute the digest of a file received in pieces of any size."""
        whole, blocks, size = hashlib.sha256(), bytearray(), 0
        block = hashlib.sha256()
        for piece in byte_chunks:
            whole.update(piece)
            view = memoryview(piece)
            while view:
                part = view[: BLOCK_BYTES - size % BLOCK_BYTES]
                block.update(part)
                size += len(part)
                view = view[len(part) :]
                if size % BLOCK_BYTES == 0:
                    blocks += block.digest()
                    block = hashlib.sha256()
        if size % BLOCK_BYTES:
            blocks += block.digest()
        return cls(size, whole.digest(), bytes(blocks))

    def matches_blocks(self, first_block: int, content: bytes) -> bool:
        """Return whether the content matches the blocks of this file, starting with block number `first_block`.

        The content may end before the last block.
        """
        view = memoryview(content)
        found = b"".join(
            hashlib.sha256(view[at : at + BLOCK_BYTES]).digest() for at in range(0, len(content), BLOCK_BYTES)
        )
        return self.blocks.startswith(found, first_block * _HASH_BYTES)


class DigestRecords(Protocol):
    """Access to the digests of versions' files in the catalog."""

    def load_digests(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
        """Return the digests of versions' files, keyed by version id and file name.

        Versions without digests are omitted.
        """

    def select_candidate_versions(self, file_name: str, version_ids: Collection[str]) -> set[str]:
        """Select the versions that might have a file with this name.

        These are the versions with a digest for it, and those with no digests at all.
        """

    def record_changed_file(self, key: str) -> str | None:
        """Report a file that does not match its digest to operators. Return the id of its document if it is known."""


def compute_file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal. Raises `FileNotFoundError` if the file does not exist."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_version_id(key: str) -> str:
    """Parse the version id from the key of a text, a map or a record table."""
    return key.rpartition("/")[2].partition(".")[0]


def parse_file_name(key: str) -> str:
    """Parse a file's name within its version from its key, such as `text.txt` or `tables.0.parquet`."""
    return f"{key.partition('/')[0]}.{key.rpartition('/')[2].partition('.')[2]}"


def build_file_key(version_id: str, file_name: str) -> str:
    """Build the key of a version's file from its name.

    This is the inverse of `parse_version_id` and `parse_file_name`.
    """
    kind, _, rest = file_name.partition(".")
    return f"{kind}/{version_id[:2]}/{version_id}.{rest}"
