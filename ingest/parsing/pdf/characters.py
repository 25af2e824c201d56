"""Reads a page's words with their boxes and type from PDFium."""

from dataclasses import dataclass, field
from math import atan2, hypot, pi

import numpy as np
import numpy.typing as npt
from pypdfium2 import PdfPage

from ingest.parsing.pdf import pdfium
from ingest.parsing.pdf.content import PageContent, Word
from ingest.parsing.pdf.pdfium import TextPage
from ingest.positions import Box

_INVISIBLE_MODES = (3, 7)  # text rendering modes that draw nothing (ISO 32000-1, table 106)
_AS_HYPHENS = {0x2: "-", 0xAD: "-"}  # where PDFium says that a line divides a word, and soft hyphens that are drawn
_SPACES = np.array(
    [0x9, 0xA, 0xB, 0xC, 0xD, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000],
    np.uint32,
)
_APART = 0.5  # of the height of a letter: letters of one word are never so far from each other
_BOLD_WEIGHT = 600
_BOLD_NAMES = ("bold", "black", "heavy", "semibd", "demi")
_SLANTED = 0.1  # of a quarter turn
_UNREADABLE = "\ufffd"
_SMALLEST_SIZE = 1.0  # smaller type cannot be seen


@dataclass(frozen=True)
class PageFrame:
    """The page's box in its own coordinates, and by how many quarter turns to the right it is shown turned."""

    left: float
    bottom: float
    right: float
    top: float
    turns: int

    @property
    def size(self) -> tuple[float, float]:
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.turns % 2 else (width, height)

    def shown(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn rows of left, top, right, bottom in the page's coordinates into those of the page as it is shown."""
        left, top, right, bottom = boxes.T
        if self.turns == 0:
            four = left - self.left, self.top - top, right - self.left, self.top - bottom
        elif self.turns == 1:
            four = bottom - self.bottom, left - self.left, top - self.bottom, right - self.left
        elif self.turns == 2:
            four = self.right - right, bottom - self.bottom, self.right - left, top - self.bottom
        else:
            four = self.top - top, self.right - right, self.top - bottom, self.right - left
        return np.stack(four, axis=1)


def page_frame(page: PdfPage) -> PageFrame:
    left, bottom, right, top = page.get_bbox()
    return PageFrame(left, bottom, max(right, left + 1), max(top, bottom + 1), (page.get_rotation() // 90) % 4)


@dataclass
class Fonts:
    """What is known of a document's fonts, by their address while it is open."""

    names: dict[int, str] = field(default_factory=dict)
    bold: dict[int, bool] = field(default_factory=dict)
    mapped: dict[tuple[int, int], bool] = field(default_factory=dict)

    def look_up(self, font: int) -> None:
        if font not in self.names:
            name = pdfium.font_name(font).partition("+")[2] or pdfium.font_name(font)
            heavy = pdfium.font_weight(font) >= _BOLD_WEIGHT
            self.names[font] = name or "unnamed"
            self.bold[font] = heavy or any(each in name.casefold() for each in _BOLD_NAMES)


@dataclass
class _Type:
    font: int = 0
    size: float = 0.0
    turn: int = 0
    invisible: bool = False


def read_words(page: PdfPage, content: PageContent, fonts: Fonts, *, keep_invisible: bool) -> None:
    """Add the words to a page's content, in the order in which the file draws them.

    `keep_invisible` is for scanned pages, whose text layer is drawn invisibly over the picture.
    """
    text_page = page.get_textpage()
    try:
        _Reader(TextPage(pdfium.address(text_page)), page_frame(page), content, fonts, keep_invisible).read()
    finally:
        text_page.close()


class _Reader:
    def __init__(
        self, text: TextPage, frame: PageFrame, content: PageContent, fonts: Fonts, keep_invisible: bool
    ) -> None:
        self._text = text
        self._frame = frame
        self._content = content
        self._fonts = fonts
        self._keep_invisible = keep_invisible
        self._object = -1
        self._type = _Type()

    def read(self) -> None:
        codes = self._text.codes()
        if not len(codes):
            return
        boxes = self._text.boxes()
        starts, ends = _word_spans(codes, boxes)
        if not len(starts):
            return
        boxes = _without_wild(self._text, boxes)
        around = _boxes_around(boxes, starts, ends)
        shown = self._frame.shown(around)
        codes = _ligatures_in_order(codes, boxes)
        text = codes.astype("<u4").tobytes().decode("utf-32-le", "replace")
        for start, end, four in zip(starts.tolist(), ends.tolist(), shown.tolist(), strict=True):
            self._add(text[start:end], start, four)

    def _add(self, text: str, start: int, four: list[float]) -> None:
        content = self._content
        self._look_at(start)
        left, top, right, bottom = four
        width, height = content.width, content.height
        outside = not (0 <= (left + right) / 2 <= width and 0 <= (top + bottom) / 2 <= height)
        if outside or self._type.size < _SMALLEST_SIZE or (self._type.invisible and not self._keep_invisible):
            content.hidden += len(text)
            return
        text = self._readable(text, start)
        if not text:
            return
        left, right = max(0.0, left), min(width, right)
        top, bottom = max(0.0, top), min(height, bottom)
        box = Box(content.number, left / width, top / height, right / width, bottom / height)
        bold = self._fonts.bold[self._type.font]
        content.words.append(Word(text, left, top, right, bottom, self._type.size, bold, self._type.turn, box))

    def _look_at(self, index: int) -> None:
        """Find the type of the word that starts there; words of one text object share it."""
        text_object = self._text.text_object(index)
        if text_object == self._object and text_object:
            return
        self._object = text_object
        font = pdfium.text_object_font(text_object) if text_object else 0
        if font:
            self._fonts.look_up(font)
        else:
            self._fonts.names.setdefault(0, "unnamed")
            self._fonts.bold.setdefault(0, False)
        a, b, c, d = self._text.matrix(index)[:4]
        size = round(self._text.font_size(index) * (hypot(c, d) or 1.0) * 2) / 2
        quarters = atan2(b, a) / (pi / 2) - self._frame.turns
        turn = round(quarters)
        slanted = abs(quarters - turn) > _SLANTED
        invisible = bool(text_object) and pdfium.render_mode(text_object) in _INVISIBLE_MODES
        self._type = _Type(font, abs(size), 4 if slanted else turn % 4, invisible)

    def _readable(self, text: str, start: int) -> str:
        """Return the text with what its font has no Unicode for replaced; nothing if that is all of it."""
        font, mapped = self._type.font, self._fonts.mapped
        bad = []
        for number, char in enumerate(text):
            key = font, ord(char)
            known = mapped.get(key)
            if known is None:
                known = mapped[key] = not self._text.is_unmapped(start + number)
            if not known:
                bad.append(number)
        if bad:
            name = self._fonts.names[font]
            self._content.unreadable[name] = self._content.unreadable.get(name, 0) + len(bad)
            if len(bad) == len(text):
                return ""
            text = "".join(_UNREADABLE if number in bad else char for number, char in enumerate(text))
        return text.translate(_AS_HYPHENS)


def _word_spans(
    codes: npt.NDArray[np.uint32], boxes: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cut the characters into words, at white space and where two letters are not beside each other."""
    inside = ~(np.isin(codes, _SPACES) | ((codes < 0x20) & (codes != 0x2) & (boxes[:, 0] == boxes[:, 2])))
    if not np.any(inside):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left, top, right, bottom = boxes.T
    em = np.maximum(top - bottom, 0.1)
    beside = np.maximum(left[1:] - right[:-1], left[:-1] - right[1:])
    above = np.maximum(bottom[1:] - top[:-1], bottom[:-1] - top[1:])
    apart = np.maximum(beside, above) > _APART * np.minimum(em[1:], em[:-1])
    begins = inside.copy()
    begins[1:] &= ~inside[:-1] | apart
    stops = inside.copy()
    stops[:-1] &= ~inside[1:] | apart
    return np.flatnonzero(begins), np.flatnonzero(stops) + 1


def _ligatures_in_order(codes: npt.NDArray[np.uint32], boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Put the letters of a right-to-left ligature into the order of writing; PDFium turns them around with the line.

    Letters of one ligature have one box.
    """
    leftward = (codes >= 0x590) & (codes <= 0x8FF)
    same = leftward[1:] & leftward[:-1] & np.all(boxes[1:] == boxes[:-1], axis=1) & (boxes[1:, 0] < boxes[1:, 2])
    for at in np.flatnonzero(same).tolist():
        codes[at], codes[at + 1] = codes[at + 1], codes[at]
    return codes


def _without_wild(text: TextPage, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take what is drawn of a character where its font's height makes no sense."""
    height = boxes[:, 1] - boxes[:, 3]
    usual = float(np.median(height))
    for index in np.flatnonzero((height <= 0.01) | (height > 6 * max(usual, 1.0))).tolist():
        boxes[index] = text.tight_box(index)
    return boxes


def _boxes_around(
    boxes: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    cuts = np.empty(2 * len(starts), np.int64)
    cuts[0::2], cuts[1::2] = starts, ends
    padded = np.vstack([boxes, boxes[-1:]])  # so that an end can be the last index
    lower = np.minimum.reduceat(padded, cuts)[0::2]
    upper = np.maximum.reduceat(padded, cuts)[0::2]
    return np.stack([lower[:, 0], upper[:, 1], upper[:, 2], lower[:, 3]], axis=1)
