"""Parsing errors: an unsupported type, an unreadable document, or an exceeded limit."""

from ingest.storage.errors import IngestError, UploadError


class UnsupportedTypeError(UploadError):
    """No parser reads content of this type."""

    code = "unsupported_type"
    default_hint = (
        "Save the file as PDF, as an Office or OpenDocument file, as HTML or as text, and upload the new file."
    )


class ParseError(IngestError):
    """The document was accepted but cannot be converted to text. A retry would fail in the same way."""

    code = "parse_failed"
    default_hint = "Open the file in the program that created it, then export it again."


class EncryptedDocumentError(ParseError):
    """The document is encrypted and cannot be read without a password."""

    code = "document_encrypted"
    default_hint = "Save a copy without a password and upload the copy."


class DamagedDocumentError(ParseError):
    """The document is truncated or is not a valid file of its type."""

    code = "document_damaged"


class NoTextError(ParseError):
    """The document contains no text."""

    code = "no_text"
    default_hint = "If the document is a scan, run text recognition (OCR) on it first and upload the result."


class ParserLimitError(ParseError):
    """Parsing was stopped because it exceeded a limit on time, memory, CPU or output."""

    code = "parser_limit"
    default_hint = "Split the document into smaller files."
