"""Blanks around what stands apart in a line of text: an equation, or a picture's description."""

import re

# Marks for where a blank is wanted unless there is one; no XML has these characters.
_BEFORE, _AFTER = "\x1e", "\x1f"
_before = re.compile(rf"(?<=[^\s{_AFTER}]){_BEFORE}")
_after = re.compile(rf"{_AFTER}(?=[\w{_BEFORE}])")


def set_apart(text: str) -> str:
    """Mark a text to stand apart from the words around it."""
    return f"{_BEFORE}{text}{_AFTER}"


def apply_spacing(text: str) -> str:
    """Put blanks where marks ask for them."""
    if _BEFORE not in text:
        return text
    return _before.sub(" ", _after.sub(" ", text)).replace(_BEFORE, "").replace(_AFTER, "")
