"""Read a page's drawings other than text: rules, edges of boxes, and images."""

from collections.abc import Iterator, Sequence

import numpy as np
from pypdfium2 import PdfPage

from ingest.parsing.pdf import pdfium
from ingest.parsing.pdf.characters import PageFrame, get_page_frame
from ingest.parsing.pdf.constants import (
    MAX_BOX_SEGMENTS,
    MAX_FILLED_BOXES,
    MAX_FORM_DEPTH,
    MAX_LINE_LEAN,
    MAX_PAGE_OBJECTS,
    MAX_PATH_SEGMENTS,
    MAX_RULE_THICKNESS,
    MIN_BOX_SIDE,
    MIN_PICTURE_SIDE,
    MIN_RULE_LENGTH,
    PDFIUM_FORM_OBJECT,
    PDFIUM_IMAGE_OBJECT,
    PDFIUM_LINE_SEGMENT,
    PDFIUM_MOVE_SEGMENT,
    PDFIUM_PATH_OBJECT,
    PDFIUM_SHADING_OBJECT,
)
from ingest.parsing.pdf.content import PageContent, Rule
from ingest.parsing.pdf.pdfium import FloatBuffer

Matrix = tuple[float, ...]
Four = tuple[float, float, float, float]  # Left, bottom, right, top.


class DrawingReader:
    """Reads one page's drawings into its content."""

    def __init__(self, page: PdfPage, content: PageContent) -> None:
        self._content = content
        self._frame: PageFrame = get_page_frame(page)
        self._page = pdfium.get_object_address(page)
        self._four = FloatBuffer(4)
        self._left = MAX_PAGE_OBJECTS
        self._found: list[Four] = []
        self._boxes: list[Four] = []
        self._fills = 0

    def read_drawings(self) -> None:
        self._read_objects(pdfium.list_page_objects(self._page), None, 0)
        if self._left > 0:
            self._content.rules += self._iter_rules(self._found)
            boxes = self._boxes if self._fills < MAX_FILLED_BOXES else []
            sides = [
                side
                for left, bottom, right, top in boxes
                for side in (
                    (left, bottom, right, bottom),
                    (left, top, right, top),
                    (left, bottom, left, top),
                    (right, bottom, right, top),
                )
            ]
            self._content.fills += self._iter_rules(sides)

    def _read_objects(self, objects: list[tuple[int, int]], matrix: Matrix | None, depth: int) -> None:
        for kind, each in objects:
            self._left -= 1
            if self._left <= 0:
                return
            if kind == PDFIUM_PATH_OBJECT:
                self._read_path(each, matrix)
            elif kind in (PDFIUM_IMAGE_OBJECT, PDFIUM_SHADING_OBJECT):
                self._read_picture(each, matrix, is_counted=kind == PDFIUM_IMAGE_OBJECT)
            elif kind == PDFIUM_FORM_OBJECT and depth < MAX_FORM_DEPTH:
                self._read_objects(
                    pdfium.list_form_objects(each), _combine_matrices(pdfium.get_object_matrix(each), matrix), depth + 1
                )

    def _get_object_bounds(self, object_address: int, matrix: Matrix | None) -> Four | None:
        found = pdfium.get_object_bounds(object_address, self._four)
        return found if found is None or matrix is None else _map_box(found, matrix)

    def _read_picture(self, object_address: int, matrix: Matrix | None, *, is_counted: bool) -> None:
        found = self._get_object_bounds(object_address, matrix)
        if found is None or not is_counted:
            return
        frame = self._frame
        left, bottom = max(found[0], frame.left), max(found[1], frame.bottom)
        right, top = min(found[2], frame.right), min(found[3], frame.top)
        wide, high = right - left, top - bottom
        if min(wide, high) <= 0:
            return
        # Add up the areas of all images, because some scanners cut a page into strips shorter than a line of text.
        content = self._content
        content.image_share += wide * high / ((frame.right - frame.left) * (frame.top - frame.bottom))
        content.image_box = _merge_boxes(content.image_box, (left, bottom, right, top))
        content.images += min(wide, high) >= MIN_PICTURE_SIDE

    def _read_path(self, path: int, matrix: Matrix | None) -> None:
        found = self._get_object_bounds(path, matrix)
        if found is None:
            return
        left, bottom, right, top = found
        filled, stroked = pdfium.get_path_draw_mode(path)
        if not (filled or stroked) or max(right - left, top - bottom) < MIN_RULE_LENGTH:
            return
        if min(right - left, top - bottom) <= MAX_RULE_THICKNESS:
            self._found.append(found)
        elif stroked:
            self._read_path_lines(path, matrix)
        elif min(right - left, top - bottom) >= MIN_BOX_SIDE and self._fills < MAX_FILLED_BOXES:
            self._fills += 1
            if self._is_rectangle(path):
                self._boxes.append(found)

    def _is_rectangle(self, path: int) -> bool:
        """Return whether a path consists of only horizontal and vertical lines, and no more than a box has."""
        before: tuple[float, float] | None = None
        for number, (kind, x, y, _) in enumerate(pdfium.list_path_segments(path, MAX_BOX_SEGMENTS + 1)):
            level = before is None or min(abs(x - before[0]), abs(y - before[1])) <= MAX_LINE_LEAN
            if number == MAX_BOX_SEGMENTS or kind not in (PDFIUM_LINE_SEGMENT, PDFIUM_MOVE_SEGMENT) or not level:
                return False
            before = x, y
        return before is not None

    def _read_path_lines(self, path: int, matrix: Matrix | None) -> None:
        """Collect the horizontal and vertical lines of a stroked path."""
        whole = _combine_matrices(pdfium.get_object_matrix(path), matrix)
        start = before = (0.0, 0.0)
        for kind, x, y, closes in pdfium.list_path_segments(path, MAX_PATH_SEGMENTS):
            point = _map_point((x, y), whole)
            if kind == PDFIUM_LINE_SEGMENT:
                self._add_line(before, point)
            if kind == PDFIUM_MOVE_SEGMENT:
                start = point
            before = point
            if closes:
                self._add_line(before, start)
                before = start

    def _add_line(self, start_point: tuple[float, float], end_point: tuple[float, float]) -> None:
        wide, high = abs(start_point[0] - end_point[0]), abs(start_point[1] - end_point[1])
        if min(wide, high) <= MAX_LINE_LEAN and max(wide, high) >= MIN_RULE_LENGTH:
            xs, ys = sorted((start_point[0], end_point[0])), sorted((start_point[1], end_point[1]))
            self._found.append((xs[0], ys[0], xs[1], ys[1]))

    def _iter_rules(self, lines: Sequence[Four]) -> Iterator[Rule]:
        """Convert lines to rules on the displayed page."""
        if not lines:
            return
        boxes = np.array(lines, np.float32)[:, [0, 3, 2, 1]]
        width, height = self._content.width, self._content.height
        for left, top, right, bottom in self._frame.map_boxes(boxes).tolist():
            if right < 0 or bottom < 0 or left > width or top > height:
                continue
            if right - left >= bottom - top:
                yield Rule(True, (top + bottom) / 2, left, right)
            else:
                yield Rule(False, (left + right) / 2, top, bottom)


def _merge_boxes(box: Four | None, other_box: Four) -> Four:
    if box is None:
        return other_box
    return min(box[0], other_box[0]), min(box[1], other_box[1]), max(box[2], other_box[2]), max(box[3], other_box[3])


def _combine_matrices(inner_matrix: Matrix, outer_matrix: Matrix | None) -> Matrix:
    """Return the matrix that applies `inner_matrix` first and then `outer_matrix`."""
    if outer_matrix is None:
        return inner_matrix
    a, b, c, d, e, f = inner_matrix
    A, B, C, D, E, F = outer_matrix
    return a * A + b * C, a * B + b * D, c * A + d * C, c * B + d * D, e * A + f * C + E, e * B + f * D + F


def _map_point(point: tuple[float, float], matrix: Matrix) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * point[0] + c * point[1] + e, b * point[0] + d * point[1] + f


def _map_box(box: Four, matrix: Matrix) -> Four:
    corners = [_map_point((x, y), matrix) for x in (box[0], box[2]) for y in (box[1], box[3])]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
