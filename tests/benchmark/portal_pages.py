"""Opens each page of the portal with much in it, and reports how long it kept the browser busy and how much it loaded.

`python -m tests.benchmark.portal_pages`: the longest task of the page's thread (Long Tasks API, W3C: tasks over 50 ms),
as the median of several visits, beside that of an empty page. On a busy machine the empty page has long tasks, too.
"""

import logging
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.cli.console_logging import configure_logging
from api.client import Client
from rlm.answers import build_stored_answer
from tests.benchmark.figures import AsJson, print_rows
from tests.benchmark.portal_long import store_conversation
from tests.benchmark.portal_stream import WATCH
from tests.support.browser import Portal, chromium, portal
from tests.support.cluster import wait_until
from tests.support.drawn_pdfs import Drawing
from tests.support.marked_answers import build_marked_answer
from tests.support.portal_pages import LOADED
from tests.support.service import running

_PATIENCE_MS = 120_000
_QUIET_MS = 500
_LINES_PER_PAGE = 40
_EMPTY = "<!doctype html><title>Empty</title><main></main>"
app = typer.Typer()


@dataclass(frozen=True)
class _Visit:
    """A page, an element that shows that it is complete, and what a reader does there."""

    name: str
    path: str
    shown: str
    act: Callable[[Page], None] = lambda page: None


@app.command()
def portal_pages(
    visits: Annotated[int, typer.Option(help="Visits of each page.", min=1)] = 5,
    documents: Annotated[int, typer.Option(help="Documents of the library.", min=1)] = 1_000,
    pages: Annotated[int, typer.Option(help="Pages of the long document.", min=1)] = 500,
    turns: Annotated[int, typer.Option(help="Turns of the conversation.", min=1)] = 20,
    rows: Annotated[int, typer.Option(help="Rows of the table in an answer.", min=1)] = 200,
    as_json: AsJson = False,
) -> None:
    """Measure each page of the portal."""
    configure_logging(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="leadline-bench-") as home,
        running(Path(home)) as (services, client),
        chromium() as browser,
        portal(services, browser) as opened,
    ):
        long = _upload(client, "long.pdf", _draw_pages(pages))
        run = client.post("/v1/answers", {"question": "What does page 7 tell?", "background": True})["id"]
        wait_until(lambda: bool(client.get(f"/v1/runs/{run}")["ended_at"]), seconds=60, what="the run has ended")
        table = _store_table(services, client, long, rows)
        conversation = store_conversation(services, client, turns)
        for number in range(documents):
            client.http.post("/v1/documents", params={"name": f"note-{number}.txt"}, content=f"Note {number}.".encode())
        wait_until(
            lambda: client.get("/v1/status")["documents"].get("ready", 0) >= documents,
            seconds=600,
            what="all are ready",
        )
        opened.context.add_init_script(WATCH)
        opened.context.route("**/empty", lambda route: route.fulfill(body=_EMPTY, content_type="text/html"))
        measured = [
            _measure(opened, visit, visits)
            for visit in (
                _Visit("an empty page", "/empty", "main"),
                _Visit("ask", "/ask", "#question"),
                _Visit(f"an answer with a table of {rows} rows", f"/ask/{table}", f".answer tr:nth-child({rows})"),
                _Visit(f"a conversation of {turns} turns", f"/ask/{conversation}", f".turn:nth-child({turns}) .under"),
                _Visit(f"a library of {documents} documents", "/library", "#rows tr"),
                _Visit(f"a document of {pages} pages", f"/library/{long['id']}", "#text p", _read_on),
                _Visit("a run", f"/runs/{run}", "#answer .answer"),
                *(
                    _Visit(name, f"/{name}", "main h1")
                    for name in ("runs", "usage", "keys", "people", "audit", "feedback", "settings", "slack")
                ),
                # The browser remembers the view of documents, so this one is last.
                _Visit("the pages of that document", f"/library/{long['id']}", "#text p, .sheet img", _turn_pages),
            )
        ]
    print_rows(measured, as_json)


def _count_ready(client: Client) -> int:
    count: int = client.get("/v1/status")["documents"].get("ready", 0)
    return count


def _upload(client: Client, name: str, content: bytes) -> Mapping[str, Any]:
    made = client.http.post("/v1/documents", params={"name": name}, content=content).json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{made}")["state"] == "ready", seconds=600, what="it is ready")
    found: Mapping[str, Any] = client.get(f"/v1/documents/{made}")
    return found


def _draw_pages(count: int) -> bytes:
    drawing = Drawing()
    for page in range(1, count + 1):
        drawing.line(f"{page}. Part number {page}", 60, 760, size=14)
        drawing.lines([f"Line {line} of page {page} tells of the harbour." for line in range(_LINES_PER_PAGE)], 60, 730)
        if page < count:
            drawing.next_page()
    return drawing.content()


def _store_table(services: Services, client: Client, document: Mapping[str, Any], rows: int) -> str:
    """Store a conversation of one answer whose table has a cited sentence in each row."""
    text = client.http.get(f"/v1/documents/{document['id']}/content").text
    lines = "\n".join(
        f"| Part {row} | {row} boats | It was delivered to the harbour in time [1] |" for row in range(rows)
    )
    table = f"The parts are:\n\n| Part | Boats | Delivery |\n|---|---|---|\n{lines}\n"
    answer = build_marked_answer([dict(document)], [text], table)
    identifier = services.answers.conversations.start_conversation(DEFAULT_TENANT, "Which parts are there?")
    services.answers.conversations.store_answer(
        build_stored_answer(answer, "a-table", DEFAULT_TENANT, "Which parts are there?", identifier)
    )
    return identifier


def _read_on(page: Page) -> None:
    page.get_by_role("button", name="More text").click()
    page.mouse.wheel(0, 20_000)


def _turn_pages(page: Page) -> None:
    page.get_by_role("button", name="Pages", exact=True).click()
    for _ in range(3):
        page.get_by_role("button", name="Next page").click()


def _measure(opened: Portal, visit: _Visit, visits: int) -> dict[str, Any]:
    longest, loaded = [], 0
    page = opened.signed_in("/ask")
    for _ in range(visits):
        page.goto(f"{opened.url}{visit.path}")
        expect(page.locator(visit.shown).last).to_be_attached(timeout=_PATIENCE_MS)
        page.wait_for_load_state("networkidle")
        visit.act(page)
        page.wait_for_timeout(_QUIET_MS)
        longest.append(max(page.evaluate("window.longTasks"), default=0))
        loaded = max(loaded, page.evaluate(LOADED))
    page.close()
    median = statistics.median(longest)
    return {
        "page": visit.name, "median ms": round(median), "least ms": round(min(longest)), "most ms": round(max(longest)),
        "kB": round(loaded / 1_000),
    }  # fmt: skip


if __name__ == "__main__":
    app()
