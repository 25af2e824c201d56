"""Maps the spans of a normalized text to their locations in the file: boxes on pages, or cells of sheets.

A map has one entry for each word of a page (or other unit whose location the parser knows), and for each cell or row of
a sheet. Entries are in reading order and do not overlap, so the entries of a span are found by bisection. They are
stored as columns of numbers, with 28 bytes per entry in memory, and about a quarter of that on disk.
"""

import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

_FORMAT = b"positions-1\n"
_ENTRY_TYPE = np.dtype([("start", "<u4"), ("end", "<u4"), ("place", "<u4"), ("at", "<f4", (4,))])
_MAX_OFFSET = 2**32 - 1
_NO_BOX = -1.0  # Value stored instead of a box's right and bottom to mark a spreadsheet cell.
_MIN_LINE_OVERLAP = 0.6  # Minimum vertical overlap of words on one line, as a fraction of the lower height.


class PositionsError(ValueError):
    """Raised if bytes are not a valid position map of the text."""


@dataclass(frozen=True)
class Box:
    """A rectangle on the page or slide `place`. Coordinates are fractions of its size, from the top left corner."""

    place: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class SheetCell:
    """A cell of the sheet `place`. Rows and columns are counted from 1; column 0 stands for the whole row."""

    place: int
    row: int
    column: int


class PositionsBuilder:
    """Collects positions in reading order.

    They are stored as numbers rather than objects, because there may be millions.
    """

    def __init__(self) -> None:
        self._spans, self._at = array("I"), array("f")

    def add(self, start: int, end: int, location: Box | SheetCell) -> None:
        """Add the location of the non-empty span `[start, end)`."""
        if start >= end:
            return
        self._spans.extend((start, end, location.place))
        if isinstance(location, Box):
            self._at.extend((location.left, location.top, location.right, location.bottom))
        else:
            self._at.extend((location.row, location.column, _NO_BOX, _NO_BOX))

    def build(self) -> "Positions":
        entries = np.empty(len(self._spans) // 3, dtype=_ENTRY_TYPE)
        spans = np.array(self._spans, dtype=np.uint32).reshape(-1, 3)
        entries["start"], entries["end"], entries["place"] = spans.T
        entries["at"] = np.array(self._at, dtype=np.float32).reshape(-1, 4)
        return Positions(entries)


class Positions:
    """The positions of a text's spans in its file."""

    def __init__(self, entries: npt.NDArray[np.void] | None = None) -> None:
        self._entries = np.empty(0, dtype=_ENTRY_TYPE) if entries is None else entries

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Positions) and bool(np.array_equal(self._entries, other._entries))

    __hash__ = None  # type: ignore[assignment]  # it is compared by its numbers

    def iter_positions_within(self, start: int, end: int) -> Iterator[tuple[int, int, Box | SheetCell]]:
        """Yield the span and location of each entry that overlaps `[start, end)`."""
        first, last = self._find_entry_range(start, end)
        for begin, stop, place, at in self._entries[first:last].tolist():
            yield begin, stop, SheetCell(place, int(at[0]), int(at[1])) if at[2] < 0 else Box(place, *at)

    def list_boxes(self, start: int, end: int) -> list[Box]:
        """List the boxes that overlap a span. The boxes of words on the same line are joined."""
        return join_boxes(at for _, _, at in self.iter_positions_within(start, end) if isinstance(at, Box))

    def list_cells(self, start: int, end: int) -> list[SheetCell]:
        """List the cells that overlap a span, in reading order."""
        return [at for _, _, at in self.iter_positions_within(start, end) if isinstance(at, SheetCell)]

    def find_sheet_row(self, start: int, end: int) -> int | None:
        """Return the number of the first row with a cell that overlaps a span, counted from 1, or None."""
        return next((at.row for _, _, at in self.iter_positions_within(start, end) if isinstance(at, SheetCell)), None)

    def list_row_ends(self, start: int, end: int) -> npt.NDArray[np.uint32]:
        """List the end of the last cell, as a code point, for each sheet row with a cell that overlaps a span."""
        first, last = self._find_entry_range(start, end)
        cells = self._entries[first:last]
        cells = cells[cells["at"][:, 2] < 0]
        rows, places = cells["at"][:, 0], cells["place"]
        is_last = np.ones(len(cells), dtype=bool)
        is_last[:-1] = (rows[1:] != rows[:-1]) | (places[1:] != places[:-1])
        ends: npt.NDArray[np.uint32] = cells["end"][is_last]
        return ends

    def _find_entry_range(self, start: int, end: int) -> tuple[int, int]:
        """Return the slice bounds of the entries that overlap `[start, end)`.

        The operands of each search have the same type, because NumPy would otherwise copy all the numbers.
        """
        starts, ends = self._bounds
        first = np.searchsorted(ends, np.uint32(min(max(0, start), _MAX_OFFSET)), side="right")
        return int(first), int(np.searchsorted(starts, np.uint32(min(max(0, end), _MAX_OFFSET)), side="left"))

    @cached_property
    def _bounds(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        return np.ascontiguousarray(self._entries["start"]), np.ascontiguousarray(self._entries["end"])

    def to_bytes(self) -> bytes:
        return _FORMAT + zlib.compress(self._entries.tobytes(), level=1)

    @classmethod
    def from_bytes(cls, content: bytes, *, character_count: int, max_bytes: int = 1 << 30) -> "Positions":
        """Parse the output of `to_bytes` for a text with this many code points.

        Raises `PositionsError` if the output is invalid.
        """
        if not content.startswith(_FORMAT):
            raise PositionsError("The positions have an unknown format.")
        inflating = zlib.decompressobj()
        try:
            raw = inflating.decompress(content[len(_FORMAT) :], max_bytes)
            entries = np.frombuffer(raw, dtype=_ENTRY_TYPE)
        except (zlib.error, ValueError) as error:
            raise PositionsError("The positions cannot be read.") from error
        if not inflating.eof:
            raise PositionsError("There are too many positions.")
        starts, ends = entries["start"].astype(np.int64), entries["end"].astype(np.int64)
        in_order = bool(np.all(starts < ends)) and bool(np.all(ends[:-1] <= starts[1:]))
        if not in_order or (len(ends) and int(ends[-1]) > character_count) or not np.all(np.isfinite(entries["at"])):
            raise PositionsError("The positions are out of order or outside the text.")
        return cls(entries)


def join_positions(position_maps: Iterable[tuple[int, Positions]]) -> Positions:
    """Join the position maps of consecutive parts of a text, each given with the start of its part in the text."""
    parts = []
    for offset, each in position_maps:
        part = each._entries.copy()
        part["start"] += offset
        part["end"] += offset
        parts.append(part)
    return Positions(np.concatenate(parts)) if parts else Positions()


def join_boxes(boxes: Iterable[Box]) -> list[Box]:
    """Join the boxes of consecutive words on the same line."""
    found: list[Box] = []
    for box in boxes:
        if found and _are_on_one_line(found[-1], box):
            found[-1] = _build_enclosing_box(found[-1], box)
        else:
            found.append(box)
    return found


def _are_on_one_line(first_box: Box, second_box: Box) -> bool:
    shared = min(first_box.bottom, second_box.bottom) - max(first_box.top, second_box.top)
    lower = min(first_box.bottom - first_box.top, second_box.bottom - second_box.top)
    return (
        first_box.place == second_box.place
        and second_box.left >= first_box.left
        and shared >= _MIN_LINE_OVERLAP * lower
    )


def _build_enclosing_box(first_box: Box, second_box: Box) -> Box:
    return Box(
        first_box.place,
        min(first_box.left, second_box.left),
        min(first_box.top, second_box.top),
        max(first_box.right, second_box.right),
        max(first_box.bottom, second_box.bottom),
    )
