"""Detect the media type of a file from its content. The file name only distinguishes between kinds of text."""

import re
from pathlib import PurePath
from typing import BinaryIO

import filetype

from ingest.parsing.charsets import HEAD_BYTES, decode_text, looks_like_text
from ingest.parsing.containers import (
    DOC,
    MBOX,
    OLE,
    OLE_SIGNATURE,
    PPT,
    ZIP,
    ZIP_SIGNATURE,
    ZIPPED_DOCUMENT,
    detect_container_type,
)
from ingest.parsing.errors import UnsupportedTypeError
from ingest.parsing.ocr import IMAGE_TYPES, INSTALL_HINT, is_ocr_installed
from ingest.storage.remarks import Remark
from ingest.storage.tables.types import EML_MEDIA_TYPE

PDF = "application/pdf"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"
DELIMITED = "text/csv"
RTF = "application/rtf"
JSON = "application/json"

# Media types of program code. The code parser has a grammar for each of these types.
CODE = frozenset(
    {
        "text/x-python",
        "text/javascript",
        "text/typescript",
        "text/tsx",
        "text/x-go",
        "text/x-rust",
        "text/x-java",
        "text/x-c",
        "text/x-c++",
    }
)

_PDF_SIGNATURE = b"%PDF-"
_RTF_SIGNATURE = b"{\\rtf"
# Maximum offset of the signature of a PDF file that PDF readers accept (ISO 32000-1, annex H.3).
_PDF_SIGNATURE_WITHIN = 1024
_SUFFIXES = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), MARKDOWN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    **dict.fromkeys((".txt", ".text"), TEXT),
    **dict.fromkeys((".csv", ".tsv", ".tab"), DELIMITED),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".geojson"), JSON),
    **dict.fromkeys((".py", ".pyi"), "text/x-python"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "text/javascript"),
    **dict.fromkeys((".ts", ".mts", ".cts"), "text/typescript"),
    **{".tsx": "text/tsx", ".go": "text/x-go", ".rs": "text/x-rust", ".java": "text/x-java", ".c": "text/x-c"},
    **dict.fromkeys((".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"), "text/x-c++"),
    **dict.fromkeys((".eml", ".mht", ".mhtml"), EML_MEDIA_TYPE),
    ".mbox": MBOX,
}
_DECLARED_TYPES = {
    **{"application/xhtml+xml": HTML, "text/x-markdown": MARKDOWN, "text/tab-separated-values": DELIMITED},
    **dict.fromkeys(("application/x-ndjson", "application/jsonl", "application/geo+json"), JSON),
}
_BEFORE_MARKUP = r"(?:\s|<!--(?:[^-]|-(?!->))*+-->|<\?[^>]*+>)*+"
_PIECES = "title|meta|script|style|h[1-6]|div|p|table|ul|ol|article|section|main|header|nav|span|a|br"
_html_document = re.compile(rf"{_BEFORE_MARKUP}<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_html_piece = re.compile(rf"{_BEFORE_MARKUP}<(?:{_PIECES})\b", re.IGNORECASE)
_tag = re.compile(r"<[a-z!/]", re.IGNORECASE)
# Matches the first member of a JSON object or of a list of objects. Prose never begins like this.
_json = re.compile(r"\s*(?:\[\s*)*\{\s*\"(?:[^\"\\\n]|\\.)*+\"\s*:")
# Match a message header (RFC 5322, 2.2), and the line that separates the messages in a mailbox (RFC 4155).
_field = r"[!-9;-~]{1,76}:[^\n]*+\n"
_message = re.compile(rf"\r?\n?{_field}")
_mailbox = re.compile(
    rf"From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d(?::\d\d)?[^\n]*\n>?{_field}"
)
_parts = re.compile(r"^content-type:\s*multipart/", re.MULTILINE | re.IGNORECASE)
_field_name = re.compile(r"^([!-9;-~]{1,76}):", re.MULTILINE)
# Formats that are stored as text but are not readable as text.
_TEXT_FORMATS = ((_RTF_SIGNATURE, Remark("format_file_vowel", label="RTF")), (b"%!PS", Remark("format_postscript")))
_KINDS = {"image": "image", "audio": "recording", "video": "video"}
_ARCHIVES = frozenset({"zip", "tar", "rar", "gz", "bz2", "7z", "xz", "lz", "lzo", "lz4", "zst", "br", "Z", "cab", "ar"})
_VOWEL_SOUND_LETTERS = "AEFHILMNORSX8"
_UNPACK_HINT = Remark("hint_unpack")
# Containers without a parser, with a description and a hint.
_UNREAD = {
    OLE: ("format_ole", Remark("hint_save_as", format="PDF")),
    ZIPPED_DOCUMENT: ("format_zipped", Remark("hint_save_as", format="PDF")),
    DOC: ("format_doc", Remark("hint_save_as", format=Remark("hint_word"))),
    PPT: ("format_ppt", Remark("hint_save_as", format=Remark("hint_powerpoint"))),
}


def sniff_file_type(file: BinaryIO, name: str, declared_media_type: str | None) -> str:
    """Return the media type of a seekable file. Raises the same errors as `sniff_media_type`."""
    file.seek(0)
    kind = sniff_media_type(file.read(HEAD_BYTES), name, declared_media_type)
    return sniff_container_type(file) if kind in (ZIP, OLE) else kind


def sniff_container_type(file: BinaryIO) -> str:
    """Return the media type of a ZIP or OLE file's content. Raises the same errors as `sniff_media_type`."""
    kind = detect_container_type(file) or ZIP
    if kind in _UNREAD:
        words, hint = _UNREAD[kind]
        raise UnsupportedTypeError(Remark("content_looks_like", what=Remark(words)), hint=hint)
    return kind


def sniff_media_type(head: bytes, name: str, declared_media_type: str | None) -> str:
    """Return the media type of a file that starts with `head`, its first `charsets.HEAD_BYTES` bytes.

    For `ZIP` and `OLE`, call `sniff_container_type` to get the exact type. Raises `UnsupportedTypeError` with a
    description of the content if no parser can read it.
    """
    if _is_pdf(head):
        return PDF
    if head.startswith(_RTF_SIGNATURE):
        return RTF
    if head.startswith((ZIP_SIGNATURE, OLE_SIGNATURE)):
        return ZIP if head.startswith(ZIP_SIGNATURE) else OLE
    kind = describe_unreadable_content(head)
    if kind is not None and (picture := _detect_picture_type(head)):
        return picture
    if kind is not None:
        raise UnsupportedTypeError(
            Remark("content_looks_like", what=kind),
            hint=_UNPACK_HINT if kind.code.startswith("format_archive") else None,
        )
    return _detect_text_type(decode_text(head), name, declared_media_type)


def describe_unreadable_content(head: bytes) -> Remark | None:
    """Describe content that is not text, such as "a PNG image", or return None for text."""
    for mark, words in _TEXT_FORMATS:
        if head.startswith(mark):
            return words
    # Files that look like text are excluded first, because the signatures of many formats, such as "BM", can also be
    # words.
    if looks_like_text(head):
        return None
    found = filetype.guess(head)
    return Remark("format_binary") if found is None else _describe_type(found.mime, found.extension)


def _detect_picture_type(head: bytes) -> str | None:
    """Return the media type of an image that OCR can read, or None for other content.

    Raises `UnsupportedTypeError` if OCR is not installed.
    """
    found = filetype.guess(head)
    if found is None or found.mime not in IMAGE_TYPES:
        return None
    if not is_ocr_installed():
        what = _describe_type(found.mime, found.extension)
        raise UnsupportedTypeError(Remark("content_looks_like_picture", what=what), hint=INSTALL_HINT)
    return str(found.mime)


def _is_pdf(head: bytes) -> bool:
    """Return whether a file is a PDF: its signature is at the start, after white space, or early in binary content."""
    at = head.find(_PDF_SIGNATURE, 0, _PDF_SIGNATURE_WITHIN + len(_PDF_SIGNATURE))
    return at == 0 or (at > 0 and (not head[:at].strip(b"\0\t\n\f\r \xef\xbb\xbf") or not looks_like_text(head)))


def _detect_text_type(text: str, name: str, declared_media_type: str | None) -> str:
    if _html_document.match(text):
        return HTML
    if _mailbox.match(text):
        return MBOX
    if _message.match(text) and _is_email(text):
        return EML_MEDIA_TYPE
    declared_type = (declared_media_type or "").partition(";")[0].strip().lower()
    expected = _SUFFIXES.get(PurePath(name).suffix.lower()) or _DECLARED_TYPES.get(declared_type, declared_type)
    if expected == HTML:
        return HTML if _tag.search(text) else TEXT
    if expected in (TEXT, "") and _json.match(text):
        return JSON
    if expected in {MARKDOWN, TEXT, DELIMITED, JSON, *CODE} or (expected == EML_MEDIA_TYPE and _message.match(text)):
        return expected
    return HTML if _html_piece.match(text) else TEXT


def _is_email(text: str) -> bool:
    """Return whether a text begins with the header fields of a message, including From and Date (RFC 5322, 3.6).

    To distinguish messages from other text, one more field is required that only programs write. A web archive (MHTML,
    RFC 2557) may have no sender and is recognized by its multipart content type.
    """
    block = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    names = {name.lower() for name in _field_name.findall(block)}
    if "mime-version" in names and _parts.search(block):
        return True
    return {"from", "date"} <= names and not names.isdisjoint({"message-id", "received", "mime-version", "return-path"})


def _describe_type(media_type: str, extension: str) -> Remark:
    label = extension.upper()
    noun = _KINDS.get(media_type.partition("/")[0]) or ("archive" if extension in _ARCHIVES else "file")
    return Remark(f"format_{noun}{'_vowel' if label[0] in _VOWEL_SOUND_LETTERS else ''}", label=label)
