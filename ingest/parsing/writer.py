"""Write the normalized text of a document piece by piece, with its layout and the position of each piece.

Parsers use this writer for formats with structure. Structure is written as Markdown: headings with `#`, lists, fenced
code, and pipe tables whose rows `ingest.parsing.pipe_tables` finds again. Each piece is normalized on its own, and
pieces are joined only with ASCII characters, so that the whole text is normalized and recorded offsets stay valid.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, dropwhile

from ingest.parsing.errors import NoTextError
from ingest.parsing.isolation.progress import report_progress
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.layout import (
    Heading,
    Layout,
    Omission,
    OmissionKind,
    Place,
    PlaceKind,
    TableSpan,
    build_omission,
)
from ingest.storage.texts.normalize import count_invisible_characters, normalize, normalize_title
from ingest.storage.texts.positions import Box, PositionsBuilder, SheetCell

Position = Box | SheetCell
_MAX_HEADING_MARKS = 6
_NO_HEADING = sys.maxsize
_MAX_PARTS = 50_000
_plain_line = re.compile(r"(?:[!-~]+(?: (?=[!-~]))?)*+")
_fence = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Piece:
    """A piece of text with its position, if known. `gap` comes before the piece; it is empty if a word continues.

    `page` is the number of the page that begins with this piece, if a page begins inside the paragraph.
    """

    text: str
    at: Position | None = None
    gap: str = " "
    page: int | None = None


CellContent = str | Piece | Sequence[Piece]


@dataclass(frozen=True)
class PositionedRow:
    """A table row with a single position instead of one position per cell."""

    cells: Sequence[CellContent]
    at: Position | None = None


@dataclass
class _OmissionCount:
    count: int = 0
    details: list[str] = field(default_factory=list)


class DocumentWriter:
    """Writes one document in reading order. Blocks are separated by a blank line.

    writer = DocumentWriter()
    writer.write_heading("Tides", 1)
    writer.write_paragraph("High water is at noon.")
    document = writer.finish("my-parser-1", nothing="The file contains no text.")
    """

    def __init__(self) -> None:
        # Joined strings. Strings are joined early, because millions of small ones take much memory.
        self._done: list[str] = []
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._places: list[Place] = []
        self._tables: list[TableSpan] = []
        self._positions = PositionsBuilder()
        self._omitted: dict[OmissionKind, _OmissionCount] = {}

    @property
    def length(self) -> int:
        """The number of code points written so far."""
        return self._length

    @property
    def first_heading(self) -> str | None:
        """The title of the first level-one heading, for documents without another title."""
        return next((heading.title for heading in self._headings if heading.level == 1 and heading.title), None)

    def start_place(self, kind: PlaceKind, name: str = "", number: int | None = None) -> Place:
        """Start a page, slide or sheet: the text written next belongs to it. By default, numbers count from 1.

        A page, slide or sheet without text starts where the previous text ends.
        """
        place = Place(kind, number or len(self._places) + 1, self._length, _join_lines(name))
        if kind is not PlaceKind.PAGE:  # PDF pages are reported when they are read, which is before they are written.
            report_progress(len(self._places))
        self._places.append(place)
        return place

    def write_heading(self, title: str, level: int, pieces: Sequence[Piece] | None = None) -> None:
        """Write a heading, unless it has no visible characters. `pieces` are its words and positions, if known."""
        pieces = [Piece(title)] if pieces is None else pieces
        if not any(_join_lines(piece.text) for piece in pieces):
            return
        level = max(1, level)
        self._start_block(level=level)
        start = self._length
        self._append("#" * min(level, _MAX_HEADING_MARKS) + " ")
        words = len(self._parts)
        self._write_line(pieces)
        self._headings.append(Heading(level, start, self._length, "".join(self._parts[words:])))

    def start_section(self, title: str, level: int) -> None:
        """Start a section at the next block, without writing a heading."""
        line = _join_lines(title)
        if line:
            self.end_list()
            at = self._length + (2 if self._length else 0)
            self._end_sections(at, level)
            self._headings.append(Heading(max(1, level), at, at, line))

    def end_section(self, level: int) -> None:
        """End the sections at this level and deeper levels, so that the next block belongs to none of them."""
        self._ended = level

    def write_paragraph(self, text: str, position: Position | None = None) -> None:
        """Write a paragraph with its line breaks, unless it has no visible characters."""
        self.write_pieces([Piece(text, position)])

    def write_caption(self, text: str, position: Position | None = None) -> None:
        """Write a paragraph that becomes the name of a table directly below it."""
        self.write_paragraph(text, position)
        self._caption = (self._length, text)

    def write_pieces(self, pieces: Iterable[Piece], *, mark: str = "") -> tuple[int, int] | None:
        """Write a paragraph that starts with `mark` and joins the pieces with their gaps.

        A gap is a space, a newline or empty. Pieces keep their own line breaks and blank lines. Returns the span of the
        paragraph, or None if nothing was written.
        """
        return self._write_block(pieces, mark, is_tight=False)

    def write_item(
        self, pieces: Iterable[Piece] | str, *, mark: str = "-", depth: int = 0, position: Position | None = None
    ) -> None:
        """Write a list item directly below the previous one, indented by `depth`, which counts from 0.

        `position` is the position of the mark, if the file has one.
        """
        pieces = [Piece(pieces)] if isinstance(pieces, str) else pieces
        self._write_block(pieces, "  " * max(0, depth) + mark + " ", is_tight=True, mark_position=position)

    def end_list(self) -> None:
        """End the current list, so that a blank line separates it from the next one."""
        self._is_tight = False

    def write_code(self, text: str, language: str = "", position: Position | None = None) -> None:
        """Write a fenced code block."""
        body = self._normalize(text.strip("\n"))
        if not body.strip():
            return
        longest = max((len(found) for found in _fence.findall(body)), default=2)
        fence = "`" * max(3, longest + 1)
        self._start_block()
        self._append(f"{fence}{_join_lines(language)}\n")
        self._append_with_position(body, position)
        self._append(f"\n{fence}")

    def write_table(
        self,
        rows: Iterable[Sequence[CellContent] | PositionedRow],
        *,
        caption: str = "",
        name: str = "",
        has_header: bool = True,
    ) -> TableSpan | None:
        """Write a table and return its span, or return None if it has no visible cells.

        The first row with a visible cell is the header; if `has_header` is false, the header is empty. `caption` is
        written as a paragraph above the table and names it. Pass `name` instead if the name appears elsewhere in the
        document. Each row gets as many cells as the header: missing cells are added, and surplus cells are joined into
        the last one.
        """
        lines = (row if isinstance(row, PositionedRow) else PositionedRow(row) for row in rows)
        body = dropwhile(
            lambda row: not any(_join_lines(piece.text) for cell in row.cells for piece in _get_pieces(cell)), lines
        )
        header = next(body, None)
        if header is None:
            return None
        rest: Iterable[PositionedRow] = body
        if not has_header:
            rest, header = chain([header], body), PositionedRow([[] for _ in header.cells])
        if not name and not caption and self._caption[0] == self._length:
            name = self._caption[1]
        if caption:
            self.write_paragraph(caption)
        width = len(header.cells)
        self._start_block()
        start = self._length
        self._write_row(header, width)
        self._append("\n" + "|" + " --- |" * width)
        header_end = self._length
        for row in rest:
            self._append("\n")
            self._write_row(row, width)
            self._join_parts()
        span = TableSpan(start, header_end, self._length, _join_lines(name or caption))
        self._tables.append(span)
        return span

    def record_omission(self, kind: OmissionKind, count: int = 1, detail: str = "") -> None:
        """Count content that is not in the text. For each kind, a detail is listed only once."""
        found = self._omitted.setdefault(kind, _OmissionCount())
        found.count += count
        if detail and detail not in found.details:
            found.details.append(detail)

    def include_omission(self, omission: Omission) -> None:
        """Count the content that another writer left out."""
        self.record_omission(omission.kind, omission.count)
        for detail in omission.remarks or (omission.detail,):
            self.record_omission(omission.kind, 0, detail)

    def finish(
        self, parser: str, title: str | None = None, *, empty_message: str, hint: str = "", picture_hint: str = ""
    ) -> ParsedDocument:
        """Return the document. If no text was written, raise `NoTextError` with the message `empty_message`.

        The hint of the error is `picture_hint` if it is given and the document contains pictures, otherwise `hint`.
        """
        text = "".join([*self._done, *self._parts])
        if not text.strip():
            has_pictures = OmissionKind.IMAGE in self._omitted
            raise NoTextError(empty_message, hint=picture_hint if has_pictures and picture_hint else hint)
        # A heading after the end has no content.
        headings = tuple(each for each in self._headings if each.end <= len(text))
        layout = Layout(headings, tuple(self._places), tuple(self._tables))
        return ParsedDocument(
            text,
            normalize_title(title),
            parser,
            layout=layout,
            positions=self._positions.build(),
            omissions=self.list_omissions(),
        )

    def list_omissions(self) -> tuple[Omission, ...]:
        """Return the omissions recorded so far."""
        return tuple(build_omission(kind, found.count, found.details) for kind, found in sorted(self._omitted.items()))

    def _write_block(
        self, pieces: Iterable[Piece], mark: str, *, is_tight: bool, mark_position: Position | None = None
    ) -> tuple[int, int] | None:
        written = [(each, text) for each in pieces if (text := self._normalize(each.text)).strip()]
        if not written:
            return None
        self._start_block(is_tight=is_tight)
        start = self._length
        if shown := mark.strip():
            self._append(mark[: len(mark) - len(mark.lstrip())])
            self._append_with_position(shown, mark_position)
            self._append(" ")
        for number, (piece, text) in enumerate(written):
            text = text.strip() if mark else text.strip("\n")
            self._append(self._choose_gap(piece.gap, text) if number else "")
            if piece.page is not None:
                self.start_place(PlaceKind.PAGE, number=piece.page)
            self._append_with_position(text, piece.at)
        return start, self._length

    def _write_line(self, pieces: Iterable[Piece]) -> None:
        """Write pieces on one line."""
        first = True
        for piece in pieces:
            if line := self._normalize_line(piece.text):
                self._append("" if first else self._choose_gap(piece.gap.replace("\n", " "), line))
                self._append_with_position(line, piece.at)
                first = False

    def _write_row(self, row: PositionedRow, width: int) -> None:
        start, cells = self._length, [_get_pieces(cell) for cell in row.cells]
        cells = cells if len(cells) <= width else [*cells[: width - 1], _join_cells(cells[width - 1 :])]
        self._append("|")
        for number in range(width):
            self._append(" ")
            first = True
            for piece in cells[number] if number < len(cells) else ():
                if text := self._normalize_line(piece.text).replace("|", "\\|"):
                    self._append("" if first else self._choose_gap(piece.gap.replace("\n", " "), text))
                    self._append_with_position(text, piece.at)
                    first = False
            self._append("|" if first else " |")
        if row.at is not None:
            self._positions.add(start, self._length, row.at)

    def _choose_gap(self, gap: str, text: str) -> str:
        """Return the gap, or a space if it is empty and normalizing would merge `text` with the previous character."""
        if gap:
            return gap
        before = self._parts[-1][-1]
        return "" if normalize(before + text[0]) == before + text[0] else " "

    def _start_block(self, *, is_tight: bool = False, level: int = _NO_HEADING) -> None:
        self._join_parts()
        if self._length:
            self._append("\n" if is_tight and self._is_tight and not self._ended else "\n\n")
        self._is_tight = is_tight
        self._end_sections(self._length, level)

    def _end_sections(self, offset: int, level: int) -> None:
        """End the pending sections at `offset`, unless a heading of level `level` ends them anyway."""
        if 0 < self._ended < level and self._headings:
            self._headings.append(Heading(self._ended, offset, offset, ""))
        self._ended = 0

    _is_tight = False
    _ended = 0  # The level of the sections that end before the next block.
    _caption = (0, "")  # The end and the text of the last caption.

    def _join_parts(self) -> None:
        if len(self._parts) > _MAX_PARTS:
            self._done.append("".join(self._parts))
            self._parts = []

    def _append_with_position(self, text: str, position: Position | None) -> None:
        if position is not None:
            self._positions.add(self._length, self._length + len(text), position)
        self._append(text)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _normalize(self, text: str) -> str:
        if hidden := count_invisible_characters(text):
            self.record_omission(OmissionKind.INVISIBLE_CHARACTER, hidden)
        return normalize(text)

    def _normalize_line(self, text: str) -> str:
        if _plain_line.fullmatch(text):  # The condition is true for most cells.
            return text
        return " ".join(self._normalize(text).split())


def _join_lines(text: str) -> str:
    return " ".join(normalize(text).split())


def _get_pieces(cell: CellContent) -> Sequence[Piece]:
    if isinstance(cell, str):
        return [Piece(cell)]
    return [cell] if isinstance(cell, Piece) else cell


def _join_cells(cells: Sequence[Sequence[Piece]]) -> Sequence[Piece]:
    """Join the pieces of several cells, separated by spaces."""
    found: list[Piece] = []
    for cell in cells:
        found += [replace(piece, gap=" ") if not number else piece for number, piece in enumerate(cell)]
    return found
