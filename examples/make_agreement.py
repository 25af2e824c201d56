"""Draw documents/services-agreement.pdf from services-agreement.txt, with reportlab (`make setup-test` installs it).

In the text, each line is a paragraph, `#` starts a heading, and `|` starts a table row.
"""

from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

TEXT = Path(__file__).with_name("services-agreement.txt")
PDF = TEXT.parent / "documents" / "services-agreement.pdf"
TITLE = "Refrigeration Services Agreement"

BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=11, leading=15, spaceAfter=6)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=10, leading=13, spaceAfter=0)
COLUMN = ParagraphStyle("column", parent=CELL, fontName="Times-Bold")
CLAUSE = ParagraphStyle("clause", parent=BODY, fontName="Times-Bold", fontSize=12.5, spaceBefore=10, keepWithNext=True)
COVER = ParagraphStyle("cover", parent=BODY, fontName="Times-Bold", fontSize=22, leading=30, alignment=TA_CENTER)
PARTY = ParagraphStyle("party", parent=BODY, fontSize=14, leading=22, alignment=TA_CENTER)
RULES = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.5, HexColor("#888888")),
        ("BACKGROUND", (0, 0), (-1, 0), HexColor("#eeeeee")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def draw_agreement(path: Path) -> None:
    """Write the agreement to `path`. The output is reproducible, byte for byte."""
    document = SimpleDocTemplate(str(path), pagesize=A4, invariant=1, title=TITLE, author="")
    document.build([*build_cover(), *build_contents(TEXT.read_text())], onLaterPages=number_page)


def build_cover() -> list[Flowable]:
    parties = ("Brackwater Foods Limited", "and", "Northlight Refrigeration Services Limited", "12 February 2026")
    return [
        Spacer(0, 70 * mm),
        Paragraph(TITLE, COVER),
        Spacer(0, 15 * mm),
        *(Paragraph(each, PARTY) for each in parties),
        PageBreak(),
    ]


def build_contents(text: str) -> list[Flowable]:
    made: list[Flowable] = []
    rows: list[list[Paragraph]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            style = CELL if rows else COLUMN
            rows.append([Paragraph(escape(cell.strip()), style) for cell in line[1:].split("|")])
            continue
        if rows:
            made += [Table(rows, style=RULES, repeatRows=1, hAlign="LEFT"), Spacer(0, 4 * mm)]
            rows = []
        if line:
            made.append(Paragraph(escape(line.removeprefix("# ")), CLAUSE if line.startswith("#") else BODY))
    return made


def number_page(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont("Times-Roman", 9)
    canvas.drawString(25 * mm, 12 * mm, TITLE)
    canvas.drawRightString(A4[0] - 25 * mm, 12 * mm, f"Page {document.page}")


if __name__ == "__main__":
    draw_agreement(PDF)
