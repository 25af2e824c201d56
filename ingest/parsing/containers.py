"""Identify ZIP and OLE files by their content: Office, OpenDocument, EPUB and others.

This runs while uploads are received, so the work is bounded: it reads at most 4 MiB of a ZIP's directory and one small
entry, and at most 512 directory sectors of an OLE file. No library opens the file.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ingest.storage.tables.types import MSG_MEDIA_TYPE

ZIP = "application/zip"
OLE = "application/x-ole-storage"
ZIPPED_DOCUMENT = "application/x-zipped-document"
OFFICE_ENCRYPTED = "application/x-ole-encrypted-package"
DOC = "application/msword"
PPT = "application/vnd.ms-powerpoint"
XLS = "application/vnd.ms-excel"
EPUB = "application/epub+zip"
MBOX = "application/mbox"

ZIP_SIGNATURE = b"PK\x03\x04"
OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX = f"{_OFFICE}wordprocessingml.document"
PPTX = f"{_OFFICE}presentationml.presentation"
XLSX = f"{_OFFICE}spreadsheetml.sheet"
XLSB = "application/vnd.ms-excel.sheet.binary.macroEnabled.12"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
ODS = "application/vnd.oasis.opendocument.spreadsheet"

# The content type of the main part determines the file type (ECMA-376 part 2, 10.1.2). Templates and files with macros
# are parsed like documents.
_main_part = re.compile(
    rb"application/vnd\.(?:openxmlformats-officedocument\.|ms-)"
    rb"(?P<kind>wordprocessingml|word|presentationml|powerpoint|spreadsheetml|excel)\."
    rb"(?P<form>[\w.]{1,60}?)(?:\.main\+xml|\.main)(?=[\"'])"
)
_KINDS = {
    **dict.fromkeys((b"wordprocessingml", b"word"), DOCX),
    **dict.fromkeys((b"presentationml", b"powerpoint"), PPTX),
    **dict.fromkeys((b"spreadsheetml", b"excel"), XLSX),
}
_OPEN_DOCUMENTS = {f"{base}{suffix}": base for base in (ODT, ODP, ODS) for suffix in ("", "-template")} | {
    "application/vnd.oasis.opendocument.text-master": ODT,
    EPUB: EPUB,
}
_STREAMS = (
    ("EncryptedPackage", OFFICE_ENCRYPTED),
    ("WordDocument", DOC),
    ("PowerPoint Document", PPT),
    ("Workbook", XLS),
    ("Book", XLS),
    ("__properties_version1.0", MSG_MEDIA_TYPE),
)

_END_RECORD_BYTES = 65_557  # The size of the end record with the longest possible comment (APPNOTE 4.3.16).
_MAX_DIRECTORY_BYTES = 4 * 1024**2
_MAX_ENTRY_BYTES = 1024**2
_MAX_DIRECTORY_SECTORS = 512
_STORED, _DEFLATED = 0, 8


def detect_container_type(file: BinaryIO) -> str | None:
    """Return the media type of a ZIP or OLE file, or None for any other file.

    Returns `ZIP` or `OLE` if the kind is unknown, and `ZIPPED_DOCUMENT` for a ZIP that declares itself a document of an
    unknown kind. A truncated file is identified by its signature.
    """
    file.seek(0)
    mark = file.read(8)
    if mark.startswith(ZIP_SIGNATURE):
        return _detect_zip_type(file)
    return _detect_ole_type(file) if mark == OLE_SIGNATURE else None


def _detect_zip_type(file: BinaryIO) -> str:
    try:
        entries, stated = dict(_iter_entries(file)), ""
        if "mimetype" in entries:
            stated = _inflate_entry(file, entries["mimetype"]).strip().decode("ascii", "replace")
            if stated in _OPEN_DOCUMENTS:
                return _OPEN_DOCUMENTS[stated]
        content_types = next((name for name in entries if name.lower() == "[content_types].xml"), None)
        if content_types is not None:
            return _detect_office_type(_inflate_entry(file, entries[content_types]))
    except (struct.error, zlib.error, OSError, ValueError):
        return ZIP
    if "META-INF/container.xml" in entries:
        return EPUB
    return ZIPPED_DOCUMENT if stated.startswith("application/") and stated != ZIP else ZIP


def _detect_office_type(content_types: bytes) -> str:
    content_types = content_types.replace(b"\0", b"")  # The file may be encoded in UTF-16.
    found = _main_part.search(content_types)
    if found is None:
        return ZIPPED_DOCUMENT
    return XLSB if b"binary" in found["form"] else _KINDS[found["kind"]]


def _iter_entries(file: BinaryIO) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the name, method, packed size and offset of each entry in the first 4 MiB of a ZIP's directory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_RECORD_BYTES))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise ValueError("end record not found")
    length, start = struct.unpack_from("<LL", tail, end + 12)
    if start == 0xFFFFFFFF or length == 0xFFFFFFFF:
        (end64,) = struct.unpack_from("<Q", tail, tail.rindex(b"PK\x06\x07", 0, end) + 8)
        file.seek(end64)
        length, start = struct.unpack_from("<QQ", file.read(56), 40)
    file.seek(start)
    directory = file.read(min(length, _MAX_DIRECTORY_BYTES))
    at = 0
    while directory[at : at + 4] == b"PK\x01\x02" and at + 46 <= len(directory):
        (method,) = struct.unpack_from("<H", directory, at + 10)
        (packed,) = struct.unpack_from("<L", directory, at + 20)
        name_length, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
        (offset,) = struct.unpack_from("<L", directory, at + 42)
        yield directory[at + 46 : at + 46 + name_length].decode("utf-8", "replace"), (method, packed, offset)
        at += 46 + name_length + extra + comment


def _inflate_entry(file: BinaryIO, entry: tuple[int, int, int]) -> bytes:
    """Return the first megabyte of a stored or deflated entry."""
    method, packed, offset = entry
    file.seek(offset)
    name_length, extra = struct.unpack_from("<HH", file.read(30), 26)
    file.seek(offset + 30 + name_length + extra)
    content = file.read(min(packed, _MAX_ENTRY_BYTES))
    if method == _DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, _MAX_ENTRY_BYTES)
    return content if method == _STORED else b""


def _detect_ole_type(file: BinaryIO) -> str:
    """Identify an OLE file by the names of its root streams, ignoring case (MS-CFB 2.6.4)."""
    try:
        names = set(map(str.upper, _iter_root_stream_names(_read_ole_directory(file))))
    except (struct.error, ValueError, OSError):
        return OLE
    return next((kind for stream, kind in _STREAMS if stream.upper() in names), OLE)


def _read_ole_directory(file: BinaryIO) -> bytes:
    file.seek(0)
    header = file.read(512)
    (shift,) = struct.unpack_from("<H", header, 30)
    if shift not in (9, 12):
        raise ValueError("invalid sector size")
    size, length = 1 << shift, file.seek(0, 2)
    fat_sectors = list(struct.unpack_from("<109L", header, 76))
    # In files above 7 MB, this sector lists more FAT sectors (MS-CFB 2.5).
    (more,) = struct.unpack_from("<L", header, 68)
    (sector,) = struct.unpack_from("<L", header, 48)
    directory = b""
    for _ in range(_MAX_DIRECTORY_SECTORS):
        if (sector + 1) * size >= length:
            break
        index, within = divmod(sector, size // 4)
        while index >= len(fat_sectors):
            file.seek((more + 1) * size)
            *listed, more = struct.unpack(f"<{size // 4}L", file.read(size))
            fat_sectors += listed
        file.seek((sector + 1) * size)
        directory += file.read(size)
        file.seek((fat_sectors[index] + 1) * size + 4 * within)
        (sector,) = struct.unpack("<L", file.read(4))
    return directory


def _iter_root_stream_names(directory: bytes) -> Iterator[str]:
    (child,) = struct.unpack_from("<L", directory, 76)
    waiting, seen = [child], set[int]()
    while waiting:
        at = waiting.pop()
        if at in seen or (at + 1) * 128 > len(directory):
            continue
        seen.add(at)
        raw, length = struct.unpack_from("<64sH", directory, at * 128)
        yield raw[: max(0, length - 2)].decode("utf-16-le", "replace")
        waiting.extend(struct.unpack_from("<LL", directory, at * 128 + 68))
