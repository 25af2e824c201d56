"""Limit the total size of the folder of a document's process. RLIMIT_FSIZE only limits the size of each file."""

from pathlib import Path

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.types import EntryLimits
from ingest.storage.folder_files import iter_file_stats
from ingest.storage.remarks import Remark
from ingest.storage.texts.normalize import normalize_title

# Minimum size that is counted for a file: one disk block. Therefore the limit also bounds the number of files.
_BLOCK_BYTES = 4_096


def compute_max_folder_bytes(folder_bytes: int, entry_limits: EntryLimits | None) -> int:
    """Return the maximum total size of a folder: the limit for the text plus the limit for the entries."""
    return folder_bytes + (entry_limits.total_bytes + entry_limits.entries * _BLOCK_BYTES if entry_limits else 0)


def require_folder_size_at_most(folder: Path, max_bytes: int, document_name: str) -> None:
    """Raise `ParserLimitError` if the files in a folder are too large in total."""
    taken = 0
    for stat in iter_file_stats(folder):
        taken += max(stat.st_size, _BLOCK_BYTES)
        if taken > max_bytes:
            raise ParserLimitError(
                Remark("parser_wrote", name=normalize_title(document_name) or Remark("the_document"), bytes=max_bytes),
                hint=Remark("hint_split"),
            )
