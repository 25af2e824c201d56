"""PDF files with loops, bombs, lies and holes."""

import zlib
from collections.abc import Sequence

from tests.support.hostile import Hostile, hostile
from tests.support.pdf_files import pdf

_CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
_PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
_FONT = b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R " + _FONT + b" >>"


def _file(objects: Sequence[bytes], trailer: bytes = b"", *, prev: int | None = None) -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(out)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    previous = b" /Prev %d" % (start if prev is None else prev) if prev != -1 else b""
    size = len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    return out + b"trailer\n<< /Size %d /Root 1 0 R%b %b >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        previous,
        trailer,
        start,
    )


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), entries, content)


def _page(content: bytes, entries: bytes = b"") -> bytes:
    return _file([_CATALOG, _PAGES, _PAGE, _stream(content, entries)], prev=-1)


def _flate(content: bytes) -> bytes:
    return _page(zlib.compress(content), b"/Filter /FlateDecode")


def _loop_of_forms() -> bytes:
    page = _PAGE.replace(b"/Font <<", b"/XObject << /X 5 0 R >> /Font <<")
    form = _stream(
        b"/X Do /X Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>"
    )
    return _file([_CATALOG, _PAGES, page, _stream(b"/X Do"), form], prev=-1)


def _loop_of_outlines() -> bytes:
    catalog = _CATALOG.replace(b">>", b"/Outlines 5 0 R >>")
    item = b"<< /Title (A) /Parent 5 0 R /Next 6 0 R /Prev 6 0 R /First 6 0 R /Last 6 0 R >>"
    text = _stream(b"BT /F1 9 Tf 50 700 Td (A page of words.) Tj ET")
    return _file([catalog, _PAGES, _PAGE, text, b"<< /First 6 0 R /Last 6 0 R /Count 99 >>", item], prev=-1)


def _without_characters() -> bytes:
    """Return a page whose font has glyphs of its own and says of none which character it is."""
    font = (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [.001 0 0 .001 0 0] /FirstChar 1 /LastChar 3 "
        b"/Widths [500 500 500] /Encoding << /Differences [1 /g1 /g2 /g3] >> "
        b"/CharProcs << /g1 5 0 R /g2 5 0 R /g3 5 0 R >> >>"
    )
    page = _PAGE.replace(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", font)
    shape = _stream(b"500 0 0 0 500 500 d1 0 0 500 500 re f")
    return _file([_CATALOG, _PAGES, page, _stream(b"BT /F1 9 Tf 50 700 Td (\x01\x02\x03) Tj ET"), shape], prev=-1)


PDFS: tuple[Hostile, ...] = (
    hostile("pdf: cut off", "cut.pdf", lambda: pdf([["words"]] * 9)[:900]),
    hostile("pdf: its first line alone", "head.pdf", lambda: b"%PDF-1.7\n"),
    hostile(
        "pdf: random behind its first line", "random.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\n%%EOF"
    ),
    hostile("pdf: a password", "secret.pdf", lambda: pdf([["Secret."]], password="sesame")),
    hostile(
        "pdf: pages that hold themselves",
        "loop.pdf",
        lambda: _file([_CATALOG, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 9 >>"], prev=-1),
    ),
    hostile("pdf: a table that follows itself", "prev.pdf", lambda: _file([_CATALOG, _PAGES, _PAGE, _stream(b"")])),
    hostile(
        "pdf: a length that is itself",
        "length.pdf",
        lambda: _file([_CATALOG, _PAGES, _PAGE, b"<< /Length 4 0 R >>\nstream\nx\nendstream"], prev=-1),
    ),
    hostile(
        "pdf: a million pages that are none",
        "count.pdf",
        lambda: _file([_CATALOG, b"<< /Type /Pages /Kids [] /Count 1000000 >>"], prev=-1),
    ),
    hostile("pdf: no pages", "none.pdf", lambda: pdf([])),
    hostile("pdf: pictures alone", "scan.pdf", lambda: pdf([[], [], []]), ready=""),
    hostile("pdf: a stream that inflates to 300 MB", "bomb.pdf", lambda: _flate(b" " * 300_000_000), heavy=True),
    hostile(
        "pdf: a million lines",
        "lines.pdf",
        lambda: _flate(b"BT /F1 9 Tf " + b"(words) Tj 0 1 Td " * 1_000_000 + b"ET"),
        ready="words",
        heavy=True,
    ),
    hostile("pdf: forms in circles", "forms.pdf", _loop_of_forms),
    hostile("pdf: bookmarks in circles", "outlines.pdf", _loop_of_outlines, ready="A page of words."),
    hostile("pdf: a font without characters", "glyphs.pdf", _without_characters, ready=""),
    hostile("pdf: lists in lists", "lists.pdf", lambda: _file([b"[" * 100_000, _PAGES], prev=-1)),
    hostile(
        "pdf: a box without bounds", "box.pdf", lambda: _page(b"").replace(b"[0 0 612 792]", b"[-1e38 0 1e38 nan]")
    ),
    hostile(
        "pdf: encrypted by nobody",
        "cipher.pdf",
        lambda: _file([_CATALOG, _PAGES], b"/Encrypt << /Filter /Nobody /V 99 >>", prev=-1),
    ),
    hostile(
        "pdf: filters upon filters",
        "filters.pdf",
        lambda: _page(b"x", b"/Filter [" + b"/ASCIIHexDecode " * 2_000 + b"]"),
    ),
    hostile(
        "pdf: a script and nothing else",
        "script.pdf",
        lambda: _file(
            [
                _CATALOG.replace(b">>", b"/OpenAction << /S /JavaScript /JS (app.alert(1)) >> >>"),
                _PAGES,
                _PAGE,
                _stream(b""),
            ],
            prev=-1,
        ),
    ),
)
