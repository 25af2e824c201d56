"""Find the shapes of a slide, including those in groups, with their bounding boxes and inherited properties."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lxml import etree

from ingest.parsing.office.names import A, P
from ingest.storage.texts.positions import Box

_SHAPES = (f"{P}sp", f"{P}pic", f"{P}graphicFrame", f"{P}cxnSp", f"{P}contentPart")
_TITLES = frozenset({"title", "ctrTitle"})
_MAX_DEPTH = 60


@dataclass(frozen=True)
class Frame:
    """Maps the coordinates of a group, or of the slide itself, to fractions of the slide."""

    left: float
    top: float
    across: float
    down: float

    def map_box(self, slide_number: int, x: float, y: float, width: float, height: float) -> Box:
        """Return the box of a rectangle, clipped to the slide."""
        left, top = self.left + x * self.across, self.top + y * self.down
        right, bottom = left + abs(width * self.across), top + abs(height * self.down)
        return Box(slide_number, _clamp(left), _clamp(top), _clamp(right), _clamp(bottom))

    def build_group_frame(self, transform: etree._Element | None) -> "Frame":
        """Return the frame of a group inside this frame."""
        if transform is None:
            return self
        x, y, width, height = _read_rectangle(transform, "off", "ext")
        inner_x, inner_y, inner_width, inner_height = _read_rectangle(transform, "chOff", "chExt")
        across = self.across * (width / inner_width if inner_width else 1.0)
        down = self.down * (height / inner_height if inner_height else 1.0)
        return Frame(
            self.left + x * self.across - inner_x * across, self.top + y * self.down - inner_y * down, across, down
        )


@dataclass(frozen=True)
class Shape:
    """A shape, its bounding box, and the placeholders of layout and master that it inherits from, nearest first."""

    element: etree._Element
    box: Box
    placeholder: str | None
    inherited: tuple[etree._Element, ...]
    frame: Frame

    @property
    def is_title(self) -> bool:
        return self.placeholder in _TITLES


class Slide:
    """The shapes of a slide. `behind` contains the root elements of its layout and master."""

    def __init__(
        self, slide_number: int, root: etree._Element, inherited_roots: Sequence[etree._Element], frame: Frame
    ) -> None:
        self._number = slide_number
        self._root = root
        self._behind = inherited_roots
        self._frame = frame
        self.hidden_shapes = 0

    def iter_shapes(self) -> Iterator[Shape]:
        """Yield the visible shapes in drawing order, and count the hidden ones."""
        tree = self._root.find(f"{P}cSld/{P}spTree")
        if tree is not None:
            yield from self._iter_shapes_in(tree, self._frame, 0)

    def _iter_shapes_in(self, parent: etree._Element, frame: Frame, depth: int) -> Iterator[Shape]:
        for element in parent.iterchildren():
            if element.tag != f"{P}grpSp" and element.tag not in _SHAPES:
                continue
            if _is_hidden(element):
                self.hidden_shapes += 1
            elif element.tag in _SHAPES:
                yield self._build_shape(element, frame)
            elif depth < _MAX_DEPTH:
                yield from self._iter_shapes_in(
                    element, frame.build_group_frame(element.find(f"{P}grpSpPr/{A}xfrm")), depth + 1
                )

    def _build_shape(self, element: etree._Element, frame: Frame) -> Shape:
        placeholder = _find_placeholder(element)
        inherited: tuple[etree._Element, ...] = ()
        if placeholder is not None:
            inherited = tuple(self._iter_inherited_placeholders(placeholder))
        transforms = (_find_transform(each) for each in (element, *inherited))
        transform = next((each for each in transforms if each is not None), None)
        x, y, width, height = (0.0, 0.0, 0.0, 0.0) if transform is None else _read_rectangle(transform, "off", "ext")
        kind = None if placeholder is None else placeholder.get("type", "obj")
        return Shape(element, frame.map_box(self._number, x, y, width, height), kind, inherited, frame)

    def _iter_inherited_placeholders(self, placeholder: etree._Element) -> Iterator[etree._Element]:
        """Yield the placeholders that `placeholder` inherits from, matched by index in the layout or else by kind."""
        kind, index = placeholder.get("type", "obj"), placeholder.get("idx", "0")
        for root in self._behind:
            shapes = [(each, found) for each in root.iter(f"{P}sp") if (found := _find_placeholder(each)) is not None]
            same = [each for each, found in shapes if found.get("idx", "0") == index and index != "0"]
            same = same or [each for each, found in shapes if _are_same_kind(found.get("type", "obj"), kind)]
            if same:
                kind = _find_placeholder(same[0]).get("type", kind)  # type: ignore[union-attr]  # it has one
                index = "0"  # The indices of placeholders in a master are unrelated to those in a slide.
                yield same[0]


def _are_same_kind(kind: str, other_kind: str) -> bool:
    body = {"obj", "body", "subTitle", "tbl", "chart", "dgm", "media", "pic", "clipArt"}
    return kind == other_kind or (kind in _TITLES and other_kind in _TITLES) or (kind in body and other_kind in body)


def _find_placeholder(element: etree._Element) -> etree._Element | None:
    return element.find(f"*/{P}nvPr/{P}ph")


def _is_hidden(element: etree._Element) -> bool:
    properties = element.find(f"*/{P}cNvPr")
    return properties is not None and properties.get("hidden") in {"1", "true"}


def _find_transform(element: etree._Element) -> etree._Element | None:
    found = element.find(f"{P}spPr/{A}xfrm")
    return element.find(f"{P}xfrm") if found is None else found


def _read_rectangle(transform: etree._Element, offset_tag: str, extent_tag: str) -> tuple[float, float, float, float]:
    at, size = transform.find(f"{A}{offset_tag}"), transform.find(f"{A}{extent_tag}")
    x, y = (0.0, 0.0) if at is None else (parse_number(at.get("x")), parse_number(at.get("y")))
    width, height = (0.0, 0.0) if size is None else (parse_number(size.get("cx")), parse_number(size.get("cy")))
    return x, y, width, height


def parse_number(text: str | None) -> float:
    """Parse a coordinate or length. Returns 0 if it is invalid."""
    text = text or ""
    return float(text) if text.lstrip("-").isdecimal() and len(text) < 16 else 0.0


def _clamp(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)
