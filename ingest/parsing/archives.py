"""Unpack ZIP archives. Each entry becomes a document; the archive's text lists the entries that could not be extracted.

No entry is written to the path that it names: see `ingest.parsing.entries`. Office, OpenDocument and EPUB files are
also ZIP files, but `ingest.parsing.containers` recognizes them before they reach this module.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path

from ingest.parsing.entries import EntryFolder, UnreadableEntryError
from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.types import NO_ENTRIES, EntryLimits, ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark

ZIP_PARSER = "zip-2"

_BLOCK_BYTES = 256 * 1024
_ENCRYPTED, _UTF8 = 0x1, 0x800  # Flag bits of an entry (APPNOTE 4.4.4).
_MAX_LISTED_ENTRIES = 100_000
_READ_ERRORS = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, NotImplementedError, ValueError)
_ENCRYPTED_REASON = Remark("entry_encrypted")


def unpack_zip(path: Path, folder: Path, limits: EntryLimits = NO_ENTRIES) -> ParsedDocument:
    """Extract the entries of an archive into `folder`.

    Raises `DamagedDocumentError` if the archive cannot be opened or its entries overlap, `EncryptedDocumentError` if
    all entries are encrypted, and `ParserLimitError` or `NoTextError` if no entry can be extracted for other reasons.
    """
    entries = EntryFolder(folder, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _require_valid_archive(infos, path.stat().st_size)
            for info in infos:
                _extract_entry(archive, info, entries)
    except _READ_ERRORS as error:
        raise DamagedDocumentError(Remark("archive_damaged")) from error
    _require_extracted_entry(entries, is_encrypted=bool(infos) and all(info.flag_bits & _ENCRYPTED for info in infos))
    writer = DocumentWriter()
    writer.write_paragraph(f"An archive of {len(infos):,} {'file' if len(infos) == 1 else 'files'}.")
    return entries.build_document(writer, ZIP_PARSER)


def _require_valid_archive(infos: list[zipfile.ZipInfo], file_size: int) -> None:
    if len(infos) > _MAX_LISTED_ENTRIES:
        raise ParserLimitError(
            Remark("archive_too_many", entries=len(infos), limit=_MAX_LISTED_ENTRIES),
            hint=Remark("hint_smaller_archive"),
        )
    # guard: archive-overlapping-entries
    if sum(info.compress_size for info in infos) > file_size:
        raise DamagedDocumentError(Remark("archive_overlaps"))


def _extract_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, entries: EntryFolder) -> None:
    name = _decode_name(info)
    mode = info.external_attr >> 16
    if info.flag_bits & _ENCRYPTED:
        entries.record_skipped_entry(name, _ENCRYPTED_REASON, info.file_size)
    elif stat.S_ISLNK(mode):
        entries.record_skipped_entry(name, Remark("entry_link"))
    # guard: archive-devices
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        entries.record_skipped_entry(name, Remark("entry_no_file"))
    else:
        entries.add_entry(name, _iter_entry_blocks(archive, info), packed_size=info.compress_size)


def _iter_entry_blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
    except NotImplementedError as error:
        raise UnreadableEntryError(Remark("entry_method")) from error
    except (*_READ_ERRORS, RuntimeError) as error:
        raise UnreadableEntryError(Remark("entry_damaged")) from error


def _decode_name(info: zipfile.ZipInfo) -> str:
    """Decode the name of an entry. UTF-8 is tried first, because many programs use it without setting its flag."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _require_extracted_entry(entries: EntryFolder, *, is_encrypted: bool) -> None:
    """Raise an error if no entry was extracted, because a list of unreadable files is not a useful document."""
    if entries.found:
        return
    if is_encrypted:
        raise EncryptedDocumentError(Remark("archive_encrypted"))
    if not entries.outcomes:
        raise NoTextError(Remark("archive_empty"), hint=Remark("hint_saved_completely"))
    first = entries.outcomes[0]
    detail = Remark("archive_unreadable", files=len(entries.outcomes), path=first.path, problem=first.problem)
    if any(outcome.is_limit for outcome in entries.outcomes):
        raise ParserLimitError(detail, hint=Remark("hint_unpack_files"))
    raise NoTextError(detail, hint=Remark("hint_unpack_text"))
