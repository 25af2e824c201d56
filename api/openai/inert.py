"""Neutralizes Markdown while it is streamed, piece by piece and without changing any offset.

Clients of OpenAI's protocols render Markdown themselves. A document may contain instructions that make the model write
an image, and the image's address can send the text that the model has read to another server. A character that starts
an image, a link, an address or HTML is therefore replaced by its full-width form. Each replacement is one code point,
so that the offsets of markers and sentences do not change.
"""

_FULL_WIDTH = {"!": "！", "(": "（", ":": "：", "<": "＜", ".": "．", "/": "／"}


class MarkdownNeutralizer:
    """Neutralizes the pieces of a text in order. The last character is held back until the next character is known."""

    def __init__(self) -> None:
        self._held = ""
        self._line = ""  # The end of the current line, which may become a definition or a bare address.

    def feed(self, piece: str) -> str:
        """Add a piece, and return the text whose neutralized form is already certain."""
        text = self._held + piece
        if not text:
            return ""
        self._held = text[-1]
        return self._neutralize(text[:-1], text[-1])

    def finish(self) -> str:
        """Return the remaining text."""
        text, self._held = self._held, ""
        return self._neutralize(text, "")

    def _neutralize(self, text: str, next_char: str) -> str:
        out: list[str] = []
        for at, char in enumerate(text):
            after = text[at + 1] if at + 1 < len(text) else next_char
            out.append(_FULL_WIDTH[char] if self._starts_markup(char, after) else char)
            self._line = "" if char == "\n" else (self._line + char)[-_MAX_LOOKBEHIND:]
        return "".join(out)

    def _starts_markup(self, char: str, next_char: str) -> bool:
        before = self._line[-1:]
        if char == "!":
            return next_char == "["
        if char == "(":
            return before == "]"
        if char == "/":
            return before == ":"
        if char == ":":
            return before == "]" or next_char == "/"
        if char == "<":
            return next_char.isalpha() or next_char in ("/", "!", "?")
        return char == "." and self._line[-3:].casefold() == "www"


_MAX_LOOKBEHIND = 3


def neutralize_markdown(text: str) -> str:
    """Return the text without anything that a Markdown renderer would load, link or run."""
    made = MarkdownNeutralizer()
    return made.feed(text) + made.finish()


def escape_markdown_in_json(text: str) -> str:
    """Return the JSON text with the same characters as JSON escapes instead, so that its value does not change."""
    safe = neutralize_markdown(text)
    # guard: inert-json
    return "".join(f"\\u{ord(was):04x}" if was != now else was for was, now in zip(text, safe, strict=True))
