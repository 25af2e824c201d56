"""Ten questions with a scripted planner over a workbook of Excel, one of LibreOffice, JSON lines and a Word table."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.storage.tables.store import RecordTables
from rlm.corpus.corpus import Corpus
from rlm.tables.sql import SqlEngine
from tests.support.ingested_tables import ingested
from tests.support.office_files import cell, docx, paragraph, table
from tests.support.table_questions import TableQuestion, plan
from tests.support.workbooks import Sheet, ods

_REGIONS = ("North", "South", "East")


def _sales(path: Path) -> bytes:
    """Two sheets: a title, a header of two rows with years over quarters, a percent column; and targets."""
    with xlsxwriter.Workbook(path) as book:
        sheet, percent = book.add_worksheet("Sales"), book.add_format({"num_format": "0.0%"})
        sheet.write(0, 0, "Sales by region")
        sheet.merge_range(1, 0, 2, 0, "Region")
        sheet.merge_range(1, 1, 1, 2, 2023)
        sheet.merge_range(1, 3, 1, 4, 2024)
        sheet.merge_range(1, 5, 2, 5, "Share")
        sheet.write_row(2, 1, ["H1", "H2", "H1", "H2"])
        for row, region in enumerate(_REGIONS):
            sheet.write_row(row + 3, 0, [region, 100 + row, 200 + row, 300.25 + row, 400 + row])
            sheet.write_number(row + 3, 5, (0.5, 0.3, 0.2)[row], percent)
        targets = book.add_worksheet("Targets")
        targets.write_row(0, 0, ["Region", "Target"])
        for row, region in enumerate(_REGIONS, start=1):
            targets.write_row(row, 0, [region, 650 + 15 * row])
    return path.read_bytes()


def _word_table(rows: list[list[str]]) -> str:
    return table(*("".join(map(cell, row)) for row in rows))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, RecordTables]:
    folder = tmp_path_factory.mktemp("files")
    counts: Sheet = [[f"P{n}", date(2024, 1 + n % 12, 5), n * 3] for n in range(40)]
    stock: Sheet = [["Part", "Counted on", "Count"], *counts]
    cities = ("Oslo", "Rome")
    visits = [{"id": n, "who": {"city": cities[n % 2]}, "paid": n % 3 == 0, "sum": n + 0.5} for n in range(500)]
    terms = [["Term", "Days", "Fee"], ["Short", "30", "€1,200.50"], ["Long", "90", "€2,000.00"]]
    terms.append(["Odd", "45", "€99.50"])
    heading = paragraph("Contract", properties='<w:outlineLvl w:val="0"/>') + paragraph("Terms of payment", "Caption")
    with ParserSandbox() as parser:
        return ingested(
            folder,
            {
                "sales.xlsx": _sales(folder / "made.xlsx"),
                "stock.ods": ods({"Stock": stock}),
                "visits.jsonl": "\n".join(map(json.dumps, visits)),
                "contract.docx": docx(heading + _word_table(terms)),
            },
            parser=parser,
        )


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ('SELECT sum("2024 H1") FROM sales_by_region', 903.75),
        ('SELECT "Region" FROM sales_by_region ORDER BY "2023 H2" DESC LIMIT 1', "East"),
        ('SELECT max("Share") FROM sales_by_region', 50),
        (
            'SELECT count(*) FROM sales_by_region JOIN targets USING ("Region") WHERE "2024 H1" + "2024 H2" > "Target"',
            3,
        ),
        ('SELECT sum("Count") FROM stock', 3 * sum(range(40))),
        ("SELECT count(*) FROM stock WHERE \"Counted on\" >= DATE '2024-07-01'", 18),
        ("SELECT count(*) FROM visits WHERE \"who.city\" = 'Rome' AND paid", sum(n % 6 == 3 for n in range(500))),
        ('SELECT sum("sum") FROM visits', sum(n + 0.5 for n in range(500))),
        ('SELECT sum("Fee") FROM terms_of_payment', 3300.0),
        ('SELECT "Term" FROM terms_of_payment WHERE "Days" > 30 ORDER BY "Fee" LIMIT 1', "Odd"),
    ],
)
def test_the_answer_is_exact(files: tuple[Corpus, RecordTables], sql: str, wanted: Any) -> None:  # noqa: ANN401
    corpus, records = files
    draft = TableQuestion(corpus, records, [plan(sql)], sql=SqlEngine()).ask("What do the files say?")
    assert draft.result is not None
    (row,) = draft.result.value if isinstance(draft.result.value, list) else [draft.result.value]
    found = next(iter(row.values())) if isinstance(row, dict) else row[0] if isinstance(row, list | tuple) else row
    assert found == (pytest.approx(wanted, abs=1e-9) if isinstance(wanted, float) else wanted)
    for passage in draft.evidence.values():
        document = corpus.find_document_by_id(passage.document_id)
        assert document is not None
        assert corpus.load_text(document.handle[passage.start : passage.end]) == passage.text
