"""How fast PDFs are read beside bare pypdfium2, in one process and one run."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from pypdfium2 import PdfDocument, PdfiumError

from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pdf.characters import get_page_frame, read_words
from ingest.parsing.pdf.content import PageContent
from ingest.storage.errors import LeadlineError
from tests.benchmark.figures import AsJson, print_figures

Folder = Annotated[Path, typer.Argument(help="A folder with PDF files.", exists=True, file_okay=False)]


def pdf(
    folder: Folder,
    rounds: Annotated[int, typer.Option(help="Rounds over the files.", min=1)] = 2,
    as_json: AsJson = False,
) -> None:
    """Read a folder's PDFs three ways, in turn: bare text, characters with boxes, and all that the parser does.

    Times are processor time of one thread, the least of the rounds for each file. Files that fail are left out.
    """
    import_module("ingest.parsing.pdf.pages")  # so that the first file does not pay for it
    ways: dict[str, Callable[[Path], Any]] = {"bare": _bare, "words": _words, "all": parse_pdf}
    best: dict[str, float] = dict.fromkeys(ways, 0.0)
    pages = files = 0
    for path in sorted(folder.rglob("*.pdf")):
        try:
            times = {name: min(_timed(way, path) for _ in range(rounds)) for name, way in ways.items()}
            pages += _pages(path)
        except (LeadlineError, PdfiumError):
            continue
        files += 1
        for name, seconds in times.items():
            best[name] += seconds
    if not pages:
        raise typer.BadParameter("The folder holds no PDF that can be read.")
    rates = {f"{name}_pages_per_second": round(pages / seconds, 1) for name, seconds in best.items()}
    ratios = {f"{name}_of_bare": round(best["bare"] / best[name], 3) for name in ("words", "all")}
    print_figures({"files": files, "pages": pages, **rates, **ratios}, as_json)


def pdf_memory(
    path: Annotated[Path, typer.Argument(help="A PDF file.", exists=True, dir_okay=False)], as_json: AsJson = False
) -> None:
    """Read one PDF in a process of its own, and print the most memory that it ever held."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print_figures(pool.apply(_held, (path,)), as_json)


def _held(path: Path) -> dict[str, Any]:
    import_module("ingest.parsing.pdf.pages")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    document = parse_pdf(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "pages": len(document.layout.places),
        "characters": len(document.text),
        "before_mib": before,
        "peak_mib": peak,
    }


def _timed(way: Callable[[Path], Any], path: Path) -> float:
    begun = time.process_time()
    way(path)
    return time.process_time() - begun


def _pages(path: Path) -> int:
    with PdfDocument(path) as document:
        return len(document)


def _bare(path: Path) -> None:
    with PdfDocument(path) as document:
        for page in document:
            text = page.get_textpage()
            text.get_text_bounded()
            text.close()
            page.close()


def _words(path: Path) -> None:
    """Read words with their boxes and type, without their order."""
    with PdfDocument(path) as document:
        for number, page in enumerate(document, start=1):
            read_words(page, PageContent(number, *get_page_frame(page).size), keep_invisible=False)
            page.close()
