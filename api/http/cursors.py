"""Cursors, which mark the next page of a listing, and event ids, which mark where a stream resumes."""

import base64
import binascii
import json

from api.http.problems import BadRequestError
from ingest.storage.documents.listing import LISTING_START, ListingCursor

_MAX_DIGITS = 18  # Any number with at most this many digits fits in 64 bits.
_SHOWN_CHARS = 100


def encode_cursor(sequence_number: int) -> str:
    """Encode a sequence number as a cursor. Cursors are opaque to clients, so that their meaning can change."""
    return base64.urlsafe_b64encode(str(sequence_number).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int:
    """Decode a cursor; None means 0. Raises `BadRequestError` for a cursor that no listing returned."""
    if cursor is None:
        return 0
    try:
        return _parse_number(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error) as error:
        raise build_cursor_error(cursor) from error


def encode_text_cursor(key: str) -> str:
    """Encode a string as a cursor for a listing ordered by strings."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_text_cursor(cursor: str | None) -> str:
    """Decode a cursor of a listing ordered by strings; None means an empty string.

    Raises `BadRequestError` if the cursor is not valid.
    """
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise build_cursor_error(cursor) from error


def encode_position_cursor(position: ListingCursor) -> str:
    """Encode a position in a listing ordered by values that several entries may share."""
    return encode_text_cursor(json.dumps([position.sequence, position.value]))


def decode_position_cursor(cursor: str | None, *, value_type: type[str] | type[int]) -> ListingCursor:
    """Decode a cursor of a listing ordered by strings or numbers. Raises `BadRequestError` for an invalid cursor."""
    if cursor is None:
        return LISTING_START
    try:
        match json.loads(decode_text_cursor(cursor)):
            case [int(sequence), str() | int() as value] if isinstance(value, value_type) and 0 < sequence < 1 << 63:
                if isinstance(value, str) or abs(value) < 1 << 63:
                    return ListingCursor(sequence, value)
    except ValueError as error:
        raise build_cursor_error(cursor) from error
    raise build_cursor_error(cursor)


def build_cursor_error(cursor: str) -> BadRequestError:
    return BadRequestError(
        f"The cursor {cursor[:_SHOWN_CHARS]!r} is not valid.",
        hint="Use `next_cursor` of the previous page, or omit the cursor.",
    )


def parse_last_event_id(last_event_id: str | None) -> int:
    """Return the number of the last event that the client received, or 0 if there is none.

    Raises `BadRequestError` for an id that no stream has sent.
    """
    if not last_event_id:
        return 0
    try:
        return _parse_number(last_event_id)
    except ValueError as error:
        raise BadRequestError(
            f"The Last-Event-ID {last_event_id[:_SHOWN_CHARS]!r} is not valid.",
            hint="Use the `id` of the last event you received, or omit the header.",
        ) from error


def _parse_number(digits: str) -> int:
    """Parse decimal digits. Raises `ValueError` if the number would not fit in a database column."""
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
        raise ValueError("not a number that fits in a database column")
    return int(digits)
