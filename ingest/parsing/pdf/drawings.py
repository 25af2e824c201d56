"""Reads what a page draws beside text: rules, the edges of boxes, and pictures."""

import numpy as np
from pypdfium2 import PdfPage

from ingest.parsing.pdf import pdfium
from ingest.parsing.pdf.characters import PageFrame, page_frame
from ingest.parsing.pdf.content import PageContent, Rule
from ingest.parsing.pdf.pdfium import FORM, IMAGE, PATH, SHADING, Floats

Matrix = tuple[float, ...]
Four = tuple[float, float, float, float]  # left, bottom, right, top

_THIN = 3.0  # points: a filled box that is no thicker is a rule
_SHORTEST = 4.0  # points: a shorter line is a dash or a part of a letter
_DEEPEST = 6  # forms inside forms
_MOST_OBJECTS = 50_000  # of one page; a map or a plot has more, and no table
_MOST_SEGMENTS = 2_000  # of one path
_SMALLEST_PICTURE = 12.0  # points: what is smaller is a bullet, a rule or a spacer
_LINE, _MOVE = 0, 2


class DrawingReader:
    """Reads one page's drawings into its content."""

    def __init__(self, page: PdfPage, content: PageContent) -> None:
        self._content = content
        self._frame: PageFrame = page_frame(page)
        self._page = pdfium.address(page)
        self._four = Floats(4)
        self._left = _MOST_OBJECTS
        self._found: list[Four] = []

    def read(self) -> None:
        self._read(pdfium.page_objects(self._page), None, 0)
        if self._left > 0 and self._found:
            self._add_rules()

    def _read(self, objects: list[tuple[int, int]], matrix: Matrix | None, depth: int) -> None:
        for kind, each in objects:
            self._left -= 1
            if self._left <= 0:
                return
            if kind == PATH:
                self._path(each, matrix)
            elif kind in (IMAGE, SHADING):
                self._picture(each, matrix, counted=kind == IMAGE)
            elif kind == FORM and depth < _DEEPEST:
                self._read(pdfium.form_objects(each), _joined(pdfium.object_matrix(each), matrix), depth + 1)

    def _bounds(self, each: int, matrix: Matrix | None) -> Four | None:
        found = pdfium.bounds(each, self._four)
        return found if found is None or matrix is None else _mapped(found, matrix)

    def _picture(self, each: int, matrix: Matrix | None, *, counted: bool) -> None:
        found = self._bounds(each, matrix)
        if found is None or not counted:
            return
        frame = self._frame
        left, bottom = max(found[0], frame.left), max(found[1], frame.bottom)
        right, top = min(found[2], frame.right), min(found[3], frame.top)
        if min(right - left, top - bottom) < _SMALLEST_PICTURE:
            return
        share = (right - left) * (top - bottom) / ((frame.right - frame.left) * (frame.top - frame.bottom))
        self._content.images += 1
        self._content.image_share = max(self._content.image_share, share)

    def _path(self, each: int, matrix: Matrix | None) -> None:
        found = self._bounds(each, matrix)
        if found is None:
            return
        left, bottom, right, top = found
        filled, stroked = pdfium.draw_mode(each)
        if not (filled or stroked) or max(right - left, top - bottom) < _SHORTEST:
            return
        if min(right - left, top - bottom) <= _THIN:
            self._found.append(found)
        elif stroked:
            self._edges(each, matrix)

    def _edges(self, path: int, matrix: Matrix | None) -> None:
        """Take the level and upright lines of a stroked path."""
        whole = _joined(pdfium.object_matrix(path), matrix)
        start = before = (0.0, 0.0)
        for kind, x, y, closes in pdfium.segments(path, _MOST_SEGMENTS):
            point = _moved((x, y), whole)
            if kind == _LINE:
                self._line(before, point)
            if kind == _MOVE:
                start = point
            before = point
            if closes:
                self._line(before, start)
                before = start

    def _line(self, one: tuple[float, float], other: tuple[float, float]) -> None:
        wide, high = abs(one[0] - other[0]), abs(one[1] - other[1])
        if min(wide, high) <= 0.5 and max(wide, high) >= _SHORTEST:
            xs, ys = sorted((one[0], other[0])), sorted((one[1], other[1]))
            self._found.append((xs[0], ys[0], xs[1], ys[1]))

    def _add_rules(self) -> None:
        boxes = np.array(self._found, np.float32)[:, [0, 3, 2, 1]]
        width, height = self._content.width, self._content.height
        for left, top, right, bottom in self._frame.shown(boxes).tolist():
            if right < 0 or bottom < 0 or left > width or top > height:
                continue
            if right - left >= bottom - top:
                self._content.rules.append(Rule(True, (top + bottom) / 2, left, right))
            else:
                self._content.rules.append(Rule(False, (left + right) / 2, top, bottom))


def _joined(inner: Matrix, outer: Matrix | None) -> Matrix:
    """Return the matrix that maps by the inner one and then by the outer one."""
    if outer is None:
        return inner
    a, b, c, d, e, f = inner
    A, B, C, D, E, F = outer
    return a * A + b * C, a * B + b * D, c * A + d * C, c * B + d * D, e * A + f * C + E, e * B + f * D + F


def _moved(point: tuple[float, float], matrix: Matrix) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * point[0] + c * point[1] + e, b * point[0] + d * point[1] + f


def _mapped(four: Four, matrix: Matrix) -> Four:
    corners = [_moved((x, y), matrix) for x in (four[0], four[2]) for y in (four[1], four[3])]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
