"""Broken and hostile documents of formats that are zips or trees: a typed error, or all of what they hold."""

import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from ingest.parsing.containers import DOCX, EPUB, ODP, ODT, PPTX
from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.registry import get_parser
from ingest.parsing.types import ParserLimits
from ingest.storage.errors import LeadlineError
from tests.support.office_files import cell, docx, epub, odf, paragraph, pptx, root, shape, table
from tests.support.parsing import assert_still_parses, parse
from tests.support.samples import SAMPLES
from tests.support.zip_files import unzipped, zipped

_ZIPS = (DOCX, PPTX, ODT, ODP, EPUB)
_FORMATS = (*_ZIPS, "application/rtf")
_BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ParserSandbox]:
    with ParserSandbox(ParserLimits(memory_bytes=700_000_000, cpu_seconds=60)) as sandbox:
        yield sandbox


@pytest.mark.parametrize("media_type", _FORMATS)
def test_every_truncation_is_damage(tmp_path: Path, media_type: str) -> None:
    whole = SAMPLES[media_type]
    path = tmp_path / "cut"
    for length in range(8, len(whole) - 1, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedDocumentError):
            get_parser(media_type)(path)


@pytest.mark.parametrize("media_type", _ZIPS)
def test_a_part_that_is_missing_or_broken_fails_or_changes_nothing(tmp_path: Path, media_type: str) -> None:
    parts = unzipped(SAMPLES[media_type])
    path = tmp_path / "part"
    failed = 0
    for name in (each for each in parts if not each.endswith(".xhtml")):  # chapters are read as HTML, which any text is
        for broken in (None, b"", b"<x", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", b"\xff\xfe\x00"):
            changed = {each: content for each, content in parts.items() if each != name}
            path.write_bytes(zipped(changed if broken is None else {**changed, name: broken}))
            try:
                text = get_parser(media_type)(path).text
            except LeadlineError:
                failed += 1
                continue
            assert text == "Words."
    assert failed


def _stating(content: bytes, name: bytes, size: int) -> bytes:
    """Return an archive whose directory states another size for an entry than it has."""
    changed = bytearray(content)
    at = changed.rindex(name, changed.index(b"PK\x01\x02")) - 46
    struct.pack_into("<L", changed, at + 24, size)
    return bytes(changed)


_NESTED = "<w:tbl><w:tr><w:tc>" * 5_000 + paragraph("x") + "</w:tc></w:tr></w:tbl>" * 5_000


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (_stating(docx(paragraph("x")), b"word/document.xml", 3_000_000_000), ParserLimitError, "unpacks to"),
        (_stating(docx(paragraph("x") * 500), b"word/document.xml", 90), DamagedDocumentError, "damaged"),
        (zipped({**unzipped(docx("")), "word/media/a": bytes(30_000_000)}), ParserLimitError, "more than 100 times"),
        (zipped({**unzipped(docx("")), **dict.fromkeys(map(str, range(10_001)), "")}), ParserLimitError, "10,00"),
        (docx(_NESTED), ParserLimitError, "nested"),
        (docx("", {"styles": _BOMB + root("w:styles", "")}), DamagedDocumentError, "entities"),
        (odf("text", "", more={"content.xml": _BOMB + "<x/>"}), DamagedDocumentError, "entities"),
        (pptx(["<p:grpSp>" * 5_000 + shape("x") + "</p:grpSp>" * 5_000]), ParserLimitError, "nested"),
        (epub({"a.xhtml": "<div>" * 5_000 + "x"}), ParserLimitError, "nested"),
    ],
)
def test_a_bomb_ends_with_a_known_error_and_the_parser_goes_on(
    sandbox: ParserSandbox, tmp_path: Path, content: bytes, error: type[LeadlineError], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        parse(sandbox, tmp_path, "report.docx", content)
    assert raised.value.hint
    assert_still_parses(sandbox, tmp_path)


def test_no_file_is_read_for_an_entity_or_an_external_relation(sandbox: ParserSandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text(root("w:footnotes", f'<w:footnote w:id="2">{paragraph("top secret")}</w:footnote>'))
    relation = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="a" '
        f'Type="x/footnotes" Target="file://{secret}" TargetMode="External"/><Relationship Id="b" '
        f'Type="x/footnotes" Target="../../../../../../../..{secret}"/></Relationships>'
    )
    body = paragraph("Words", more='<w:r><w:footnoteReference w:id="2"/></w:r>')
    document = parse(sandbox, tmp_path, "a.docx", docx(body, more={"word/_rels/document.xml.rels": relation}))
    assert document.text == "Words[^1]"
    main = unzipped(docx(paragraph("Words")))["word/document.xml"].decode()
    entity = main.replace("?>", f'?><!DOCTYPE x SYSTEM "file://{secret}">', 1)
    parts = {**unzipped(docx("")), "word/document.xml": entity.encode()}
    assert parse(sandbox, tmp_path, "b.docx", zipped(dict(parts))).text == "Words"


@pytest.mark.slow
def test_a_main_part_of_a_hundred_megabytes_is_read_or_refused_by_a_limit(
    sandbox: ParserSandbox, tmp_path: Path
) -> None:
    line = paragraph("Some words of a very long report, number {}, which goes on and on.")
    body = "".join(line.format(number) for number in range(100_000_000 // len(line)))
    try:
        text = parse(sandbox, tmp_path, "long.docx", docx(body)).text
    except ParserLimitError:
        text = "number 99999,"
    assert "number 99999," in text
    assert_still_parses(sandbox, tmp_path)


def test_a_table_of_many_wide_cells_does_not_grow_without_bound(sandbox: ParserSandbox, tmp_path: Path) -> None:
    wide = cell("x", '<w:gridSpan w:val="999999"/>')
    with pytest.raises(ParserLimitError, match="A table has more than"):
        parse(sandbox, tmp_path, "wide.docx", docx(table(*[wide] * 2_500, cell("y") * 2)))
    assert_still_parses(sandbox, tmp_path)


def test_a_polyglot_is_what_its_first_bytes_say(sandbox: ParserSandbox, tmp_path: Path) -> None:
    archive = BytesIO()
    archive.write(b"# A note\n\nin Markdown.\n\n")
    with zipfile.ZipFile(archive, "a") as file:
        for name, content in unzipped(docx(paragraph("Hidden"))).items():
            file.writestr(name, content, zipfile.ZIP_STORED)
    with pytest.raises(LeadlineError):
        parse(sandbox, tmp_path, "note.md", archive.getvalue())
