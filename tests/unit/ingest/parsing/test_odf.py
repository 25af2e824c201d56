from pathlib import Path

import pytest

from ingest.chunking import chunk_text
from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.office.odp import parse_odp
from ingest.parsing.office.odt import parse_odt
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import OmissionKind
from tests.support.office_files import odf, odf_root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def odt(file: Path, body: str, **parts: str) -> ParsedDocument:
    file.write_bytes(odf("text", body, **parts))  # type: ignore[arg-type]
    return parse_odt(file)


def odp(file: Path, *slides: str, automatic: str = "", styles: str | None = None) -> ParsedDocument:
    pages = "".join(slide if slide.startswith("<draw:page") else f"<draw:page>{slide}</draw:page>" for slide in slides)
    file.write_bytes(odf("presentation", pages, automatic=automatic, styles=styles))
    return parse_odp(file)


def p(text: str, style: str = "") -> str:
    return f'<text:p text:style-name="{style}">{text}</text:p>'


def omitted(document: ParsedDocument) -> dict[OmissionKind, int]:
    return {each.kind: each.count for each in document.omissions}


def lines(document: ParsedDocument) -> list[str]:
    return [line for line in document.text.split("\n") if line]


def _level(kind: str, number: int, attributes: str) -> str:
    return f'<text:{kind} text:level="{number}" {attributes}/>'


_NUMBERED = (
    '<text:list-style style:name="L1">'
    + _level("list-level-style-number", 1, 'style:num-format="1" style:num-suffix="."')
    + _level("list-level-style-number", 2, 'style:num-format="a" style:num-suffix=")" text:display-levels="2"')
    + _level("list-level-style-bullet", 3, 'text:bullet-char="x"')
    + "</text:list-style>"
    '<text:list-style style:name="Plain">'
    + _level("list-level-style-number", 1, 'style:num-format=""')
    + "</text:list-style>"
)


def _list(*items: str, style: str = "L1", attributes: str = "") -> str:
    inner = "".join(f"<text:list-item>{item}</text:list-item>" for item in items)
    return f'<text:list text:style-name="{style}" {attributes}>{inner}</text:list>'


def test_headings_have_their_level_and_the_number_of_the_outline(file: Path) -> None:
    outline = (
        "<office:styles><text:outline-style>"
        + _level("outline-level-style", 1, 'style:num-format="1"')
        + _level("outline-level-style", 2, 'style:num-format="1" text:display-levels="2" style:num-suffix="."')
        + "</text:outline-style></office:styles>"
    )

    def h(text: str, level: int) -> str:
        return f'<text:h text:outline-level="{level}">{text}</text:h>'

    named = '<style:style style:name="P9" style:parent-style-name="Title"/>'
    body = p("Report", "P9") + h("Scope", 1) + h("Terms", 2) + h("More", 2) + h("End", 1) + h("Free", 3)
    document = odt(file, body, automatic=named, styles=outline)
    assert lines(document) == ["# Report", "# 1 Scope", "## 1.1. Terms", "## 1.2. More", "# 2 End", "### Free"]
    assert document.title == "Report"


def test_list_items_have_the_numbers_of_their_style(file: Path) -> None:
    deepest = f"<text:list><text:list-item>{p('dot')}</text:list-item></text:list>"
    nested = f"{p('two')}<text:list><text:list-item>{p('deep')}{deepest}</text:list-item></text:list>"
    body = (
        _list(p("one"), nested, p("three") + p("goes on"))
        + p("between")
        + _list(p("four"), attributes='text:continue-numbering="true"')
        + _list(p("one again"))
        + _list(p("no mark"), style="Plain")
    )
    assert lines(odt(file, body, automatic=_NUMBERED)) == [
        *("1. one", "2. two", "  2.a) deep", "    - dot", "3. three", "goes on", "between", "4. four", "1. one again"),
        "no mark",
    ]


def test_a_table_is_written_with_every_row_complete(file: Path) -> None:
    def cell(text: str, attributes: str = "") -> str:
        return f"<table:table-cell {attributes}>{p(text) if text else ''}</table:table-cell>"

    covered = "<table:covered-table-cell/>"
    body = (
        "<table:table><table:table-header-rows><table:table-row>"
        + cell("Item")
        + cell("Cost", 'table:number-columns-spanned="2"')
        + covered
        + "</table:table-row></table:table-header-rows><table:table-row>"
        + cell("Rope", 'table:number-rows-spanned="2"')
        + cell("1", 'table:number-columns-repeated="2"')
        + f"</table:table-row><table:table-row>{covered}{cell('2')}{cell('3')}</table:table-row>"
        + f'<table:table-row table:visibility="collapse">{cell("hidden")}</table:table-row>'
        + f'<table:table-row table:number-rows-repeated="1048000">{cell("")}</table:table-row></table:table>'
    )
    document = odt(file, body)
    assert lines(document) == ["| Item | Cost | Cost |", "| --- | --- | --- |", "| Rope | 1 | 1 |", "| Rope | 2 | 3 |"]
    assert omitted(document) == {OmissionKind.HIDDEN: 1}


def test_notes_comments_and_boxes_follow_their_paragraph(file: Path) -> None:
    def note(kind: str, text: str) -> str:
        return (
            f'<text:note text:note-class="{kind}"><text:note-citation>1</text:note-citation>'
            f"<text:note-body>{p(text)}</text:note-body></text:note>"
        )

    comment = f"<office:annotation><dc:creator>Ann</dc:creator>{p('Sure?')}</office:annotation>"
    box = f"<draw:frame><draw:text-box>{p('Boxed')}</draw:text-box></draw:frame>"
    image = "<draw:frame><draw:image/><svg:desc>A  whale</svg:desc></draw:frame>"
    body = (
        p(f"Whales{note('footnote', 'Big ones.')} swim.{comment}") + p(f"See{box}{note('endnote', 'Log.')}") + p(image)
    )
    document = odt(file, body)
    assert document.text.split("\n\n") == [
        *("Whales[^1] swim.", "[^1]: Big ones.", "[Comment by Ann: Sure?]", "See[^2]", "Boxed", "[Image: A whale]"),
        "[^2]: Log.",
    ]
    assert omitted(document) == {OmissionKind.IMAGE: 1}


def test_deletions_and_hidden_text_are_left_out_and_counted(file: Path) -> None:
    hidden = (
        '<style:style style:name="T1"><style:text-properties text:display="none"/></style:style>'
        '<style:style style:name="P1" style:parent-style-name="T1"/>'
    )
    body = (
        f"<text:tracked-changes><text:changed-region><text:deletion>{p('gone')}</text:deletion></text:changed-region>"
        "</text:tracked-changes>"
        + p('Seen <text:span text:style-name="T1">not</text:span>words.')
        + p("nor this", "P1")
        + f'<text:section text:display="none">{p("nor that")}</text:section>'
    )
    document = odt(file, body, automatic=hidden)
    assert document.text == "Seen words."
    assert omitted(document) == {OmissionKind.HIDDEN: 3, OmissionKind.OTHER: 1}


def test_formulas_and_charts_are_read_from_their_objects(file: Path) -> None:
    def frame(name: str) -> str:
        return f'<draw:frame><draw:object xlink:href="./{name}"/></draw:frame>'

    math = odf_root(
        "math:math",
        "<math:semantics><math:mrow><math:mfrac><math:mi>a</math:mi><math:mrow><math:mi>b</math:mi><math:mo>+</math:mo>"
        "<math:mn>1</math:mn></math:mrow></math:mfrac></math:mrow><math:annotation>x over y</math:annotation>"
        "</math:semantics>",
    )
    row = "<table:table-row>{}</table:table-row>"
    cells = "<table:table-cell><text:p>{}</text:p></table:table-cell>" * 2
    header = f"<table:table-header-rows>{row.format(cells.format('', ''))}</table:table-header-rows>"
    value = '<table:table-cell office:value-type="float" office:value="7"/>'
    data = header + row.format(f"<table:table-cell><text:p>1850</text:p></table:table-cell>{value}")
    chart = odf_root(
        "office:document-content",
        "<office:body><office:chart><chart:chart><chart:title><text:p>Sold</text:p></chart:title>"
        f"<table:table>{data}</table:table></chart:chart></office:chart></office:body>",
    )
    body = p(f"Let {frame('Object 1')} be.") + p(frame("Object 2")) + p(frame("Object 3"))
    file.write_bytes(odf("text", body, more={"Object 1/content.xml": math, "Object 2/content.xml": chart}))
    document = parse_odt(file)
    assert lines(document) == ["Let a/(b+1) be.", "Sold", "| Category | Series 1 |", "| --- | --- |", "| 1850 | 7 |"]
    assert omitted(document) == {OmissionKind.EMBEDDED_OBJECT: 1}


def test_headers_and_footers_of_used_pages_stand_there_once(file: Path) -> None:
    masters = "".join(
        f'<style:master-page style:name="{name}"><style:header>{p(f"{name} head")}</style:header>'
        f"<style:footer>{p('Page <text:page-number>7</text:page-number>')}</style:footer></style:master-page>"
        for name in ("Standard", "Wide", "Unused")
    )
    used = '<style:style style:name="P1" style:master-page-name="Wide"/>'
    document = odt(
        file, p("Body", "P1"), automatic=used, styles=f"<office:master-styles>{masters}</office:master-styles>"
    )
    assert lines(document) == ["Standard head", "Wide head", "Body", "Page"]


def test_code_is_fenced_and_blanks_are_as_the_format_counts_them(file: Path) -> None:
    code = p("if x:", "Preformatted_20_Text") + p('<text:s text:c="4"/>y()', "Preformatted_20_Text")
    document = odt(file, p("  two \n  blanks<text:tab/>tab<text:line-break/>line ") + code)
    assert document.text == "two blanks\ttab\nline\n\n```\nif x:\n    y()\n```"


_PAGES = (
    '<office:automatic-styles><style:page-layout style:name="PL"><style:page-layout-properties fo:page-width="20cm" '
    'fo:page-height="100mm"/></style:page-layout></office:automatic-styles><office:master-styles>'
    '<style:master-page style:name="M" style:page-layout-name="PL"/></office:master-styles>'
)


def _frame(text: str, at: tuple[float, float, float, float], attributes: str = "") -> str:
    x, y, width, height = at
    place = f'svg:x="{x}cm" svg:y="{y}cm" svg:width="{width}cm" svg:height="{height}cm"'
    return f"<draw:frame {place} {attributes}><draw:text-box>{p(text)}</draw:text-box></draw:frame>"


def test_slides_are_places_with_titles_boxes_and_notes(file: Path) -> None:
    notes = (
        "<presentation:notes>" + _frame("Say it.", (0, 0, 1, 1), 'presentation:class="notes"') + "</presentation:notes>"
    )
    shapes = (
        _frame("below", (0, 8, 4, 1)),
        f"<draw:g>{_frame('right', (10, 5, 4, 1))}</draw:g>",
        _frame("left", (0, 5, 4, 1)),
        _frame("First", (0, 9, 1, 1), 'presentation:class="title"'),
        _frame("7", (0, 9, 1, 1), 'presentation:class="page-number"'),
    )
    hidden = '<style:drawing-page-properties presentation:visibility="hidden"/>'
    document = odp(
        file,
        f'<draw:page draw:master-page-name="M">{"".join(shapes)}{notes}</draw:page>',
        '<draw:page draw:style-name="dp1">' + _frame("secret", (0, 0, 1, 1)) + "</draw:page>",
        "<draw:frame><draw:image/></draw:frame>",
        f"<draw:custom-shape>{p('shape')}</draw:custom-shape>",
        automatic=f'<style:style style:name="dp1">{hidden}</style:style>',
        styles=_PAGES,
    )
    assert lines(document) == ["# First", "left", "right", "below", "Notes: Say it.", "shape"]
    assert omitted(document) == {OmissionKind.HIDDEN: 1, OmissionKind.IMAGE: 1, OmissionKind.PAGE_WITHOUT_TEXT: 1}
    at = document.text.index("right")
    (box,) = document.positions.list_boxes(at, at + 5)
    assert (box.place, box.left, box.top, box.right, box.bottom) == pytest.approx((1, 0.5, 0.5, 0.7, 0.6))
    place = document.layout.find_place(document.text.index("shape"))
    assert place is not None
    assert place.label == "slide 4"
    assert [each.heading_path for each in chunk_text(document.text, document.layout)] == [("First",), ()]


_ENCRYPTED = odf_root("manifest:manifest", "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>")


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (odf("text", ""), NoTextError, "no text"),
        (odf("text", p("Words."))[:-200], DamagedDocumentError, "cut off"),
        (odf("presentation", p("Words.")), DamagedDocumentError, "no text body"),
        (odf("text", "", more={"content.xml": "<x"}), DamagedDocumentError, "content.xml"),
        (odf("text", p("Words."), more={"META-INF/manifest.xml": _ENCRYPTED}), EncryptedDocumentError, "password"),
        (odf("text", "<text:section>" * 5_000 + p("x") + "</text:section>" * 5_000), ParserLimitError, "nested"),
    ],
)
def test_a_broken_document_fails_with_what_is_wrong(
    file: Path, content: bytes, error: type[LeadlineError], words: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(error, match=words) as raised:
        parse_odt(file)
    assert raised.value.hint
