"""The tree of a text as JSON, in columns, and read again from where it cannot be trusted."""

from itertools import pairwise
from typing import Any, cast

from ingest.storage.texts.layout import Heading, Layout, Omission, OmissionKind, Place, PlaceKind, TableSpan

_NAME_CHARS = 1_000
_DETAIL_CHARS = 2_000
_MOST_OMISSIONS = 100


class LayoutError(ValueError):
    """The tree is of another shape, out of order, or reaches outside its text."""


def layout_json(layout: Layout) -> dict[str, Any]:
    """Write a tree as what `json.dumps` takes."""
    return {
        "headings": [(each.level, each.start, each.end, each.title) for each in layout.headings],
        "places": [(each.kind, each.number, each.start, each.name) for each in layout.places],
        "tables": [(each.start, each.header_end, each.end, each.name) for each in layout.tables],
    }


def read_layout(raw: object, *, characters: int) -> Layout:
    """Read a tree of a text of that many code points. Raises `LayoutError`."""
    try:
        columns = cast("dict[str, Any]", raw)
        headings = tuple(
            Heading(_whole(each[0]), _whole(each[1]), _whole(each[2]), _name(each[3])) for each in columns["headings"]
        )
        places = tuple(
            Place(PlaceKind(each[0]), _whole(each[1]), _whole(each[2]), _name(each[3])) for each in columns["places"]
        )
        tables = tuple(  # the first that were written had no names
            TableSpan(_whole(each[0]), _whole(each[1]), _whole(each[2]), _name(each[3]) if each[3:] else "")
            for each in columns["tables"]
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LayoutError("The tree is of another shape.") from error
    _require_order([(each.start, each.end) for each in headings], characters)
    _require_order([(each.start, each.start) for each in places], characters)
    _require_order([(each.start, each.end) for each in tables], characters)
    if not all(each.start <= each.header_end <= each.end for each in tables):
        raise LayoutError("A table's header is not in the table.")
    return Layout(headings, places, tables)


def omissions_json(omissions: tuple[Omission, ...]) -> list[tuple[str, int, str]]:
    """Write omissions as what `json.dumps` takes."""
    return [(each.kind, each.count, each.detail) for each in omissions]


def read_omissions(raw: object) -> tuple[Omission, ...]:
    """Read omissions. Raises `LayoutError`."""
    try:
        rows = cast("list[Any]", raw)
        found = tuple(Omission(OmissionKind(row[0]), _whole(row[1]), str(row[2])[:_DETAIL_CHARS]) for row in rows)
    except (ValueError, TypeError, LookupError) as error:
        raise LayoutError("The omissions are of another shape.") from error
    if len(found) > _MOST_OMISSIONS:
        raise LayoutError("There are too many kinds of omissions.")
    return found


def _require_order(spans: list[tuple[int, int]], characters: int) -> None:
    if not all(0 <= start <= end <= characters for start, end in spans):
        raise LayoutError("The tree reaches outside its text.")
    if not all(one[1] <= other[0] for one, other in pairwise(spans)):
        raise LayoutError("The tree is out of order.")


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("It is no whole number.")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("It is no text.")
    return value[:_NAME_CHARS]
