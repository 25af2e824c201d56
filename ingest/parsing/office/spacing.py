"""Add spaces around text inserted into a line: an equation, or a picture's description."""

import re

# Marks where a space is needed unless there is one already. XML cannot contain these characters.
_BEFORE, _AFTER = "\x1e", "\x1f"
_before = re.compile(rf"(?<=[^\s{_AFTER}]){_BEFORE}")
_after = re.compile(rf"{_AFTER}(?=[\w{_BEFORE}])")


def set_apart(text: str) -> str:
    """Mark a text to be separated by spaces from the words around it."""
    return f"{_BEFORE}{text}{_AFTER}"


def apply_spacing(text: str) -> str:
    """Replace marks by spaces where they are needed."""
    if _BEFORE not in text:
        return text
    return _before.sub(" ", _after.sub(" ", text)).replace(_BEFORE, "").replace(_AFTER, "")
