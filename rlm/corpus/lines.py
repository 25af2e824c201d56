"""What a line of records looks like: its shape, by which headers and footers are told from records, and its fields."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

Shape = tuple[str, ...]

PLAIN: Shape = ("plain",)
_NOT_RECORDS = frozenset({("heading",), ("rule",), ("fence",)})

# White space around a separator is no part of it: looking for its end from each blank takes a square of its length.
# Each alternative begins with its letter, which `re` looks for three times as fast as for one that looks behind first.
_SEGMENTS = re.compile(r"\|\||\|(?<=\s\|)(?=\s)|;(?<=\s;)(?=\s)|\t|\n")
_CELL = re.compile(r"(?<!\\)\|")
_FIELD = re.compile(r"\s*(?:[-*] +)?[*_]{0,2}([^\W\d_][\w -]{0,30}?)[*_]{0,2}\s*[:=][*_]{0,2}(?=\s|$)\s*")
# What may stand between the cells of a row, and how many cells are a row: prose has a comma here and there.
_FEWEST_CELLS = {"\t": 2, ";": 3, ",": 3}
_NAME = re.compile(r"[^\W\d_][\w .,:;()/#%°?'&+*$€-]{0,119}|(?:19|20)\d\d")
# A row whose first cell is a time, which is no line of a log.
_TIMED_ROW = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.Z+-]*\s*[,;\t]")
_TOTAL = re.compile(r"(?:grand )?(?:sub)?-?(?:total|sum|summe|average)\b", re.IGNORECASE)
_CODE_POINTS_LOOKED_AT = 600
_SHARE = 0.6
_SHARE_OF_SEVERAL = 0.3
_SHARE_OF_ROWS = 0.8
_STARTS: tuple[tuple[re.Pattern[str], Shape], ...] = (
    (re.compile(r"#{1,6} "), ("heading",)),
    (re.compile(r"(?:[-*_=] ?){3,}\s*$|(?=.*\|)[-:| ]{3,}$"), ("rule",)),
    (re.compile(r"```|~~~"), ("fence",)),
    (re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d"), ("timestamp",)),
    (re.compile(r"[-*•] "), ("bullet",)),
    (re.compile(r"\(?\d{1,7}[.):] "), ("number",)),
)


def line_shape(line: str) -> Shape:
    """Of a line without white space around it: the names of its fields, the number of its cells, or its beginning.

    Of rows as in CSV also whether all cells may be `names` of columns.
    """
    head = line[:_CODE_POINTS_LOOKED_AT]
    if head.startswith("{"):
        keys = _json_object(line).keys()
        return ("json", *keys) if keys else PLAIN
    for pattern, shape in _STARTS[:3]:
        if pattern.match(head):
            return shape
    if head.startswith("|"):
        return ("cells", str(len(_CELL.findall(line))))
    names = _field_names(head)
    if names:
        return ("fields", *names)
    row = _row(line)
    for pattern, shape in _STARTS[3:]:
        if pattern.match(head) and not _TIMED_ROW.match(head):
            return shape
    return row


def _row(line: str) -> Shape:
    found = {delimiter: _cells(line, delimiter) for delimiter in _FEWEST_CELLS if delimiter in line}
    delimiter = max(found, key=lambda each: len(found[each]), default="")
    if not delimiter or len(found[delimiter]) < _FEWEST_CELLS[delimiter]:
        return PLAIN
    row = found[delimiter]
    if not any(row):
        return ("rule",)  # as spreadsheets write empty rows
    named = sum(map(bool, row)) > 1 and all(_NAME.fullmatch(cell) for cell in row if cell)
    return ("row", f"{delimiter}{len(row)}", *(("names",) if named else ()))


def _cells(line: str, delimiter: str) -> list[str]:
    """As in CSV: a cell in quotation marks may hold the delimiter."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
    except csv.Error:  # a cell of over 131,072 characters
        return [line]


def record_shape(shapes: Sequence[Shape]) -> Shape | None:
    """How most lines look, by their kind and first name; None where no kind stands out.

    Lines with several named parts are records even among some prose, others only where they are most. Plain text is no
    shape: of lines of prose nobody can say which are records.
    """
    counts = Counter(_key(shape) for shape in shapes if shape not in _NOT_RECORDS)
    for key, count in counts.most_common(2):
        several = any(len(shape) > 2 or shape[0] == "cells" for shape in shapes if _key(shape) == key)
        share = _SHARE_OF_ROWS if key[0] == "row" else _SHARE_OF_SEVERAL if several else _SHARE
        if key != PLAIN and count >= share * counts.total():
            return key
    return None


def is_record(shape: Shape, wanted: Shape | None) -> bool:
    """Whether a line of this shape is a record where records look like `wanted`, or like nothing in particular."""
    return _key(shape) == wanted if wanted is not None else shape not in _NOT_RECORDS


def fields(text: str, columns: Sequence[str] = ()) -> dict[str, str]:
    """The named parts of a record: `Date: … || User: …`, JSON members, or cells of a table or CSV under `columns`.

    Empty where it has none. Names are as written; the last field runs to the record's end.
    """
    if text.startswith("{"):
        return {
            _whole(name): _whole(value) if isinstance(value, str) else json.dumps(value)
            for name, value in _json_object(text).items()
        }
    if columns and text.startswith("|"):
        cells = [cell.strip() for cell in _CELL.split(text.strip().strip("|"))]
        return dict(zip(columns, cells, strict=False))
    for delimiter in _FEWEST_CELLS if columns else ():
        row = _cells(text, delimiter)
        if len(row) == len(columns):
            return dict(zip(columns, row, strict=True))
    return _all_named(text) or _some_named(text)


def _all_named(text: str) -> dict[str, str]:
    """Of a record whose every segment has a name of its own: as `_some_named`, and faster; else empty."""
    found: dict[str, str] = {}
    for segment in _SEGMENTS.split(text):
        named = _FIELD.match(segment)
        if named is None or named[1] in found:
            return {}
        found[named[1]] = segment[named.end() :].strip()
    return found


def _some_named(text: str) -> dict[str, str]:
    found: dict[str, tuple[int, int]] = {}
    last = ""
    for start, end in _segments(text):
        named = _FIELD.match(text, start, end)
        if named is not None and named[1] not in found:
            last = named[1]
            found[last] = (named.end(), end)
        elif last:
            found[last] = (found[last][0], end)
    return {name: text[start:end].strip() for name, (start, end) in found.items()}


def is_header(shape: Shape, rows: Shape) -> bool:
    """Whether a line that is no record names the cells of records that look like `rows`."""
    if rows[0] == "row":
        return _key(shape) == _key(rows) and names_columns(shape)
    return rows[0] == "cells" and shape == rows


def names_columns(shape: Shape) -> bool:
    """Whether a row of CSV may be its first, which has the names of the columns."""
    return shape[0] == "row" and shape[2:] == ("names",)


def is_total(line: str, shape: Shape) -> bool:
    """Whether a row of CSV adds up those above it: `Total,,123`."""
    if shape[0] != "row":
        return False
    cells = _cells(line, shape[1][0])
    first = next(filter(None, cells), "")
    return (
        "" in cells
        and re.match(r"(?:grand )?(?:sub)?-?(?:total|sum|summe|average)\b", first, re.IGNORECASE) is not None
    )


def columns_of(header: str, shape: Shape) -> tuple[str, ...]:
    """The cells of a table's first row."""
    if shape[0] == "row":
        cells = [cell or f"column {number}" for number, cell in enumerate(_cells(header, shape[1][0]), start=1)]
        return tuple(cell if cells.index(cell) == at else f"{cell} {at + 1}" for at, cell in enumerate(cells))
    return tuple(cell.strip() for cell in _CELL.split(header.strip().strip("|")))


def _segments(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _SEGMENTS.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _field_names(head: str) -> tuple[str, ...]:
    """Names at the beginning of segments; none where the first segment has none."""
    matches = list(map(_FIELD.match, _SEGMENTS.split(head)))
    return tuple(match[1] for match in matches if match is not None) if matches[0] is not None else ()


def _json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can escape and nothing else can hold."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _key(shape: Shape) -> Shape:
    """Records may lack fields at their end: what counts is the kind and the first name; of JSON, whose members have no
    order, the kind."""
    return shape[:1] if shape[0] == "json" else shape[:2]
