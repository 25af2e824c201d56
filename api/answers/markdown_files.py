"""Writes texts into Markdown files, so that text of a model or a document does nothing when somebody opens the file."""

import re

# An opening bracket, unless it begins a citation marker such as `[1]` that is neither a link nor a link's definition.
# Without definitions, `[1][2]` is no link.
_BRACKET = re.compile(r"\[(?!\d{1,4}\](?![(:]))")
# The beginning of a tag or an autolink. Any other `<` is text.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# Signs that are syntax anywhere in a line: emphasis (an underscore within a word and an asterisk between spaces are
# text), code, brackets, struck-out text, tags, character references, and a backslash before a sign.
_SYNTAX = re.compile(
    r"[`\[]|\*(?!\s)|(?<!\s)\*|(?<![^\W_])_|_(?![^\W_])|~(?=.*~)|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\\(?=[!-/:-@\[-`{-~]|$)"
)
# Signs that are syntax only at the beginning of a line: of lists with numbers, and of headings, quotations, other
# lists and rules.
_START = re.compile(r"^(?:(\d{1,9})(?=[.)](?:\s|$))|(?=>|#{1,6}(?:\s|$)|[+-](?:\s|$)|-+$|=+$))")
_CLOSING_HASHES = re.compile(r"(?<=\s)(?=#+$)")


def escape_line(text: str) -> str:
    """Return the text on a single line, with its Markdown escaped. A sign that is no syntax where it is stays alone."""
    line = _SYNTAX.sub(r"\\\g<0>", " ".join(text.split()))
    return _CLOSING_HASHES.sub(r"\\", _START.sub(lambda match: f"{match[1] or ''}\\", line))


def escape_links(markdown: str) -> str:
    """Return Markdown without its links, images and HTML, which become plain text. Citation markers are not changed."""
    return _TAG.sub(r"\\<", _BRACKET.sub(r"\\[", markdown))


def format_code_block(text: str, language: str = "", indent: str = "") -> str:
    """Return the text as a code block whose fence is longer than any fence in the text."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "".join(f"{indent}{line}\n" for line in (fence + language, *text.splitlines(), fence))
