"""Fast calls to PDFium for each character or object, without the argument checks of ctypes.

Arguments are plain addresses, so PDFium can write its results directly into a NumPy array. The calls do not release the
GIL, because a parser has only one thread. They halve the time per page compared with pypdfium2's typed functions.
"""

import ctypes
from collections import deque
from collections.abc import Callable
from functools import cache
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as raw
from pypdfium2 import PdfPage, PdfTextPage

from ingest.parsing.pdf.constants import PDFIUM_HYPHEN, PDFIUM_HYPHEN_IN_TEXT

CType: TypeAlias = "type[ctypes._SimpleCData[Any]]"
PdfiumFunction = Callable[..., Any]

_address, _int = ctypes.c_void_p, ctypes.c_int


@cache
def get_pdfium_function(name: str, result: CType, *arguments: CType) -> PdfiumFunction:
    """Return a PDFium function that takes and returns plain numbers."""
    found = ctypes.cast(getattr(raw, name), _address).value
    function: PdfiumFunction = ctypes.PYFUNCTYPE(result, *arguments)(found or 0)
    return function


def get_object_address(wrapper: PdfPage | PdfTextPage) -> int:
    """Return the address of the PDFium object behind a pypdfium2 object."""
    return int(ctypes.cast(wrapper.raw, _address).value or 0)


class FloatBuffer:
    """A buffer into which PDFium writes a few floats or doubles."""

    def __init__(self, count: int, dtype: str = "f4") -> None:
        self.values = np.zeros(count, dtype)
        self.first = self.values.ctypes.data
        self.each = [self.first + self.values.itemsize * number for number in range(count)]


class TextPage:
    """Access to a page's characters by index."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.count = max(0, get_pdfium_function("FPDFText_CountChars", _int, _address)(handle))
        self._object = get_pdfium_function("FPDFText_GetTextObject", _address, _address, _int)
        self._size = get_pdfium_function("FPDFText_GetFontSize", ctypes.c_double, _address, _int)
        self._matrix_of = get_pdfium_function("FPDFText_GetMatrix", _int, _address, _int, _address)
        self._unmapped = get_pdfium_function("FPDFText_HasUnicodeMapError", _int, _address, _int)
        self._generated = get_pdfium_function("FPDFText_IsGenerated", _int, _address, _int)
        self._matrix, self._box = FloatBuffer(6), FloatBuffer(4, "f8")

    def read_code_points(self) -> npt.NDArray[np.uint32]:
        """Return the code points of all characters. Code 2 is a hyphen that divides a word at a line end."""
        buffer = np.zeros(self.count + 2, np.uint16)
        written = get_pdfium_function("FPDFText_GetText", _int, _address, _int, _int, _address)(
            self.handle, 0, self.count, buffer.ctypes.data
        )
        if written == self.count + 1 and not np.any((buffer & 0xF800) == 0xD800):
            codes = buffer[: self.count].astype(np.uint32)
            codes[codes == PDFIUM_HYPHEN_IN_TEXT] = PDFIUM_HYPHEN
            return codes
        one = get_pdfium_function("FPDFText_GetUnicode", ctypes.c_uint, _address, _int)
        return np.fromiter(map(one, repeat(self.handle), range(self.count)), np.uint32, self.count)

    def read_character_boxes(self) -> npt.NDArray[np.float32]:
        """Return the left, top, right and bottom of each character. The y axis points upwards.

        The boxes have the height of the font, not of the drawn shapes.
        """
        boxes = np.zeros((self.count, 4), np.float32)
        first, one = boxes.ctypes.data, get_pdfium_function("FPDFText_GetLooseCharBox", _int, _address, _int, _address)
        addresses = range(first, first + 16 * self.count, 16)
        deque(map(one, repeat(self.handle), range(self.count), addresses), maxlen=0)
        return boxes

    def get_tight_box(self, index: int) -> tuple[float, float, float, float]:
        """Return the left, top, right and bottom of a character's drawn shape."""
        get_pdfium_function("FPDFText_GetCharBox", _int, _address, _int, *[_address] * 4)(
            self.handle, index, *self._box.each
        )
        left, right, bottom, top = self._box.values.tolist()
        return left, top, right, bottom

    def get_text_object(self, index: int) -> int:
        return int(self._object(self.handle, index) or 0)

    def get_text_matrix(self, index: int) -> tuple[float, ...]:
        self._matrix_of(self.handle, index, self._matrix.first)
        return tuple(self._matrix.values.tolist())

    def get_font_size(self, index: int) -> float:
        return float(self._size(self.handle, index))

    def is_generated_character(self, index: int) -> bool:
        """Return whether a character is a space or line end inserted by PDFium."""
        return bool(self._generated(self.handle, index) == 1)

    def is_unmapped_character(self, index: int) -> bool:
        """Return whether the character has no mapping to Unicode in its font."""
        return bool(self._unmapped(self.handle, index) == 1)


def get_text_object_font(text_object: int) -> int:
    return int(get_pdfium_function("FPDFTextObj_GetFont", _address, _address)(text_object) or 0)


def get_text_render_mode(text_object: int) -> int:
    return int(get_pdfium_function("FPDFTextObj_GetTextRenderMode", _int, _address)(text_object))


def get_font_name(font: int) -> str:
    buffer = ctypes.create_string_buffer(128)
    get_pdfium_function("FPDFFont_GetBaseFontName", ctypes.c_size_t, _address, _address, ctypes.c_size_t)(
        font, ctypes.addressof(buffer), 128
    )
    return buffer.value.decode("utf-8", "replace")


def get_font_weight(font: int) -> int:
    return int(get_pdfium_function("FPDFFont_GetWeight", _int, _address)(font))


def list_page_objects(page: int) -> list[tuple[int, int]]:
    """List the kind and address of each object on a page, except text objects."""
    count = get_pdfium_function("FPDFPage_CountObjects", _int, _address)(page)
    return _list_container_objects(get_pdfium_function("FPDFPage_GetObject", _address, _address, _int), page, count)


def list_form_objects(form: int) -> list[tuple[int, int]]:
    count = get_pdfium_function("FPDFFormObj_CountObjects", _int, _address)(form)
    return _list_container_objects(
        get_pdfium_function("FPDFFormObj_GetObject", _address, _address, ctypes.c_ulong), form, count
    )


def _list_container_objects(get_object: PdfiumFunction, container: int, count: int) -> list[tuple[int, int]]:
    kind = get_pdfium_function("FPDFPageObj_GetType", _int, _address)
    found = [each for each in map(get_object, repeat(container), range(max(0, count))) if each]
    return [(number, each) for number, each in zip(map(kind, found), found, strict=True) if number > 1]


def get_object_bounds(page_object: int, buffer: FloatBuffer) -> tuple[float, float, float, float] | None:
    """Return the left, bottom, right and top of an object in its container's coordinates, or None on failure."""
    if not get_pdfium_function("FPDFPageObj_GetBounds", _int, *[_address] * 5)(page_object, *buffer.each):
        return None
    left, bottom, right, top = buffer.values.tolist()
    return left, bottom, right, top


def get_object_matrix(page_object: int) -> tuple[float, ...]:
    six = FloatBuffer(6)
    get_pdfium_function("FPDFPageObj_GetMatrix", _int, _address, _address)(page_object, six.first)
    return tuple(six.values.tolist())


def get_path_draw_mode(path: int) -> tuple[bool, bool]:
    """Return whether a path is filled and whether it is stroked."""
    filled, stroked = ctypes.c_int(), ctypes.c_int()
    get_pdfium_function("FPDFPath_GetDrawMode", _int, _address, _address, _address)(
        path, ctypes.addressof(filled), ctypes.addressof(stroked)
    )
    return bool(filled.value), bool(stroked.value)


def list_path_segments(path: int, limit: int) -> list[tuple[int, float, float, bool]]:
    """List the kind (0 line, 1 curve, 2 move), point and closing flag of each segment of a path.

    The list is empty if there are more than `limit` segments.
    """
    count = get_pdfium_function("FPDFPath_CountSegments", _int, _address)(path)
    if count > limit:
        return []
    one = get_pdfium_function("FPDFPath_GetPathSegment", _address, _address, _int)
    kind = get_pdfium_function("FPDFPathSegment_GetType", _int, _address)
    point = get_pdfium_function("FPDFPathSegment_GetPoint", _int, _address, _address, _address)
    closes = get_pdfium_function("FPDFPathSegment_GetClose", _int, _address)
    two = FloatBuffer(2)
    found = []
    for number in range(count):
        segment = one(path, number)
        point(segment, *two.each)
        found.append((kind(segment), float(two.values[0]), float(two.values[1]), bool(closes(segment))))
    return found
