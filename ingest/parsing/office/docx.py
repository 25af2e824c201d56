"""Parse Word documents (DOCX, DOCM, DOTX) in reading order: headings, lists, tables, notes, comments and text boxes."""

from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.grid import GridCell, strip_lone_bullet, write_grid
from ingest.parsing.office.charts import iter_diagram_texts, write_chart
from ingest.parsing.office.docx_chunks import ChunkBudget, ChunkWriter
from ingest.parsing.office.docx_inline import (
    CHART,
    COMMENT,
    DIAGRAM,
    ENDNOTE,
    FOOTNOTE,
    TEXT_BOX,
    AttachedElement,
    Inline,
    InlineReader,
)
from ingest.parsing.office.docx_numbering import BULLET, ListNumbering, format_number
from ingest.parsing.office.docx_styles import ListMembership, WordStyles, parse_list_membership, parse_outline_level
from ingest.parsing.office.fingerprints import DOCX_PARSER
from ingest.parsing.office.names import R, W, get_core_title, is_property_on, resolve_alternatives
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.office.package import Package, open_package
from ingest.parsing.tables import MAX_COLUMNS
from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

_VALUE = f"{W}val"
_NESTED_TABLES_DETAIL = Remark("omitted_nested_tables")


def parse_docx(path: Path) -> ParsedDocument:
    """Parse a document.

    Raises `DamagedDocumentError`, `EncryptedDocumentError`, `ParserLimitError` and `NoTextError`.
    """
    with open_package(path) as package:
        main = _get_main_part(package)
        reader = DocxReader(package, main, DocumentWriter())
        reader.convert_document()
        title = next(
            (get_core_title(package.parse_part(name)) for name in package.list_related_parts("", "core-properties")),
            None,
        )
        title = reader.title or title or reader.writer.first_heading
        return reader.writer.finish(
            DOCX_PARSER,
            title,
            empty_message=Remark("no_text_document"),
            hint=NO_TEXT_HINT,
            picture_hint=PICTURE_HINT,
        )


def _get_main_part(package: Package) -> str:
    main = next(iter(package.list_related_parts("", "officeDocument")), "")
    if not main:
        raise DamagedDocumentError(Remark("main_part_missing"))
    return main


class DocxReader:
    """Writes the content of one document. If it is merged into another one, `outer` is the reader of that document."""

    def __init__(
        self, package: Package, main_part: str, writer: DocumentWriter, outer_reader: "DocxReader | None" = None
    ) -> None:
        self.writer = writer
        self.title: str | None = None
        self._package = package
        self._main = main_part
        self._part = main_part  # The part of the package that is being read. Its relations are used.
        self._styles = WordStyles(self._load_optional_part("styles"))
        self._numbering = ListNumbering(self._load_optional_part("numbering"))
        self._notes = {
            FOOTNOTE: _index_elements_by_id(self._load_optional_part("footnotes"), f"{W}footnote"),
            ENDNOTE: _index_elements_by_id(self._load_optional_part("endnotes"), f"{W}endnote"),
            COMMENT: _index_elements_by_id(self._load_optional_part("comments"), f"{W}comment"),
        }
        room, level = (
            (ChunkBudget(), 1) if outer_reader is None else (outer_reader._chunks.room, outer_reader._chunks.level + 1)
        )
        self._chunks: ChunkWriter = ChunkWriter(package, room, level, self._write_merged_document)
        self._marks: dict[tuple[str, str], str] = {}
        self._marked: Counter[str] = (
            Counter() if outer_reader is None else outer_reader._marked
        )  # All merged documents share the counter.
        self._waiting: list[AttachedElement] = []
        self._at_end: list[AttachedElement] = []
        self._code: list[str] = []
        self._carried = ""
        self._in_list = False
        self._inline = InlineReader(self._styles, self.writer, self._get_note_mark)

    def convert_document(self) -> None:
        """Write the headers, the body with its footnotes, the endnotes, and the footers."""
        document = self._load_part(self._main)
        body = document.find(f"{W}body")
        if body is None:
            raise DamagedDocumentError(Remark("word_no_body"))
        headers, footers = (
            self._list_header_footer_texts(document, "header"),
            self._list_header_footer_texts(document, "footer"),
        )
        for text in headers:
            self.writer.write_paragraph(text)
        self._convert_blocks(body)
        self._flush()
        for note in self._at_end:
            self._write_attached_element(note)
        for text in footers:
            self.writer.write_paragraph(text)
        if any(name.lower().endswith("vbaproject.bin") for name in self._package.names):
            self.writer.record_omission(OmissionKind.MACRO)

    def _convert_blocks(self, parent: etree._Element) -> None:
        for child in parent.iterchildren():
            tag = child.tag
            if tag == f"{W}p":
                self._convert_paragraph(child)
            elif tag == f"{W}tbl":
                self._flush()
                self._convert_table(child)
            elif tag == f"{W}sdt":
                for content in child.iterchildren(f"{W}sdtContent"):
                    self._convert_blocks(content)
            elif tag in (f"{W}customXml", f"{W}ins", f"{W}moveTo"):
                self._convert_blocks(child)
            elif tag == f"{W}altChunk":
                self._flush()
                self._chunks.write_chunk(
                    self.writer, self._package.load_relations(self._part).get(child.get(f"{R}id", ""))
                )

    def _write_merged_document(self, writer: DocumentWriter, file: BinaryIO) -> None:
        """Write a Word document that is merged into this one. Raises the same errors as `parse_docx`."""
        with open_package(file) as package:
            DocxReader(package, _get_main_part(package), writer, self).convert_document()

    def _convert_paragraph(self, paragraph: etree._Element) -> None:
        properties = paragraph.find(f"{W}pPr")
        style = self._get_style(properties)
        inline = self._read_inline(paragraph, properties)
        if inline is None:
            return
        text = inline.text
        if self._styles.is_code(style):
            self._waiting.extend(inline.attached)
            self._code.append(text)
            return
        self._flush_code()
        if text.strip():
            self._write_paragraph(text, properties, style)
        else:
            self._flush()
            self._count_list_item(properties, style)  # Word also counts empty list items.
        self._waiting.extend(inline.attached)
        if any(each.kind not in (FOOTNOTE, ENDNOTE, COMMENT) for each in inline.attached):
            self._flush()

    def _read_inline(self, paragraph: etree._Element, properties: etree._Element | None) -> Inline | None:
        """Read a paragraph.

        Returns None if the paragraph is hidden, or if its paragraph mark is deleted. In the latter case, its text is
        added to the next paragraph.
        """
        style = self._get_style(properties)
        inline = self._inline.read_paragraph(paragraph)
        inline.parts.insert(0, self._carried)
        self._carried = ""
        if properties is not None and properties.find(f"{W}rPr/{W}del") is not None:
            self._carried = inline.text
            self._waiting.extend(inline.attached)
            return None
        if self._styles.is_hidden(style):
            if inline.text.strip():
                self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_text"))
            return None
        return inline

    def _write_paragraph(self, text: str, properties: etree._Element | None, style: str) -> None:
        level = parse_outline_level(properties)
        if level is None:
            level = self._styles.get_heading_level(style)
        numbered = self._count_list_item(properties, style)
        if level:
            self._flush()
            number = "" if numbered is None or numbered[0] == BULLET else f"{numbered[0]} "
            self.writer.write_heading(number + text, level)
            if self.title is None and self._styles.is_title(style):
                self.title = text
        elif numbered is not None:
            if not self._in_list:
                self._flush()
            self._in_list = True
            self.writer.write_item(" ".join(text.split()), mark=numbered[0] or BULLET, depth=numbered[1])
        else:
            self._flush()
            write = self.writer.write_caption if self._styles.is_caption(style) else self.writer.write_paragraph
            write(text.strip())

    def _count_list_item(self, properties: etree._Element | None, style: str) -> tuple[str, int] | None:
        """Count a paragraph in its list. Return its number and its level (from 0), or None if it is not in a list."""
        place = parse_list_membership(properties) or self._styles.get_list_membership(style)
        if place is None or place.list_id == "0":
            return None
        level = self._get_list_level(place, properties, style)
        number = self._numbering.count_item(place.list_id, level)
        return None if number is None else (number, level)

    def _get_list_level(self, membership: ListMembership, properties: etree._Element | None, style: str) -> int:
        if membership.level is not None:
            return membership.level
        return self._numbering.get_style_level(membership.list_id, self._styles.list_style_chain(style))

    def _convert_table(self, table: etree._Element) -> None:
        rows = list(self._iter_rows(table))
        only = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else None
        if only is not None:  # A table with a single cell is only a frame around text.
            self._convert_blocks(only)
            return
        of_header = takewhile(
            lambda row: is_property_on(row.find(f"{W}trPr/{W}tblHeader")), self._iter_row_elements(table)
        )
        write_grid(self.writer, self._build_grid(table), header_row_count=len(list(of_header)))
        self._flush()

    def _iter_rows(self, table: etree._Element) -> Iterator[list[etree._Element]]:
        for row in self._iter_row_elements(table):
            yield list(_iter_unwrapped_children(row, f"{W}tc"))

    def _iter_row_elements(self, table: etree._Element) -> Iterator[etree._Element]:
        """Yield the rows of a table, except deleted rows."""
        for row in _iter_unwrapped_children(table, f"{W}tr"):
            properties = row.find(f"{W}trPr")
            if properties is None or properties.find(f"{W}del") is None:
                yield row

    def _build_grid(self, table: etree._Element) -> list[list[GridCell]]:
        """Return the cells of a table. A cell that continues a vertical merge extends the span of the cell above it."""
        grid: list[list[GridCell]] = []
        # Row and index of each cell that the next row may extend, by the cell's first column.
        begun: dict[int, tuple[int, int]] = {}
        for row in self._iter_row_elements(table):
            properties = row.find(f"{W}trPr")
            cells = [GridCell("") for _ in range(_get_cell_span(properties, "gridBefore", 0))]
            column = len(cells)
            for cell in _iter_unwrapped_children(row, f"{W}tc"):
                about = cell.find(f"{W}tcPr")
                merge = None if about is None else about.find(f"{W}vMerge")
                width = _get_cell_span(about, "gridSpan", 1)
                if merge is not None and merge.get(_VALUE, "continue") == "continue" and column in begun:
                    at, place = begun[column]
                    above = grid[at][place]
                    grid[at][place] = GridCell(above.text, above.columns, len(grid) - at + 1)
                elif about is not None and _is_merged_with_left_cell(about) and cells:
                    cells[-1] = GridCell(cells[-1].text, cells[-1].columns + width, cells[-1].rows)
                else:
                    begun[column] = (len(grid), len(cells))
                    cells.append(GridCell(self._extract_cell_text(cell), width))
                column += width
            grid.append(cells)
        return grid

    def _extract_cell_text(self, cell: etree._Element) -> str:
        """Return the text of a cell, note or text box on one line."""
        lines: list[str] = []
        for child in cell.iterchildren():
            if child.tag == f"{W}p":
                lines.extend(self._iter_paragraph_texts(child))
            elif child.tag == f"{W}tbl":
                self.writer.record_omission(OmissionKind.TABLE, detail=_NESTED_TABLES_DETAIL)
                rows = ([self._extract_cell_text(each) for each in row] for row in self._iter_rows(child))
                lines.extend(", ".join(filter(None, row)) + ";" for row in rows if any(row))
            elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}customXml", f"{W}ins"):
                lines.append(self._extract_cell_text(child))
            elif child.tag == f"{W}altChunk":
                lines.append(self._extract_chunk_text(child))
        return strip_lone_bullet(" ".join(" ".join(filter(None, lines)).split()), len(lines))

    def _extract_chunk_text(self, chunk: etree._Element) -> str:
        """Return the text of a document merged into a cell."""
        writer = DocumentWriter()
        self._chunks.write_chunk(writer, self._package.load_relations(self._part).get(chunk.get(f"{R}id", "")))
        for each in writer.list_omissions():
            self.writer.include_omission(each)
        return writer.finish(DOCX_PARSER, empty_message="").text if writer.length else ""

    def _iter_paragraph_texts(self, paragraph: etree._Element) -> Iterator[str]:
        properties = paragraph.find(f"{W}pPr")
        inline = self._read_inline(paragraph, properties)
        if inline is None:
            return
        numbered = self._count_list_item(properties, self._get_style(properties))
        if inline.text.strip():
            yield f"{numbered[0] or BULLET} {inline.text}" if numbered else inline.text
        for each in inline.attached:
            if each.kind == TEXT_BOX and each.element is not None:
                yield self._extract_cell_text(each.element)
            else:
                self._waiting.append(each)

    def _flush(self) -> None:
        """Write the collected code and the elements attached to previous paragraphs, and end the current list."""
        self._in_list = False
        self._flush_code()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.kind == ENDNOTE:
                self._at_end.append(each)
            else:
                self._write_attached_element(each)

    def _flush_code(self) -> None:
        if self._code:
            lines, self._code = self._code, []
            self.writer.write_code("\n".join(lines))

    def _write_attached_element(self, attachment: AttachedElement) -> None:
        if attachment.kind == TEXT_BOX:
            if attachment.element is not None:
                self._convert_blocks(attachment.element)
                self._flush()
        elif attachment.kind in (CHART, DIAGRAM):
            self._write_drawing(attachment)
        else:
            self._write_note(attachment)

    def _write_note(self, attachment: AttachedElement) -> None:
        note = self._notes[attachment.kind].get(attachment.key)
        text = "" if note is None else self._extract_text_in_part(attachment.kind + "s", note)
        if note is None or not text:
            return
        if attachment.kind == COMMENT:
            author = " ".join(note.get(f"{W}author", "").split())
            self.writer.write_paragraph(f"[Comment{f' by {author}' if author else ''}: {text}]")
        else:
            self.writer.write_paragraph(f"{self._marks[attachment.kind, attachment.key]}: {text}")

    def _write_drawing(self, attachment: AttachedElement) -> None:
        relation = self._package.load_relations(self._part).get(attachment.key)
        if relation is None or relation.is_external or relation.target not in self._package.names:
            self.writer.record_omission(OmissionKind.OTHER, detail=Remark("omitted_charts"))
            return
        part = self._package.parse_part(relation.target)
        if attachment.kind == CHART:
            if not write_chart(self.writer, part):
                self.writer.record_omission(OmissionKind.OTHER, detail=Remark("omitted_charts"))
        else:
            for text in iter_diagram_texts(part):
                self.writer.write_item(text)

    def _get_note_mark(self, attachment: AttachedElement) -> str:
        """Return the mark of a note in the text: `[^1]` for a footnote, `[^i]` for an endnote, empty for a comment."""
        if attachment.kind == COMMENT:
            return ""
        key = (attachment.kind, attachment.key)
        if key not in self._marks:
            self._marked[attachment.kind] += 1
            form = "decimal" if attachment.kind == FOOTNOTE else "lowerRoman"
            self._marks[key] = f"[^{format_number(self._marked[attachment.kind], form)}]"
        return self._marks[key]

    def _list_header_footer_texts(self, document: etree._Element, kind: str) -> list[str]:
        """Return the distinct texts of the headers or footers that are displayed."""
        settings = self._load_optional_part("settings")
        even = settings is not None and is_property_on(settings.find(f"{W}evenAndOddHeaders"))
        relations = self._package.load_relations(self._main)
        texts: dict[str, None] = {}
        for section in document.iter(f"{W}sectPr"):
            shown = {"default"} | ({"first"} if is_property_on(section.find(f"{W}titlePg")) else set())
            for reference in section.iterchildren(f"{W}{kind}Reference"):
                relation = relations.get(reference.get(f"{R}id", ""))
                if relation is None or relation.target not in self._package.names:
                    continue
                if reference.get(f"{W}type", "default") in (shown | {"even"} if even else shown):
                    texts.setdefault(self._extract_header_footer_text(relation.target))
        self._waiting.clear()
        return [text for text in texts if text]

    def _extract_header_footer_text(self, part_name: str) -> str:
        self._part = part_name
        text = self._extract_cell_text(self._load_part(part_name))
        self._part = self._main
        return text

    def _extract_text_in_part(self, kind: str, element: etree._Element) -> str:
        """Return the text of an element in another part, such as a footnote, using the relations of that part."""
        self._part = next(iter(self._package.list_related_parts(self._main, kind)), self._main)
        text = self._extract_cell_text(element)
        self._part = self._main
        return text

    def _get_style(self, properties: etree._Element | None) -> str:
        style = None if properties is None else properties.find(f"{W}pStyle")
        return self._styles.default_style_id if style is None else style.get(_VALUE, "")

    def _load_optional_part(self, kind: str) -> etree._Element | None:
        name = next(iter(self._package.list_related_parts(self._main, kind)), None)
        return None if name is None else self._load_part(name)

    def _load_part(self, name: str) -> etree._Element:
        root = self._package.parse_part(name)
        resolve_alternatives(root)
        return root


def _iter_unwrapped_children(parent: etree._Element, tag: str) -> Iterator[etree._Element]:
    """Yield the children with the tag, including those inside content controls and tracked insertions."""
    for child in parent.iterchildren():
        if child.tag == tag:
            yield child
        elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}customXml", f"{W}ins"):
            yield from _iter_unwrapped_children(child, tag)


def _get_cell_span(properties: etree._Element | None, name: str, default: int) -> int:
    found = None if properties is None else properties.find(f"{W}{name}")
    return default if found is None else min(parse_whole_number(found.get(_VALUE), default), MAX_COLUMNS)


def _is_merged_with_left_cell(properties: etree._Element) -> bool:
    merge = properties.find(f"{W}hMerge")
    return merge is not None and merge.get(_VALUE, "continue") == "continue"


def _index_elements_by_id(root: etree._Element | None, tag: str) -> dict[str, etree._Element]:
    return {} if root is None else {each.get(f"{W}id", ""): each for each in root.iterchildren(tag)}
