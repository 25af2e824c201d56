"""Where a chunk stands in its text, for splitters that do not say it."""

# The id of a text, and the span of the chunk in it.
Passage = tuple[str, int, int]


class Spans:
    """Finds chunks, in reading order, in a text from which they differ in white space alone."""

    def __init__(self, text: str) -> None:
        self._positions = [position for position, character in enumerate(text) if not character.isspace()]
        self._text = "".join(text.split())
        self._from = 0

    def of(self, chunk: str) -> tuple[int, int]:
        """Return the chunk's first place after the one before it began. Raises `ValueError` if there is none."""
        wanted = "".join(chunk.split())
        at = self._text.index(wanted, self._from)
        self._from = at + 1
        return self._positions[at], self._positions[at + len(wanted) - 1] + 1
