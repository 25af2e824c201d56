"""The benchmark of table rows on a small document."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from tests.benchmark.table_rows import LabelledRow, rows


def test_rows_are_found_by_their_labels_in_the_chunk_that_has_them(tmp_path: Path) -> None:
    table = "\n".join(f"| Shop number {'abcdefghij'[n % 10]}{n} sales | {n},204 |" for n in range(1, 60))
    (tmp_path / "a.md").write_text(f"# Sales\n\n| shop | sales |\n| --- | --- |\n{table}\n\nShop sales were good.\n")
    app = typer.Typer()
    app.command()(rows)

    done = CliRunner().invoke(app, [str(tmp_path), "--json"])

    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert (figures["documents"], figures["rows"]) == (1, 59)
    assert figures["found@1"].startswith("1.000")


def test_a_row_stands_in_a_text_with_its_label_and_its_figure_in_one_line() -> None:
    row = LabelledRow("a", "Net income", "1,204")
    assert row.stands_in("| Net income | $1,204 | 7 |")
    assert not row.stands_in("| Net income | $11,204 |\n| Taxes | 1,204 |")
