"""Office files made for tests from the XML that matters; `docx` and `pptx` put the rest around it."""

from collections.abc import Mapping, Sequence

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


def pptx(
    slides: Sequence[str],
    related: Mapping[int, Mapping[str, tuple[str, str]]] | None = None,
    more: Mapping[str, str | bytes] | None = None,
    extra: str = "",
) -> bytes:
    """Return a presentation of 1,000 by 500 units. `slides` are the contents of their shape trees, or whole parts.

    `related` has the relations of slides by their numbers from 1; `extra` goes into the main part.
    """
    numbers = range(1, len(slides) + 1)
    listed = "".join(f'<p:sldId id="{255 + each}" r:id="rId{each}"/>' for each in numbers)
    parts = {
        "ppt/presentation.xml": root(
            "p:presentation", f'<p:sldIdLst>{listed}</p:sldIdLst><p:sldSz cx="1000" cy="500"/>{extra}'
        ),
        "ppt/_rels/presentation.xml.rels": relations(
            {f"rId{each}": ("slide", f"slides/slide{each}.xml") for each in numbers}
        ),
        **{
            f"ppt/slides/slide{each}.xml": content if content.startswith("<?xml") else slide(content)
            for each, content in enumerate(slides, start=1)
        },
        **{f"ppt/slides/_rels/slide{each}.xml.rels": relations(found) for each, found in (related or {}).items()},
        **(more or {}),
    }
    return package("ppt/presentation.xml", PPTX, parts)


def slide(shapes: str, tag: str = "p:sld", attributes: str = "") -> str:
    part = root(tag, f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>")
    return part.replace(f"<{tag} ", f"<{tag} {attributes} ", 1)


def transform(left: float, top: float, width: float, height: float, more: str = "", tag: str = "a:xfrm") -> str:
    return f'<{tag}><a:off x="{left}" y="{top}"/><a:ext cx="{width}" cy="{height}"/>{more}</{tag}>'


def shape(*lines: str, at: tuple[int, int, int, int] | None = None, placeholder: str = "", properties: str = "") -> str:
    """Return a shape of these paragraphs, which are texts or whole elements; `placeholder` are attributes of one."""
    body = "".join(line if line.startswith("<") else f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in lines)
    held = f"<p:ph {placeholder}/>" if placeholder else ""
    moved = transform(*at) if at else ""
    return (
        f"<p:sp><p:nvSpPr><p:cNvPr id='2' name='s' {properties}/><p:cNvSpPr/><p:nvPr>{held}</p:nvPr></p:nvSpPr>"
        f"<p:spPr>{moved}</p:spPr><p:txBody><a:bodyPr/>{body}</p:txBody></p:sp>"
    )


def graphic(content: str, at: tuple[int, int, int, int] = (0, 0, 10, 10)) -> str:
    """Return a graphic frame: a table, a chart or an object."""
    moved = transform(*at, tag="p:xfrm")
    return f"<p:graphicFrame>{moved}<a:graphic><a:graphicData>{content}</a:graphicData></a:graphic></p:graphicFrame>"


_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
ODF_NAMESPACES = " ".join(
    [
        *(f'xmlns:{name}="{_ODF}{name}:1.0"' for name in ("office", "text", "table", "style", "presentation", "chart")),
        f'xmlns:draw="{_ODF}drawing:1.0" xmlns:svg="{_ODF}svg-compatible:1.0" xmlns:fo="{_ODF}xsl-fo-compatible:1.0"',
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"',
        f'xmlns:math="http://www.w3.org/1998/Math/MathML" xmlns:manifest="{_ODF}manifest:1.0"',
    ]
)


def odf_root(tag: str, content: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><{tag} {ODF_NAMESPACES}>{content}</{tag}>'


def odf(
    kind: str,
    body: str,
    *,
    automatic: str = "",
    styles: str | None = None,
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Return an OpenDocument file; `kind` is `text` or `presentation`, `automatic` its automatic styles."""
    content = (
        f"<office:automatic-styles>{automatic}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    )
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": odf_root("office:document-content", content),
            **({} if styles is None else {"styles.xml": odf_root("office:document-styles", styles)}),
            **(more or {}),
        }
    )


def epub(
    chapters: Mapping[str, str],
    *,
    navigation: str | None = None,
    ncx: str | None = None,
    left_out: Sequence[str] = (),
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """Return a book of these documents' bodies, with contents in a navigation document or of the older form."""
    kind = "application/xhtml+xml"
    items = [f'<item id="c{at}" href="{name}" media-type="{kind}"/>' for at, name in enumerate(chapters)]
    items.append(f'<item id="nav" href="nav.xhtml" media-type="{kind}" properties="nav"/>' if navigation else "")
    items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>' if ncx else "")
    spine = "".join(f'<itemref idref="c{at}"/>' for at in range(len(chapters)))
    package_document = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>Salt and Tar</dc:title></metadata><manifest>{''.join(items)}</manifest>"
        f'<spine toc="ncx">{spine}</spine></package>'
    )

    def page(body: str) -> str:
        return (
            '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" '
            f'xmlns:epub="http://www.idpf.org/2007/ops"><body>{body}</body></html>'
        )

    container = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OPS/book.opf": package_document,
            **({"OPS/nav.xhtml": page(navigation)} if navigation else {}),
            **({"OPS/toc.ncx": f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/">{ncx}</ncx>'} if ncx else {}),
            **{f"OPS/{name}": page(body) for name, body in chapters.items() if name not in left_out},
            **(more or {}),
        }
    )
