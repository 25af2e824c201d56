"""Convert JSON and JSON Lines to readable text: one line per value with its path, and one record table per list.

    address.city: Oslo
    tags: red, blue

The objects in a list of objects are records: each becomes a block of lines and a row of the list's table. A value that
would fill a chunk becomes a section, titled with the path of the value. JSON syntax is dropped, so that quotations
contain only the words of the data.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ingest.parsing.charsets import decode_text
from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.json_reading import (
    Json,
    Number,
    iter_elements,
    iter_lines,
    iter_values,
    parse_value,
    skip_white_space,
)
from ingest.parsing.tables import MAX_COLUMNS, FoundTable, TableRow, build_table_spans, build_unique_names
from ingest.parsing.text import NO_TEXT_HINT, read_normalized_text, read_text_bytes
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter, Piece
from ingest.storage.remarks import Remark
from ingest.storage.texts.chunks import DEFAULT_MAX_CHARS
from ingest.storage.texts.layout import OmissionKind, build_omission
from ingest.storage.texts.positions import SheetCell

JSON_PARSER = "json-3"
_TOO_DEEP = Remark("json_deep")
_TOO_DEEP_HINT = Remark("hint_json_deep")
_MAX_NAMED_LINES = 10
_MAX_LIST_DEPTH = 3

Records = Callable[[], Iterator[dict[str, Any]]]


def parse_json(path: Path) -> ParsedDocument:
    """Parse JSON or JSON Lines. If the JSON is invalid, the text is the source, and an omission is recorded.

    Raises `DamagedDocumentError` if values are nested too deeply or the file is not text, and `NoTextError` if there is
    no text.
    """
    source = decode_text(read_text_bytes(path))
    try:
        return _JsonWriter(source).build_document()
    except ValueError as error:
        text, omissions = read_normalized_text(path)
        detail = Remark("omitted_json")
        if isinstance(error, json.JSONDecodeError):
            detail = Remark("omitted_json_at", line=str(error.lineno), column=str(error.colno))
        broken = build_omission(OmissionKind.OTHER, 1, [detail])
        return ParsedDocument(text, None, JSON_PARSER, omissions=(*omissions, broken))
    except RecursionError as error:
        raise DamagedDocumentError(_TOO_DEEP, hint=_TOO_DEEP_HINT) from error


@dataclass(frozen=True)
class _RecordList:
    """A list of objects that has been written, with the spans of the objects."""

    name: str
    records: Records
    spans: "array[int]"
    paths: Sequence[str]
    nested: bool

    def build_table(self) -> FoundTable:
        """Build the record table of the list."""
        start = self.spans[0]

        def iter_rows() -> Iterator[TableRow]:
            bounds = iter(self.spans)
            for record, begin, end in zip(self.records(), bounds, bounds, strict=True):
                cells = _flatten_record(record, flatten_objects=self.nested)
                yield TableRow(begin, end, [cells.get(path, "") for path in self.paths])

        return FoundTable(
            self.name, build_unique_names(self.paths, len(self.paths)), start, self.spans[-1], start, iter_rows
        )


class _JsonWriter:
    """Writes one JSON document."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._writer = DocumentWriter()
        self._lists: list[_RecordList] = []

    def build_document(self) -> ParsedDocument:
        """Write the document and return it. Raises `ValueError` for invalid JSON."""
        source, start = self._source, skip_white_space(self._source, 0)
        if source[start : start + 1] != "[" or not self._write_record_list(start):
            try:
                value, end = parse_value(source, start)
                if skip_white_space(source, end) < len(source):
                    raise json.JSONDecodeError("more than one value", source, end)
            except json.JSONDecodeError:
                if not self._write_object_stream():
                    self._write_lines()
            else:
                self._write_value(value, "", 1)
        document = self._writer.finish(JSON_PARSER, empty_message=Remark("no_text_json"), hint=NO_TEXT_HINT)
        found = sorted((each.build_table() for each in self._lists), key=lambda table: table.start)
        return replace(document, layout=replace(document.layout, tables=build_table_spans(found)), found=found)

    def _write_record_list(self, start: int) -> bool:
        """Write a list of objects, up to the point where its JSON becomes invalid.

        Returns False if the value is not a list of objects.
        """
        source, count, end, error = self._source, 0, start + 1, None
        try:
            for end, value in iter_elements(source, start):  # noqa: B007 - where it broke
                if not isinstance(value, dict):
                    return False
                count += 1
            if skip_white_space(source, skip_white_space(source, end) + 1) < len(source):
                return False
        except json.JSONDecodeError as broken:
            error = broken
        if count < 1 + (error is not None):
            return False
        self._write_records(
            "", lambda: (_require_object(value) for _, value in islice(iter_elements(source, start), count)), 1
        )
        if error is not None:
            self._writer.write_paragraph(source[end:])
            detail = Remark("omitted_json_after", count=count, line=str(error.lineno), column=str(error.colno))
            self._writer.record_omission(OmissionKind.OTHER, 1, detail)
        return True

    def _write_object_stream(self) -> bool:
        """Write a stream of concatenated objects. Returns False if the source is not such a stream."""
        starts = array("Q")
        try:
            for start, value in iter_values(self._source):
                if not isinstance(value, dict):
                    return False
                starts.append(start)
        except json.JSONDecodeError:
            return False
        if starts:
            self._write_records(
                "", lambda: (_require_object(parse_value(self._source, start)[0]) for start in starts), 1
            )
        return bool(starts)

    def _write_lines(self) -> None:
        """Write JSON Lines. If most lines are not objects, the error of the first one is raised."""
        good: list[tuple[int, int]] = []
        others: list[tuple[int, int, int]] = []
        first_error: ValueError | None = None
        for number, (start, end) in enumerate(iter_lines(self._source), start=1):
            try:
                value, stop = parse_value(self._source, skip_white_space(self._source, start))
                if not isinstance(value, dict) or skip_white_space(self._source, stop) < end:
                    raise json.JSONDecodeError("a line is not an object", self._source, start)
                good.append((start, end))
            except ValueError as error:
                first_error = first_error or error
                others.append((number, start, end))
        if first_error is not None and (len(good) < 2 or len(others) > len(good)):
            raise first_error
        starts = [skip_white_space(self._source, start) for start, _ in good]
        self._write_records("", lambda: (_require_object(parse_value(self._source, start)[0]) for start in starts), 1)
        for _, start, end in others:
            self._writer.write_paragraph(self._source[start:end])
        if others:
            detail = Remark("omitted_json_lines", lines=[str(number) for number, _, _ in others[:_MAX_NAMED_LINES]])
            self._writer.record_omission(OmissionKind.OTHER, len(others), detail)

    def _write_value(self, value: Json, path: str, level: int) -> None:
        """Write a value below a title with its path.

        Short members come first, and long members follow as sections.
        """
        long: list[tuple[str, Json]] = []
        shown: list[str] = []
        for name, member in _iter_members(value):
            # The only member of a plain list is the list itself.
            has_section = isinstance(member, dict | list) and member is not value
            if has_section and (_has_records(member) or _fills_chunk(member, name)):
                long.append((name, member))
            else:
                shown.extend(_iter_value_lines(member, name))
        self._writer.write_paragraph("\n".join(shown))
        for name, member in long:
            self._writer.start_section(name, level)
            whole = f"{path}{'' if name.startswith('[') or not path else '.'}{name}"
            if _is_record_list(member):
                self._write_records(whole, partial(map, _require_object, member), level + 1)
            else:
                self._write_value(member, whole, level + 1)

    def _write_records(self, path: str, records: Records, level: int) -> None:
        """Write a list of objects. An object that would fill a chunk becomes a section."""
        spans, after_long = array("Q"), False
        for number, record in enumerate(records()):
            text = "\n".join(_iter_value_lines(record, ""))
            long = len(text) > DEFAULT_MAX_CHARS
            if long:
                self._writer.start_section(f"[{number}]", level)
            elif after_long:
                self._writer.end_section(level)
            after_long = long
            at = SheetCell(1, number + 1, 0)
            spans.extend(
                self._writer.write_pieces([Piece(text, at)]) or self._writer.write_pieces([Piece("{}", at)]) or ()
            )
        for nested in (True, False):
            paths: dict[str, None] = {}
            for record in records():
                paths.update(dict.fromkeys(_flatten_record(record, flatten_objects=nested)))
            if len(paths) <= MAX_COLUMNS:
                break
        if paths:
            self._lists.append(_RecordList(path, records, spans, list(paths)[:MAX_COLUMNS], nested))


def _require_object(value: Json) -> dict[str, Any]:
    """Return the value, which an earlier pass found to be an object."""
    assert isinstance(value, dict)
    return value


def _is_record_list(value: Json) -> bool:
    """Return whether a value is a list that contains only objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _has_records(value: Json, max_depth: int = _MAX_LIST_DEPTH) -> bool:
    """Return whether a value is a list of objects, or an object with such a list within a few levels."""
    if isinstance(value, dict):
        return max_depth > 0 and any(_has_records(member, max_depth - 1) for member in value.values())
    return _is_record_list(value)


def _fills_chunk(value: Json, name: str) -> bool:
    """Return whether a value would fill a chunk. Formatting stops as soon as that is certain."""
    length = 0
    for line in _iter_value_lines(value, name):
        length += len(line) + 1
        if length > DEFAULT_MAX_CHARS:
            return True
    return False


def _iter_members(value: Json) -> Iterable[tuple[str, Json]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return ((f"[{number}]", each) for number, each in enumerate(value))
    return (("", value),)


def _iter_value_lines(value: Json, path: str) -> Iterator[str]:
    """Yield a line with the path and text of each value that is not empty."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _iter_value_lines(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, member in enumerate(value):
            yield from _iter_value_lines(member, f"{path}[{number}]")
    else:
        words = _join_values(value) if isinstance(value, list) else _format_value(value)
        if words:
            yield f"{path}: {words}" if path else words


def _join_values(values: Sequence[Json]) -> str:
    """Join plain values into one string.

    If all values are strings that end with a newline, except perhaps the last, they are the lines of one text, as in
    notebooks.
    """
    lines = [value for value in values if isinstance(value, str) and not isinstance(value, Number)]
    if len(lines) == len(values) > 1 and all(line.endswith("\n") for line in lines[:-1]):
        return "".join(lines).strip()
    return ", ".join(filter(None, map(_format_value, values)))


def _format_value(value: Json) -> str:
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else str(value).lower()


def _flatten_record(record: dict[str, Any], *, flatten_objects: bool, prefix: str = "") -> dict[str, str]:
    """Return the cells of a record, keyed by path.

    Lists stay JSON; so do nested objects unless `flatten_objects` is set.
    """
    cells: dict[str, str] = {}
    for name, member in record.items():
        if isinstance(member, str):
            cells[prefix + name] = member.strip()
        elif isinstance(member, dict) and member and flatten_objects:
            cells.update(_flatten_record(member, flatten_objects=flatten_objects, prefix=f"{prefix}{name}."))
        elif isinstance(member, dict | list):
            cells[prefix + name] = json.dumps(_convert_numbers(member), ensure_ascii=False)
        else:
            cells[prefix + name] = _format_value(member)
    return cells


def _convert_numbers(value: Json) -> object:
    """Convert the numbers in a value to Python numbers."""
    match value:
        case Number():
            return json.loads(value)
        case dict():
            return {name: _convert_numbers(member) for name, member in value.items()}
        case list():
            return [_convert_numbers(member) for member in value]
        case _:
            return value
