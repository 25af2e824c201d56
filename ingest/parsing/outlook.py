"""Parse Outlook messages (MSG), and convert attached messages to EML.

Outlook stores an attached message as a folder inside the same file (MS-OXMSG 2.2.2.1), which cannot be extracted as a
file. Therefore the attached message is converted to EML, including its bodies and attachments.
"""

from collections.abc import Iterator
from email.header import Header
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.parsing.entries import EntryFolder
from ingest.parsing.errors import DamagedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.mail import (
    EML_PARSER,
    HEADERS,
    MessageBody,
    build_mail_properties,
    build_picture_filter,
    choose_bodies,
    decode_header_line,
    format_mail_title,
    write_message,
)
from ingest.parsing.ocr.allowance import RecognitionNeededError
from ingest.parsing.types import NO_ENTRIES, EntryLimits, ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.tables.types import EML_MEDIA_TYPE

if TYPE_CHECKING:
    from oxmsg import Message as OutlookMessage
    from oxmsg.attachment import Attachment

MSG_PARSER = f"msg-3+{EML_PARSER}"

_EMBEDDED = "__substg1.0_3701000D"  # The name of the storage of an attached message.
_EMBEDDED_HEADER = 24  # The number of bytes before an attached message's properties (MS-OXMSG 2.4.1.2).
_CONTENT_ID, _SENDER_NAME = 0x3712, 0x0C1A
_MAX_DEPTH = 10
# For these code pages, oxmsg names a character set that Python lacks, or one that lacks the letters added by Windows.
_CODE_PAGES = {874: "cp874", 932: "cp932", 936: "gb18030", 949: "cp949", 950: "cp950", 20127: "cp1252", 28591: "cp1252"}


def unpack_msg(path: Path, folder: Path, limits: EntryLimits = NO_ENTRIES) -> ParsedDocument:
    """Parse an Outlook message and extract its attachments into `folder`.

    Raises `DamagedDocumentError` if the message cannot be read.
    """
    from oxmsg import Message as OutlookMessage  # Imported here so that this module loads no parser.
    from oxmsg.domain import encodings

    encodings._CODE_PAGE_ENCODINGS.update(_CODE_PAGES)
    entries, writer = EntryFolder(folder, limits), DocumentWriter()
    try:
        message = OutlookMessage.load(str(path))
        headers, subject = _read_headers(message), message.subject or ""
        bodies = choose_bodies([MessageBody(message.body or "")], [MessageBody(message.html_body or "", is_html=True)])
        for number, attachment in enumerate(message.attachments, start=1):
            _extract_attachment(attachment, number, entries)
    except (MemoryError, ParserLimitError, RecognitionNeededError):
        raise
    except Exception as error:  # The library may raise any exception for a damaged message.
        raise DamagedDocumentError(Remark("message_damaged")) from error
    write_message(writer, subject, headers, bodies)
    if not writer.length:
        raise NoTextError(Remark("message_empty"), hint=Remark("hint_saved_completely"))
    properties = build_mail_properties(subject, headers)
    return entries.build_document(
        writer, MSG_PARSER, format_mail_title(properties), list_heading="Attachments:", properties=properties
    )


def _read_headers(message: "OutlookMessage") -> dict[str, str]:
    headers = {name: decode_header_line(name, str(message.message_headers.get(name) or "")) for name in HEADERS}
    headers["From"] = headers["From"] or str(message.sender or message.properties.str_prop_value(_SENDER_NAME) or "")
    headers["To"] = headers["To"] or ", ".join(f"{each.name} <{each.email_address}>" for each in message.recipients)
    headers["Date"] = headers["Date"] or str(message.sent_date or "")
    return headers


def _extract_attachment(attachment: "Attachment", number: int, entries: EntryFolder) -> None:
    name = attachment.file_name or f"attachment {number}"
    embedded = _get_embedded_message(attachment)
    if embedded is not None:
        name = " ".join((embedded.subject or name).split()).replace("/", "-")[:80]
        entries.add_entry(f"{name}.eml", [_convert_to_eml(embedded).as_bytes()], declared_type=EML_MEDIA_TYPE)
        return
    content = attachment.file_bytes if attachment.attached_by_value else None
    if content is None:
        entries.record_skipped_entry(name, "a link to a file, which the message does not hold")
        return
    is_shown = bool(attachment.properties.str_prop_value(_CONTENT_ID))
    entries.add_entry(
        name, [content], declared_type=attachment.mime_type, picture_filter=build_picture_filter(is_displayed=is_shown)
    )


def _get_embedded_message(attachment: "Attachment") -> "OutlookMessage | None":
    """Return the attached message, or None if the attachment is not a message."""
    from oxmsg import Message as OutlookMessage
    from oxmsg.properties import Properties

    class EmbeddedMessage(OutlookMessage):
        @property
        def properties(self) -> Properties:
            return Properties(self._storage, properties_header_offset=_EMBEDDED_HEADER)

    storage: Any = attachment._storage
    return next((EmbeddedMessage(each) for each in storage.storages if each.name == _EMBEDDED), None)


def _convert_to_eml(message: "OutlookMessage", depth: int = 0) -> Message:
    """Convert an Outlook message to EML. Raises `ParserLimitError` if attached messages are nested too deeply."""
    if depth > _MAX_DEPTH:
        raise ParserLimitError(Remark("messages_deep"))
    whole = MIMEMultipart("mixed")
    for name, value in {**_read_headers(message), "Subject": message.subject or ""}.items():
        if value.strip():
            whole[name] = Header(" ".join(value.split()), "utf-8").encode()
    bodies = MIMEMultipart("alternative")
    for text, kind in ((message.body, "plain"), (message.html_body, "html")):
        if text:
            bodies.attach(MIMEText(text, kind, "utf-8"))
    whole.attach(bodies)
    for part in _iter_message_parts(message, depth):
        whole.attach(part)
    return whole


def _iter_message_parts(message: "OutlookMessage", depth: int) -> Iterator[Message]:
    for attachment in message.attachments:
        embedded = _get_embedded_message(attachment)
        if embedded is not None:
            yield MIMEMessage(_convert_to_eml(embedded, depth + 1))
        elif attachment.file_bytes is not None:
            part = MIMEApplication(attachment.file_bytes)
            name = attachment.file_name or "attachment"
            part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", name))
            content_id = attachment.properties.str_prop_value(_CONTENT_ID)
            if content_id:
                part["Content-ID"] = f"<{content_id}>"
            yield part
