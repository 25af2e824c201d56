"""Parse messages (EML) and mailboxes (MBOX). Each message becomes a document, and its attachments become entries.

The text of a message is its subject as the title, lines for the sender, recipients and date, and the body: the plain
text, or the HTML if it has much more text. Quoted replies are included. Messages are parsed with the legacy parser of
Python's `email` package, which is many times faster for a message with many parts. The current parser decodes the few
headers that are shown.
"""

import mailbox
import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.parsing.charsets import decode_text
from ingest.parsing.entries import EntryFolder
from ingest.parsing.errors import DamagedDocumentError, NoTextError, ParseError, ParserLimitError
from ingest.parsing.ocr import IMAGE_TYPES
from ingest.parsing.ocr.recognizer import OCR_PARSER, is_ocr_installed
from ingest.parsing.properties import format_time
from ingest.parsing.types import NO_ENTRIES, EntryLimits, ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.tables.types import (
    EML_MEDIA_TYPE,
    MAIL_DATE,
    MAIL_DATE_UTC,
    MAIL_RECIPIENTS,
    MAIL_SENDER,
    MAIL_SENDER_ADDRESS,
    MAIL_SUBJECT,
)
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.normalize import normalize_title

# `Message` can be subscripted only in type checking.
if TYPE_CHECKING:
    Part = Message[str, str]
else:
    Part = Message

EML_PARSER = f"eml-5+{OCR_PARSER}" if is_ocr_installed() else "eml-5"
MBOX_PARSER = "mbox-2"

HEADERS = ("From", "To", "Cc", "Date")
_MAX_HEADER_CHARS = 4_000
# S/MIME types of encrypted messages (RFC 8551). Messages of the other S/MIME types are only signed.
_ENCRYPTED_SMIME_TYPES = frozenset({"enveloped-data", "authenveloped-data"})
_MAX_PARTS = 10_000
_MAX_DEPTH = 100
_MAX_NAME_CHARS = 80
# Maximum length of the subject. It leaves room for the sender and date in a title of at most 300 characters.
_MAX_SUBJECT_CHARS = 200
_named_address = re.compile(r"(?P<name>[^<]*)<(?P<address>[^<>]*)>")
_word = re.compile(r"\w+")


def unpack_eml(path: Path, folder: Path, limits: EntryLimits = NO_ENTRIES) -> ParsedDocument:
    """Parse a message and extract its attachments into `folder`. Raises `ParserLimitError` and `NoTextError`."""
    entries, writer = EntryFolder(folder, limits), DocumentWriter()
    try:
        with path.open("rb") as file:
            message = BytesParser().parse(file)
        reader = _MessageReader(entries)
        bodies = reader.read_part(message)
    except RecursionError as error:
        raise _build_depth_error() from error
    subject, headers = get_header(message, "Subject"), {name: get_header(message, name) for name in HEADERS}
    write_message(writer, subject, headers, bodies)
    if not writer.length:
        raise NoTextError(Remark("message_empty"), hint=Remark("hint_saved_completely"))
    properties = build_mail_properties(subject, headers)
    return entries.build_document(
        writer, EML_PARSER, format_mail_title(properties), list_heading="Attachments:", properties=properties
    )


def write_web_archive(writer: DocumentWriter, content: bytes) -> None:
    """Write the page in an MHTML file, without its pictures and style sheets.

    Raises `ParserLimitError` and `DamagedDocumentError`.
    """
    from ingest.parsing.html_blocks import write_html  # Imported here so that this module loads no parser.

    try:
        bodies = _MessageReader(EntryFolder(Path(), NO_ENTRIES)).read_part(BytesParser().parsebytes(content))
    except RecursionError as error:
        raise _build_depth_error() from error
    for body in bodies:
        if body.is_html:
            write_html(writer, body.text, keep_boilerplate=True)
        else:
            writer.write_paragraph(body.text)


def unpack_mbox(path: Path, folder: Path, limits: EntryLimits = NO_ENTRIES) -> ParsedDocument:
    """Extract each message of a mailbox into `folder`. Raises `DamagedDocumentError` and `ParserLimitError`."""
    entries, writer = EntryFolder(folder, limits), DocumentWriter()
    with closing(mailbox.mbox(path, create=False)) as messages:
        keys = messages.keys()
        for number, key in enumerate(keys, start=1):
            content = messages.get_bytes(key)
            entries.add_entry(f"{number:05} {_read_subject(content)}.eml", [content], declared_type=EML_MEDIA_TYPE)
    if not entries.found:
        problem = entries.outcomes[0].problem if entries.outcomes else Remark("mailbox_empty")
        raise DamagedDocumentError(Remark("mailbox_unreadable", problem=problem))
    writer.write_paragraph(f"A mailbox of {len(keys):,} {'message' if len(keys) == 1 else 'messages'}.")
    return entries.build_document(writer, MBOX_PARSER)


def build_picture_filter(*, is_displayed: bool) -> Callable[[Path, str], str]:
    """Return a function that explains why an attached picture does not become a document.

    The function returns an empty string if the picture contains text. `is_displayed` means that the message displays
    it.
    """

    def explain_rejection(path: Path, media_type: str) -> str:
        from ingest.parsing.ocr.pictures import explain_rejection  # Imported here so that this module loads no parser.

        # guard: mail-picture-without-text
        return explain_rejection(path, is_displayed=is_displayed) if media_type in IMAGE_TYPES else ""

    return explain_rejection


def get_header(message: Part, name: str) -> str:
    """Return a decoded header on one line, or an empty string if it is missing.

    A header that cannot be decoded is returned as written.
    """
    return decode_header_line(
        name, str(next((value for key, value in message.raw_items() if key.lower() == name.lower()), ""))
    )


def decode_header_line(name: str, value: str) -> str:
    """Decode the value of a header to one line, as for `get_header`."""
    raw = decode_text(value[:_MAX_HEADER_CHARS].encode("utf-8", "surrogateescape"))
    line = " ".join(raw.split())
    with suppress(Exception):  # The header parser of the standard library may raise almost any error.
        line = " ".join(str(policy.default.header_factory(name, line)).split())
    return line


@dataclass(frozen=True)
class MessageBody:
    """A body that the message displays, as plain text or HTML."""

    text: str
    is_html: bool = False


class _MessageReader:
    """Collects the bodies of one message, and adds its attachments as entries."""

    def __init__(self, entries: EntryFolder) -> None:
        self._entries = entries
        self._parts = 0
        self._unnamed = 0

    def read_part(self, part: Part, depth: int = 0) -> list[MessageBody]:
        """Return the bodies in a MIME part, in order, and add its attachments as entries."""
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise ParserLimitError(Remark("message_parts", limit=_MAX_PARTS), hint=Remark("hint_parts"))
        if depth > _MAX_DEPTH:
            raise _build_depth_error()
        kind = part.get_content_type()
        if _is_encrypted(part, kind):
            self._entries.record_skipped_entry(_get_file_name(part) or "the message's body", "encrypted")
            return []
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            children = [each for each in part.get_payload() if isinstance(each, Message)]
            if kind == "multipart/alternative":
                return self._choose_alternative(children, depth)
            return [body for each in children for body in self.read_part(each, depth + 1)]
        if kind in ("text/plain", "text/html") and not _is_attachment(part):
            return [MessageBody(_decode_text(part), is_html=kind == "text/html")]
        self._add_attachment(part, kind)
        return []

    def _choose_alternative(self, children: list[Part], depth: int) -> list[MessageBody]:
        """Return the alternative with the most text.

        Alternatives of other kinds, such as calendar invitations, become entries.
        """
        bodies = [body for each in children for body in self.read_part(each, depth + 1)]
        return choose_bodies([body for body in bodies if not body.is_html], [body for body in bodies if body.is_html])

    def _add_attachment(self, part: Part, kind: str) -> None:
        content = _decode_content(part)
        name = _get_file_name(part)
        if not name:
            self._unnamed += 1
            inner = part.get_payload(0) if kind == EML_MEDIA_TYPE and part.is_multipart() else None
            subject = get_header(inner, "Subject") if isinstance(inner, Message) else ""
            suffix = ".eml" if kind == EML_MEDIA_TYPE else mimetypes.guess_extension(kind) or ""
            name = f"{_shorten_subject(subject) or f'attachment {self._unnamed}'}{suffix}"
        if content is None:
            self._entries.record_skipped_entry(name, Remark("entry_bytes"))
        else:
            is_shown = part.get("Content-ID") is not None or not _is_attachment(part)
            self._entries.add_entry(
                name, [content], declared_type=kind, picture_filter=build_picture_filter(is_displayed=is_shown)
            )


def _is_encrypted(part: Part, kind: str) -> bool:
    """Return whether a part is encrypted with S/MIME or OpenPGP (RFC 3156)."""
    with suppress(Exception):  # See `decode_header_line`.
        sealed = str(part.get_param("smime-type", "")).lower() in _ENCRYPTED_SMIME_TYPES
        return kind == "multipart/encrypted" or (sealed and kind.endswith("pkcs7-mime"))
    return False


def _decode_content(part: Part) -> bytes | None:
    try:
        if part.is_multipart():  # The part is an attached message.
            return b"\n".join(each.as_bytes() for each in part.get_payload() if isinstance(each, Message))
        content = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 - as of headers
        return None
    return content if isinstance(content, bytes) else None


def _decode_text(part: Part) -> str:
    content = _decode_content(part) or b""
    charset: Any = None
    with suppress(Exception):
        charset = part.get_content_charset()
    return decode_text(content, charset if isinstance(charset, str) else None)


def _is_attachment(part: Part) -> bool:
    disposition = ""
    with suppress(Exception):
        disposition = part.get_content_disposition() or ""
    return disposition == "attachment" or bool(_get_file_name(part))


def _get_file_name(part: Part) -> str:
    with suppress(Exception):
        name = decode_text(str(part.get_filename() or "").encode("utf-8", "surrogateescape"))
        return str(make_header(decode_header(name))) if "=?" in name else name
    return ""


def choose_bodies(plain_bodies: list[MessageBody], html_bodies: list[MessageBody]) -> list[MessageBody]:
    """Return the plain-text bodies, or the HTML bodies if the former have less than half as many words."""
    if not any(body.text.strip() for body in html_bodies):
        return plain_bodies
    return plain_bodies if 2 * _count_words(plain_bodies) >= _count_words(html_bodies) else html_bodies


def _count_words(bodies: Sequence[MessageBody]) -> int:
    """Return the number of visible words in the bodies."""
    scratch = DocumentWriter()
    for body in bodies:
        _write_body(scratch, body)
    return len(_word.findall(scratch.finish("", empty_message="").text)) if scratch.length else 0


def _write_body(writer: DocumentWriter, body: MessageBody) -> None:
    from ingest.parsing.html_blocks import write_html  # Imported here so that this module loads no parser.

    if not body.is_html:
        writer.write_paragraph(body.text)
        return
    try:
        write_html(writer, body.text, keep_boilerplate=True, level_offset=1)
    except ParseError as error:
        writer.record_omission(OmissionKind.OTHER, 1, Remark("omitted_html_body", problem=error.detail))


def write_message(writer: DocumentWriter, subject: str, headers: dict[str, str], bodies: Sequence[MessageBody]) -> None:
    """Write the subject, headers and bodies of a message."""
    writer.write_heading(subject, 1)
    writer.write_paragraph("\n".join(f"{name}: {value}" for name, value in headers.items() if value.strip()))
    for body in bodies:
        _write_body(writer, body)


def build_mail_properties(subject: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a message as properties, without missing ones."""
    name, address = _parse_sender(headers.get("From", ""))
    moment = _parse_date(headers.get("Date", ""))
    found = {
        MAIL_SENDER: name or address,
        MAIL_SENDER_ADDRESS: address.lower(),
        MAIL_RECIPIENTS: ", ".join(filter(None, (headers.get("To"), headers.get("Cc")))),
        MAIL_DATE: format_time(moment) if moment else "",
        MAIL_DATE_UTC: format_time(moment.astimezone(UTC)) if moment else "",
        MAIL_SUBJECT: " ".join(subject.split()),
    }
    return {column.name: value for column, value in found.items() if value}


def format_mail_title(properties: Mapping[str, str]) -> str:
    """Return a title that is distinct within the message's thread, such as `Re: Tides (Ann Poe, 2026-02-05)`."""
    sender = properties.get(MAIL_SENDER.name, "")[:_MAX_NAME_CHARS].strip()
    subject = (normalize_title(properties.get(MAIL_SUBJECT.name)) or "")[:_MAX_SUBJECT_CHARS].rstrip()
    details = ", ".join(filter(None, (sender, properties.get(MAIL_DATE.name, "").partition(" ")[0])))
    return f"{subject} ({details})" if subject and details else subject or details


def _parse_sender(line: str) -> tuple[str, str]:
    """Return the name and address of the first sender in a header. Each is empty if it is missing."""
    found = _named_address.match(line)
    if found is None:
        return ("", line) if "@" in line else (line.strip(' "'), "")
    return found["name"].strip(" \"'"), found["address"].strip()


def _parse_date(line: str) -> datetime | None:
    """Parse a message's date. A date without a time zone is assumed to be in UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(Exception):  # See `decode_header_line`.
            moment = read(line)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            moment.astimezone(UTC)  # The conversion fails for times close to the first or last supported year.
            return moment
    return None


def _read_subject(content: bytes) -> str:
    """Return the shortened subject of a message, parsing only its headers."""
    with suppress(Exception):
        return _shorten_subject(get_header(BytesParser().parsebytes(content, headersonly=True), "Subject"))
    return "message"


def _shorten_subject(subject: str) -> str:
    return (normalize_title(subject) or "")[:_MAX_NAME_CHARS].replace("/", "-").strip(" .")


def _build_depth_error() -> ParserLimitError:
    return ParserLimitError(Remark("message_deep"), hint=Remark("hint_parts"))
