"""Digests of what Leadline derives from documents: texts, their maps and positions, and record tables.

They are in the catalog, and each read is compared with them, by blocks, so that a passage costs the hash of the blocks
that it touches and not of a whole book. So words that somebody changed in the store are an error, and never shown as
the document's.
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
    """The size of a file, its SHA-256, and those of its blocks, one after the other."""

    size: int
    sha256: bytes
    blocks: bytes

    @classmethod
    def from_content(cls, content: bytes) -> "Digest":
        return cls.from_blocks([content])

    @classmethod
    def from_blocks(cls, pieces: Iterable[bytes]) -> "Digest":
        """Return the digest of a file that comes in pieces of any size."""
        whole, blocks, size = hashlib.sha256(), bytearray(), 0
        block = hashlib.sha256()
        for piece in pieces:
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

    def matches_blocks(self, first: int, content: bytes) -> bool:
        """True if a content is that of the blocks from number `first` on, as far as it goes."""
        view = memoryview(content)
        found = b"".join(
            hashlib.sha256(view[at : at + BLOCK_BYTES]).digest() for at in range(0, len(content), BLOCK_BYTES)
        )
        return self.blocks.startswith(found, first * _HASH_BYTES)


class DigestRecords(Protocol):
    """Digests of the files of versions, as the catalog keeps them."""

    def load_digests(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
        """Return the digests of the files of versions, by the file's name in `file_of`; of some there are none."""

    def select_possible_holders(self, file: str, version_ids: Collection[str]) -> set[str]:
        """Select the versions that have a file of this name, and those without digests, which may have one."""

    def record_changed_file(self, key: str) -> str | None:
        """Note for operators that a file is not as it was written; return the document that it is of, if known."""


def compute_file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex. Raises `FileNotFoundError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_version_id(key: str) -> str:
    """Return the version that the key of a text, a map or a record table is of."""
    return key.rpartition("/")[2].partition(".")[0]


def parse_file_name(key: str) -> str:
    """Return what distinguishes a file among those of its version, such as `text.txt` or `tables.0.parquet`."""
    return f"{key.partition('/')[0]}.{key.rpartition('/')[2].partition('.')[2]}"


def build_file_key(version_id: str, file: str) -> str:
    """Return the key of a version's file, by its name in `file_of`."""
    kind, _, rest = file.partition(".")
    return f"{kind}/{version_id[:2]}/{version_id}.{rest}"
