"""Parse RTF with striprtf, after marking headings, lists, tables, notes and hidden text in the source.

striprtf handles characters, fonts and encodings, but drops all structure. To keep it, characters from Unicode's private
use area are inserted into the source where an element begins or ends. striprtf passes them on as text.
"""

import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.grid import GridCell, write_grid
from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

RTF_PARSER = "rtf-2"

_PICTURE, _OBJECT = "pict", "object"
_token = re.compile(r"\\(?P<word>[a-z]{1,32})(?P<number>-?\d{1,10})? ?|\\[^a-z]|[{}]", re.IGNORECASE)
_code_page = re.compile(r"\\ansicpg(\d{1,5})")
_style = re.compile(r"\{\\s(?P<number>\d+)(?P<about>(?:[^{};]|\{[^{}]*+\})*+);\}")
_box = re.compile(r"\{\\shptxt(?![a-z])")
_outline = re.compile(r"\\outlinelevel(?P<level>\d)")
_style_name = re.compile(r"(?:^|[{}]|\\[a-z]+-?\d* )(?P<name>[^\\{}]*)$", re.IGNORECASE)
_heading_name = re.compile(r"heading ([1-9])", re.IGNORECASE)
_number = re.compile(r"[(\[]?[\w.]*(?:\d[.)\]:]?|[\w][.)\]:])")
# Groups whose content striprtf drops, with the omissions to record for them.
_OMITTED_GROUPS: dict[str, tuple[OmissionKind, int, str]] = {
    "annotation": (OmissionKind.OTHER, 1, Remark("omitted_comments")),
    "moMath": (OmissionKind.FORMULA, 1, ""),
    **dict.fromkeys(
        (f"{edge}{pages}" for edge in ("header", "footer") for pages in ("", "f", "l", "r")),
        (OmissionKind.BOILERPLATE, 1, Remark("omitted_headers")),
    ),
}
_MAX_DEPTH = 1_000
_MAX_STYLESHEET_CHARS = 500_000

# Marks inserted into the text. The level of a heading or the depth of a list item is added to the first code point of
# the mark's range.
_HEADING, _DEPTH = 0xE000, 0xE010
_ITEM, _ITEM_END = "\ue020", "\ue021"
_NOTE, _NOTE_END = "\ue022", "\ue023"
_HIDDEN, _HIDDEN_END = "\ue024", "\ue025"
_TABLE, _CELL, _ROW = "\ue026", "\ue027", "\ue028"
# Marks for the control words of a table. A row with the layout of the previous row needs no `trowd`; only `intbl`
# indicates that the row is in a table.
_TABLE_MARKS = {"trowd": _TABLE, "intbl": _TABLE, "cell": _CELL, "row": _ROW}
_ANY_MARK = re.compile("[\ue000-\ue02f]")
_unseen = re.compile(f"{_HIDDEN}(?P<text>[^{_HIDDEN_END}]*){_HIDDEN_END}?")
_note = re.compile(f"{_NOTE}(?P<text>[^{_NOTE}{_NOTE_END}]*){_NOTE_END}")
_item = re.compile(f"{_ITEM}(?P<mark>[^{_ITEM_END}]*){_ITEM_END}")
_levels = re.compile(f"[{chr(_HEADING)}-{chr(_HEADING + 9)}]")
_depths = re.compile(f"[{chr(_DEPTH)}-{chr(_DEPTH + 9)}]")


def parse_rtf(path: Path) -> ParsedDocument:
    """Parse a document. Raises `DamagedDocumentError`, `ParserLimitError` and `NoTextError`."""
    writer = DocumentWriter()
    title = write_rtf(writer, path.read_bytes())
    return writer.finish(
        RTF_PARSER,
        title or writer.first_heading,
        empty_message=Remark("no_text_document"),
        hint=NO_TEXT_HINT,
        picture_hint=PICTURE_HINT,
    )


def write_rtf(writer: DocumentWriter, content: bytes) -> str | None:
    """Write a document and return its title, or None. Raises `DamagedDocumentError` and `ParserLimitError`."""
    stated = _code_page.search(content[:4096].decode("ascii", "replace"))
    source = content.decode(_get_codec(stated[1] if stated else "1252"), "replace")
    text = _convert_to_text(_SourceMarker(_move_text_boxes_to_end(source), writer).mark_source())
    _write_text(_remove_hidden_text(text, writer), writer)
    return _extract_title(source, stated[0] if stated else "")


def _get_codec(code_page: str) -> str:
    try:
        return codecs.lookup(f"cp{code_page}").name
    except LookupError:
        return "cp1252"


def _convert_to_text(source: str) -> str:
    from striprtf.striprtf import rtf_to_text  # Imported here so that this module loads no parser.

    try:
        return str(rtf_to_text(source, errors="replace"))
    except (ValueError, TypeError, IndexError, LookupError) as error:
        raise DamagedDocumentError(Remark("rtf_damaged")) from error


@dataclass
class _Group:
    """An open group, the mark to insert at its end, and whether its text is hidden."""

    ends_with: str = ""
    is_hidden: bool = False


@dataclass
class _SourceMarker:
    """Copies an RTF source, inserts marks, and omits pictures and objects."""

    source: str
    writer: DocumentWriter
    _parts: list[str] = field(default_factory=list)
    _groups: list[_Group] = field(default_factory=list)

    def mark_source(self) -> str:
        """Return the source with marks. Raises `DamagedDocumentError` if a group is not closed."""
        levels = _parse_heading_styles(self.source)
        copied = at = 0
        while (found := _token.search(self.source, at)) is not None:
            at = found.end()
            word = found["word"]
            if found[0] == "{":
                self._groups.append(_Group())
                if len(self._groups) > _MAX_DEPTH:
                    raise DamagedDocumentError(Remark("rtf_deep"))
            elif found[0] == "}":
                self._parts += self.source[copied : found.start()], self._close_group()
                copied = found.start()
                if not self._groups:
                    return "".join((*self._parts, self.source[copied:at]))
            elif word in (_PICTURE, _OBJECT, "bin"):
                self._parts.append(self.source[copied : found.start()])
                copied = at = self._find_skip_end(word, found)
            elif word is not None:
                mark = self._build_mark(word, found["number"], levels)
                if mark is not None:
                    before, kept = mark
                    self._parts += self.source[copied : found.start()], before, found[0] if kept else ""
                    copied = at
        raise DamagedDocumentError(Remark("rtf_cut_off"), hint=Remark("hint_upload_complete"))

    def _close_group(self) -> str:
        if not self._groups:
            return ""
        group = self._groups.pop()
        return (_encode_marks(_HIDDEN_END) if group.is_hidden else "") + group.ends_with

    def _build_mark(self, word: str, number: str | None, levels: dict[str, int]) -> tuple[str, bool] | None:
        """Return the mark for a control word and whether to keep the word, or None if it has no mark."""
        if word == "outlinelevel" and number is not None and 0 <= int(number) < 9:
            return _encode_marks(chr(_HEADING + int(number) + 1)), True
        if word == "s" and number in levels:
            return _encode_marks(chr(_HEADING + levels[number])), True
        if word == "ilvl" and number is not None and 0 <= int(number) < 9:
            return _encode_marks(chr(_DEPTH + int(number))), True
        if word == "footnote":
            self._set_group_end_mark(_encode_marks(_NOTE_END))
            return _encode_marks(_NOTE), False
        if word in _OMITTED_GROUPS:
            self.writer.record_omission(*_OMITTED_GROUPS[word])
        if word == "listtext":
            self._set_group_end_mark(_encode_marks(_ITEM_END))
            return _encode_marks(_ITEM), True
        if word in _TABLE_MARKS:
            return _encode_marks(_TABLE_MARKS[word]), False
        if word in ("v", "deleted") and number != "0":
            return self._hide_group()
        if word in ("v", "deleted", "plain") and self._groups and self._groups[-1].is_hidden:
            self._groups[-1].is_hidden = False
            return _encode_marks(_HIDDEN_END), True
        return None

    def _hide_group(self) -> tuple[str, bool] | None:
        if not self._groups or any(group.is_hidden for group in self._groups):
            return None
        self._groups[-1].is_hidden = True
        return _encode_marks(_HIDDEN), True

    def _set_group_end_mark(self, mark: str) -> None:
        if self._groups:
            self._groups[-1].ends_with = mark

    def _find_skip_end(self, word: str, match: re.Match[str]) -> int:
        """Return the end of the binary data after `bin`, or of the group of a picture or object."""
        if word == "bin":
            return match.end() + max(0, int(match["number"] or 0))
        is_shown = word == _OBJECT or "nonshppict" not in self.source[max(0, match.start() - 16) : match.start()]
        if is_shown:  # Word also writes a second copy of each picture for old programs, which is not counted.
            self.writer.record_omission(OmissionKind.IMAGE if word == _PICTURE else OmissionKind.EMBEDDED_OBJECT)
        end = _find_group_end(self.source, match.end())
        return end - 1 if end else len(self.source)


def _find_group_end(source: str, position: int) -> int:
    """Return the position after the brace that closes the current group, or 0 if the group is not closed."""
    depth = 1
    while (found := _token.search(source, position)) is not None:
        position = found.end()
        depth += (found[0] == "{") - (found[0] == "}")
        if found["word"] == "bin":
            position += max(0, int(found["number"] or 0))
        if not depth:
            return position
    return 0


def _move_text_boxes_to_end(source: str) -> str:
    """Move text boxes, which striprtf would omit, to the end of the document."""
    kept: list[str] = []
    boxes: list[str] = []
    at = 0
    for found in _box.finditer(source):
        end = _find_group_end(source, found.end())
        if found.start() >= at and end:
            kept.append(source[at : found.start()])
            boxes.append(f"\\par\\pard {source[found.end() : end - 1]}")
            at = end
    if not boxes:
        return source
    body, brace, rest = "".join((*kept, source[at:])).rpartition("}")
    return "".join((body, *boxes, brace, rest))


def _parse_heading_styles(source: str) -> dict[str, int]:
    """Return the heading levels, keyed by style number."""
    start = source.find("{\\stylesheet")
    if start < 0:
        return {}
    levels: dict[str, int] = {}
    for style in _style.finditer(source, start, start + _MAX_STYLESHEET_CHARS):
        outline, named = _outline.search(style["about"]), _style_name.search(style["about"])
        name = named["name"].strip() if named else ""
        heading = _heading_name.fullmatch(name)
        if heading is not None:
            levels[style["number"]] = int(heading[1])
        elif name.casefold() == "title":
            levels[style["number"]] = 1
        elif outline is not None and int(outline["level"]) < 9:
            levels[style["number"]] = int(outline["level"]) + 1
    return levels


def _encode_marks(mark: str) -> str:
    """Encode marks as RTF escapes, which work in any encoding, each in a group that ends its control word."""
    return "".join(f"{{\\uc0\\u{ord(each) - 0x10000} }}" for each in mark)


def _remove_hidden_text(text: str, writer: DocumentWriter) -> str:
    def record_hidden_text(match: re.Match[str]) -> str:
        if _ANY_MARK.sub("", match["text"]).strip():
            writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_or_deleted"))
        return ""

    return _unseen.sub(record_hidden_text, text)


def _write_text(text: str, writer: DocumentWriter) -> None:
    notes: list[str] = []

    def collect_note(match: re.Match[str]) -> str:
        notes.append(" ".join(_ANY_MARK.sub(" ", match["text"]).split()))
        return f"[^{len(notes)}]"

    text = _note.sub(collect_note, text)
    rows: list[list[GridCell]] = []
    for chunk in re.split(f"(?<={_ROW})", text):
        before, has_row, cells = chunk.partition(_TABLE)
        if not chunk.endswith(_ROW):
            before, has_row = _ANY_TABLE_MARK.sub(" ", chunk), ""
        if _strip_marks(_item.sub("", before)) or not has_row:
            _write_rows(rows, writer)
            _write_paragraphs(before, writer)
        if has_row:
            rows.append([GridCell(_strip_marks(cell)) for cell in cells.split(_CELL)[:-1]])
    _write_rows(rows, writer)
    for number, note in enumerate(notes, start=1):
        writer.write_paragraph(f"[^{number}]: {note}")


_ANY_TABLE_MARK = re.compile(f"[{_TABLE}{_CELL}{_ROW}]")


def _write_rows(rows: list[list[GridCell]], writer: DocumentWriter) -> None:
    if len(rows) == 1 and len(rows[0]) == 1:  # A table with a single cell is only a frame around text.
        writer.write_paragraph(rows[0][0].text)
    elif rows:
        write_grid(writer, rows)
    rows.clear()


def _write_paragraphs(text: str, writer: DocumentWriter) -> None:
    for paragraph in text.split("\n"):
        level, item = _levels.search(paragraph), _item.search(paragraph)
        words = _strip_marks(_item.sub("", paragraph))
        if level is not None:
            number = _get_item_mark(item) if item is not None else "-"
            writer.write_heading(words if number == "-" or not words else f"{number} {words}", ord(level[0]) - _HEADING)
        elif item is not None:
            depth = _depths.search(paragraph)
            writer.write_item(words, mark=_get_item_mark(item), depth=ord(depth[0]) - _DEPTH if depth else 0)
        else:
            writer.write_paragraph(_ANY_MARK.sub("", paragraph).strip())


def _get_item_mark(match: re.Match[str]) -> str:
    mark = _strip_marks(match["mark"])
    return mark if _number.fullmatch(mark) else "-"


def _strip_marks(text: str) -> str:
    return " ".join(_ANY_MARK.sub("", text).split())


def _extract_title(source: str, code_page: str) -> str | None:
    found = re.search(r"\{\\title (?P<title>(?:[^{}]|\{[^{}]*\}){0,2000})\}", source[:200_000])
    return _convert_to_text(f"{{\\rtf1\\ansi{code_page} {found['title']}}}").strip() or None if found else None
