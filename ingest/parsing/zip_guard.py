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
from ingest.storage.remarks import Remark

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
        raise DamagedDocumentError(Remark("zip_damaged")) from error
    with archive:
        size = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
        _require_archive_within_limits(archive.infolist(), size, limits)
        yield archive


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read an entry, up to the size stated in the directory. Raises `DamagedDocumentError` if it is damaged."""
    try:
        return archive.read(name)
    except KeyError as error:
        raise DamagedDocumentError(Remark("part_missing", part=name[:200])) from error
    except _READ_ERRORS as error:
        raise DamagedDocumentError(Remark("part_damaged", part=name[:200])) from error


def _require_archive_within_limits(entries: list[zipfile.ZipInfo], file_size: int, limits: ZipLimits) -> None:
    # guard: zip-entry-count
    if len(entries) > limits.entries:
        raise ParserLimitError(Remark("zip_too_many", parts=len(entries), limit=limits.entries))
    if any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries):
        raise EncryptedDocumentError(Remark("file_encrypted"))
    # guard: zip-overlapping-entries
    if sum(entry.compress_size for entry in entries) > file_size:
        raise DamagedDocumentError(Remark("zip_overlaps"))
    total = sum(entry.file_size for entry in entries)
    # guard: zip-total-size
    if total > limits.total_bytes:
        raise ParserLimitError(Remark("zip_too_large", bytes=total, limit=limits.total_bytes))
    for entry in entries:
        # guard: zip-inflation-ratio
        if entry.file_size > max(limits.ratio_free_bytes, limits.ratio * entry.compress_size):
            raise ParserLimitError(Remark("zip_ratio", part=entry.filename[:200], ratio=limits.ratio))
