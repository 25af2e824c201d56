"""What tests of the portal upload, ask and look for; what a model would say is written down, all else is real."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect
from sqlalchemy import update

from api.admission.services import Services
from api.client import Client
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import versions
from rlm.answers import Answer, Check, Citation, Quote, SearchedDocument, SearchSummary, Sentence
from rlm.events import Event
from rlm.requests import AnswerRequest
from tests.fakes.scripted_answers import answer
from tests.support.cluster import wait_until

WHALE = "# The Whale\n\n## Colour\n\nThe whale was white.\n\n## Ship\n\nThe ship was called Pequod.\n"
# A letter beyond the basic plane goes before what is cited: spans count code points, and a browser counts otherwise.
TEXT = "# The Whale 𝔚\n\nThe whale was white. 𝔖hips were many. The captain was called Ahab.\n"
MARKDOWN = (
    "## Colour\n\nThe whale was **white** [1]. Ships were many [1]. It weighed 40 tons [1]. Nobody knows its age.\n\n"
    "| ship | year |\n|---|---|\n| Pequod | 1851 |\n\n- one\n- two `x`\n\n1. first\n2. second\n\n> quoted\n\n"
    "```\ncode <b>here</b>\n```\n"
)


# Returns the bytes of a page and of all that it has loaded, as they were sent.
LOADED = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .reduce((sum, each) => sum + each.transferSize, 0)"""


class WrittenAnswers:
    """Gives the events that were written down, and waits before those after a `None` until it may go on."""

    def __init__(self) -> None:
        self.events: list[Event | Exception | None] = []
        self.requests: list[AnswerRequest] = []
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    def get_state(self) -> Mapping[str, Any]:
        return {"state": "ready", "model": "a model"}

    def stream(self, request: AnswerRequest, *, cancelled: Callable[[], bool], **_: object) -> Iterator[Event]:
        self.requests.append(request)
        for each in self.events:
            if isinstance(each, Exception):
                raise each
            while each is None and not self.go_on.wait(0.05):
                if cancelled():
                    self.stopped.set()
                    return
            if each is not None:
                yield each


def files(folder: Path, *named: tuple[str, str | bytes]) -> list[Path]:
    made = []
    for name, content in named:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        made.append(path)
    return made


def choose(page: Page, *paths: Path) -> None:
    page.set_input_files("#files", list(paths))


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def ready_document(client: Client, text: str | bytes = TEXT, name: str = "whale.md") -> dict[str, Any]:
    content = text.encode() if isinstance(text, str) else text
    made = client.http.post("/v1/documents", params={"name": name}, content=content).json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{made}")["state"] == "ready", what="it is ready")
    found: dict[str, Any] = client.get(f"/v1/documents/{made}")
    return found


def written(document: dict[str, Any], content: str, markdown: str = MARKDOWN, **changes: Any) -> Answer:  # noqa: ANN401
    """An answer whose sentences were found to be proven, found, contradicted and without a source, in turn."""

    def quote(words: str) -> Quote:
        return Quote(1, content.index(words), content.index(words) + len(words), words)

    def sentence(words: str, check: Check, *quotes: Quote, reason: str = "") -> Sentence:
        start = markdown.index(words)
        return Sentence(words, start, start + len(words), (1,) if quotes else (), check, reason, quotes)

    cited = quote("The whale was white.")
    sentences = (
        sentence("The whale was **white** [1].", Check.VERIFIED, cited),
        sentence("Ships were many [1].", Check.QUOTED, quote("hips were many.")),
        sentence("It weighed 40 tons [1].", Check.UNSUPPORTED, cited, reason="The source gives no weight."),
        sentence("Nobody knows its age.", Check.UNCHECKED),
    )
    citation = Citation(
        1, document["id"], document["active_version"], "The Whale", ("Colour",), None, cited.start, cited.end,
        cited.text, True,
    )  # fmt: skip
    found = SearchSummary(7, 3, (SearchedDocument(document["id"], "The Whale", 7, 3),), ("colour of the whale",))
    made = answer(document["id"], text=markdown, sentences=sentences, citations=(citation,), searched=found)
    return made if not changes else Answer(**{**made.__dict__, **changes})


def ask(page: Page, question: str = "Which colour had the whale?") -> None:
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def wait_for_answer(page: Page) -> None:
    """Wait until the last answer is whole, and listed: its text is shown in turns, and may be the last to come."""
    expect(page.locator(".turn").last).to_contain_text("1 of 4 statements proven")
    expect(page.locator(".answer[aria-busy]")).to_have_count(0)
    expect(page.locator("#conversations a[aria-current]")).to_have_count(1)


def wait_for_held(page: Page, held: list[Route], count: int) -> None:
    """Until so many requests were caught. The browser tells of a request before its route has it."""
    # Only while the page is asked for something are its routes called.
    wait_until(lambda: page.evaluate("true") and len(held) == count, what=f"{count} requests are held")


def change_failure(services: Services, document: str, code: str) -> None:
    """Let a document have failed for another reason: a broken file fails by itself, and a fault passes by itself."""
    with write_transaction(services.documents.catalog._engine) as connection:
        connection.execute(update(versions).where(versions.c.document_id == document).values(error_code=code))
