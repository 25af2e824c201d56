"""Office files made for tests from the XML that matters; `docx` and `pptx` put the rest around it."""

from collections.abc import Mapping

from tests.support.zip_files import zipped

_OFFICE = "http://schemas.openxmlformats.org"
_RELATIONS = f"{_OFFICE}/officeDocument/2006/relationships"
NAMESPACES = " ".join(
    f'xmlns:{prefix}="{name}"'
    for prefix, name in {
        "w": f"{_OFFICE}/wordprocessingml/2006/main",
        "p": f"{_OFFICE}/presentationml/2006/main",
        "a": f"{_OFFICE}/drawingml/2006/main",
        "r": _RELATIONS,
        "m": f"{_OFFICE}/officeDocument/2006/math",
        "c": f"{_OFFICE}/drawingml/2006/chart",
        "dgm": f"{_OFFICE}/drawingml/2006/diagram",
        "wp": f"{_OFFICE}/drawingml/2006/wordprocessingDrawing",
        "pic": f"{_OFFICE}/drawingml/2006/picture",
        "mc": f"{_OFFICE}/markup-compatibility/2006",
        "w14": "http://schemas.microsoft.com/office/word/2010/wordml",
        "p14": "http://schemas.microsoft.com/office/powerpoint/2010/main",
        "v": "urn:schemas-microsoft-com:vml",
        "o": "urn:schemas-microsoft-com:office:office",
    }.items()
)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"


def root(tag: str, content: str) -> str:
    """Return a part: an element of this name, with the namespaces that tests use."""
    return f'<?xml version="1.0" encoding="UTF-8"?><{tag} {NAMESPACES}>{content}</{tag}>'


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    """Return a part of relations: id to kind and target."""
    each = "".join(
        f'<Relationship Id="{key}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for key, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">{each}</Relationships>'


def package(main: str, media_type: str, parts: Mapping[str, str | bytes]) -> bytes:
    content_types = (
        f'<Types xmlns="{_OFFICE}/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/{main}" ContentType="{media_type}.main+xml"/></Types>'
    )
    return zipped(
        {
            "[Content_Types].xml": content_types,
            "_rels/.rels": relations({"rId1": ("officeDocument", main)}),
            **parts,
        }
    )


def docx(body: str, related: Mapping[str, str] | None = None, more: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return a Word document with this body. `related` parts have the name of their kind: `numbering`, `footnotes`."""
    related = related or {}
    return package(
        "word/document.xml",
        DOCX,
        {
            "word/document.xml": root("w:document", f"<w:body>{body}</w:body>"),
            "word/_rels/document.xml.rels": relations({kind: (kind, f"{kind}.xml") for kind in related}),
            **{f"word/{kind}.xml": content for kind, content in related.items()},
            **(more or {}),
        },
    )


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(text: str = "", style: str = "", properties: str = "", more: str = "") -> str:
    """Return a paragraph of Word; `more` follows the text."""
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{styled}{properties}</w:pPr>{run(text) if text else ''}{more}</w:p>"


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def cell(content: str, properties: str = "") -> str:
    content = content if content.startswith("<") else paragraph(content)
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"
