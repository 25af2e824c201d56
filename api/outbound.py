"""Makes values of any age fit to be sent: what was stored before it was checked must not break a reply."""

import math
import re
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sendable_text(text: str) -> str:
    """Return the text with the replacement character for each half of a surrogate pair."""
    return _SURROGATE.sub(_REPLACEMENT, text)


def sendable(value: Any) -> Any:  # noqa: ANN401 - of any kind
    """Return a JSON value with `sendable_text`, and null for numbers that are not finite; anything else as it is."""
    if isinstance(value, str):
        return sendable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {sendable(name): sendable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [sendable(member) for member in value]
    return value
