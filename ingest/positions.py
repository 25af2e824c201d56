"""Where each piece of a normalized text stands in its file: a box on a page, or a cell of a sheet.

A map has one entry for each word of a page (or whatever a parser knows the place of) and each cell or row of a sheet.
Entries are in reading order and do not overlap, so that a span of code points finds its boxes by bisection. It is kept
as columns of numbers: 28 bytes an entry, and about a quarter of that on disk.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_FORMAT = b"positions-1\n"
_ROW = np.dtype([("start", "<u4"), ("end", "<u4"), ("place", "<u4"), ("at", "<f4", (4,))])
_PACK = 10_000
_NO_BOX = -1.0  # in place of a box's right and bottom, for a cell
_SAME_LINE = 0.6  # of the lower of two heights: as much must two words share to stand on one line


class PositionsError(ValueError):
    """The bytes are no map of positions of such a text."""


@dataclass(frozen=True)
class Box:
    """A rectangle on a page or slide, in fractions of its width and height from the top left corner."""

    place: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Cell:
    """A cell of a sheet, by row and column from 1; a column of 0 stands for the whole row."""

    place: int
    row: int
    column: int


@dataclass
class PositionsBuilder:
    """Collects positions in reading order; all but the latest are held as columns."""

    _entries: list[tuple[int, int, int, tuple[float, float, float, float]]] = field(default_factory=list)
    _packed: list[npt.NDArray[np.void]] = field(default_factory=list)

    def add(self, start: int, end: int, at: Box | Cell) -> None:
        """Say where the non-empty span `[start, end)` stands."""
        if start >= end:
            return
        if isinstance(at, Box):
            four = at.left, at.top, at.right, at.bottom
        else:
            four = float(at.row), float(at.column), _NO_BOX, _NO_BOX
        self._entries.append((start, end, at.place, four))
        if len(self._entries) >= _PACK:
            self._pack()

    def made(self) -> "Positions":
        self._pack()
        return Positions(np.concatenate(self._packed))

    def _pack(self) -> None:
        self._packed.append(np.array(self._entries, dtype=_ROW))
        self._entries = []


class Positions:
    """The positions of one text."""

    def __init__(self, entries: npt.NDArray[np.void] | None = None) -> None:
        self._entries = np.empty(0, dtype=_ROW) if entries is None else entries

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Positions) and bool(np.array_equal(self._entries, other._entries))

    __hash__ = None  # type: ignore[assignment]  # it is compared by its numbers

    def within(self, start: int, end: int) -> Iterator[tuple[int, int, Box | Cell]]:
        """Yield each entry that has a code point in `[start, end)`, with its own span."""
        first = int(np.searchsorted(self._entries["end"], start, side="right"))
        last = int(np.searchsorted(self._entries["start"], end, side="left"))
        for begin, stop, place, at in self._entries[first:last].tolist():
            yield begin, stop, Cell(place, int(at[0]), int(at[1])) if at[2] < 0 else Box(place, *at)

    def boxes(self, start: int, end: int) -> list[Box]:
        """Return the boxes of a span, those of words on one line joined into one."""
        return joined_boxes(at for _, _, at in self.within(start, end) if isinstance(at, Box))

    def cells(self, start: int, end: int) -> list[Cell]:
        """Return the cells of a span, in reading order."""
        return [at for _, _, at in self.within(start, end) if isinstance(at, Cell)]

    def to_bytes(self) -> bytes:
        return _FORMAT + zlib.compress(self._entries.tobytes(), level=1)

    @classmethod
    def from_bytes(cls, content: bytes, *, characters: int, max_bytes: int = 1 << 30) -> "Positions":
        """Read what `to_bytes` wrote, of a text of that many code points. Raises `PositionsError`."""
        if not content.startswith(_FORMAT):
            raise PositionsError("The positions are of another format.")
        inflating = zlib.decompressobj()
        try:
            raw = inflating.decompress(content[len(_FORMAT) :], max_bytes)
            entries = np.frombuffer(raw, dtype=_ROW)
        except (zlib.error, ValueError) as error:
            raise PositionsError("The positions cannot be read.") from error
        if not inflating.eof:
            raise PositionsError("There are too many positions.")
        starts, ends = entries["start"].astype(np.int64), entries["end"].astype(np.int64)
        in_order = bool(np.all(starts < ends)) and bool(np.all(ends[:-1] <= starts[1:]))
        if not in_order or (len(ends) and int(ends[-1]) > characters) or not np.all(np.isfinite(entries["at"])):
            raise PositionsError("The positions are out of order, or outside the text.")
        return cls(entries)


def joined(maps: Iterable[tuple[int, Positions]]) -> Positions:
    """Join the maps of parts of a text, each with the code point at which its part starts, in reading order."""
    parts = []
    for offset, each in maps:
        part = each._entries.copy()
        part["start"] += offset
        part["end"] += offset
        parts.append(part)
    return Positions(np.concatenate(parts)) if parts else Positions()


def joined_boxes(boxes: Iterable[Box]) -> list[Box]:
    """Join the boxes of words that follow each other on one line."""
    found: list[Box] = []
    for box in boxes:
        if found and _on_one_line(found[-1], box):
            found[-1] = _around(found[-1], box)
        else:
            found.append(box)
    return found


def _on_one_line(one: Box, other: Box) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    lower = min(one.bottom - one.top, other.bottom - other.top)
    return one.place == other.place and other.left >= one.left and shared >= _SAME_LINE * lower


def _around(one: Box, other: Box) -> Box:
    return Box(
        one.place,
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
    )
