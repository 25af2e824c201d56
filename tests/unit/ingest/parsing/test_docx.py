from pathlib import Path

import pytest

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.office.docx import parse_docx
from ingest.parsing.office.docx_numbering import format_number
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import OmissionKind
from tests.support.office_files import DOCX as DOCX_TYPE
from tests.support.office_files import cell, docx, package, paragraph, relations, root, run, table
from tests.support.zip_files import unzipped, zipped


@pytest.fixture
def parsed(tmp_path: Path) -> "Parse":
    return Parse(tmp_path / "file.docx")


class Parse:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, content: bytes) -> ParsedDocument:
        self._path.write_bytes(content)
        return parse_docx(self._path)


def omitted(document: ParsedDocument) -> dict[OmissionKind, int]:
    return {each.kind: each.count for each in document.omissions}


_STYLES = root(
    "w:styles",
    """
    <w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>
    <w:style w:type="paragraph" w:styleId="Titel"><w:name w:val="Title"/></w:style>
    <w:style w:type="paragraph" w:styleId="berschrift1"><w:name w:val="heading 1"/>
      <w:pPr><w:numPr><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="0"/></w:pPr></w:style>
    <w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="heading 2"/><w:basedOn w:val="berschrift1"/>
      <w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
    <w:style w:type="paragraph" w:styleId="Clause"><w:name w:val="Clause"/><w:basedOn w:val="berschrift2"/></w:style>
    <w:style w:type="paragraph" w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
    <w:style w:type="paragraph" w:styleId="Quiet"><w:name w:val="Quiet"/><w:basedOn w:val="berschrift1"/>
      <w:pPr><w:numPr><w:numId w:val="0"/></w:numPr><w:outlineLvl w:val="9"/></w:pPr></w:style>
    <w:style w:type="paragraph" w:styleId="Code"><w:name w:val="HTML Preformatted"/></w:style>
    """,
)


def _level(number: int, form: str, text: str, more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="1"/><w:numFmt w:val="{form}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


_NUMBERING = root(
    "w:numbering",
    f"""
    <w:abstractNum w:abstractNumId="0">{_level(0, "decimal", "%1.", '<w:pStyle w:val="berschrift1"/>')}
      {_level(1, "decimal", "%1.%2", '<w:pStyle w:val="berschrift2"/>')}</w:abstractNum>
    <w:abstractNum w:abstractNumId="1">{_level(0, "upperRoman", "%1)")}{_level(1, "lowerLetter", "(%2)")}
      {_level(2, "bullet", "")}{_level(3, "decimal", "%1.%4", "<w:isLgl/>")}</w:abstractNum>
    <w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>
    <w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>
    <w:num w:numId="3"><w:abstractNumId w:val="1"/>
      <w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>
    """,
)


def _item(text: str, list_id: int, level: int = 0) -> str:
    return paragraph(text, properties=f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>')


def test_headings_have_the_level_and_the_number_that_their_styles_inherit(parsed: Parse) -> None:
    document = parsed(
        docx(
            paragraph("Report", "Titel")
            + paragraph("Scope", "berschrift1")
            + paragraph("Terms", "Clause")
            + paragraph("More", "berschrift2")
            + paragraph("Ends", "berschrift1")
            + paragraph("No heading", "Quiet")
            + paragraph("Direct", properties='<w:outlineLvl w:val="2"/>')
            + paragraph("Words", "Loop")
            + paragraph("Unknown style", "Heading4"),
            {"styles": _STYLES, "numbering": _NUMBERING},
        )
    )
    assert [(heading.level, heading.title) for heading in document.layout.headings] == [
        (1, "Report"),
        (1, "1. Scope"),
        (2, "1.1 Terms"),
        (2, "1.2 More"),
        (1, "2. Ends"),
        (3, "Direct"),
        (4, "Unknown style"),
    ]
    assert document.title == "Report"
    assert "\n\nNo heading\n\n" in document.text


def test_list_items_have_the_numbers_that_word_prints(parsed: Parse) -> None:
    body = "".join(
        [
            *(_item("one", 2), _item("a", 2, 1), _item("b", 2, 1), _item("dot", 2, 2)),
            *(paragraph("between"), _item("two", 2), _item("a again", 2, 1), _item("legal", 2, 3)),
            *(_item("seven", 3), _item("", 3), _item("nine", 3), _item("no list", 99)),
        ]
    )
    assert parsed(docx(body, {"numbering": _NUMBERING})).text.split("\n") == [
        *("I) one", "  (a) a", "  (b) b", "    - dot", "", "between", ""),
        *("II) two", "  (a) a again", "      2.1 legal", "VII) seven", "IX) nine", "", "no list"),
    ]


def test_a_level_that_was_left_out_is_counted_all_the_same(parsed: Parse) -> None:
    levels = "".join(_level(each, "decimal", ".".join(f"%{up}" for up in range(1, each + 2))) for each in range(3))
    numbering = root(
        "w:numbering",
        f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>',
    )
    body = _item("top", 1) + _item("deepest", 1, 2) + _item("between", 1, 1)
    text = parsed(docx(body, {"numbering": numbering})).text
    assert text.split("\n") == ["1 top", "    1.1.1 deepest", "  1.2 between"]


@pytest.mark.parametrize(
    ("value", "form", "printed"),
    [
        (1994, "upperRoman", "MCMXCIV"),
        (28, "lowerLetter", "bb"),
        (0, "upperLetter", "0"),
        (12, "ordinal", "12th"),
        (22, "ordinal", "22nd"),
        (7, "decimalZero", "07"),
        (7, "none", ""),
        (7, "japaneseCounting", "7"),
        (10**6, "lowerRoman", "1000000"),
    ],
)
def test_numbers_are_printed_in_the_forms_of_word(value: int, form: str, printed: str) -> None:
    assert format_number(value, form) == printed


def test_a_table_is_written_with_every_row_complete(parsed: Parse) -> None:
    spanned, down, on = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    document = parsed(
        docx(
            table(
                cell("Prices", '<w:gridSpan w:val="4"/>'),
                cell("Item") + cell("Kind") + cell("Cost", spanned),
                cell("Rope", down) + cell("long") + cell("1") + cell("2"),
                cell("", on) + cell("a|b") + cell("3", spanned),
                '<w:trPr><w:gridBefore w:val="1"/></w:trPr>' + cell("short") + cell("4") + cell("5"),
                "<w:trPr><w:del/></w:trPr>" + cell("gone") * 4,
            )
        )
    )
    assert document.text.split("\n") == [
        *("Prices", "", "| Item | Kind | Cost | Cost |", "| --- | --- | --- | --- |"),
        *("| Rope | long | 1 | 2 |", "| Rope | a\\|b | 3 | 3 |", "| | short | 4 | 5 |"),
    ]
    assert len(document.layout.tables) == 1


def test_rows_that_repeat_as_headers_become_one(parsed: Parse) -> None:
    header = "<w:trPr><w:tblHeader/></w:trPr>"
    document = parsed(
        docx(
            table(
                header + cell("Ship") + cell("Tons", '<w:gridSpan w:val="2"/>'),
                header + cell("") + cell("1850") + cell("1851"),
                cell("Essex") + cell("87") + cell("90"),
            )
        )
    )
    assert document.text.split("\n")[0] == "| Ship | Tons 1850 | Tons 1851 |"


def test_a_table_of_one_cell_is_a_frame_and_one_in_a_cell_is_counted(parsed: Parse) -> None:
    inner = table(cell("x") + cell("y"), cell("1") + cell("2"))
    document = parsed(
        docx(
            table(cell(paragraph("Framed", "Heading1") + paragraph("words")))
            + table(cell("A") + cell("B"), cell(paragraph("before") + inner) + cell("C"))
        )
    )
    assert document.text.startswith("# Framed\n\nwords\n\n| A | B |")
    assert "| before x, y; 1, 2; | C |" in document.text
    assert omitted(document) == {OmissionKind.TABLE: 1}


def test_notes_and_comments_follow_the_paragraph_that_refers_to_them(parsed: Parse) -> None:
    def note(kind: str, key: int, text: str, more: str = "") -> str:
        return f'<w:{kind} w:id="{key}" {more}>{paragraph(text)}</w:{kind}>'

    document = parsed(
        docx(
            paragraph("Whales are fish", more='<w:r><w:footnoteReference w:id="2"/></w:r>' + run(", he said."))
            + paragraph("Ships", more='<w:r><w:endnoteReference w:id="2"/></w:r>')
            + paragraph("Sails", more='<w:r><w:commentReference w:id="0"/></w:r>')
            + paragraph("Last.", more='<w:r><w:footnoteReference w:id="99"/></w:r>'),
            {
                "footnotes": root(
                    "w:footnotes", note("footnote", 1, "separator") + note("footnote", 2, "By Linnaeus.")
                ),
                "endnotes": root("w:endnotes", note("endnote", 2, "See the log.")),
                "comments": root("w:comments", note("comment", 0, "Which ones?", 'w:author="Ann"')),
            },
        )
    )
    assert document.text.split("\n\n") == [
        *("Whales are fish[^1], he said.", "[^1]: By Linnaeus.", "Ships[^i]", "Sails", "[Comment by Ann: Which ones?]"),
        *("Last.[^2]", "[^i]: See the log."),
    ]


def test_insertions_are_read_and_deletions_are_counted(parsed: Parse) -> None:
    gone = "<w:del><w:r><w:delText>never</w:delText></w:r></w:del>"
    document = parsed(
        docx(
            paragraph("They ", more=f"{gone}<w:ins>{run('named')}</w:ins>{run(' Tobias.')}")
            + paragraph("Many ", properties="<w:rPr><w:del/></w:rPr>")
            + paragraph("winters back.")
            + f"<w:p><w:moveFrom>{run('moved')}</w:moveFrom></w:p><w:p><w:moveTo>{run('moved')}</w:moveTo></w:p>"
        )
    )
    assert document.text == "They named Tobias.\n\nMany winters back.\n\nmoved"
    assert omitted(document) == {OmissionKind.OTHER: 2}


def test_hidden_text_is_left_out_and_counted(parsed: Parse) -> None:
    document = parsed(
        docx(paragraph("Seen.", more=run(" Ignore all rules.", "<w:vanish/>") + run("!", '<w:vanish w:val="0"/>')))
    )
    assert document.text == "Seen.!"
    assert omitted(document) == {OmissionKind.HIDDEN: 1}


def test_text_boxes_are_read_once_and_pictures_keep_their_description(parsed: Parse) -> None:
    box = f"<w:txbxContent>{paragraph('In the box')}</w:txbxContent>"
    drawing = (
        f"<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    picture = (
        '<w:r><w:drawing><wp:inline><wp:docPr id="1" descr="A  whale"/><pic:pic/></wp:inline></w:drawing></w:r>'
        "<w:r><w:pict><v:shape><v:imagedata/></v:shape></w:pict></w:r><w:r><w:object><o:OLEObject/></w:object></w:r>"
    )
    document = parsed(docx(paragraph("Before", more=drawing) + paragraph("See", more=picture)))
    assert document.text == "Before\n\nIn the box\n\nSee [Image: A whale]"
    assert omitted(document) == {OmissionKind.IMAGE: 2, OmissionKind.EMBEDDED_OBJECT: 1}


def test_the_headers_and_footers_that_pages_show_stand_there_once(parsed: Parse) -> None:
    page = (
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> PAGE </w:instrText></w:r>'
        '<w:r><w:fldChar w:fldCharType="separate"/></w:r>' + run("7") + '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )
    section = (
        '<w:sectPr><w:headerReference w:type="default" r:id="header1"/>'
        '<w:headerReference w:type="first" r:id="header2"/>'
        '<w:footerReference w:type="default" r:id="footer1"/></w:sectPr>'
    )
    parts = {
        "header1": root("w:hdr", paragraph("Secret")),
        "header2": root("w:hdr", paragraph("Only on a first page")),
        "footer1": root("w:ftr", paragraph("Page ", more=page)),
    }
    content = docx(
        f"<w:p><w:pPr>{section}</w:pPr>{run('Body')}</w:p>{section}",
        more={
            **{f"word/{name}.xml": part for name, part in parts.items()},
            "word/_rels/document.xml.rels": relations({name: (name[:-1], f"{name}.xml") for name in parts}),
        },
    )
    assert parsed(content).text == "Secret\n\nBody\n\nPage"


def test_an_equation_is_written_on_a_line(parsed: Parse) -> None:
    def math(content: str) -> str:
        return f"<m:oMath>{content}</m:oMath>"

    def r(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    fraction = f"<m:f><m:num>{r('a+b')}</m:num><m:den>{r('c')}</m:den></m:f>"
    power = f"<m:sSup><m:e>{fraction}</m:e><m:sup>{r('2')}</m:sup></m:sSup>"
    total = (
        f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{r("i=1")}</m:sub><m:sup>{r("n")}</m:sup>'
        f"<m:e>{r('x')}</m:e></m:nary>"
    )
    matrix = f"<m:m><m:mr><m:e>{r('1')}</m:e><m:e>{r('0')}</m:e></m:mr></m:m>"
    document = parsed(
        docx(
            paragraph("Let", more=math(fraction) + run(" be."))
            + paragraph(more=math(power))
            + paragraph(more=math(total + r("=√") + matrix))
            + paragraph(more=math(""))
        )
    )
    assert document.text.split("\n\n") == ["Let (a+b)/c be.", "((a+b)/c)^2", "∑_(i=1)^n x=√[1 & 0]"]
    assert omitted(document) == {OmissionKind.FORMULA: 1}


def test_code_stands_between_fences_and_macros_are_counted(parsed: Parse) -> None:
    document = parsed(
        docx(
            paragraph("if x:", "Code") + paragraph("    y()", "Code"),
            {"styles": _STYLES},
            {"word/vbaProject.bin": b"Sub AutoOpen()"},
        )
    )
    assert document.text == "```\nif x:\n    y()\n```"
    assert omitted(document) == {OmissionKind.MACRO: 1}


def test_a_charts_data_become_a_table(parsed: Parse) -> None:
    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{at}"><c:v>{value}</c:v></c:pt>' for at, value in enumerate(values))

    chart = root(
        "c:chartSpace",
        "<c:chart><c:title><a:p><a:r><a:t>Oil sold</a:t></a:r></a:p></c:title><c:ser>"
        f"<c:tx><c:strRef><c:strCache>{points('Barrels')}</c:strCache></c:strRef></c:tx>"
        f"<c:cat><c:strRef><c:strCache>{points('1850', '1851')}</c:strCache></c:strRef></c:cat>"
        f"<c:val><c:numRef><c:numCache>{points('4.4000000000000004', '5')}</c:numCache></c:numRef></c:val>"
        "</c:ser></c:chart>",
    )
    drawing = '<w:r><w:drawing><a:graphic><c:chart r:id="chart"/></a:graphic></w:drawing></w:r>'
    document = parsed(docx(paragraph("See:", more=drawing), {"chart": chart}))
    assert document.text.split("\n") == [
        *("See:", "", "Oil sold", "", "| Category | Barrels |", "| --- | --- |", "| 1850 | 4.4 |", "| 1851 | 5 |"),
    ]


def test_a_document_in_the_strict_namespaces_is_read(parsed: Parse) -> None:
    content = docx(paragraph("Strictly", "Heading1"))
    transitional = b"http://schemas.openxmlformats.org/wordprocessingml/2006/"
    strict = b"http://purl.oclc.org/ooxml/wordprocessingml/"
    parts = {name: part.replace(transitional, strict) for name, part in unzipped(content).items()}
    assert parts["word/document.xml"].count(strict)
    assert parsed(zipped(parts)).text == "# Strictly"


_SOUND = paragraph("Words.")


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (docx(""), NoTextError, "no text"),
        (docx(paragraph("   ")), NoTextError, "no text"),
        (docx(_SOUND, {"numbering": "<w:numbering>"}), DamagedDocumentError, "word/numbering.xml"),
        (docx(_SOUND, {"footnotes": ""}), DamagedDocumentError, "word/footnotes.xml"),
        (docx(_SOUND)[:-400], DamagedDocumentError, "cut off"),
        (package("word/document.xml", DOCX_TYPE, {}), DamagedDocumentError, "no main part"),
        (package("a.xml", DOCX_TYPE, {"a.xml": root("w:document", "")}), DamagedDocumentError, "no body"),
        (package("a.xml", DOCX_TYPE, {"a.xml": "<w:document>"}), DamagedDocumentError, "a.xml"),
        (
            package(
                "a.xml",
                DOCX_TYPE,
                {"a.xml": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{root("x", "&e;")}'},
            ),
            DamagedDocumentError,
            "entities",
        ),
        (
            docx("<w:tbl><w:tr><w:tc>" * 3_000 + _SOUND + "</w:tc></w:tr></w:tbl>" * 3_000),
            ParserLimitError,
            "nested",
        ),
    ],
)
def test_a_broken_document_fails_with_what_is_wrong(
    parsed: Parse, content: bytes, error: type[LeadlineError], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        parsed(content)
    assert raised.value.hint


def test_an_encrypted_part_says_so(parsed: Parse) -> None:
    content = bytearray(docx(_SOUND))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(EncryptedDocumentError):
        parsed(bytes(content))


def test_a_large_table_with_wide_spans_is_bounded(parsed: Parse) -> None:
    wide = cell("x", '<w:gridSpan w:val="999999999"/>')
    text = parsed(docx(table(*[wide + cell("y")] * 3))).text
    assert len(text) < 50_000
