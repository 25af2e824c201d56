"""The layout of a normalized text and its JSON form: headings, places (pages, slides, sheets) and tables.

Parsers provide the layout; nothing is inferred from the text later. Content that is in the file but not in the text is
recorded as omissions.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, cast

from ingest.storage.remarks import Remark, convert_remark_to_json, parse_remark


class PlaceKind(StrEnum):
    """The kinds of places into which a file is divided."""

    PAGE = "page"
    SLIDE = "slide"
    SHEET = "sheet"


@dataclass(frozen=True)
class Place:
    """A page, slide or sheet. `start` is a code point, `number` counts from 1, and only sheets have a name."""

    kind: PlaceKind
    number: int
    start: int
    name: str = ""

    @property
    def label(self) -> str:
        """The place as shown to users, for example `page 12` or `sheet Costs`."""
        return f"{self.kind} {self.name or self.number}"


@dataclass(frozen=True)
class Heading:
    """A heading, whose line is `text[start:end]`. Levels are counted from 1, and exceed 6 if the format allows it.

    If no line of the text contains the title (a definition in source code, a path in JSON), `start` equals `end`. A
    heading without a title only ends the sections of its level and of deeper levels.
    """

    level: int
    start: int
    end: int
    title: str


@dataclass(frozen=True)
class TableSpan:
    """A table. Its header, including the rule below it, is `text[start:header_end]`.

    Its name is the text of its caption. If the first row below the header belongs to the header, because it contains
    the years or units of the columns, the row ends at `second_header_end`.
    """

    start: int
    header_end: int
    end: int
    name: str = ""
    second_header_end: int | None = None


@dataclass(frozen=True)
class Layout:
    """The layout of a text, in reading order. Places do not overlap, and neither do tables."""

    headings: tuple[Heading, ...] = ()
    places: tuple[Place, ...] = ()
    tables: tuple[TableSpan, ...] = ()

    def find_place(self, offset: int) -> Place | None:
        """Return the place that contains a code point, or None if it is before the first place."""
        at = bisect_right(self.places, offset, key=lambda place: place.start)
        return self.places[at - 1] if at else None

    def find_table_header(self, offset: int) -> tuple[int, int] | None:
        """Return the span of the header of the table whose rows contain a code point, or None.

        The span includes the second row of a header, unless the code point is in that row.
        """
        at = bisect_right(self.tables, offset, key=lambda table: table.start)
        if not at or not self.tables[at - 1].header_end <= offset < self.tables[at - 1].end:
            return None
        table = self.tables[at - 1]
        second = table.second_header_end
        # guard: second-header-repeated
        return table.start, second if second is not None and second <= offset else table.header_end


NO_LAYOUT = Layout()


class OmissionKind(StrEnum):
    """The kinds of content that are in a file but not in its text."""

    PAGE_WITHOUT_TEXT = "page_without_text"
    IMAGE = "image"
    FORMULA = "formula"  # An equation, or a cell whose value is not stored in the file.
    HIDDEN = "hidden"  # Hidden rows, columns, sheets, slides or text.
    ENTRY = "entry"  # An entry of an archive, or an attachment.
    INVISIBLE_CHARACTER = "invisible_character"
    EMBEDDED_OBJECT = "embedded_object"
    UNREADABLE_CHARACTER = "unreadable_character"  # A character that has no Unicode mapping in its font.
    MACRO = "macro"
    TABLE = "table"  # A table whose rows were not converted to records.
    ROW = "row"  # A row of a very long table. Searches do not find the row, but questions about the table do.
    BOILERPLATE = (
        "boilerplate"  # Repeated parts around the content: page headers and footers, page numbers, navigation.
    )
    OTHER = "other"


@dataclass(frozen=True)
class Omission:
    """One kind of omitted content: its number of occurrences, and their locations or the reason ("pages 3, 7").

    If all parts of the detail have codes, `remarks` has these parts.
    """

    kind: OmissionKind
    count: int
    detail: str = ""
    remarks: tuple[Remark, ...] = ()

    @property
    def coded_details(self) -> list[dict[str, Any] | None]:
        """The remarks of the detail as JSON."""
        return [convert_remark_to_json(each) for each in self.remarks]

    @property
    def words(self) -> str:
        """The omission as shown to users, for example `3 images (pages 2, 7)`."""
        return self.counted + (f" ({self.detail})" if self.detail else "")

    @property
    def counted(self) -> Remark:
        """The kind with its number of occurrences, for example `3 images`."""
        return Remark(f"counted_{self.kind}", n=self.count)


def build_pages(start_offsets: Iterable[int]) -> tuple[Place, ...]:
    """Build numbered pages from the code points at which they start."""
    return tuple(Place(PlaceKind.PAGE, number, start) for number, start in enumerate(start_offsets, start=1))


_HEADING_OR_FENCE = re.compile(
    r"^(?P<marks>#{1,6})[ \t]+(?P<title>\S[^\n]*)$|^[ ]{0,3}(?P<fence>`{3,}|~{3,})", re.MULTILINE
)
_TRAILING_MARKS = re.compile(r"[ \t]+#+[ \t]*$")
_TITLE_FIELD = re.compile(r"\Atitle:[ \t]+(?=\S)", re.IGNORECASE)


def iter_markdown_headings(text: str) -> Iterator[Heading]:
    """Yield the headings marked with `#` in a Markdown text, except in fenced code blocks."""
    fence = ""
    for match in _HEADING_OR_FENCE.finditer(text):
        mark = match["fence"]
        if mark:
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence):
                fence = ""
        elif not fence:
            level = len(match["marks"])
            yield Heading(level, match.start(), match.end(), extract_heading_title(match["title"], level))


def extract_heading_title(line: str, level: int) -> str:
    """Extract the title from the text of a Markdown heading. At level 1, a leading `Title:` is dropped."""
    title = _TRAILING_MARKS.sub("", line).strip()
    return _TITLE_FIELD.sub("", title) if level == 1 else title


def build_markdown_layout(text: str) -> Layout:
    """Build the layout of Markdown from its headings."""
    return Layout(tuple(iter_markdown_headings(text)))


_MAX_NAME_CHARS = 1_000
_MAX_DETAIL_CHARS = 2_000
_MAX_OMISSION_KINDS = 100


class LayoutError(ValueError):
    """Raised if a layout is malformed, out of order, or extends beyond the end of its text."""


def dump_layout(layout: Layout) -> dict[str, Any]:
    """Convert a layout to values for `json.dumps`."""
    return {
        "headings": [(each.level, each.start, each.end, each.title) for each in layout.headings],
        "places": [(each.kind, each.number, each.start, each.name) for each in layout.places],
        "tables": [_dump_table(each) for each in layout.tables],
    }


def parse_layout(raw: object, *, character_count: int) -> Layout:
    """Parse the layout of a text with this many code points. Raises `LayoutError` if it is invalid."""
    try:
        columns = cast("dict[str, Any]", raw)
        headings = tuple(
            Heading(
                _require_whole_number(each[0]),
                _require_whole_number(each[1]),
                _require_whole_number(each[2]),
                _require_string(each[3]),
            )
            for each in columns["headings"]
        )
        places = tuple(
            Place(
                PlaceKind(each[0]),
                _require_whole_number(each[1]),
                _require_whole_number(each[2]),
                _require_string(each[3]),
            )
            for each in columns["places"]
        )
        tables = tuple(map(_parse_table, columns["tables"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LayoutError("The layout is malformed.") from error
    _require_span_order([(each.start, each.end) for each in headings], character_count)
    _require_span_order([(each.start, each.start) for each in places], character_count)
    _require_span_order([(each.start, each.end) for each in tables], character_count)
    if not all(_is_header_inside(each) for each in tables):
        raise LayoutError("A table's header is outside of the table.")
    return Layout(headings, places, tables)


def _dump_table(table: TableSpan) -> tuple[int | str, ...]:
    second = () if table.second_header_end is None else (table.second_header_end,)
    return (table.start, table.header_end, table.end, table.name, *second)


def _parse_table(row: Sequence[object]) -> TableSpan:
    """Parse a table. Tables in early layouts have no name and no second header row."""
    return TableSpan(
        _require_whole_number(row[0]),
        _require_whole_number(row[1]),
        _require_whole_number(row[2]),
        _require_string(row[3]) if row[3:] else "",
        _require_whole_number(row[4]) if row[4:] else None,
    )


def _is_header_inside(table: TableSpan) -> bool:
    last = table.header_end if table.second_header_end is None else table.second_header_end
    return table.start <= table.header_end <= last <= table.end


def build_omission(kind: OmissionKind, count: int, details: Sequence[str], max_details: int = 20) -> Omission:
    """Build an omission from the parts of its detail, of which the first `max_details` are listed."""
    listed = list(details[:max_details])
    if len(details) > max_details:
        listed.append(Remark("omitted_more", n=len(details) - max_details))
    remarks = tuple(each for each in listed if isinstance(each, Remark))
    return Omission(kind, count, "; ".join(listed), remarks if len(remarks) == len(listed) else ())


def dump_omissions(omissions: tuple[Omission, ...]) -> list[tuple[str, int, str, list[dict[str, Any] | None]]]:
    """Convert omissions to values for `json.dumps`."""
    return [(each.kind, each.count, each.detail, each.coded_details) for each in omissions]


def parse_omissions(raw: object) -> tuple[Omission, ...]:
    """Parse omissions. Raises `LayoutError` if they are invalid."""
    try:
        rows = cast("list[Any]", raw)
        found = tuple(
            Omission(
                OmissionKind(row[0]),
                _require_whole_number(row[1]),
                str(row[2])[:_MAX_DETAIL_CHARS],
                _parse_remarks(row[2], row[3:]),
            )
            for row in rows
        )
    except (ValueError, TypeError, LookupError) as error:
        raise LayoutError("The omissions are malformed.") from error
    if len(found) > _MAX_OMISSION_KINDS:
        raise LayoutError("There are too many kinds of omissions.")
    return found


def _parse_remarks(detail: str, coded: list[Any]) -> tuple[Remark, ...]:
    """Parse the remarks of a detail. Returns none of them if they do not say what the detail says."""
    remarks = tuple(found for each in (coded[0] if coded else ()) if (found := parse_remark(each)) is not None)
    # The codes come from the process of the document.
    return remarks if len(detail) <= _MAX_DETAIL_CHARS and "; ".join(remarks) == detail else ()


def _require_span_order(spans: list[tuple[int, int]], character_count: int) -> None:
    if not all(0 <= start <= end <= character_count for start, end in spans):
        raise LayoutError("The layout extends beyond its text.")
    if not all(one[1] <= other[0] for one, other in pairwise(spans)):
        raise LayoutError("The layout is out of order.")


def _require_whole_number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("A value is not a whole number.")
    return value


def _require_string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("A value is not a string.")
    return value[:_MAX_NAME_CHARS]
