"""Office documents with entities, bombs, missing or broken parts, passwords and macros."""

from tests.support.hostile import CANARY, Hostile, hostile
from tests.support.office_files import docx, odf, paragraph, pptx, shape
from tests.support.workbooks import ods
from tests.support.zip_files import ole, unzipped, zipped

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_XXE = f'{_XML}<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/hostname"><!ENTITY c "{CANARY}">]>'
_LAUGHS = f"{_XML}<!DOCTYPE x [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)
)
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _changed(content: bytes, part: str, new: bytes | None) -> bytes:
    """Return an archive with a part replaced, or taken out."""
    parts = unzipped(content)
    if new is None:
        del parts[part]
    else:
        parts[part] = new
    return zipped(parts)


def _declared(content: bytes, part: str, doctype: str, word: str) -> bytes:
    """Return an archive whose part begins with a document type, and has an entity in place of a word."""
    text = unzipped(content)[part].decode()
    body = text[text.index("?>") + 2 :] if text.startswith("<?xml") else text
    return _changed(content, part, (doctype + body.replace(word, "&x;" if "SYSTEM" in doctype else "&a11;")).encode())


def _word() -> bytes:
    return docx(paragraph("Words."))


def _sheets(sheets: dict[str, str], shared: str = "", extra: dict[str, bytes] | None = None) -> bytes:
    """Return a workbook of these sheets: each the XML within `sheetData`."""
    numbers = range(1, len(sheets) + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPES}.worksheet+xml"/>' for n in numbers
    )
    relations = "".join(
        f'<Relationship Id="r{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    names = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in zip(numbers, sheets, strict=True)
    )
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_TYPES}.sharedStrings+xml"/>{overrides}</Types>',
        "_rels/.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{relations}'
        f'<Relationship Id="s" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'{_XML}<sst xmlns="{_MAIN}">{shared}</sst>',
        **{
            f"xl/worksheets/sheet{n}.xml": f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>'
            for n, rows in zip(numbers, sheets.values(), strict=True)
        },
        **(extra or {}),
    }
    return zipped(parts)


def _row(text: str, at: str = "A1", row: int = 1) -> str:
    return f'<row r="{row}"><c r="{at}" t="inlineStr"><is><t>{text}</t></is></c></row>'


def _repeated() -> bytes:
    """Return a table of OpenDocument that repeats one cell 17 billion times."""
    content = ods({"A": [["x"]]})
    text = unzipped(content)["content.xml"].decode()
    text = text.replace("<table:table-row", '<table:table-row table:number-rows-repeated="1048576"')
    text = text.replace("<table:table-cell", '<table:table-cell table:number-columns-repeated="16384"')
    return _changed(content, "content.xml", text.encode())


def _epub(container: str | None, href: str = "a.xhtml") -> bytes:
    parts: dict[str, str | bytes] = {"mimetype": "application/epub+zip"}
    if container is not None:
        parts["META-INF/container.xml"] = container
    parts["book.opf"] = (
        f'{_XML}<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="{href}" '
        'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>'
    )
    return zipped(parts)


_CONTAINER = (
    f'{_XML}<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="book.opf"/></rootfiles></container>'
)

OFFICE: tuple[Hostile, ...] = (
    hostile("docx: cut off", "cut.docx", lambda: _word()[:-300]),
    hostile("docx: a password", "secret.docx", lambda: ole("EncryptedPackage", "EncryptionInfo")),
    hostile(
        "docx: an entity from a file",
        "xxe.docx",
        lambda: _declared(_word(), "word/document.xml", _XXE, "Words."),
        ready="",
    ),
    hostile(
        "docx: entities of entities",
        "laughs.docx",
        lambda: _declared(_word(), "word/document.xml", _LAUGHS + "]>", "Words."),
        ready="",
    ),
    hostile(
        "docx: markup that is none",
        "broken.docx",
        lambda: _changed(_word(), "word/document.xml", b"<w:document><w:body><w:p>"),
    ),
    hostile("docx: its main part missing", "missing.docx", lambda: _changed(_word(), "word/document.xml", None)),
    hostile(
        "docx: a part of 600 MB",
        "bomb.docx",
        lambda: _changed(_word(), "word/document.xml", b" " * 600_000_000),
        heavy=True,
    ),
    hostile(
        "docx: macros", "macros.docm", lambda: _changed(_word(), "word/vbaProject.bin", ole("VBA")), ready="Words."
    ),
    hostile(
        "docx: tables in tables",
        "tables.docx",
        lambda: docx("<w:tbl><w:tr><w:tc>" * 3_000 + paragraph("Words.") + "</w:tc></w:tr></w:tbl>" * 3_000),
        ready="Words.",
    ),
    hostile(
        "docx: a part from outside",
        "outside.docx",
        lambda: docx('<w:altChunk r:id="x"/>' + paragraph("Words.")),
        ready="Words.",
    ),
    hostile("docx: nothing in it", "nothing.docx", lambda: docx("")),
    hostile("docx: parts with the same name", "twice.docx", lambda: _word() + _word(), ready="Words."),
    hostile("pptx: cut off", "cut.pptx", lambda: pptx([shape("Words.")])[:400]),
    hostile(
        "pptx: a slide missing",
        "missing.pptx",
        lambda: _changed(pptx([shape("Words.")]), "ppt/slides/slide1.xml", None),
    ),
    hostile("pptx: no slides", "none.pptx", lambda: pptx([])),
    hostile("pptx: 3,000 slides", "many.pptx", lambda: pptx([shape("Words.")] * 3_000), ready="Words.", heavy=True),
    hostile(
        "xlsx: 300 sheets",
        "sheets.xlsx",
        lambda: _sheets({f"S{n}": _row("a") + _row("b", "A2", 2) for n in range(300)}),
        ready="a",
    ),
    hostile(
        "xlsx: formulas without values",
        "formulas.xlsx",
        lambda: _sheets({"A": '<row r="1"><c r="A1"><f>SUM(B1:B9)</f></c></row>'}),
        ready="",
    ),
    hostile(
        "xlsx: one cell in the last corner",
        "corner.xlsx",
        lambda: _sheets({"A": _row("words", "XFD1048576", 1048576)}),
        ready="words",
    ),
    hostile(
        "xlsx: a cell that cannot be",
        "cell.xlsx",
        lambda: _sheets({"A": _row("words", "ZZZZZ99999999", 99999999)}),
    ),
    hostile(
        "xlsx: a text that is not there",
        "string.xlsx",
        lambda: _sheets({"A": '<row r="1"><c r="A1" t="s"><v>999999999</v></c></row>'}),
        ready="",
    ),
    hostile(
        "xlsx: texts that inflate to 400 MB",
        "bomb.xlsx",
        lambda: _sheets({"A": _row("words")}, f"<si><t>{' ' * 400_000_000}</t></si>"),
        ready="",
        heavy=True,
    ),
    hostile(
        "xlsx: an entity from a file",
        "xxe.xlsx",
        lambda: _declared(_sheets({"A": _row("words")}), "xl/worksheets/sheet1.xml", _XXE, "words"),
        ready="",
    ),
    hostile(
        "xlsx: markup that is none",
        "broken.xlsx",
        lambda: _changed(_sheets({"A": _row("words")}), "xl/workbook.xml", b"<workbook><sheets>"),
    ),
    hostile("xlsx: no sheets", "none.xlsx", lambda: _sheets({})),
    hostile("ods: 17 billion cells", "repeated.ods", _repeated, ready="x", heavy=True),
    hostile(
        "odt: entities of entities",
        "laughs.odt",
        lambda: _declared(odf("text", "<text:p>Words.</text:p>"), "content.xml", _LAUGHS + "]>", "Words."),
        ready="",
    ),
    hostile("odt: cut off", "cut.odt", lambda: odf("text", "<text:p>Words.</text:p>")[:-60]),
    hostile("odt: nothing in it", "nothing.odt", lambda: odf("text", "")),
    hostile("epub: no container", "container.epub", lambda: _epub(None)),
    hostile(
        "epub: a chapter outside of the book", "outside.epub", lambda: _epub(_CONTAINER, "../../../../etc/hostname")
    ),
    hostile("epub: a book that is missing", "missing.epub", lambda: _epub(_CONTAINER.replace("book.opf", "gone.opf"))),
)
