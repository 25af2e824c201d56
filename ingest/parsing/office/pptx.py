"""Parse presentations (PPTX, PPSX, PPTM, POTX). Each slide is a `Place`, in reading order, with notes and comments."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lxml import etree

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.grid import GridCell, write_grid
from ingest.parsing.office.charts import iter_diagram_texts, write_chart
from ingest.parsing.office.fingerprints import PPTX_PARSER
from ingest.parsing.office.names import DGM, A, C, P, R, get_core_title, resolve_alternatives
from ingest.parsing.office.numbers import parse_whole_number
from ingest.parsing.office.package import Package, open_package
from ingest.parsing.office.pptx_shapes import Frame, Shape, Slide, parse_number
from ingest.parsing.office.pptx_text import Bullets, extract_paragraph_text, iter_paragraphs
from ingest.parsing.office.reading_order import compute_reading_order
from ingest.parsing.page_limit import check_page_limit
from ingest.parsing.tables import MAX_COLUMNS
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter, Piece
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind, PlaceKind

_P14_SECTION = "{http://schemas.microsoft.com/office/powerpoint/2010/main}section"
_P14_SLIDE = "{http://schemas.microsoft.com/office/powerpoint/2010/main}sldId"
_SKIPPED_KINDS = frozenset({"sldNum", "dt", "hdr"})
_NO_DATA_DETAIL = Remark("omitted_charts")
_DEFAULT_SIZE = (9_144_000.0, 6_858_000.0)


def parse_pptx(path: Path) -> ParsedDocument:
    """Parse a presentation. Raises the same errors as `open_package`, and `NoTextError`."""
    with open_package(path) as package:
        main = next(iter(package.list_related_parts("", "officeDocument")), "")
        if not main:
            raise DamagedDocumentError(Remark("main_part_missing"))
        reader = PptxReader(package, main)
        slides = reader.convert_slides()
        title = next(
            (get_core_title(package.parse_part(name)) for name in package.list_related_parts("", "core-properties")),
            None,
        )
        nothing = Remark("no_text_slides", slides=slides)
        hint = Remark("hint_slides_as_pdf")
        return reader.writer.finish(PPTX_PARSER, reader.title or title, empty_message=nothing, hint=hint)


@dataclass(frozen=True)
class _Context:
    """The properties of a slide that are needed for its shapes."""

    part: str
    number: int
    level: int  # The heading level of the slide's title.
    master: etree._Element | None


class PptxReader:
    """Writes the content of one presentation."""

    def __init__(self, package: Package, main_part: str) -> None:
        self.writer = DocumentWriter()
        self.title: str | None = None
        self._package = package
        self._main = main_part
        self._root = package.parse_part(main_part)
        self._roots: dict[str, etree._Element] = {}
        self._footers = set[str]()

    def convert_slides(self) -> int:
        """Write all slides and return their number."""
        slides = list(self._root.iterfind(f"{P}sldIdLst/{P}sldId"))
        # guard: slides-counted-first
        check_page_limit(len(slides), "slides")
        relations = self._package.load_relations(self._main)
        sections = self._read_sections()
        for place, slide in enumerate(slides, start=1):
            relation = relations.get(slide.get(f"{R}id", ""))
            if relation is None or relation.target not in self._package.names:
                raise DamagedDocumentError(Remark("slide_missing", slide=str(place)))
            self.writer.start_place(PlaceKind.SLIDE)
            section = sections.get(slide.get("id", ""))
            if section:
                self.writer.start_section(section, 1)
            self._write_slide(relation.target, place, level=2 if sections else 1)
        if any(name.lower().endswith("vbaproject.bin") for name in self._package.names):
            self.writer.record_omission(OmissionKind.MACRO)
        return len(slides)

    def _read_sections(self) -> dict[str, str]:
        """Return the section names, keyed by the id of each section's first slide."""
        found = {}
        for section in self._root.iter(_P14_SECTION):
            first = section.find(f".//{_P14_SLIDE}")
            if first is not None:
                found[first.get("id", "")] = section.get("name", "")
        return found

    def _write_slide(self, part: str, slide_number: int, level: int) -> None:
        root = self._package.parse_part(part)
        # guard: pptx-hidden
        if root.get("show") in {"0", "false"}:
            self.writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_slide", slide=str(slide_number)))
            return
        resolve_alternatives(root)
        before = self.writer.length
        behind = list(self._iter_layout_and_master(part))
        slide = Slide(slide_number, root, behind, self._frame)
        context = _Context(part, slide_number, level, behind[-1] if len(behind) > 1 else None)
        shapes = list(slide.iter_shapes())
        titles = [shape for shape in shapes if shape.is_title]
        others = [shape for shape in shapes if not shape.is_title]
        # guard: slide-without-title
        self.writer.end_section(level)
        for shape in (*titles, *(others[at] for at in compute_reading_order([shape.box for shape in others]))):
            self._write_shape(shape, context)
        if slide.hidden_shapes:
            self.writer.record_omission(
                OmissionKind.HIDDEN, slide.hidden_shapes, Remark("omitted_shapes", slide=str(slide_number))
            )
        self._write_notes(part)
        self._write_comments(part)
        if self.writer.length == before:
            self.writer.record_omission(
                OmissionKind.PAGE_WITHOUT_TEXT, detail=Remark("omitted_slide", slide=str(slide_number))
            )

    @cached_property
    def _frame(self) -> Frame:
        size = self._root.find(f"{P}sldSz")
        width, height = (0.0, 0.0) if size is None else (parse_number(size.get("cx")), parse_number(size.get("cy")))
        return Frame(0.0, 0.0, 1 / (width or _DEFAULT_SIZE[0]), 1 / (height or _DEFAULT_SIZE[1]))

    def _iter_layout_and_master(self, part: str) -> Iterator[etree._Element]:
        """Yield the layout and the master of a slide, as far as they exist."""
        for layout in self._package.list_related_parts(part, "slideLayout")[:1]:
            yield self._load_cached_part(layout)
            for master in self._package.list_related_parts(layout, "slideMaster")[:1]:
                yield self._load_cached_part(master)

    def _load_cached_part(self, name: str) -> etree._Element:
        if name not in self._roots:
            self._roots[name] = self._package.parse_part(name)
        return self._roots[name]

    def _write_shape(self, shape: Shape, context: _Context) -> None:
        tag = shape.element.tag
        if tag == f"{P}pic":
            self._write_picture(shape)
        elif tag == f"{P}graphicFrame":
            self._write_graphic(shape, context)
        else:
            self._write_text(shape, context)

    def _write_text(self, shape: Shape, context: _Context) -> None:
        body = shape.element.find(f"{P}txBody")
        if body is None or shape.placeholder in _SKIPPED_KINDS:
            return
        found = list(iter_paragraphs(body, Bullets(body, shape.inherited, context.master, shape.placeholder)))
        if shape.is_title:
            title = " ".join(each.text for each in found)
            self.writer.write_heading(title, context.level, [Piece(title, shape.box)])
            self.title = self.title or title
            return
        if shape.placeholder == "ftr":
            text = " ".join(each.text for each in found)
            if text in self._footers:
                return
            self._footers.add(text)
        for each in found:
            if each.mark is None:
                self.writer.write_paragraph(each.text.strip(), shape.box)
            else:
                line = " ".join(each.text.split())
                self.writer.write_item([Piece(line, shape.box)], mark=each.mark, depth=each.level)

    def _write_picture(self, shape: Shape) -> None:
        if shape.element.find(f"{P}nvPicPr/{P}nvPr/{A}videoFile") is not None or _has_sound(shape.element):
            self.writer.record_omission(OmissionKind.EMBEDDED_OBJECT, detail=Remark("omitted_media"))
        else:
            self.writer.record_omission(OmissionKind.IMAGE)
        properties = shape.element.find(f"{P}nvPicPr/{P}cNvPr")
        words = "" if properties is None else " ".join(properties.get("descr", "").split())
        if words:
            self.writer.write_paragraph(f"[Image: {words}]", shape.box)

    def _write_graphic(self, shape: Shape, context: _Context) -> None:
        element = shape.element
        table = element.find(f"{A}graphic/{A}graphicData/{A}tbl")
        chart, diagram = element.find(f".//{C}chart"), element.find(f".//{DGM}relIds")
        if table is not None:
            write_grid(self.writer, list(_iter_table_rows(table, shape, context.number)))
        elif chart is not None:
            part = self._load_related_part(context.part, chart.get(f"{R}id", ""))
            if part is None or not write_chart(self.writer, part, shape.box):
                self.writer.record_omission(OmissionKind.OTHER, detail=_NO_DATA_DETAIL)
        elif diagram is not None:
            part = self._load_related_part(context.part, diagram.get(f"{R}dm", ""))
            texts = [] if part is None else list(iter_diagram_texts(part))
            for text in texts:
                self.writer.write_item([Piece(text, shape.box)])
            if not texts:
                self.writer.record_omission(OmissionKind.OTHER, detail=_NO_DATA_DETAIL)
        else:
            self.writer.record_omission(OmissionKind.EMBEDDED_OBJECT)

    def _load_related_part(self, part: str, relation_id: str) -> etree._Element | None:
        relation = self._package.load_relations(part).get(relation_id)
        if relation is None or relation.is_external or relation.target not in self._package.names:
            return None
        return self._package.parse_part(relation.target)

    def _write_notes(self, part: str) -> None:
        for name in self._package.list_related_parts(part, "notesSlide")[:1]:
            lines: list[str] = []
            for shape in self._package.parse_part(name).iter(f"{P}sp"):
                placeholder = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph")
                if placeholder is not None and placeholder.get("type") == "body":
                    lines.extend(extract_paragraph_text(each).strip() for each in shape.iterfind(f"{P}txBody/{A}p"))
            notes = "\n".join(filter(None, lines))
            if notes:
                self.writer.write_paragraph(f"Notes: {notes}")

    def _write_comments(self, part: str) -> None:
        """Write both kinds of comments: older ones (`cm` and `text`), and threads with text bodies (since 2021)."""
        for name in self._package.list_related_parts(part, "comments"):
            for comment in self._package.parse_part(name).iter("{*}cm", "{*}reply"):
                text = comment.findtext("{*}text") or " ".join(
                    extract_paragraph_text(each) for each in comment.iterfind(f"{{*}}txBody/{A}p")
                )
                if text.strip():
                    author = self._authors.get(comment.get("authorId", ""), "")
                    by = f" by {author}" if author else ""
                    self.writer.write_paragraph(f"[Comment{by}: {' '.join(text.split())}]")

    @cached_property
    def _authors(self) -> dict[str, str]:
        parts = [
            *self._package.list_related_parts(self._main, "commentAuthors"),
            *self._package.list_related_parts(self._main, "authors"),
        ]
        return {
            each.get("id", ""): " ".join(each.get("name", "").split())
            for part in parts
            for each in self._package.parse_part(part).iter("{*}cmAuthor", "{*}author")
        }


def _has_sound(picture: etree._Element) -> bool:
    return picture.find(f"{P}nvPicPr/{P}nvPr/{A}audioFile") is not None


def _iter_table_rows(table: etree._Element, shape: Shape, slide_number: int) -> Iterator[list[GridCell]]:
    """Yield the rows of a table as cells with their boxes, excluding cells covered by another cell."""
    transform = shape.element.find(f"{P}xfrm/{A}off")
    left, top = (
        (0.0, 0.0) if transform is None else (parse_number(transform.get("x")), parse_number(transform.get("y")))
    )
    widths = [parse_number(each.get("w")) for each in table.iterfind(f"{A}tblGrid/{A}gridCol")]
    heights = [parse_number(each.get("h")) for each in table.iterchildren(f"{A}tr")]
    for at, row in enumerate(table.iterchildren(f"{A}tr")):
        cells: list[GridCell] = []
        for column, cell in enumerate(row.iterchildren(f"{A}tc")):
            if cell.get("hMerge") in {"1", "true"} or cell.get("vMerge") in {"1", "true"}:
                continue
            columns, rows = _parse_span(cell.get("gridSpan")), _parse_span(cell.get("rowSpan"))
            box = shape.frame.map_box(
                slide_number,
                left + sum(widths[:column]),
                top + sum(heights[:at]),
                sum(widths[column : column + columns]),
                sum(heights[at : at + rows]),
            )
            text = " ".join(extract_paragraph_text(each) for each in cell.iterfind(f"{A}txBody/{A}p"))
            cells.append(GridCell(" ".join(text.split()), columns, rows, box))
        yield cells


def _parse_span(text: str | None) -> int:
    return min(max(parse_whole_number(text, 1), 1), MAX_COLUMNS)
