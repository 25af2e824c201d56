"""Streams a long answer into the portal in a real browser, and reports how long its page was kept from answering.

`python -m tests.benchmark.portal_stream`: an answer of 5,000 words with 200 citations, in pieces as models write them.
Tasks of the page's thread over 50 ms are those that the browser reports (Long Tasks API, W3C).
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import expect

from api.client import Client
from rlm.answers import Answer, AnswerStatus, Check, Citation, Quote, SearchedDocument, SearchSummary, Sentence
from rlm.events import Checking, Completed, Delta, Event, Reading
from rlm.requests import AnswerRequest
from tests.benchmark.figures import AsJson, print_figures
from tests.support.browser import chromium, portal
from tests.support.cluster import wait_until
from tests.support.service import running

WATCH = """
window.longTasks = []
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((each) => each.duration)))
  .observe({ type: 'longtask', buffered: true })
"""
_WORDS = (
    "harbour",
    "ledger",
    "captain",
    "cargo",
    "**1871**",
    "lighthouse",
    "of",
    "the",
    "and",
    "was",
    "*never*",
    "`x`",
)
app = typer.Typer()


def long_answer(document: Mapping[str, Any], words: int, citations: int) -> Answer:
    """Make an answer of paragraphs, lists and tables, whose sentences each cite one of the citations."""
    draw, text, sentences = random.Random(7), "", []
    per_sentence = max(4, words // citations)
    for number in range(1, citations + 1):
        begin = ("", "\n\n", "\n\n- ", "\n\n## Part\n\n")[number % 4] if number > 1 else ""
        text += begin or " "
        said = " ".join(draw.choice(_WORDS) for _ in range(per_sentence - 1)).capitalize() + f" ends [{number}]."
        quote = Quote(number, 0, 5, "Plans")
        sentences.append(Sentence(said, len(text), len(text) + len(said), (number,), Check.VERIFIED, "", (quote,)))
        text += said
    cited = tuple(
        Citation(each, document["id"], document["active_version"], "Plans", (), None, 0, 5, "Plans", True)
        for each in range(1, citations + 1)
    )
    found = SearchSummary(citations, citations, (SearchedDocument(document["id"], "Plans", citations, citations),))
    return Answer(AnswerStatus.ANSWERED, text, tuple(sentences), cited, "direct", "a model", found, question="All?")


class _Streamed:
    """Answers with the written answer, some characters at a time."""

    def __init__(self, answer: Answer, pieces: int, seconds: float) -> None:
        self._answer, self._pieces, self._pause = answer, pieces, seconds / pieces

    def get_state(self) -> Mapping[str, Any]:
        return {"state": "ready", "model": "a model"}

    def stream(self, request: AnswerRequest, *, cancelled: Callable[[], bool], **_: object) -> Iterator[Event]:
        yield Reading(1, ())
        text, size = self._answer.text, -(-len(self._answer.text) // self._pieces)
        for at in range(0, len(text), size):
            yield Delta(text[at : at + size])
            time.sleep(self._pause)
        yield Checking(len(self._answer.sentences))
        yield Completed(self._answer)


@app.command()
def portal_stream(
    words: Annotated[int, typer.Option(help="Words of the answer.", min=100)] = 5_000,
    citations: Annotated[int, typer.Option(help="Its citations.", min=1)] = 200,
    seconds: Annotated[float, typer.Option(help="How long it is written.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Measure the page while a long answer streams into it, and while it is shown whole."""
    with (
        tempfile.TemporaryDirectory(prefix="leadline-bench-") as home,
        running(Path(home)) as (services, client),
        chromium() as browser,
        portal(services, browser) as opened,
    ):
        answer = long_answer(document(client), words, citations)
        services.asking = replace(services.asking, answering=_Streamed(answer, 1_000, seconds))
        opened.context.add_init_script(WATCH)
        page = opened.signed_in("/ask")
        page.evaluate("window.longTasks.length = 0")
        page.get_by_label("Your question").fill("Tell me all of it.")
        page.keyboard.press("Enter")
        expect(page.locator(".verdict", has_text=f"{citations} of {citations} statements proven")).to_be_visible(
            timeout=60_000
        )
        streamed = list(page.evaluate("window.longTasks"))
        expect(page.locator(".answer .cite")).to_have_count(citations)
        page.wait_for_timeout(500)
        tasks = list(page.evaluate("window.longTasks"))
        figures = {
            "words": len(answer.text.split()),
            "citations": citations,
            "long tasks until it was complete": len(streamed),
            "long tasks in all": len(tasks),
            "longest task in ms": round(max(tasks, default=0.0)),
            "tasks over 100 ms": sum(each > 100 for each in tasks),
        }
    print_figures(figures, as_json)


def document(client: Client) -> Mapping[str, Any]:
    made = client.http.post("/v1/documents", params={"name": "plans.md"}, content=b"Plans of the harbour.\n").json()[
        "id"
    ]
    wait_until(lambda: client.get(f"/v1/documents/{made}")["state"] == "ready", seconds=60, what="it is ready")
    found: Mapping[str, Any] = client.get(f"/v1/documents/{made}")
    return found


if __name__ == "__main__":
    app()
