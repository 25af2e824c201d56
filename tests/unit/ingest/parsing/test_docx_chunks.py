"""Documents that Word merges into a file when it opens it."""

import io
from collections.abc import Mapping
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import docx as python_docx
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.office import parse_docx
from ingest.parsing.office.docx_chunks import ChunkBudget
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.layout import OmissionKind
from tests.support.office_files import DOCX, NAMESPACES, docx, paragraph, relations, root

HTML = b"<html><head><title>x</title></head><body><h1>Tides</h1><p>The flood comes at <b>six</b>.</p></body></html>"
RTF = rb"{\rtf1\ansi {\stylesheet{\s1 heading 1;}}\pard\s1 Tides\par\pard The flood comes at six.\par}"
Chunk = tuple[str, str, bytes]  # the part's suffix, its media type, and its bytes


def merging(*chunks: Chunk, before: str = "Before.", after: str = "After.", in_a_cell: bool = False) -> bytes:
    """Return a Word document of python-docx with chunks between two paragraphs, or in the cell of a table."""
    document = python_docx.Document()
    document.add_paragraph(before)
    place = document.add_table(1, 2).cell(0, 1)._tc if in_a_cell else document.element.body
    for number, (suffix, media_type, content) in enumerate(chunks, start=1):
        part = Part(PackURI(f"/word/chunk{number}{suffix}"), media_type, content, document.part.package)
        key = document.part.relate_to(part, RELATIONSHIP_TYPE.A_F_CHUNK)
        element = parse_xml(f'<w:altChunk {NAMESPACES} r:id="{key}"/>')
        if in_a_cell:
            place.insert(1, element)
        else:
            place.insert(len(place) - 1, element)
    document.add_paragraph(after)
    content_file = io.BytesIO()
    document.save(content_file)
    return content_file.getvalue()


def web_archive() -> bytes:
    """Return MHTML as programs write it for Word: a page and its style sheet, without sender and date."""
    archive = MIMEMultipart("related")
    archive.attach(MIMEText(HTML.decode(), "html", "utf-8"))
    archive.attach(MIMEText("p { color: red }", "css"))
    return archive.as_bytes()


def docx_of(*paragraphs: str) -> bytes:
    document = python_docx.Document()
    document.add_heading(paragraphs[0], 1)
    for each in paragraphs[1:]:
        document.add_paragraph(each)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def parsed(folder: Path, content: bytes) -> ParsedDocument:
    path = folder / "a.docx"
    path.write_bytes(content)
    return parse_docx(path)


def counted(document: ParsedDocument) -> Mapping[OmissionKind, tuple[int, str]]:
    return {each.kind: (each.count, each.detail) for each in document.omissions}


@pytest.mark.parametrize(
    "chunk",
    [
        (".html", "text/html", HTML),
        (".xhtml", "application/xhtml+xml", b"<?xml version='1.0'?>" + HTML),
        (".mht", "message/rfc822", web_archive()),
        (".rtf", "application/rtf", RTF),
        (".docx", f"{DOCX}.main+xml", docx_of("Tides", "The flood comes at six.")),
    ],
    ids=lambda chunk: chunk[0],
)
def test_a_merged_document_is_read_where_it_stands_with_its_headings(tmp_path: Path, chunk: Chunk) -> None:
    document = parsed(tmp_path, merging(chunk))
    assert document.text == "Before.\n\n# Tides\n\nThe flood comes at six.\n\nAfter."
    assert [heading.title for heading in document.layout.headings] == ["Tides"]
    assert document.omissions == ()


def test_plain_text_is_merged_with_its_lines(tmp_path: Path) -> None:
    document = parsed(tmp_path, merging((".txt", "text/plain", "High water\nat größer six".encode())))
    assert document.text == "Before.\n\nHigh water\nat größer six\n\nAfter."


def test_a_document_merged_into_a_cell_is_text_of_that_cell(tmp_path: Path) -> None:
    document = parsed(tmp_path, merging((".html", "text/html", b"<p>At six</p><img><p>or seven</p>"), in_a_cell=True))
    assert "At six or seven |" in document.text
    assert counted(document)[OmissionKind.IMAGE] == (1, "")


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        ((".docx", f"{DOCX}.main+xml", docx_of("Tides")[:900]), "cut off or damaged"),
        ((".xml", "application/xml", b"<?xml version='1.0'?><pkg:package/>"), "Word cannot merge"),
        ((".bin", "application/octet-stream", bytes(range(256))), "binary data"),
    ],
    ids=["damaged", "xml", "binary"],
)
def test_a_merged_document_that_cannot_be_read_is_counted_with_the_reason(
    tmp_path: Path, chunk: Chunk, reason: str
) -> None:
    document = parsed(tmp_path, merging(chunk))
    assert document.text == "Before.\n\nAfter."
    count, detail = counted(document)[OmissionKind.EMBEDDED_OBJECT]
    assert (count, reason in detail) == (1, True), detail


def test_documents_merged_into_one_another_are_read_three_levels_deep(tmp_path: Path) -> None:
    content = docx_of("Level 5")
    for level in (4, 3, 2, 1):
        chunk = (".docx", f"{DOCX}.main+xml", content)
        content = merging(chunk, before=f"Level {level}", after=f"End {level}")
    document = parsed(tmp_path, content)
    assert document.text.split("\n\n") == [*(f"Level {n}" for n in (1, 2, 3, 4)), *(f"End {n}" for n in (4, 3, 2, 1))]
    assert "the limit is 3 levels" in counted(document)[OmissionKind.EMBEDDED_OBJECT][1]


def test_merged_documents_that_multiply_are_read_as_far_as_there_is_room(tmp_path: Path) -> None:
    content = docx(paragraph("Tide"))
    for _ in range(3):
        chunks = {f"x{number}": ("aFChunk", "chunk.docx") for number in range(11)}
        body = "".join(f'<w:altChunk r:id="{key}"/>' for key in chunks)
        parts: dict[str, str | bytes] = {"word/_rels/document.xml.rels": relations(chunks), "word/chunk.docx": content}
        content = docx(body, more=parts)
    document = parsed(tmp_path, content)
    assert document.text.count("Tide") <= 1_000
    assert "limit of 1,000 merged documents" in counted(document)[OmissionKind.EMBEDDED_OBJECT][1]


def test_the_bytes_of_merged_documents_are_bounded_together() -> None:
    room = ChunkBudget(chunks=9, total_bytes=100)
    room.reserve_chunk(60, 1)
    with pytest.raises(ParserLimitError, match="merged documents"):
        room.reserve_chunk(60, 2)


def test_notes_of_merged_documents_are_numbered_with_those_around_them(tmp_path: Path) -> None:
    def noted(body: str, note: str) -> bytes:
        reference = '<w:r><w:footnoteReference w:id="2"/></w:r>'
        notes = root("w:footnotes", f'<w:footnote w:id="2">{paragraph(note)}</w:footnote>')
        return docx(paragraph(body, more=reference), {"footnotes": notes})

    inner = (".docx", f"{DOCX}.main+xml", noted("Inner", "inner note"))
    second = (".docx", f"{DOCX}.main+xml", noted("Second", "second note"))
    text = parsed(tmp_path, merging(inner, second)).text
    assert "Inner[^1]" in text
    assert "[^1]: inner note" in text
    assert "Second[^2]" in text
    assert "[^2]: second note" in text
