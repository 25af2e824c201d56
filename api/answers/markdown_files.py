"""Writes texts into Markdown files, so that text of a model or a document does nothing when somebody opens the file."""

import re

# An opening bracket, unless it begins a citation marker such as `[1]` that is neither a link nor a link's definition.
_BRACKET = re.compile(r"\[(?!\d{1,4}\](?![(\[:]))")


def escape_line(text: str) -> str:
    """Return the text on a single line, with all Markdown escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#+!|~-])", r"\\\1", " ".join(text.split()))


def escape_links(markdown: str) -> str:
    """Return Markdown without its links, images and HTML, which become plain text. Citation markers are not changed."""
    return _BRACKET.sub(r"\\[", markdown).replace("<", r"\<")


def format_code_block(text: str, language: str = "", indent: str = "") -> str:
    """Return the text as a code block whose fence is longer than any fence in the text."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "".join(f"{indent}{line}\n" for line in (fence + language, *text.splitlines(), fence))
