"""Cursors of listings, where the next page begins, and ids of events, where a stream goes on."""

import base64
import binascii

from api.problems import BadRequestError

_MAX_DIGITS = 18  # what fits 64 bits, whatever the digits are
_SHOWN_CHARS = 100


def encode_cursor(sequence: int) -> str:
    """Opaque to clients: what it means may change."""
    return base64.urlsafe_b64encode(str(sequence).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int:
    """Raises `BadRequestError` for a cursor that no listing gave out."""
    if cursor is None:
        return 0
    try:
        return _number(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error) as error:
        raise BadRequestError(
            f"The cursor {cursor[:_SHOWN_CHARS]!r} is not valid.",
            hint="Use `next_cursor` of the page before, or leave it out.",
        ) from error


def event_number(last_event_id: str | None) -> int:
    """The event after which a stream goes on; 0 without one.

    Raises `BadRequestError` for an id that no stream gave out.
    """
    if not last_event_id:
        return 0
    try:
        return _number(last_event_id)
    except ValueError as error:
        raise BadRequestError(
            f"The Last-Event-ID {last_event_id[:_SHOWN_CHARS]!r} is not valid.",
            hint="Use the `id` of the last event that was received, or leave it out.",
        ) from error


def _number(digits: str) -> int:
    """Raises `ValueError` for what no database counts to."""
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
        raise ValueError("not a number of an event or a row")
    return int(digits)
