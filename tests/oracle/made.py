"""Makes PDF files of which everything is known, by WeasyPrint, Typst, ReportLab, and LibreOffice where it is installed.

`python -m tests.oracle.made FOLDER` writes `sources/X.pdf` and `groundtruth/X.md`, which `tests.oracle.pdf FOLDER`
compares with. Needs `pip install weasyprint typst reportlab`, best in an environment of its own; a program that is not
there is left out. Each document is written once, as blocks, and set by each program in a look of its own.
"""

import argparse
import html
import importlib.util
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_NOUNS = """
pump valve contract supplier ledger engine council harbour invoice garden survey reactor sample bridge tenant archive
vessel motor permit library filter budget clinic sensor orchard turbine account museum cable market
""".split()  # noqa: SIM905
_ACTS = [
    "supports",
    "replaces",
    "measures",
    "delays",
    "describes",
    "requires",
    "limits",
    "covers",
    "improves",
    "records",
]
_KINDS = [
    "annual",
    "local",
    "separate",
    "technical",
    "public",
    "daily",
    "remote",
    "second",
    "regional",
    "stable",
    "older",
]
_UNITS = ["kg", "mm", "kWh", "bar", "days"]


@dataclass(frozen=True)
class Block:
    """A heading (`level` from 1), a paragraph, items of a list, a table with its header, or the lines of a contents.

    The first row of a table is its header. `look` says how a table is drawn: `grid`, `rules`, `bare` or `shaded`.
    """

    kind: str
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()
    look: str = "grid"


@dataclass(frozen=True)
class Made:
    """A document: its blocks in order, set in a number of columns."""

    name: str
    blocks: tuple[Block, ...]
    columns: int = 1


class Author:
    """Writes the words of documents, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def title(self) -> str:
        chance = self._chance
        return f"{chance.choice(_KINDS).capitalize()} {chance.choice(_NOUNS)} {chance.choice(_NOUNS)}s"

    def sentence(self) -> str:
        chance = self._chance
        parts = [f"the {chance.choice(_KINDS)} {chance.choice(_NOUNS)} {chance.choice(_ACTS)}"]
        parts += [f"every {chance.choice(_NOUNS)} of the {chance.choice(_KINDS)} {chance.choice(_NOUNS)}"]
        if chance.random() < 0.4:
            parts.append(f"in {chance.randint(1990, 2030)}, with {chance.randint(2, 90)} {chance.choice(_NOUNS)}s")
        text = " ".join(parts)
        return f"{text[0].upper()}{text[1:]}."

    def paragraph(self) -> Block:
        return Block("paragraph", " ".join(self.sentence() for _ in range(self._chance.randint(3, 7))))

    def heading(self, level: int) -> Block:
        return Block("heading", self.title(), level)

    def items(self) -> Block:
        return Block("items", rows=tuple((self.sentence(),) for _ in range(self._chance.randint(3, 5))))

    def figures(self, look: str) -> Block:
        """Write a table of amounts by year, some negative, some missing."""
        chance, wide = self._chance, self._chance.randint(3, 5)
        rows = [("Item", *(str(2019 + number) for number in range(wide - 1)))]
        names = [self.title() for _ in range(chance.randint(5, 9))]
        rows += [(name, *(self._amount() for _ in range(wide - 1))) for name in names]
        return Block("table", rows=tuple(rows), look=look)

    def options(self, look: str) -> Block:
        """Write a table of names, defaults and sentences, which take several lines."""
        chance = self._chance
        rows = [("Option", "Default", "Meaning")]
        for number in range(chance.randint(4, 7)):
            name = f"{chance.choice(_NOUNS)}_{chance.choice(_NOUNS)}_{number}"
            rows.append((name, chance.choice(["on", "off", "none", str(chance.randint(1, 900))]), self.sentence()))
        return Block("table", rows=tuple(rows), look=look)

    def words(self, look: str) -> Block:
        """Write a table of short words without a number."""
        chance = self._chance
        rows = [("Name", "Kind", "Place", "State")]
        for _ in range(chance.randint(4, 8)):
            row = chance.choice(_NOUNS), chance.choice(_KINDS), chance.choice(_NOUNS), chance.choice(_KINDS)
            rows.append((self.title(), *row[1:]))
        return Block("table", rows=tuple(rows), look=look)

    def orders(self, look: str) -> Block:
        """Write the lines of an invoice."""
        chance = self._chance
        rows = [("No.", "Article", "Quantity", "Unit price", "Amount")]
        for number in range(1, chance.randint(4, 8)):
            count, price = chance.randint(1, 40), chance.randint(100, 90_000) / 100
            unit = f"{count} {chance.choice(_UNITS)}"
            rows.append((str(number), self.title(), unit, f"{price:,.2f}", f"{price * count:,.2f}"))
        return Block("table", rows=tuple(rows), look=look)

    def contents(self, count: int) -> Block:
        pages = sorted(self._chance.sample(range(1, 99), count))
        lines = ((f"{number}. {self.title()}", str(page)) for number, page in enumerate(pages, 1))
        return Block("contents", rows=tuple(lines))

    def _amount(self) -> str:
        chance = self._chance
        amount = f"{chance.randint(1, 999_999):,}"
        return chance.choice([amount] * 6 + [f"({amount})", "–", f"{chance.randint(1, 999) / 10:.1f}%"])


def documents() -> list[Made]:
    """Return the documents, of kinds that people upload."""
    found = []
    for seed, look in enumerate(("grid", "rules", "bare", "shaded")):
        author = Author(seed)
        report: list[Block] = [author.heading(1)]
        for table in (author.figures, author.options, author.words):
            report += [author.heading(2), author.paragraph(), table(look), author.paragraph()]
        found.append(Made(f"report-{look}", tuple(report)))
        invoice = [author.heading(1), author.paragraph(), author.orders(look), author.paragraph(), author.items()]
        found.append(Made(f"invoice-{look}", tuple(invoice)))
    author = Author(10)
    manual = [author.heading(1), author.contents(14)]
    for _ in range(3):
        manual += [author.heading(2), author.paragraph(), author.items(), author.paragraph(), author.options("rules")]
    found.append(Made("manual", tuple(manual)))
    author = Author(11)
    paper = [block for _ in range(5) for block in (author.heading(2), author.paragraph(), author.paragraph())]
    paper[8:8] = [author.words("rules")]
    paper[3:3] = [Block("table", rows=tuple(row[:3] for row in author.figures("rules").rows), look="rules")]
    found.append(Made("paper", tuple(paper), columns=2))
    author = Author(12)
    news = [block for _ in range(5) for block in (author.heading(2), author.paragraph(), author.paragraph())]
    found.append(Made("newsletter", tuple(news), columns=3))
    return found


def markdown(made: Made) -> str:
    parts = []
    for block in made.blocks:
        if block.kind == "heading":
            parts.append(f"{'#' * block.level} {block.text}")
        elif block.kind == "table":
            lines = [f"| {' | '.join(row)} |" for row in block.rows]
            parts.append("\n".join([lines[0], "|" + " --- |" * len(block.rows[0]), *lines[1:]]))
        elif block.kind == "paragraph":
            parts.append(block.text)
        else:
            parts.append("\n".join(f"- {' '.join(row)}" for row in block.rows))
    return "\n\n".join(parts)


def as_html(made: Made, *, style: bool = True) -> str:
    body = "".join(_html_block(block) for block in made.blocks)
    css = f"<style>{_CSS} main {{ columns: {made.columns}; column-gap: 18pt }}</style>" if style else ""
    return f"<html><head>{css}</head><body><main>{body}</main></body></html>"


_CSS = """
@page { size: A4; margin: 22mm } body { font: 10pt/1.3 serif; text-align: justify } table { border-collapse: collapse;
width: 100%; text-align: left } td, th { padding: 2pt 5pt; vertical-align: top } .grid td, .grid th { border: .5pt solid
black } .rules { border-top: 1pt solid; border-bottom: 1pt solid }
.rules tr:first-child th { border-bottom: .5pt solid }
.shaded tr:nth-child(odd) td { background: #ddd } td.n { text-align: right }
.contents p { display: flex;
justify-content: space-between; margin: 2pt 0 }
"""


def _html_block(block: Block) -> str:
    if block.kind == "heading":
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if block.kind == "paragraph":
        return f"<p>{html.escape(block.text)}</p>"
    if block.kind == "items":
        return f"<ul>{''.join(f'<li>{html.escape(row[0])}</li>' for row in block.rows)}</ul>"
    if block.kind == "contents":
        lines = (f"<p><span>{html.escape(text)}</span><span>{page}</span></p>" for text, page in block.rows)
        return f'<div class="contents">{"".join(lines)}</div>'
    border = ' border="1"' if block.look == "grid" else ""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.rows[0])
    rows = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in block.rows[1:])
    return f'<table class="{block.look}"{border}><tr>{head}</tr>{rows}</table>'


def _html_cell(text: str) -> str:
    return f"<td{' class=n' if _is_figure(text) else ''}>{html.escape(text)}</td>"


def _is_figure(text: str) -> bool:
    return text[-1:] in "0123456789)%–"


def by_weasyprint(made: Made, path: Path) -> None:
    from weasyprint import HTML

    HTML(string=as_html(made)).write_pdf(str(path))


def by_typst(made: Made, path: Path) -> None:
    import typst

    parts = [f'#set page("a4", columns: {made.columns})', "#set par(justify: true)", "#set text(9.5pt)"]
    for block in made.blocks:
        if block.kind == "heading":
            parts.append(f"{'=' * block.level} {_typst(block.text)}")
        elif block.kind == "paragraph":
            parts.append(_typst(block.text))
        elif block.kind == "items":
            parts.append("\n".join(f"- {_typst(row[0])}" for row in block.rows))
        elif block.kind == "contents":
            parts.append(" \\\n".join(f"{_typst(text)} #h(1fr) {page}" for text, page in block.rows))
        else:
            parts.append(_typst_table(block))
    source = path.with_suffix(".typ")
    source.write_text("\n\n".join(parts))
    typst.compile(str(source), output=str(path))
    source.unlink()


def _typst(text: str) -> str:
    return "".join(f"\\{char}" if char in "_*#$@<>[]\\`=-+/" else char for char in text).replace("1. ", "1\\. ")


def _typst_table(block: Block) -> str:
    figures = [all(map(_is_figure, (row[at] for row in block.rows[1:]))) for at in range(len(block.rows[0]))]
    align = ", ".join("right" if each else "left" for each in figures)
    wide = ", ".join(
        "1fr" if at == max(range(len(figures)), key=lambda n: _longest(block, n)) else "auto"
        for at in range(len(figures))
    )
    look = {
        "grid": "stroke: 0.5pt",
        "rules": "stroke: (x, y) => (top: if y <= 1 { 0.7pt } else { 0pt }, bottom: 0.7pt)",
        "bare": "stroke: none",
        "shaded": "stroke: none, fill: (x, y) => if calc.odd(y) { luma(225) }",
    }[block.look]
    cells = ", ".join(f"[{_typst(cell)}]" for row in block.rows for cell in row)
    return f"#table(columns: ({wide}), align: ({align}), {look}, {cells})"


def _longest(block: Block, column: int) -> int:
    return max(len(row[column]) for row in block.rows)


def by_reportlab(made: Made, path: Path) -> None:
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Table

    styles = getSampleStyleSheet()
    wide = (A4[0] - 100 - 20 * (made.columns - 1)) / made.columns
    looks: dict[str, list[tuple[object, ...]]] = {
        "grid": [("GRID", (0, 0), (-1, -1), 0.5, colors.black)],
        "rules": [
            ("LINEABOVE", (0, 0), (-1, 0), 1, colors.black),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
            ("LINEBELOW", (0, -1), (-1, -1), 1, colors.black),
        ],
        "bare": [],
        "shaded": [("ROWBACKGROUNDS", (0, 0), (-1, -1), [colors.lightgrey, colors.white])],
    }
    story: list[object] = []
    for block in made.blocks:
        if block.kind == "heading":
            story.append(Paragraph(block.text, styles[f"Heading{block.level}"]))
        elif block.kind == "paragraph":
            story.append(Paragraph(block.text, styles["BodyText"]))
        elif block.kind == "items":
            story += [Paragraph(row[0], styles["Bullet"], bulletText="•") for row in block.rows]
        else:
            rows = [[_cell(cell, Paragraph, styles["BodyText"]) for cell in row] for row in block.rows]
            look = [("VALIGN", (0, 0), (-1, -1), "TOP"), *(looks[block.look] if block.kind == "table" else [])]
            shares = [min(45, 4 + _longest(block, at)) for at in range(len(block.rows[0]))]
            story.append(Table(rows, [wide * share / sum(shares) for share in shares], style=look))
    frames = [Frame(50 + (wide + 20) * n, 50, wide, A4[1] - 100, 0, 0, 0, 0) for n in range(made.columns)]
    document = BaseDocTemplate(str(path), pagesize=A4, invariant=True)
    document.addPageTemplates(PageTemplate(frames=frames))
    document.build(story)


def _cell(text: str, paragraph: Callable[..., object], style: object) -> object:
    return text if len(text) < 30 else paragraph(text, style)


def by_libreoffice(made: Made, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"{path.stem}.html"
        source.write_text(as_html(made, style=False))
        command = ["soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", "pdf"]
        subprocess.run([*command, "--outdir", str(path.parent), str(source)], check=True, capture_output=True)


PROGRAMS: dict[str, Callable[[Made, Path], None]] = {
    "weasyprint": by_weasyprint,
    "typst": by_typst,
    "reportlab": by_reportlab,
    "libreoffice": by_libreoffice,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write them")
    options = parser.parse_args(arguments)
    (options.folder / "sources").mkdir(parents=True, exist_ok=True)
    (options.folder / "groundtruth").mkdir(exist_ok=True)
    for program, make in PROGRAMS.items():
        there = shutil.which("soffice") if program == "libreoffice" else importlib.util.find_spec(program)
        if not there:
            print(f"{program} is not installed: its files are left out.", file=sys.stderr)
            continue
        for made in documents():
            if program == "libreoffice" and made.columns > 1:
                continue
            make(made, options.folder / "sources" / f"{program}-{made.name}.pdf")
            (options.folder / "groundtruth" / f"{program}-{made.name}.md").write_text(markdown(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
