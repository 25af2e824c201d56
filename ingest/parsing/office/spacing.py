"""Add spaces around text inserted into a line: an equation, or a picture's description."""

import re

# These characters mark positions where a space is needed unless there already is one. XML cannot contain them.
_BEFORE, _AFTER = "\x1e", "\x1f"
_before = re.compile(rf"(?<=[^\s{_AFTER}]){_BEFORE}")
_after = re.compile(rf"{_AFTER}(?=[\w{_BEFORE}])")


def set_apart(text: str) -> str:
    """Mark a string so that `apply_spacing` separates it from the surrounding words with spaces."""
    return f"{_BEFORE}{text}{_AFTER}"


def apply_spacing(text: str) -> str:
    """Replace the marks set by `set_apart` with spaces where spaces are needed."""
    if _BEFORE not in text:
        return text
    return _before.sub(" ", _after.sub(" ", text)).replace(_BEFORE, "").replace(_AFTER, "")
