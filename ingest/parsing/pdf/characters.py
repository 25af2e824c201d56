"""Read a page's words from PDFium, with their bounding boxes, font size and weight."""

import re
import unicodedata
from dataclasses import dataclass, field
from math import atan2, hypot, pi

import numpy as np
import numpy.typing as npt
from pypdfium2 import PdfPage

from ingest.parsing.pdf import pdfium
from ingest.parsing.pdf.constants import (
    INVISIBLE_RENDERING_MODES,
    LETTER_GAP_RATIO,
    MAX_HEIGHT_RATIO,
    MIN_BOLD_WEIGHT,
    MIN_TYPE_SIZE,
    NO_CHARACTER,
    NOTE_MARK_HEIGHT_RATIO,
    PDFIUM_HYPHEN,
    REDRAWN_OFFSET_RATIO,
    SLANTED_TURN,
    SOFT_HYPHEN,
    TOUCHING_GAP_RATIO,
    WHITE_SPACE,
)
from ingest.parsing.pdf.content import PageContent, Word
from ingest.parsing.pdf.pdfium import TextPage
from ingest.storage.texts.positions import Box

# Replacements of characters: PDFium's code for a hyphen that divides a word at a line end and soft hyphens that the
# page draws become hyphens.
_REPLACEMENTS = {PDFIUM_HYPHEN: "-", SOFT_HYPHEN: "-", NO_CHARACTER: None}
_SPACES = np.array(WHITE_SPACE, np.uint32)
# Matches the names of bold fonts, because the weights of fonts may be wrong. "Medi" is Nimbus bold, and "BX" (bold
# extended) is Computer Modern bold.
_BOLD_NAME = re.compile(r"bold|black|heavy|demi|semibd|-medi(?!um)|^(?:cm|sf|ec|lm)[a-z]{0,3}bx", re.IGNORECASE)
_UNREADABLE = "\ufffd"


@dataclass(frozen=True)
class PageFrame:
    """A page's bounding box in its own coordinates, and the number of clockwise quarter turns for display."""

    left: float
    bottom: float
    right: float
    top: float
    turns: int

    @property
    def size(self) -> tuple[float, float]:
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.turns % 2 else (width, height)

    def map_boxes(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map boxes (rows of left, top, right, bottom) from page coordinates to displayed coordinates."""
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


def get_page_frame(page: PdfPage) -> PageFrame:
    """Return a page's bounding box and rotation."""
    left, bottom, right, top = page.get_bbox()
    return PageFrame(left, bottom, max(right, left + 1), max(top, bottom + 1), (page.get_rotation() // 90) % 4)


@dataclass
class Fonts:
    """Names and properties of a page's fonts, keyed by font address, which is valid only while the page is open."""

    names: dict[int, str] = field(default_factory=dict)
    bold: dict[int, bool] = field(default_factory=dict)
    mapped: dict[int, set[str]] = field(default_factory=dict)  # Characters that have a Unicode mapping.
    coded: dict[int, bool] = field(default_factory=dict)  # Whether the codes of unmapped characters are code points.

    def load_font(self, font: int) -> None:
        """Load a font's name and weight if they are not loaded yet."""
        if font not in self.names:
            name = pdfium.get_font_name(font).partition("+")[2] or pdfium.get_font_name(font)
            heavy = pdfium.get_font_weight(font) >= MIN_BOLD_WEIGHT
            self.names[font] = name or "unnamed"
            self.bold[font] = heavy or _BOLD_NAME.search(name) is not None


@dataclass
class _WordStyle:
    font: int = 0
    size: float = 0.0
    turn: int = 0
    invisible: bool = False


def read_words(page: PdfPage, content: PageContent, *, keep_invisible: bool) -> None:
    """Add the words to a page's content, in the order in which the file draws them.

    Set `keep_invisible` for scanned pages, which have an invisible text layer over the image.
    """
    text_page = page.get_textpage()
    try:
        _WordReader(
            TextPage(pdfium.get_object_address(text_page)), get_page_frame(page), content, keep_invisible
        ).read_words()
    finally:
        text_page.close()


class _WordReader:
    def __init__(self, text: TextPage, frame: PageFrame, content: PageContent, keep_invisible: bool) -> None:
        self._text = text
        self._frame = frame
        self._content = content
        self._fonts = Fonts()
        self._keep_invisible = keep_invisible
        self._object = -1
        self._type = _WordStyle()
        self._codes, self._spans = "", [(0, 0)]
        # Positions of words, by the word's text and top edge.
        self._places: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def read_words(self) -> None:
        codes = self._text.read_code_points()
        if not len(codes):
            return
        boxes = self._text.read_character_boxes()
        _remove_false_spaces(self._text, codes, boxes)
        starts, ends = _find_word_spans(codes, boxes)
        if not len(starts):
            return
        _replace_implausible_boxes(self._text, codes, boxes)
        text = _reorder_ligatures(codes, boxes).astype("<u4").tobytes().decode("utf-32-le", "replace")
        self._codes, self._spans = text, list(zip(starts.tolist(), ends.tolist(), strict=True))
        size = np.array(2 * self._frame.size, np.float32)
        shown = self._frame.map_boxes(_compute_word_boxes(boxes, starts, ends))
        middles = (shown[:, :2] + shown[:, 2:]) / 2
        inside = np.all((middles >= 0) & (middles <= size[:2]), axis=1)
        shown = np.clip(shown, 0, size)
        columns = shown, shown / size, inside, _find_vertical_words(boxes, starts, ends)
        for (start, end), *each in zip(self._spans, *(column.tolist() for column in columns), strict=True):
            self._add_word(text[start:end], start, *each)

    def _add_word(
        self,
        text: str,
        start: int,
        edges: list[float],
        page_fractions: list[float],
        is_inside_page: bool,
        is_vertical: bool,
    ) -> None:
        content = self._content
        self._read_word_style(start)
        kind = self._type
        # guard: pdf-invisible-text
        if not is_inside_page or kind.size < MIN_TYPE_SIZE or (kind.invisible and not self._keep_invisible):
            content.hidden += len(text)
        elif readable := self._replace_unmapped_characters(text, start):
            box = Box(content.number, page_fractions[0], page_fractions[1], page_fractions[2], page_fractions[3])
            left, top, right, bottom = edges
            if self._is_already_drawn(readable, left, top, kind.size):
                return
            turn = kind.turn
            if is_vertical and (turn + self._frame.turns) % 4 == 0:  # Treat it like text that is rotated clockwise.
                turn = (turn + 3) % 4
            bold = self._fonts.bold[kind.font]
            content.words.append(Word(readable, left, top, right, bottom, kind.size, bold, turn, box))

    def _is_already_drawn(self, text: str, left: float, top: float, font_size: float) -> bool:
        """Return whether a word was already drawn at this position, as some pages do for bold text or a shadow.

        If it was not, its position is recorded.
        """
        most = REDRAWN_OFFSET_RATIO * font_size
        for height in range(round(top - most), round(top + most) + 1):
            for x, y in self._places.get((text, height), ()):
                if abs(left - x) <= most and abs(top - y) <= most:
                    return True
        self._places.setdefault((text, round(top)), []).append((left, top))
        return False

    def _read_word_style(self, index: int) -> None:
        """Read the font, size and rotation of the word that starts at `index`, unless its text object was just read."""
        text_object = self._text.get_text_object(index)
        if text_object == self._object and text_object:
            return
        self._object = text_object
        font = pdfium.get_text_object_font(text_object) if text_object else 0
        if font:
            self._fonts.load_font(font)
        else:
            self._fonts.names.setdefault(0, "unnamed")
            self._fonts.bold.setdefault(0, False)
        a, b, c, d = self._text.get_text_matrix(index)[:4]
        size = round(self._text.get_font_size(index) * (hypot(c, d) or 1.0) * 2) / 2
        if size < 0:  # A negative size cancels the matrix's rotation, so the letters are upright.
            a, b = -a, -b
        quarters = atan2(b, a) / (pi / 2) - self._frame.turns
        turn = round(quarters)
        slanted = abs(quarters - turn) > SLANTED_TURN
        invisible = bool(text_object) and pdfium.get_text_render_mode(text_object) in INVISIBLE_RENDERING_MODES
        self._type = _WordStyle(font, abs(size), 4 if slanted else turn % 4, invisible)

    def _replace_unmapped_characters(self, text: str, start: int) -> str:
        """Replace the characters of a word that the font does not map to Unicode.

        Returns an empty string if a word of several characters has no mapped character. A single unmapped character is
        kept, because it may be a list mark.
        """
        font = self._type.font
        known = self._fonts.mapped.setdefault(font, {chr(NO_CHARACTER)})
        if not known.issuperset(text):
            bad = {
                at for at, char in enumerate(text) if char not in known and self._text.is_unmapped_character(start + at)
            }
            known.update(char for at, char in enumerate(text) if at not in bad)
            if bad and self._uses_unicode_codes(font):
                known.update(text)
            elif bad:
                name = self._fonts.names[font]
                self._content.unreadable[name] = self._content.unreadable.get(name, 0) + len(bad)
                if len(bad) == len(text) > 1:
                    return ""
                text = "".join(_UNREADABLE if at in bad else char for at, char in enumerate(text))
        return text if text.isalnum() else text.translate(_REPLACEMENTS)

    def _uses_unicode_codes(self, font: int) -> bool:
        """Return whether a font's codes for characters without a Unicode mapping are Unicode code points.

        They are if the codes include U+0020 as spaces and no control characters, or if all of them are dashes and
        quotation marks. Other fonts use glyph numbers as codes, which start from 0.
        """
        if font not in self._fonts.coded:
            found: set[str] = set()
            for start, end in self._spans:
                if pdfium.get_text_object_font(self._text.get_text_object(start)) == font:
                    after = range(end, end + (self._codes[end : end + 1] == " "))
                    found.update(
                        self._codes[at] for at in (*range(start, end), *after) if self._text.is_unmapped_character(at)
                    )
            is_text = not any(unicodedata.category(char).startswith("C") for char in found)
            is_marks = all(0x2010 <= ord(char) <= 0x205E for char in found)
            self._fonts.coded[font] = is_marks or (is_text and " " in found)
        return self._fonts.coded[font]


def _find_word_spans(
    codes: npt.NDArray[np.uint32], boxes: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split the characters into words at white space and at gaps between letters.

    Returns the start indices and the end indices of the words.
    """
    inside = ~(np.isin(codes, _SPACES) | ((codes < 0x20) & (codes != PDFIUM_HYPHEN) & (boxes[:, 0] == boxes[:, 2])))
    if not np.any(inside):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left, top, right, bottom = boxes.T
    em = np.maximum(top - bottom, 0.1)
    beside = np.maximum(left[1:] - right[:-1], left[:-1] - right[1:])
    above = np.maximum(bottom[1:] - top[:-1], bottom[:-1] - top[1:])
    apart = np.maximum(beside, above) > LETTER_GAP_RATIO * np.minimum(em[1:], em[:-1])
    begins = inside.copy()
    begins[1:] &= ~inside[:-1] | apart
    stops = inside.copy()
    stops[:-1] &= ~inside[1:] | apart
    return np.flatnonzero(begins), np.flatnonzero(stops) + 1


def _find_vertical_words(
    boxes: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return for each word whether its letters are stacked vertically, as in vertical Chinese and Japanese text."""
    first, last = boxes[starts].T, boxes[ends - 1].T
    in_line = (last[0] < first[2]) & (last[2] > first[0])
    below: npt.NDArray[np.bool_] = in_line & (last[1] + last[3] < 2 * first[3])
    return below


def _remove_false_spaces(text: TextPage, codes: npt.NDArray[np.uint32], boxes: npt.NDArray[np.float32]) -> None:
    """Remove spaces and line ends that PDFium inserts between letters of one word.

    PDFium does this where letters overlap, in tightly set text, and in letter-spaced words. Spaces drawn by the page
    are kept, as are spaces in right-to-left text and after a footnote number.
    """
    letters = np.flatnonzero(~np.isin(codes, _SPACES))
    if len(letters) < 2:
        return
    left, top, right, bottom = boxes[letters].T
    heights = top - bottom
    high = np.minimum(heights[1:], heights[:-1])
    is_level = 2 * (np.minimum(top[1:], top[:-1]) - np.maximum(bottom[1:], bottom[:-1])) > high
    gaps = left[1:] - right[:-1]
    together = (np.diff(letters) == 1) & is_level
    widest = np.where(together, gaps, 0.0)
    widest = np.maximum(0.0, np.maximum(np.append(0.0, widest[:-1]), np.append(widest[1:], 0.0)))
    near = ~together & is_level & (gaps <= widest + TOUCHING_GAP_RATIO * high) & (left[1:] > left[:-1])
    for number in np.flatnonzero(near).tolist():
        beside = [each for each in (number - 1, number + 1) if 0 <= each < len(gaps) and together[each]]
        if heights[number] < NOTE_MARK_HEIGHT_RATIO * heights[number + 1] and number - 1 not in beside:
            continue
        plain = [each for each in beside if not any(map(_is_combining_mark, codes[letters[each : each + 2]]))]
        usual = min(gaps[plain], default=0.0)
        blanks = range(letters[number] + 1, letters[number + 1])
        if gaps[number] <= usual + TOUCHING_GAP_RATIO * high[number] and all(map(text.is_generated_character, blanks)):
            codes[blanks] = NO_CHARACTER
            boxes[blanks] = boxes[letters[number]]


def _is_combining_mark(code_point: np.uint32) -> bool:
    return unicodedata.category(chr(code_point)) == "Mn"


def _reorder_ligatures(codes: npt.NDArray[np.uint32], boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Restore the order of the letters in right-to-left ligatures, which PDFium reverses along with the line.

    The letters of a ligature have the same box.
    """
    leftward = (codes >= 0x590) & (codes <= 0x8FF)
    same = leftward[1:] & leftward[:-1] & np.all(boxes[1:] == boxes[:-1], axis=1) & (boxes[1:, 0] < boxes[1:, 2])
    for at in np.flatnonzero(same).tolist():
        codes[at], codes[at + 1] = codes[at + 1], codes[at]
    return codes


def _replace_implausible_boxes(text: TextPage, codes: npt.NDArray[np.uint32], boxes: npt.NDArray[np.float32]) -> None:
    """Replace each character box of implausible height with the box of the character's drawn shape."""
    height = boxes[:, 1] - boxes[:, 3]
    letters = ~np.isin(codes, _SPACES)
    usual = max(1.0, float(np.median(height[letters])))
    for index in np.flatnonzero(letters & ((height <= 0.01) | (height > MAX_HEIGHT_RATIO * usual))).tolist():
        boxes[index] = text.get_tight_box(index)


def _compute_word_boxes(
    boxes: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    cuts = np.empty(2 * len(starts), np.int64)
    cuts[0::2], cuts[1::2] = starts, ends
    padded = np.vstack([boxes, boxes[-1:]])  # The array is padded so that the last end is a valid index.
    lower = np.minimum.reduceat(padded, cuts)[0::2]
    upper = np.maximum.reduceat(padded, cuts)[0::2]
    return np.stack([lower[:, 0], upper[:, 1], upper[:, 2], lower[:, 3]], axis=1)
