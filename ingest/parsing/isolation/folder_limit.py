"""Limit the total size of the folder of a document's process. RLIMIT_FSIZE only limits the size of each file."""

import os
from pathlib import Path

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.types import EntryRoom
from ingest.storage.texts.normalize import normalize_title

# Each file counts as at least one disk block, so that the limit also bounds the number of files.
_BLOCK_BYTES = 4_096


def compute_folder_allowance(folder_bytes: int, room: EntryRoom | None) -> int:
    """Return the maximum total size of a folder: the limit for the text plus the limit for the entries."""
    return folder_bytes + (room.total_bytes + room.entries * _BLOCK_BYTES if room else 0)


def require_folder_within(folder: Path, most_bytes: int, name: str) -> None:
    """Raise `ParserLimitError` if the files in a folder are too large in total. `name` is the document's name."""
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
