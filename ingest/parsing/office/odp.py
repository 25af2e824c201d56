"""Parse OpenDocument presentations (ODP, OTP). Each slide is a `Place`, with its shapes in reading order."""

import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.office.fingerprints import ODP_PARSER
from ingest.parsing.office.odf import OdfReader, load_content_and_styles, read_metadata_title
from ingest.parsing.office.odf_names import DRAW, OFFICE, PRESENTATION, SVG
from ingest.parsing.office.odf_styles import PageSize, parse_length
from ingest.parsing.office.package import open_package
from ingest.parsing.office.reading_order import compute_reading_order
from ingest.parsing.page_limit import check_page_limit
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import Piece
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind, PlaceKind
from ingest.storage.texts.positions import Box

_SKIPPED_KINDS = frozenset({"page-number", "date-time", "header"})
_DEFAULT_SIZE = PageSize(28.0, 21.0)
_moved = re.compile(r"translate\s*\(\s*(?P<x>\S+?)[\s,]+(?P<y>[^\s)]+)")
_MAX_DEPTH = 60


def parse_odp(path: Path) -> ParsedDocument:
    """Parse a presentation. Raises the same errors as `parse_odt`."""
    with open_package(path) as package:
        content, styles = load_content_and_styles(package)
        body = content.find(f"{OFFICE}body/{OFFICE}presentation")
        if body is None:
            raise DamagedDocumentError(Remark("odp_no_slides"))
        reader = OdfReader(package, content, styles)
        pages = list(body.iterchildren(f"{DRAW}page"))
        check_page_limit(len(pages), "slides")
        footers = set[str]()
        for number, page in enumerate(pages, start=1):
            _write_slide(reader, page, number, footers)
        title = reader.title or read_metadata_title(package)
        nothing = Remark("no_text_slides", slides=len(pages))
        hint = Remark("hint_slides_as_pdf")
        return reader.writer.finish(ODP_PARSER, title, empty_message=nothing, hint=hint)


def _write_slide(reader: OdfReader, page: etree._Element, number: int, known_footers: set[str]) -> None:
    writer = reader.writer
    writer.start_place(PlaceKind.SLIDE)
    if reader.styles.is_hidden_slide(page):
        writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_slide", slide=str(number)))
        return
    before = writer.length
    size = reader.styles.get_page_size(page.get(f"{DRAW}master-page-name", "")) or _DEFAULT_SIZE
    shapes = [(each, _build_box(each, number, size)) for each in _iter_shapes(page)]
    titles = [each for each in shapes if _get_presentation_class(each[0]) == "title"]
    others = [each for each in shapes if _get_presentation_class(each[0]) not in {"title", *_SKIPPED_KINDS}]
    writer.end_section(1)
    for element, box in titles:
        with reader.use_position(box):
            title = reader.extract_cell_text(next(iter(element.iterchildren(f"{DRAW}text-box")), element))
            writer.write_heading(title, 1, [Piece(title, box)])
            reader.title = reader.title or title or None
    for at in compute_reading_order([box for _, box in others]):
        element, box = others[at]
        if _get_presentation_class(element) == "footer":
            text = " ".join(" ".join(element.itertext()).split())
            if text in known_footers:
                continue
            known_footers.add(text)
        with reader.use_position(box):
            holder = etree.Element("shape")
            holder.append(element)
            reader.write_blocks(holder)
            reader.flush_attachments()
    _write_notes(reader, page)
    if writer.length == before:
        writer.record_omission(OmissionKind.PAGE_WITHOUT_TEXT, detail=Remark("omitted_slide", slide=str(number)))


def _iter_shapes(parent: etree._Element, depth: int = 0) -> Iterator[etree._Element]:
    """Yield the shapes of a slide, including those in groups, which use the same coordinates (ODF 1.3, 10.3.15)."""
    for child in parent.iterchildren():
        if child.tag == f"{DRAW}g":
            if depth < _MAX_DEPTH:
                yield from _iter_shapes(child, depth + 1)
        elif isinstance(child.tag, str) and child.tag.startswith(DRAW):
            yield child


def _write_notes(reader: OdfReader, page: etree._Element) -> None:
    for annotation in page.iterchildren(f"{OFFICE}annotation"):
        reader.collect_annotation(annotation)
    reader.flush_attachments()
    for frame in page.iterfind(f"{PRESENTATION}notes/{DRAW}frame"):
        if _get_presentation_class(frame) == "notes":
            lines = (reader.extract_cell_text(box) for box in frame.iterchildren(f"{DRAW}text-box"))
            notes = "\n".join(filter(None, lines))
            if notes:
                reader.writer.write_paragraph(f"Notes: {notes}")


def _get_presentation_class(element: etree._Element) -> str:
    return str(element.get(f"{PRESENTATION}class", ""))


def _build_box(element: etree._Element, slide_number: int, page_size: PageSize) -> Box:
    x, y, width, height = (parse_length(element.get(f"{SVG}{each}")) for each in ("x", "y", "width", "height"))
    moved = _moved.search(element.get(f"{DRAW}transform", ""))
    if moved is not None and x is None:
        x, y = parse_length(moved["x"]), parse_length(moved["y"])
    left, top = (x or 0.0) / page_size.width, (y or 0.0) / page_size.height
    right, bottom = left + (width or 0.0) / page_size.width, top + (height or 0.0) / page_size.height
    return Box(slide_number, *(min(max(each, 0.0), 1.0) for each in (left, top, right, bottom)))
