"""Write the text of an OpenDocument file: paragraphs, headings, lists, tables, notes and drawings."""

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lxml import etree

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError
from ingest.parsing.grid import GridCell, strip_lone_bullet, write_grid
from ingest.parsing.mathml import linearize_mathml
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.office.odf_lists import BULLET, ListCounter, ListStyles
from ingest.parsing.office.odf_names import CHART, DC, DRAW, MANIFEST, MATH, OFFICE, SVG, TABLE, TEXT, XLINK
from ingest.parsing.office.odf_styles import OdfStyles
from ingest.parsing.office.package import Package
from ingest.parsing.office.spacing import apply_spacing, mark_spacing
from ingest.parsing.tables import MAX_COLUMNS
from ingest.parsing.writer import DocumentWriter, Piece, Position
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

_MAX_DEPTH = 100
_MAX_REPEATS = 1_000
_PAGE_FIELDS = (f"{TEXT}page-number", f"{TEXT}page-count")
_GROUPS = tuple(
    f"{TEXT}{name}"
    for name in (
        *("section", "index-body", "index-title", "table-of-content", "illustration-index", "table-index"),
        *("alphabetical-index", "bibliography", "user-index", "object-index", "numbered-paragraph"),
    )
)


def require_unencrypted_package(package: Package) -> None:
    """Raise `EncryptedDocumentError` if any part of the file is encrypted."""
    manifest = "META-INF/manifest.xml"
    if (
        manifest in package.names
        and next(package.parse_part(manifest).iter(f"{MANIFEST}encryption-data"), None) is not None
    ):
        raise EncryptedDocumentError(Remark("document_encrypted"))


def load_content_and_styles(package: Package) -> tuple[etree._Element, etree._Element | None]:
    """Return the root elements of the content and, if present, of the styles.

    Raises `EncryptedDocumentError` and `DamagedDocumentError`.
    """
    require_unencrypted_package(package)
    content = package.parse_part("content.xml")
    if content.find(f"{OFFICE}body") is None:
        raise DamagedDocumentError(Remark("odf_no_body"))
    return content, package.parse_part("styles.xml") if "styles.xml" in package.names else None


def read_metadata_title(package: Package) -> str | None:
    """Return the title in the metadata of the file."""
    title: str | None = (
        package.parse_part("meta.xml").findtext(f".//{DC}title") if "meta.xml" in package.names else None
    )
    return title


class OdfReader:
    """Writes the elements of a document in file order."""

    def __init__(self, package: Package, content: etree._Element, styles: etree._Element | None) -> None:
        self.writer = DocumentWriter()
        self.title: str | None = None
        self.styles = OdfStyles(content, styles)
        self._package = package
        self._lists = ListStyles(*(root for root in (content, styles) if root is not None))
        self._at: Position | None = None
        self._waiting: list[Callable[[], None]] = []
        self._notes = 0
        self._code: list[str] = []
        self._endnotes: list[str] = []
        self._in_edge = False
        if any(name.startswith(("Basic/", "Scripts/")) and not name.endswith("/") for name in package.names):
            self.writer.record_omission(OmissionKind.MACRO)

    @contextmanager
    def use_position(self, position: Position | None) -> Iterator[None]:
        """Assign the position to all text that is written in this context."""
        self._at = position
        yield
        self._at = None

    def write_blocks(self, parent: etree._Element, depth: int = 0) -> None:
        """Write the content of a body, section, text box or cell."""
        for child in parent.iterchildren() if depth < _MAX_DEPTH else ():
            tag = child.tag
            if tag in (f"{TEXT}p", f"{TEXT}h"):
                self._write_paragraph(child)
            elif tag == f"{TEXT}list":
                self._write_list(child)
            elif tag == f"{TABLE}table":
                self.write_table(child)
            elif tag == f"{TEXT}tracked-changes":
                self._record_deletions(child)
            elif tag in _GROUPS:
                self._write_group(child, depth)
            elif isinstance(tag, str) and tag.startswith(DRAW):
                self.writer.write_paragraph(apply_spacing(self._extract_frame_text(child)), self._at)
                self.flush_attachments()

    def _write_group(self, element: etree._Element, depth: int) -> None:
        if element.get(f"{TEXT}display") == "none":
            self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_sections"))
        else:
            self.write_blocks(element, depth + 1)

    def _record_deletions(self, element: etree._Element) -> None:
        deletions = len(list(element.iter(f"{TEXT}deletion")))
        if deletions:
            self.writer.record_omission(OmissionKind.OTHER, deletions, Remark("omitted_deletions"))

    def flush_attachments(self) -> None:
        """Write the collected code and the elements attached to previous paragraphs."""
        if self._code:
            lines, self._code = self._code, []
            self.writer.write_code("\n".join(lines), position=self._at)
        waiting, self._waiting = self._waiting, []
        for write in waiting:
            write()

    def write_endnotes(self) -> None:
        """Write the endnotes."""
        self.flush_attachments()
        for note in self._endnotes:
            self.writer.write_paragraph(note)

    def list_header_footer_texts(self, kind: str) -> list[str]:
        """Return the distinct texts of page headers or footers, without page numbers."""
        self._in_edge = True
        texts = dict.fromkeys(self.extract_cell_text(each) for each in self.styles.iter_headers_or_footers(kind))
        self._in_edge = False
        self._waiting.clear()
        return [text for text in texts if text]

    def _write_paragraph(self, element: etree._Element) -> None:
        style = element.get(f"{TEXT}style-name", "")
        text = self.extract_inline_text(element)
        if self.styles.is_hidden(style):
            if text.strip():
                self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_text"))
            return
        if self.styles.is_code(style):
            self._code.append(text)
            return
        waiting, self._waiting = self._waiting, []
        self.flush_attachments()
        text = text.strip()
        if element.tag == f"{TEXT}h":
            self._write_heading(element, text)
        elif self.styles.is_title(style) and text:
            self.title = self.title or text
            self.writer.write_heading(text, 1, [Piece(text, self._at)])
        else:
            self.writer.write_paragraph(text, self._at)
        self._waiting = waiting
        self.flush_attachments()

    def _write_heading(self, element: etree._Element, text: str) -> None:
        level = _get_outline_level(element)
        if element.get(f"{TEXT}is-list-header") != "true":
            mark = self._lists.headings.count_item(level - 1, _get_start_number(element))
            text = f"{mark} {text}" if mark != BULLET and text else text
        self.writer.write_heading(text, level, [Piece(text, self._at)])

    def _write_list(self, element: etree._Element) -> None:
        self.flush_attachments()
        self._write_items(element, None, 0, self._write_item)
        self.flush_attachments()

    def _write_items(
        self,
        element: etree._Element,
        outer_counter: ListCounter | None,
        level: int,
        write_item: Callable[[etree._Element, str, int], None],
    ) -> None:
        """Call `write_item` with each paragraph of a list, its mark, and its level.

        Only the first paragraph of an item has a mark.
        """
        if level > _MAX_DEPTH:
            return
        counter = outer_counter
        style = element.get(f"{TEXT}style-name", "") or self._get_first_item_style(element)
        if counter is None or (element.get(f"{TEXT}style-name") and level == 0):
            counter = self._lists.get_list_counter(element, style)
        for item in element.iterchildren(f"{TEXT}list-item", f"{TEXT}list-header"):
            is_counted = False
            for child in item.iterchildren():
                if child.tag == f"{TEXT}list":
                    self._write_items(child, counter, level + 1, write_item)
                elif child.tag in (f"{TEXT}p", f"{TEXT}h"):
                    mark = ""
                    if item.tag == f"{TEXT}list-item" and not is_counted:
                        mark, is_counted = counter.count_item(level, _get_start_number(item)), True
                    write_item(child, mark, level)

    def _get_first_item_style(self, element: etree._Element) -> str:
        first = element.find(f"{TEXT}list-item/{TEXT}p")
        return "" if first is None else self.styles.get_list_style(first.get(f"{TEXT}style-name", ""))

    def _write_item(self, element: etree._Element, mark: str, level: int) -> None:
        waiting, self._waiting = self._waiting, []
        text = " ".join(self.extract_inline_text(element).split())
        self._waiting = [*waiting, *self._waiting]
        if element.tag == f"{TEXT}h":
            text = text if mark in ("", BULLET) or not text else f"{mark} {text}"
            self.writer.write_heading(text, _get_outline_level(element), [Piece(text, self._at)])
        elif mark:
            self.writer.write_item([Piece(text, self._at)], mark=mark, depth=level)
        else:
            self.writer.write_paragraph(text, self._at)

    def write_table(self, table: etree._Element) -> None:
        """Write a table, or only its text if it has a single cell, which is just a frame."""
        self.flush_attachments()
        rows = list(table.iterdescendants(f"{TABLE}table-row"))
        cells = list(rows[0].iterchildren(f"{TABLE}table-cell")) if len(rows) == 1 else []
        if len(cells) == 1:
            self.write_blocks(cells[0])
        else:
            header_rows, grid = self.build_grid(table)
            write_grid(self.writer, grid, header_row_count=header_rows)
        self.flush_attachments()

    def build_grid(self, table: etree._Element) -> tuple[int, list[list[GridCell]]]:
        """Return the number of header rows, and the cells of each row, excluding covered cells."""
        header_rows, grid = 0, []
        for row in self._iter_rows(table):
            parent = row.getparent()
            if parent is not None and parent.tag == f"{TABLE}table-header-rows":
                header_rows += 1
            cells: list[GridCell] = []
            for cell in row.iterchildren(f"{TABLE}table-cell"):
                text = self.extract_cell_text(cell) or _get_stored_value(cell)
                found = GridCell(text, _get_cell_span(cell, "columns"), _get_cell_span(cell, "rows"), self._at)
                cells.extend([found] * min(_parse_count(cell.get(f"{TABLE}number-columns-repeated")), MAX_COLUMNS))
            repeats = _parse_count(row.get(f"{TABLE}number-rows-repeated"))
            grid.extend([cells] * min(repeats if any(cell.text for cell in cells) else 1, _MAX_REPEATS))
        return header_rows, grid

    def _iter_rows(self, table: etree._Element) -> Iterator[etree._Element]:
        """Yield the rows of a table, excluding those of nested tables."""
        for child in table.iterchildren():
            if child.tag == f"{TABLE}table-row":
                if child.get(f"{TABLE}visibility") in {"collapse", "filter"}:
                    self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_rows"))
                else:
                    yield child
            elif child.tag in (
                f"{TABLE}table-header-rows",
                f"{TABLE}table-rows",
                f"{TABLE}table-row-group",
            ):
                yield from self._iter_rows(child)

    def extract_cell_text(self, cell: etree._Element, depth: int = 0) -> str:
        """Return the text of a cell or note on one line."""

        def append_item(element: etree._Element, mark: str, level: int) -> None:
            lines.append(f"{mark} {self.extract_inline_text(element)}")

        lines: list[str] = []

        for child in cell.iterchildren() if depth < _MAX_DEPTH else ():
            if child.tag in (f"{TEXT}p", f"{TEXT}h"):
                lines.append(self.extract_inline_text(child))
            elif child.tag == f"{TEXT}list":
                self._write_items(child, None, 0, append_item)
            elif child.tag == f"{TABLE}table":
                self.writer.record_omission(OmissionKind.TABLE, detail=Remark("omitted_nested_tables"))
                _, rows = self.build_grid(child)
                lines.extend(f"{', '.join(cell.text for cell in row if cell.text)};" for row in rows)
            elif child.tag in _GROUPS:
                lines.append(self.extract_cell_text(child, depth + 1))
            elif isinstance(child.tag, str) and child.tag.startswith(DRAW):
                lines.append(apply_spacing(self._extract_frame_text(child)))
        return strip_lone_bullet(" ".join(" ".join(lines).split()), len(lines))

    def extract_inline_text(self, element: etree._Element, depth: int = 0) -> str:
        """Return the text of a paragraph, and collect its attached elements, to be written after it."""
        parts = [_collapse_white_space(element.text)]
        for child in element.iterchildren() if depth < _MAX_DEPTH else ():
            parts.append(self._extract_child_text(child, depth + 1))
            parts.append(_collapse_white_space(child.tail))
        return apply_spacing("".join(parts))

    def _extract_child_text(self, child: etree._Element, depth: int) -> str:
        tag = child.tag
        if tag == f"{TEXT}s":
            return " " * min(_parse_count(child.get(f"{TEXT}c")), _MAX_REPEATS)
        if tag in (f"{TEXT}tab", f"{TEXT}line-break"):
            return "\t" if tag == f"{TEXT}tab" else "\n"
        if tag == f"{TEXT}note":
            return self._collect_note(child)
        if tag in (f"{OFFICE}annotation", f"{OFFICE}annotation-end"):
            self.collect_annotation(child)
            return ""
        if tag in (f"{TEXT}hidden-text", f"{TEXT}hidden-paragraph"):
            self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_text"))
            return ""
        if tag == f"{TEXT}span" and self.styles.is_hidden(child.get(f"{TEXT}style-name", "")):
            self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_text"))
            return ""
        if tag == f"{TEXT}ruby-text" or (self._in_edge and tag in _PAGE_FIELDS):
            return ""
        if isinstance(tag, str) and tag.startswith(DRAW) and tag != f"{DRAW}a":
            return self._extract_frame_text(child)
        return self.extract_inline_text(child, depth) if isinstance(tag, str) else ""

    def _collect_note(self, note: etree._Element) -> str:
        self._notes += 1
        mark = f"[^{self._notes}]"
        body = note.find(f"{TEXT}note-body")
        text = "" if body is None else f"{mark}: {self.extract_cell_text(body)}"
        if note.get(f"{TEXT}note-class") == "endnote":
            self._endnotes.append(text)
        else:
            self._waiting.append(lambda: self.writer.write_paragraph(text, self._at))
        return mark

    def collect_annotation(self, element: etree._Element) -> None:
        """Collect a comment, to be written after its paragraph."""
        text = self.extract_cell_text(element)
        if text:
            author = " ".join(element.findtext(f"{DC}creator", "").split())
            self._waiting.append(
                lambda: self.writer.write_paragraph(f"[Comment{f' by {author}' if author else ''}: {text}]", self._at)
            )

    def _extract_frame_text(self, element: etree._Element) -> str:
        """Return the text of a frame or shape, and collect its text boxes, charts and tables, to be written later."""
        objects = element.find(f"{DRAW}object")
        if objects is not None:
            return self._extract_object_text(objects)
        for table in element.iterchildren(f"{TABLE}table"):
            self._waiting.append(lambda table=table: self.write_table(table))  # type: ignore[misc]
        if element.find(f"{TABLE}table") is not None:
            return ""
        if element.find(f"{DRAW}object-ole") is not None or element.find(f"{DRAW}plugin") is not None:
            self.writer.record_omission(OmissionKind.EMBEDDED_OBJECT)
            return ""
        boxes = list(element.iterchildren(f"{DRAW}text-box"))
        if element.tag not in (f"{DRAW}frame", f"{DRAW}g"):
            boxes.append(element)
        for box in boxes:
            if box.find(f"{TEXT}p") is not None or box.find(f"{TEXT}list") is not None or len(box):
                self._waiting.append(lambda box=box: self._write_box(box))  # type: ignore[misc]
        if element.tag == f"{DRAW}g":
            return " ".join(filter(None, (self._extract_frame_text(each) for each in element.iterchildren())))
        if element.find(f"{DRAW}image") is None:
            return ""
        self.writer.record_omission(OmissionKind.IMAGE)
        words = element.findtext(f"{SVG}desc", "") or element.findtext(f"{SVG}title", "")
        return mark_spacing(f"[Image: {' '.join(words.split())}]") if words.strip() else ""

    def _write_box(self, box: etree._Element) -> None:
        self.write_blocks(box)
        self.flush_attachments()

    def _extract_object_text(self, element: etree._Element) -> str:
        """Return the text of a formula, collect a chart to be written later, or record other objects as omissions."""
        math = element.find(MATH)
        name = posixpath.normpath(element.get(f"{XLINK}href", "")).lstrip("/")
        path = posixpath.join(name, "content.xml")
        root = self._package.parse_part(path) if math is None and path in self._package.names else math
        if root is None:
            self.writer.record_omission(OmissionKind.EMBEDDED_OBJECT)
            return ""
        if root.tag == MATH:
            text = linearize_mathml(root)
            if not text:
                self.writer.record_omission(OmissionKind.FORMULA)
            return mark_spacing(text) if text else ""
        chart = root.find(f"{OFFICE}body/{OFFICE}chart/{CHART}chart")
        if chart is None:
            self.writer.record_omission(OmissionKind.EMBEDDED_OBJECT)
        else:
            self._waiting.append(lambda: self._write_chart(chart))
        return ""

    def _write_chart(self, chart: etree._Element) -> None:
        table, title = chart.find(f"{TABLE}table"), chart.find(f"{CHART}title")
        if table is None:
            self.writer.record_omission(OmissionKind.OTHER, detail=Remark("omitted_odf_charts"))
            return
        header_rows, grid = self.build_grid(table)
        if header_rows and not any(cell.text for cell in grid[0]):
            grid[0] = [GridCell("Category"), *(GridCell(f"Series {number}") for number in range(1, len(grid[0])))]
        caption = "" if title is None else " ".join(" ".join(title.itertext()).split())
        write_grid(self.writer, grid, header_row_count=header_rows, caption=caption or "Chart")


def _collapse_white_space(text: str | None) -> str:
    """Collapse each run of white space to one space (ODF 1.3, 6.1.2)."""
    if not text:
        return ""
    words = " ".join(text.split())
    return f"{' ' if text[0].isspace() else ''}{words}{' ' if words and text[-1].isspace() else ''}"


def _get_stored_value(cell: etree._Element) -> str:
    """Return the stored value of a cell, for cells without display text."""
    return str(cell.get(f"{OFFICE}value") or cell.get(f"{OFFICE}string-value") or cell.get(f"{OFFICE}date-value") or "")


def _get_cell_span(cell: etree._Element, direction: str) -> int:
    return min(_parse_count(cell.get(f"{TABLE}number-{direction}-spanned")), MAX_COLUMNS)


def _parse_count(text: str | None) -> int:
    return max(parse_whole_number(text, 1), 1)


def _get_start_number(element: etree._Element) -> int | None:
    return parse_whole_number(element.get(f"{TEXT}start-value") or element.get(f"{TEXT}restart-numbering-value"), None)


def _get_outline_level(heading: etree._Element) -> int:
    return min(max(parse_whole_number(heading.get(f"{TEXT}outline-level"), 1), 1), _MAX_DEPTH)
