"""The console of all commands: it never cuts text in a pipe, and names cannot control the terminal."""

import unicodedata
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

# Wide enough for every table: rich takes 80 columns for a file or pipe, and cuts cells that do not fit.
_PIPE_COLUMNS = 10_000
# Unicode bidirectional classes of characters that reorder the surrounding text. With such characters, a document could
# make a terminal line read differently from its actual content.
_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


class Console(rich.console.Console):
    """A console that prints no control characters except its own, and wraps text on terminals only."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich declares them.
        super().__init__(**options)
        if not self.is_terminal and "width" not in options:
            self.width = _PIPE_COLUMNS

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render without control characters that are part of a text."""
        # guard: terminal-controls
        return (
            each if each.control else each._replace(text=remove_control_chars(each.text))
            for each in super().render(renderable, options)
        )


def remove_control_chars(text: str) -> str:
    """Remove characters that could control the terminal or reorder text."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char in "\n\t" or not _is_control(char))


def _is_control(char: str) -> bool:
    return unicodedata.category(char) == "Cc" or unicodedata.bidirectional(char) in _BIDI_CONTROLS
