"""How soon a note is searchable beside documents that take long: `python -m tests.benchmark.fairness`."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from api.build.embedded import open_embedded_services
from api.cli.console_logging import configure_logging
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.private_service import open_services_client
from api.client import Client
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from tests.benchmark.figures import AsJson, print_rows
from tests.support.books import book
from tests.support.pdf_files import pdf_of_references

OTHER_TENANT = "other"
_PDFS, _BOOKS, _NOTES = 3, 4, 3
_PAGE_REFERENCES = 100_000
_CHAPTERS, _SENTENCES = 40, 400  # a megabyte, as a long novel
_NOTE_BYTES = 89
_SEARCHABLE = ("searchable", "embedding", "ready")
# Uploads and the first claims are over by then: the notes come while every parser is busy.
_HEAD_START_SECONDS = 2.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Watched:
    """A service that is measured until a deadline, and a key of another tenant."""

    client: Client
    other_key: str
    deadline: float

    def follow_note(self, name: str, *, until_ready: bool) -> dict[str, Any]:
        """Upload a note and return the seconds until it is searchable, and ready; None for those past the deadline."""
        text = f"# {name}\n\nThe {name} tide is at six.".ljust(_NOTE_BYTES, ".")
        begun = time.monotonic()
        document = self.client.upload(text.encode(), name=f"{name}.md").id
        row: dict[str, Any] = {"searchable_s": self._seconds_until(_SEARCHABLE, document, begun)}
        if row["searchable_s"] is not None and not self._is_found(name, document):
            raise RuntimeError(f"{name} is said to be searchable, and no search finds it.")
        if until_ready:
            row["ready_s"] = self._seconds_until(("ready",), document, begun)
        return row

    def _seconds_until(self, states: tuple[str, ...], document: str, begun: float) -> float | None:
        while time.monotonic() < self.deadline:
            if self.client.get(f"/v1/documents/{document}")["state"] in states:
                return round(time.monotonic() - begun, 1)
            time.sleep(_POLL_SECONDS)
        return None

    def _is_found(self, name: str, document: str) -> bool:
        found = self.client.post("/v1/search", {"query": f"{name} tide"})
        return document in {hit["document"] for hit in found["hits"]}


def measure_references(watched: Watched) -> Iterator[dict[str, Any]]:
    """Yield a row for each note of a tenant beside PDFs of another that name one page 100,000 times."""
    for number in range(_PDFS):
        watched.client.upload(pdf_of_references(_PAGE_REFERENCES, (f"Lamp {number} is lit.",)), name=f"{number}.pdf")
    time.sleep(_HEAD_START_SECONDS)
    watched.client.http.headers["Authorization"] = f"Bearer {watched.other_key}"
    for number in range(_NOTES):
        yield watched.follow_note(f"harbour{number}", until_ready=False)


def measure_books(watched: Watched) -> Iterator[dict[str, Any]]:
    """Yield a row for a note behind four books of the same tenant."""
    for number in range(_BOOKS):
        text = book(number, chapters=_CHAPTERS, sentences=_SENTENCES)
        watched.client.upload(text.encode(), name=f"book{number}.md")
    yield watched.follow_note("harbour", until_ready=True)


_SCENARIOS: Mapping[str, Callable[[Watched], Iterator[dict[str, Any]]]] = {
    "references": measure_references,
    "books": measure_books,
}


def fairness(
    seconds: Annotated[float, typer.Option(help="The longest that each scenario takes.", min=1)] = 120.0,
    max_pages: Annotated[
        int, typer.Option(help="LEADLINE_MAX_PAGES: at its default the PDFs are refused before they are read.")
    ] = 1_000_000,
    cheap_vectors: Annotated[bool, typer.Option(help="An encoder that costs nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the seconds until notes are searchable beside three hostile PDFs, and behind four books.

    Each scenario has a service of its own. The load average at its beginning and end is part of the figures. Ends with
    1 if a note was not searchable in time.
    """
    configure_logging(logging.ERROR)
    console, is_late = Console(stderr=True), False
    for name, scenario in _SCENARIOS.items():
        with console.status(f"Measuring {name} …"), _watched(seconds, max_pages, cheap_vectors) as watched:
            before = os.getloadavg()[0]
            rows = [{"scenario": name, "note": at, **row} for at, row in enumerate(scenario(watched), start=1)]
            load = {"load_before": round(before, 1), "load_after": round(os.getloadavg()[0], 1)}
            print_rows([{**row, **load} for row in rows], as_json)
        is_late = is_late or any(row["searchable_s"] is None for row in rows)
    raise typer.Exit(int(is_late))


@contextmanager
def _watched(seconds: float, max_pages: int, cheap_vectors: bool) -> Iterator[Watched]:
    """Open a service on a data folder that is gone afterwards."""
    settings = read_settings(llm="none", reranker="none")
    if not cheap_vectors:
        fetch_missing_model_files(settings)
    with tempfile.TemporaryDirectory(prefix="leadline-fairness-") as home:
        given = {**settings.model_dump(), "home": Path(home) / "data", "max_pages": max_pages}
        own = Settings(**given)
        with open_embedded_services(own, encoder=HashingEmbedder() if cheap_vectors else None) as services:
            services.documents.catalog.ensure_tenant(OTHER_TENANT)
            _, other_key = services.keys.issue_key(OTHER_TENANT, "fairness")
            with open_services_client(services) as client:
                yield Watched(client, other_key, time.monotonic() + seconds)


if __name__ == "__main__":
    typer.run(fairness)
