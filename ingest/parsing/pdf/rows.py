"""Words on one line are a row; what stands apart from each other in a row are its cells."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ingest.parsing.pdf.content import Word, typical_size

_OVERLAP = 0.5  # of the lower of two heights: as much do words of one row share
CELL_GAP = 1.0  # of the type size: a gap between words of a sentence is hardly ever so wide
_RIGHT_TO_LEFT = frozenset({"R", "AL"})
_LETTERS = frozenset({"L", "R", "AL"})


@dataclass(slots=True)
class Cell:
    """Words that stand close to each other in a row, from left to right."""

    words: list[Word]

    @property
    def left(self) -> float:
        return self.words[0].left

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(slots=True)
class Row:
    """The words of one line, from left to right, whatever way they are read."""

    words: list[Word]
    top: float
    bottom: float
    size: float = 0.0
    bold: bool = False
    cells: list[Cell] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.words[0].left

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def text(self) -> str:
        return " ".join(word.text for word in in_reading_order(self.words))


def make_rows(words: Iterable[Word]) -> list[Row]:
    """Gather words into rows, from the top down."""
    rows: list[Row] = []
    for word in sorted(words, key=lambda each: each.top + each.bottom):
        row = next((each for each in rows[: -4 if len(rows) > 3 else None : -1] if _on(each, word)), None)
        if row is None:
            rows.append(Row([word], word.top, word.bottom))
        else:
            if word.height > row.height:
                row.top, row.bottom = word.top, word.bottom
            row.words.append(word)
    for row in rows:
        row.words.sort(key=lambda each: each.left)
        row.size = typical_size(row.words)
        row.bold = sum(len(word.text) if word.bold else -len(word.text) for word in row.words) > 0
        row.cells = split_cells(row.words, CELL_GAP * row.size)
    rows.sort(key=lambda each: each.top + each.bottom)
    return rows


def _on(row: Row, word: Word) -> bool:
    shared = min(row.bottom, word.bottom) - max(row.top, word.top)
    return shared >= _OVERLAP * min(row.height, word.height)


def split_cells(words: Sequence[Word], gap: float) -> list[Cell]:
    """Cut a row's words where they are further apart than the gap."""
    cells: list[Cell] = []
    right = 0.0
    for word in words:
        if cells and word.left - right < gap:
            cells[-1].words.append(word)
        else:
            cells.append(Cell([word]))
            right = word.right
        right = max(right, word.right)
    return cells


def is_right_to_left(words: Iterable[Word]) -> bool:
    """True if more letters are of scripts that are written from right to left."""
    balance = 0
    for word in words:
        if not word.text.isascii():
            kinds = [unicodedata.bidirectional(char) for char in word.text]
            balance += sum(1 if kind in _RIGHT_TO_LEFT else -1 for kind in kinds if kind in _LETTERS)
        elif any(map(str.isalpha, word.text)):
            balance -= len(word.text)
    return balance > 0


def in_reading_order(words: Sequence[Word]) -> Sequence[Word]:
    """Return a row's words as they are read: in a row from right to left, runs of Latin words keep their order."""
    if all(word.text.isascii() for word in words) or not is_right_to_left(words):
        return words
    ordered: list[Word] = []
    run: list[Word] = []
    for word in reversed(words):
        if is_right_to_left([word]) or not any(map(str.isalnum, word.text)):
            ordered += reversed(run)
            run = []
            ordered.append(word)
        else:
            run.append(word)
    return [*ordered, *reversed(run)]
