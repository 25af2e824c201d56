"""Measures the PDF parser beside docling-slim's backend and pdfplumber: `python -m tests.oracle.pdf --help`.

Three kinds of files: those with another parser's Markdown beside them (`sources/X.pdf`, `groundtruth/X.md`), some that
are drawn here and so known exactly, and others, of which only is asked how many of the lines of figures that the
backend sees stand whole in one row of a table.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ingest.errors import LeadlineError
from ingest.parsing.pdf import parse_pdf
from tests.oracle.markdown_scores import mean_of, scores, tables
from tests.support.drawn_pdfs import BOLD, Drawing, filled_lines

_WORDS = "river boat mill meadow lamp storm hill town night sea wheel gate water stone bridge field"
_number = re.compile(r"\d[\d,.]*")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders with PDF files")
    parser.add_argument("--python", required=True, help="the Python of the environment that has the peers")
    parser.add_argument("--drawn", type=int, default=12, help="how many files to draw (12)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        truths = dict(_drawn(Path(folder), options.drawn))
        paths = [path for each in options.folders for path in sorted(each.rglob("*.pdf"))]
        truths.update((path, truth) for path in paths if (truth := _truth(path)))
        _compare([*truths, *(path for path in paths if path not in truths)], truths, options.python)
    return 0


def _compare(paths: Sequence[Path], truths: dict[Path, str], python: str) -> None:
    script = str(Path(__file__).with_name("peer_pdf.py"))
    rows: list[tuple[float | None, ...]] = []
    print(f"{'file':32} {'order':>13} {'headings':>13} {'tables':>13} {'rows of figures':>17}   (ours, peers)")
    for path in paths:
        done = subprocess.run([python, script, str(path)], capture_output=True, text=True, check=False)
        try:
            ours = parse_pdf(path).text
            theirs = json.loads(done.stdout)
        except (LeadlineError, ValueError) as error:
            print(f"{path.name[:32]:32} not read by one of them: {error}", file=sys.stderr)
            continue
        truth = truths.get(path)
        row: list[float | None] = [None] * 6
        if truth:
            one, other = scores(ours, truth), scores(theirs["text"], truth)
            row = [one.order, other.order, one.headings, other.headings, one.tables, other.tables]
        figures = theirs["figures"]
        row += [_whole(figures, ours), _whole(figures, theirs["text"])] if figures else [None, None]
        rows.append(tuple(row))
        _show(path.name, row)
    _show(f"mean of {len(rows)} files", [mean_of(column) for column in zip(*rows, strict=True)])


def _show(name: str, row: Iterable[float | None]) -> None:
    cells = ["     –" if value is None else f"{value:6.3f}" for value in row]
    pairs = [f"{cells[at]} {cells[at + 1]}" for at in range(0, len(cells), 2)]
    print(f"{name[:32]:32} {'  '.join(pairs)}", flush=True)


def _whole(figures: Sequence[Sequence[str]], text: str) -> float:
    """Return the share of the lines of figures that one row of a table holds, in their order."""
    rows = [_number.findall(" ".join(row)) for table in tables(text) for row in table]
    held = {" ".join(row) for row in rows}
    joined = "\n".join(held)
    return sum(" ".join(line) in joined for line in figures) / len(figures)


def _truth(path: Path) -> str:
    truth = path.parent.parent / "groundtruth" / f"{path.stem}.md"
    return truth.read_text() if path.parent.name == "sources" and truth.exists() else ""


def _drawn(folder: Path, count: int) -> Iterable[tuple[Path, str]]:
    """Draw files of headings, columns and tables, and yield each with its Markdown."""
    for seed in range(count):
        chance = random.Random(seed)
        drawing, parts = Drawing(), list[str]()
        for page in range(2):
            if page:
                drawing.next_page()
            parts += _page(drawing, chance)
        path = folder / f"drawn-{seed}.pdf"
        path.write_bytes(drawing.content())
        yield path, "\n\n".join(parts)


def _page(drawing: Drawing, chance: random.Random) -> list[str]:
    title = " ".join(chance.choices(_WORDS.split(), k=3)).title()
    drawing.line(title, 60, 740, font=BOLD, size=chance.choice([12, 14, 18]))
    columns = chance.choice([1, 2, 3])
    width = (492 - 20 * (columns - 1)) / columns
    parts, lowest = [f"## {title}"], 710.0
    for column in range(columns):
        words = chance.choices(_WORDS.split(), k=90)
        parts.append(" ".join(words))
        lowest = min(lowest, drawing.lines(filled_lines(words, width), 60 + column * (width + 20), 710))
    wide = chance.randint(3, 5)
    rows = [["Item", *(str(2018 + number) for number in range(wide - 1))]]
    for _ in range(chance.randint(4, 9)):
        label = " ".join(chance.choices(_WORDS.split(), k=chance.randint(1, 3))).capitalize()
        rows.append([label, *(f"{chance.randint(1, 999_999):,}" for _ in range(wide - 1))])
    top, step = lowest - 40, 340 / (wide - 1)
    if chance.random() < 0.5:
        xs = [56, *(212 + step * number for number in range(wide))]
        drawing.rules(xs, [top + 12 - 16 * number for number in range(len(rows) + 1)])
    for number, row in enumerate(rows):
        drawing.line(row[0], 60, top - 16 * number)
        for column, value in enumerate(row[1:], start=1):
            drawing.right_aligned(value, 206 + step * column, top - 16 * number)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [*parts, "\n".join([lines[0], "|" + " --- |" * wide, *lines[1:]])]


if __name__ == "__main__":
    sys.exit(main())
