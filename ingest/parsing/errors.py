"""Parsing errors: an unsupported type, an unreadable document, or an exceeded limit."""

from ingest.storage.errors import EmptyUploadError, IngestError, UploadError, UploadTooLargeError
from ingest.storage.remarks import Remark


class UnsupportedTypeError(UploadError):
    """No parser reads content of this type."""

    code = "unsupported_type"
    default_hint = Remark("hint_known_format")


class ParseError(IngestError):
    """The document was accepted but cannot be converted to text. A retry would fail in the same way."""

    code = "parse_failed"
    default_hint = Remark("hint_export_again")


class EncryptedDocumentError(ParseError):
    """The document is encrypted and cannot be read without a password."""

    code = "document_encrypted"
    default_hint = Remark("hint_no_password")


class DamagedDocumentError(ParseError):
    """The document is truncated or is not a valid file of its type."""

    code = "document_damaged"


class NoTextError(ParseError):
    """The document contains no text."""

    code = "no_text"
    default_hint = Remark("hint_recognize")


class ParserLimitError(ParseError):
    """Parsing was stopped because it exceeded a limit on time, memory, CPU or output."""

    code = "parser_limit"
    default_hint = Remark("hint_split_document")


_FILE_FAULTS = frozenset(
    each.code
    for each in (
        ParseError,
        EncryptedDocumentError,
        DamagedDocumentError,
        NoTextError,
        ParserLimitError,
        UnsupportedTypeError,
        EmptyUploadError,
        UploadTooLargeError,
    )
)


def is_retryable(code: str) -> bool:
    """Return whether processing the same bytes again may succeed after a failure with this code.

    If it returns False, the file itself is at fault, and only another file helps.
    """
    return code not in _FILE_FAULTS
