"""Checks strings and numbers from clients before they are stored. All interfaces pass their input through here.

Strings must be valid Unicode without lone surrogates and NUL characters, because databases and encodings reject these.
Numbers must be finite and fit in 64 bits. JSON must not be nested deeper than `MAX_DEPTH`, which is checked before the
JSON is parsed.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ingest.storage.errors import InputError

MAX_DEPTH = 32
# Limits on a document's metadata. Every listing includes the metadata in full.
MAX_METADATA_BYTES = 64 * 1024
MAX_METADATA_MEMBERS = 256
MAX_METADATA_NAME_CHARS = 256

_BAD_TEXT = re.compile("[\0\ud800-\udfff]")
_MAX_INT64 = 2**63 - 1
_MAX_INT64_DIGITS = len(str(_MAX_INT64))
# Matches strings and brackets in JSON. With possessive quantifiers, a string is skipped in one step without
# backtracking, even if the string is unterminated.
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def check_text(text: str, location: str) -> str:
    """Return the string if it is valid, otherwise raise `InputError`. `location` is the string's location."""
    bad = _BAD_TEXT.search(text)
    if bad is None:
        return text
    what = "the character NUL" if bad[0] == "\0" else "a lone surrogate, which is not a character"
    raise InputError(location, f"The string must be valid Unicode, but it contains {what}.")


def check_number(number: float, location: str) -> None:
    """Raise `InputError` if a number is not finite or does not fit in 64 bits."""
    if isinstance(number, float) and not math.isfinite(number):
        raise InputError(location, "The number must be finite.")
    if isinstance(number, int) and not -_MAX_INT64 <= number <= _MAX_INT64:
        raise InputError(location, "The integer must fit in 64 bits.")


def check_value(value: object, location: str, *, depth: int = MAX_DEPTH) -> None:
    """Check every string, number and field name in a JSON value. Raises `InputError` if one is not valid."""
    if isinstance(value, str):
        check_text(value, location)
    elif isinstance(value, int | float):
        check_number(value, location)
    elif isinstance(value, Mapping | list | tuple):
        if depth == 0:
            raise InputError(location, f"JSON can be nested at most {MAX_DEPTH} levels deep.")
        members = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, member in members:
            if isinstance(name, str):
                check_text(name, location)
            check_value(member, f"{location}.{name}", depth=depth - 1)


def parse_json(body: bytes, location: str) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON in UTF-8. Raises `InputError` if it is not strict JSON or contains values that cannot be stored."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            location, f"JSON must be encoded in UTF-8; the byte at position {error.start} is invalid."
        ) from error
    # guard: json-depth
    _require_limited_depth(text, location)
    suspicious = "\\u" in text

    def parse_number(digits: str) -> float | int:
        nonlocal suspicious
        # A longer number is not converted, because the conversion takes time quadratic in the number of digits.
        value = math.inf if len(digits) > _MAX_INT64_DIGITS + 1 else int(digits)
        suspicious = suspicious or abs(value) > _MAX_INT64
        return value

    def parse_fraction(digits: str) -> float:
        nonlocal suspicious
        value = float(digits)
        suspicious = suspicious or not math.isfinite(value)
        return value

    try:
        value = json.loads(text, parse_int=parse_number, parse_float=parse_fraction, parse_constant=parse_fraction)
    except json.JSONDecodeError as error:
        raise InputError(location, f"Invalid JSON: {error.msg} at character {error.pos}.") from error
    if suspicious:
        # guard: inbound-text
        check_value(value, location)
    return value


def parse_metadata_json(text: bytes, location: str = "metadata") -> dict[str, Any]:
    """Parse a document's metadata: a JSON object whose values are scalars or lists of scalars.

    Raises `InputError` if the metadata is not valid.
    """
    if len(text) > MAX_METADATA_BYTES:
        raise InputError(location, f"Metadata can have up to {MAX_METADATA_BYTES:,} bytes.")
    value = parse_json(text, location)
    check_metadata(value, location)
    return dict(value)


def check_metadata(value: object, location: str = "metadata") -> None:
    """Raise `InputError` unless the value is an object of scalars or lists of scalars, within the limits."""
    if not isinstance(value, Mapping):
        raise InputError(location, 'Metadata must be a JSON object, such as {"year": 1815}.')
    if len(value) > MAX_METADATA_MEMBERS:
        raise InputError(location, f"Metadata can have up to {MAX_METADATA_MEMBERS} fields.")
    for name, member in value.items():
        if not 0 < len(name) <= MAX_METADATA_NAME_CHARS:
            raise InputError(location, f"The name of a field must have 1 to {MAX_METADATA_NAME_CHARS} characters.")
        if not all(isinstance(each, str | int | float) for each in (member if isinstance(member, list) else [member])):
            raise InputError(
                f"{location}.{name}", "The value must be a string, a number, a boolean, or a list of these."
            )
    check_value(value, location)


def _require_limited_depth(text: str, location: str) -> None:
    depth = 0
    for found in _STRUCTURE.finditer(text):
        first = found[0][0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InputError(location, f"JSON can be nested at most {MAX_DEPTH} levels deep.")
        elif first in "]}":
            depth -= 1
