"""Check ZIP archives before inflating anything in them, and read their entries within limits.

Word, PowerPoint, Excel, OpenDocument and EPUB files are ZIP files. Libraries inflate everything that an archive
declares, so its directory is checked first.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, ParserLimitError

_ENCRYPTED_FLAG = 0x1  # Flag bit of an encrypted entry (APPNOTE 4.4.4).
_READ_ERRORS = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class ZipLimits:
    """Limits on an archive. `total_bytes` and `ratio_free_bytes` are inflated sizes.

    An entry may inflate to `ratio` times its compressed size; 100 corresponds to Apache POI's `MIN_INFLATE_RATIO` of
    0.01. Repetitive markup may exceed the ratio too, so entries of up to `ratio_free_bytes` are exempt.
    """

    entries: int = 10_000
    total_bytes: int = 2 * 1024**3
    ratio: int = 100
    ratio_free_bytes: int = 16 * 1024**2


DEFAULT_ZIP_LIMITS = ZipLimits()


@contextmanager
def open_zip(file: Path | BinaryIO, limits: ZipLimits = DEFAULT_ZIP_LIMITS) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose directory is within the limits.

    Raises `DamagedDocumentError` if the archive is truncated or its entries overlap, `EncryptedDocumentError` if it
    needs a password, and `ParserLimitError` if it exceeds a limit.
    """
    try:
        archive = zipfile.ZipFile(file)
    except _READ_ERRORS as error:
        raise DamagedDocumentError("The file is cut off or damaged: its directory cannot be read.") from error
    with archive:
        size = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
        _require_archive_within_limits(archive.infolist(), size, limits)
        yield archive


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read an entry, up to the size stated in the directory. Raises `DamagedDocumentError` if it is damaged."""
    try:
        return archive.read(name)
    except KeyError as error:
        raise DamagedDocumentError(f"The file is incomplete: part {name[:200]} is missing.") from error
    except _READ_ERRORS as error:
        raise DamagedDocumentError(f"Part {name[:200]} of the file is damaged.") from error


def _require_archive_within_limits(entries: list[zipfile.ZipInfo], file_size: int, limits: ZipLimits) -> None:
    # guard: zip-entry-count
    if len(entries) > limits.entries:
        raise ParserLimitError(f"The file has {len(entries):,} parts; the limit is {limits.entries:,}.")
    if any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries):
        raise EncryptedDocumentError("The file is encrypted with a password.")
    # guard: zip-overlapping-entries
    if sum(entry.compress_size for entry in entries) > file_size:
        raise DamagedDocumentError("The file is not a valid archive: its parts overlap.")
    total = sum(entry.file_size for entry in entries)
    # guard: zip-total-size
    if total > limits.total_bytes:
        raise ParserLimitError(f"The file unpacks to {total:,} bytes; the limit is {limits.total_bytes:,}.")
    for entry in entries:
        # guard: zip-inflation-ratio
        if entry.file_size > max(limits.ratio_free_bytes, limits.ratio * entry.compress_size):
            raise ParserLimitError(
                f"Part {entry.filename[:200]} unpacks to more than {limits.ratio} times its compressed size, which "
                "never happens in real documents."
            )
