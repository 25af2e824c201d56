"""Limit the total size of the folder of a document's process, because RLIMIT_FSIZE limits only each file's size."""

import os
from pathlib import Path

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.types import EntryRoom
from ingest.storage.texts.normalize import normalize_title

# A file counts as at least one disk block, so that the limit also bounds the number of files.
_BLOCK_BYTES = 4_096


def compute_folder_allowance(folder_bytes: int, room: EntryRoom | None) -> int:
    """Return the maximum size of a folder: the limit for its text plus the limit for its entries."""
    return folder_bytes + (room.total_bytes + room.entries * _BLOCK_BYTES if room else 0)


def require_folder_within(folder: Path, most_bytes: int, name: str) -> None:
    """Raise `ParserLimitError` if the total size of a folder's files is too large. `name` is the document's name."""
    taken = 0
    with os.scandir(folder) as files:
        for file in files:
            taken += max(file.stat(follow_symlinks=False).st_size, _BLOCK_BYTES)
            if taken > most_bytes:
                raise ParserLimitError(
                    f"Parsing {normalize_title(name) or 'the document'} wrote more than {most_bytes:,} bytes and was "
                    "stopped.",
                    hint="Split the file into smaller files.",
                )
