"""Cursors of listings: where the next page begins."""

import base64
import binascii

from api.problems import BadRequestError


def encode_cursor(sequence: int) -> str:
    """Opaque to clients: what it means may change."""
    return base64.urlsafe_b64encode(str(sequence).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int:
    """Raises `BadRequestError` for a cursor that no listing gave out."""
    if cursor is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadRequestError(
            f"The cursor {cursor!r} is not valid.", hint="Use `next_cursor` of the page before, or leave it out."
        ) from error
