"""Measures the PDF parser beside docling-slim's backend and pdfplumber: `python -m tests.oracle.pdf --help`.

Three kinds of files: those with their Markdown beside them (`sources/X.pdf`, `groundtruth/X.md`), some that are drawn
here and so known exactly (`tests.oracle.made` makes more), and others, of which is asked how many of the lines of
figures that the backend sees stand whole in one row of a table. `agree` is the F1 of the tables of both against each
other: where it is low, one is wrong. Each pair is ours and the peers'; the last lines name the files where ours is
clearly worse.
"""

import argparse
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.parsing.pdf import parse_pdf
from ingest.storage.errors import LeadlineError
from tests.oracle.markdown_scores import f1, median_of, relations, scores, tables
from tests.support.drawn_pdfs import BOLD, Drawing, filled_lines

_WORDS = "river boat mill meadow lamp storm hill town night sea wheel gate water stone bridge field"
_number = re.compile(r"\d[\d,.]*")
_CLEARLY = 0.05
Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class _Row:
    """What one file gave: pairs of ours and the peers'. `agrees` is the F1 of the two against each other's tables."""

    name: str
    order: Pair = (None, None)
    headings: Pair = (None, None)
    tables: Pair = (None, None)
    figures: Pair = (None, None)
    agrees: float | None = None

    def worse(self) -> list[str]:
        """Name the measures in which ours is clearly worse."""
        pairs = (("order", self.order), ("headings", self.headings), ("tables", self.tables), ("figures", self.figures))
        return [name for name, (ours, theirs) in pairs if (theirs or 0.0) - (ours or 0.0) > _CLEARLY]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders with PDF files, a group each")
    parser.add_argument("--python", required=True, help="the Python of the environment that has the peers")
    parser.add_argument("--drawn", type=int, default=12, help="how many files to draw (12)")
    parser.add_argument("--keep", type=Path, help="a folder that keeps what the peers read, for the next time")
    options = parser.parse_args(arguments)
    peers = _Peers(options.python, options.keep)
    rows: list[_Row] = []
    with tempfile.TemporaryDirectory() as folder:
        drawn = dict(_drawn(Path(folder), options.drawn))
        rows += _compare("drawn here", list(drawn), drawn, peers)
        for each in options.folders:
            paths = sorted(each.rglob("*.pdf"))
            truths = {path: truth for path in paths if (truth := _truth(path))}
            rows += _compare(each.name, paths, truths, peers)
    _show_medians("all", rows)
    for row in rows:
        if row.worse():
            print(f"worse in {' and '.join(row.worse())}: {row.name}")
    return 0


class _Peers:
    """Reads files with the peers, in an environment of their own."""

    def __init__(self, python: str, folder: Path | None) -> None:
        self._python = python
        self._folder = folder

    def read(self, path: Path) -> dict[str, Any]:
        """Return what they make of a file. Raises `ValueError`."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        kept = self._folder / f"{digest}.json" if self._folder else None
        if kept and kept.exists():
            return dict(json.loads(kept.read_text()))
        script = str(Path(__file__).with_name("peer_pdf.py"))
        command = [self._python, script, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = dict(json.loads(done.stdout))
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(done.stdout)
        return found


def _compare(group: str, paths: Sequence[Path], truths: dict[Path, str], peers: _Peers) -> list[_Row]:
    print(f"\n{group[:32]:32} {'order':>13} {'headings':>13} {'tables':>13} {'rows of figures':>15} {'agree':>6}")
    rows: list[_Row] = []
    for path in paths:
        try:
            row = _row(path, parse_pdf(path).text, peers.read(path), truths.get(path, ""))
        except (LeadlineError, ValueError) as error:
            print(f"{path.name[:32]:32} not read by one of them: {error}", file=sys.stderr)
            continue
        rows.append(row)
        _show(row.name, (row.order, row.headings, row.tables, row.figures), row.agrees)
    _show_medians(group, rows)
    return rows


def _row(path: Path, ours: str, theirs: dict[str, Any], truth: str) -> _Row:
    one, other = relations(tables(ours)), relations(tables(theirs["tables"]))
    agrees = f1(one, other) if one or other else None
    lines = theirs["figures"]
    figures = (_whole(lines, ours), _whole(lines, theirs["tables"])) if lines else (None, None)
    if not truth:
        return _Row(path.name, figures=figures, agrees=agrees)
    mine, peer = scores(ours, truth), scores(theirs["text"], truth)
    wanted = relations(tables(truth))
    return _Row(
        path.name,
        (mine.order, peer.order),
        (mine.headings, peer.headings),
        (mine.tables, f1(other, wanted) if wanted else None),
        figures,
        agrees,
    )


def _show_medians(group: str, rows: Sequence[_Row]) -> None:
    columns = [[getattr(row, name) for row in rows] for name in ("order", "headings", "tables", "figures")]
    pairs = [(median_of(one for one, _ in column), median_of(other for _, other in column)) for column in columns]
    _show(f"median of {len(rows)} files: {group}", pairs, median_of(row.agrees for row in rows))


def _show(name: str, pairs: Sequence[Pair], agrees: float | None) -> None:
    cells = ["     –" if value is None else f"{value:6.3f}" for pair in (*pairs, (agrees, None)) for value in pair]
    columns = [f"{cells[at]} {cells[at + 1]}" for at in range(0, len(cells) - 2, 2)]
    print(f"{name[:32]:32} {'  '.join(columns)}  {cells[-2]}", flush=True)


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
