"""What a cell printed, kept to its head and its tail."""


class CappedOutput:
    """Keeps the first and the last characters of what is written to it; memory is bounded however much is written."""

    def __init__(self, max_characters: int) -> None:
        self._head_room = max_characters - max_characters // 4
        self._tail_room = max_characters // 4
        self._head: list[str] = []
        self._tail = ""
        self.characters = 0

    def write(self, text: str) -> None:
        self.characters += len(text)
        kept, rest = text[: self._head_room], text[self._head_room :]
        if kept:
            self._head.append(kept)
            self._head_room -= len(kept)
        if rest:
            self._tail = (self._tail + rest[-self._tail_room :])[-self._tail_room :]

    def text(self) -> str:
        """The whole of it, or head and tail with a line between them that says how much was left out."""
        head = "".join(self._head)
        left_out = self.characters - len(head) - len(self._tail)
        if left_out <= 0:
            return head + self._tail
        return f"{head}\n… [{left_out:,} of {self.characters:,} characters left out] …\n{self._tail}"
