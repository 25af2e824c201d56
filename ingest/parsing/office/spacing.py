"""Add spaces around text inserted into a line, such as an equation or the description of a picture."""

import re

# Marks for positions where a space is needed unless the text already has one. XML cannot contain these characters.
_BEFORE, _AFTER = "\x1e", "\x1f"
_before = re.compile(rf"(?<=[^\s{_AFTER}]){_BEFORE}")
_after = re.compile(rf"{_AFTER}(?=[\w{_BEFORE}])")


def mark_spacing(text: str) -> str:
    """Mark a string so that `apply_spacing` puts spaces between it and the surrounding words."""
    return f"{_BEFORE}{text}{_AFTER}"


def apply_spacing(text: str) -> str:
    """Replace the marks of `mark_spacing` with spaces, unless there is already a space."""
    if _BEFORE not in text:
        return text
    return _before.sub(" ", _after.sub(" ", text)).replace(_BEFORE, "").replace(_AFTER, "")
