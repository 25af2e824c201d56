"""Files as the common libraries write them, whose structure is known."""

from pathlib import Path

import docx
import odfdo
import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from ingest.parsing.office import parse_docx, parse_odt, parse_pptx


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_a_document_of_python_docx_keeps_its_structure(file: Path) -> None:
    made = docx.Document()
    made.core_properties.title = "Log"
    made.add_heading("Ships", 1)
    made.add_heading("Sails", 2)
    made.add_paragraph("Canvas.").add_run(" And rope.").bold = True
    for words in ("one", "two"):
        made.add_paragraph(words, style="List Number")
    made.add_paragraph("dot", style="List Bullet")
    grid = made.add_table(3, 3)
    for row, cells in enumerate((("Ship", "Tons", ""), ("Essex", "87", "x"), ("Pequod", "99", "y"))):
        for column, words in enumerate(cells):
            grid.cell(row, column).text = words
    grid.cell(0, 1).merge(grid.cell(0, 2))
    made.sections[0].header.paragraphs[0].text = "Secret"
    made.add_comment(made.paragraphs[2].runs, text="Sure?", author="Ann")
    made.save(str(file))
    document = parse_docx(file)
    assert [(each.level, each.title) for each in document.layout.headings] == [(1, "Ships"), (2, "Sails")]
    assert [line for line in document.text.split("\n") if line] == [
        *("Secret", "# Ships", "## Sails", "Canvas. And rope.", "[Comment by Ann: Sure?]", "1. one", "2. two", "- dot"),
        *("| Ship | Tons | Tons |", "| --- | --- | --- |", "| Essex | 87 | x |", "| Pequod | 99 | y |"),
    ]
    assert document.title == "Log"
    assert not document.omissions


def test_a_presentation_of_python_pptx_keeps_its_structure(file: Path) -> None:
    made = pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Ships"
    frame = slide.placeholders[1].text_frame
    frame.text = "first"
    deeper = frame.add_paragraph()
    deeper.text, deeper.level = "deeper", 1
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    slide = made.slides.add_slide(made.slide_layouts[6])
    grid = slide.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for at, words in enumerate(("Ship", "Tons", "Essex", "87")):
        grid.cell(at // 2, at % 2).text = words
    data = CategoryChartData()
    data.categories = ["1850", "1851"]
    data.add_series("Oil", (4.5, 7))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(4), Inches(4), Inches(2), data)
    made.save(str(file))
    document = parse_pptx(file)
    assert [line for line in document.text.split("\n") if line] == [
        *("# Ships", "- first", "  - deeper", "Notes: Say it slowly."),
        *("| Ship | Tons |", "| --- | --- |", "| Essex | 87 |"),
        *("Chart", "| Category | Oil |", "| --- | --- |", "| 1850 | 4.5 |", "| 1851 | 7 |"),
    ]
    at = document.text.index("Essex")
    (box,) = document.positions.list_boxes(at, at + 5)
    expected = (Inches(1) / made.slide_width, Inches(1.5) / made.slide_height)
    assert (box.place, box.left, box.top) == (2, *(pytest.approx(each) for each in expected))


def test_a_text_of_odfdo_keeps_its_structure(file: Path) -> None:
    made = odfdo.Document("text")
    made.body.clear()
    made.body.append(odfdo.Header(1, "Ships"))
    made.body.append(odfdo.Paragraph("Canvas."))
    made.body.append(odfdo.List(["one", "two"]))
    grid = odfdo.Table("T", width=2, height=2)
    for at, words in enumerate(("Ship", "Tons", "Essex", "87")):
        grid.set_value((at % 2, at // 2), words)
    made.body.append(grid)
    made.save(str(file))
    document = parse_odt(file)
    assert [line for line in document.text.split("\n") if line] == [
        *("# 1. Ships", "Canvas.", "- one", "- two", "| Ship | Tons |", "| --- | --- |", "| Essex | 87 |"),
    ]
