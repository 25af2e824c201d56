"""Prints what docling-slim's PDF backend and pdfplumber make of PDF files, a line of JSON each.

Runs in an environment of its own, which has neither this project nor a model: `pip install docling-slim[format-pdf]
rtree pdfplumber`. The backend gives lines of text in the file's order; tables are pdfplumber's. `figures` are the
numbers of each line of the page that has two or more, as they stand from left to right.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_number = re.compile(r"\d[\d,.]*")
_SAME_LINE = 0.5


def main(paths: list[str]) -> None:
    for path in paths:
        text, figures = _docling(Path(path))
        print(json.dumps({"path": path, "text": text, "tables": _plumbed(path), "figures": figures}), flush=True)


def _docling(path: Path) -> tuple[str, list[list[str]]]:
    from docling.backend.docling_parse_backend import DoclingParseDocumentBackend
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.document import InputDocument

    document: Any = InputDocument(path_or_stream=path, format=InputFormat.PDF, backend=DoclingParseDocumentBackend)
    lines: list[str] = []
    figures: list[list[str]] = []
    pages = {page.page_no: list(page.get_text_cells()) for page in document._backend.iter_pages()}
    for _, cells in sorted(pages.items()):
        lines += [cell.text for cell in cells]
        figures += _figures(cells)
    return "\n".join(lines), figures


def _figures(cells: list[Any]) -> list[list[str]]:
    rows: list[tuple[float, float, list[tuple[float, str]]]] = []
    for cell in cells:
        box = cell.rect.to_bounding_box()
        low, high = sorted((box.t, box.b))
        for at, (other_low, other_high, held) in enumerate(rows):
            if min(high, other_high) - max(low, other_low) > _SAME_LINE * (high - low):
                rows[at] = other_low, other_high, [*held, (box.l, cell.text)]
                break
        else:
            rows.append((low, high, [(box.l, cell.text)]))
    found = []
    for _, _, held in rows:
        parts = [text for _, text in sorted(held)]
        # Only what stands in cells of its own: a sentence with two numbers is no row of figures.
        numbers = [_number.findall(text)[0] for text in parts if re.fullmatch(r"[$(\s]*\d[\d,.]*[)%\s]*", text)]
        if len(numbers) > 1:
            found.append(numbers)
    return found


def _plumbed(path: str) -> str:
    import pdfplumber

    tables = []
    with pdfplumber.open(path) as document:
        for page in document.pages:
            for rows in page.extract_tables():
                lines = ["| " + " | ".join(" ".join((cell or "").split()) for cell in row) + " |" for row in rows]
                tables.append("\n".join(lines))
            page.close()
    return "\n\n".join(tables)


if __name__ == "__main__":
    main(sys.argv[1:])
