"""Cursors of listings, which mark the next page, and ids of events, which mark where a stream goes on."""

import base64
import binascii
import json

from api.http.problems import BadRequestError
from ingest.storage.documents.listing import LISTING_START, ListingCursor

_MAX_DIGITS = 18  # what fits 64 bits, whatever the digits are
_SHOWN_CHARS = 100


def encode_cursor(sequence: int) -> str:
    """Return a cursor that is opaque to clients: its meaning may change."""
    return base64.urlsafe_b64encode(str(sequence).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int:
    """Read a cursor. Raises `BadRequestError` for a cursor that no listing gave out."""
    if cursor is None:
        return 0
    try:
        return _parse_number(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error) as error:
        raise build_cursor_error(cursor) from error


def encode_text_cursor(key: str) -> str:
    """As `encode_cursor`, for listings in the order of texts."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_text_cursor(cursor: str | None) -> str:
    """Read such a cursor; without one, the text before all others. Raises `BadRequestError`."""
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise build_cursor_error(cursor) from error


def encode_position_cursor(place: ListingCursor) -> str:
    """As `encode_cursor`, for listings in the order of a value that several may have."""
    return encode_text_cursor(json.dumps([place.sequence, place.value]))


def decode_position_cursor(cursor: str | None, *, of: type[str] | type[int]) -> ListingCursor:
    """Read such a cursor of a listing in the order of texts or numbers. Raises `BadRequestError`."""
    if cursor is None:
        return LISTING_START
    try:
        match json.loads(decode_text_cursor(cursor)):
            case [int(sequence), str() | int() as value] if isinstance(value, of) and 0 < sequence < 1 << 63:
                if isinstance(value, str) or abs(value) < 1 << 63:
                    return ListingCursor(sequence, value)
    except ValueError as error:
        raise build_cursor_error(cursor) from error
    raise build_cursor_error(cursor)


def build_cursor_error(cursor: str) -> BadRequestError:
    return BadRequestError(
        f"The cursor {cursor[:_SHOWN_CHARS]!r} is not valid.",
        hint="Use `next_cursor` of the page before, or leave it out.",
    )


def parse_last_event_id(last_event_id: str | None) -> int:
    """Return the event after which a stream goes on; 0 without one.

    Raises `BadRequestError` for an id that no stream gave out.
    """
    if not last_event_id:
        return 0
    try:
        return _parse_number(last_event_id)
    except ValueError as error:
        raise BadRequestError(
            f"The Last-Event-ID {last_event_id[:_SHOWN_CHARS]!r} is not valid.",
            hint="Use the `id` of the last event that was received, or leave it out.",
        ) from error


def _parse_number(digits: str) -> int:
    """Read a number. Raises `ValueError` for one beyond what a database can hold."""
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
        raise ValueError("not a number of an event or a row")
    return int(digits)
