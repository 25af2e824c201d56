"""Opens a long conversation and a large run in a browser, and reports how long their pages were kept from answering.

`python -m tests.benchmark.portal_long`: 200 turns, and 2,000 steps of a run with their prompts and replies.
"""

import random
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.build.language_model import RemoteLanguageModel
from api.client import Client
from ingest.storage.answers.run_log import append_log_entries
from ingest.storage.answers.run_records import RunLogEntry
from ingest.storage.db.database import write_transaction
from rlm.answers import build_stored_answer
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.benchmark.figures import AsJson, print_figures
from tests.benchmark.portal_stream import WATCH, document, long_answer
from tests.support.browser import Portal, chromium, portal
from tests.support.cluster import wait_until
from tests.support.scripted_openai import scripted_openai
from tests.support.service import running

_QUIET_MS = 1_000
_WHEELS = 300
_PATIENCE_MS = 120_000
app = typer.Typer()


@app.command()
def portal_long(
    turns: Annotated[int, typer.Option(help="Turns of the conversation.", min=1)] = 200,
    steps: Annotated[int, typer.Option(help="Steps of the run.", min=10)] = 2_000,
    as_json: AsJson = False,
) -> None:
    """Measure the page of a long conversation, and that of a large run."""
    with (
        tempfile.TemporaryDirectory(prefix="leadline-bench-") as home,
        scripted_openai(held := _HeldModel()) as server,
        running(Path(home), language_model=_remote(server.url)) as (services, client),
        chromium() as browser,
        portal(services, browser) as opened,
    ):
        conversation, run = store_conversation(services, client, turns), _run(services, client, held, steps)
        opened.context.add_init_script(WATCH)
        page = opened.signed_in()
        figures: dict[str, object] = {"turns": turns, "steps": steps}
        figures |= _opening(page, opened, f"/ask/{conversation}", ".turn", turns, "conversation")
        figures |= _opening(page, opened, f"/runs/{run}", "#steps > .level-0", steps // 10, "run")
    print_figures(figures, as_json)


def _remote(url: str) -> RemoteLanguageModel:
    profile = ModelProfile("scripted", 16_000, 1_000)
    return RemoteLanguageModel(url, ChatModel(build_remote_chat_model(url, profile), profile))


def _opening(page: Page, opened: Portal, path: str, selector: str, count: int, name: str) -> dict[str, object]:
    begun = time.monotonic()
    page.goto(f"{opened.url}{path}")
    expect(page.locator(selector)).to_have_count(count, timeout=_PATIENCE_MS)
    shown = time.monotonic() - begun
    page.wait_for_timeout(_QUIET_MS)
    for _ in range(_WHEELS):  # to its beginning, as people look for something
        page.mouse.wheel(0, -3_000)
        page.wait_for_timeout(20)
        if page.evaluate("scrollY") <= 0:
            break
    tasks: Sequence[float] = page.evaluate("window.longTasks")
    return {
        f"{name}: seconds until all of it is there": round(shown, 1),
        f"{name}: long tasks": len(tasks),
        f"{name}: longest task in ms": round(max(tasks, default=0.0)),
        f"{name}: tasks over 100 ms": sum(each > 100 for each in tasks),
    }


def store_conversation(services: Services, client: Client, turns: int) -> str:
    about = document(client)
    identifier = services.answers.conversations.start_conversation(DEFAULT_TENANT, "What is planned?")
    for turn in range(turns):
        answer = long_answer(about, 200, 8)
        services.answers.conversations.store_answer(
            build_stored_answer(answer, f"turn-{turn}", DEFAULT_TENANT, f"What is planned for part {turn}?", identifier)
        )
    return identifier


def _run(services: Services, client: Client, model: "_HeldModel", steps: int) -> str:
    """Make a run whose log has a cell of code after each nine sub-calls."""
    run: str = client.post("/v1/answers", {"question": "Go through it.", "background": True})["id"]
    model.asked.wait()
    draw = random.Random(7)
    entries = [RunLogEntry(f"made-{number}", *_step(draw, number)) for number in range(steps)]
    with write_transaction(services.answers.runs._engine) as connection:
        append_log_entries(connection, run, entries)
    model.go_on.set()
    wait_until(lambda: bool(client.get(f"/v1/runs/{run}")["ended_at"]), seconds=60, what="the run has ended")
    return run


class _HeldModel:
    """Replies once it may go on."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __call__(self, request: Mapping[str, Any]) -> str:
        self.asked.set()
        self.go_on.wait()
        return 'Plans [1].\n\n<support answered="yes">\n[1] "Plans of the harbour."\n</support>'


def _step(draw: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    words = " ".join(draw.choices(("harbour", "captain", "cargo", "1871", "lamp"), k=400))
    if number % 10 == 9:
        code = {"number": number // 10, "code": "print(llm_query_batched(parts))\n" * 20, "output": words}
        return "cell", {**code, "error": None, "seconds": 2.0, "sub_calls": 9, "note": "", "depth": 0}
    usage = {"calls": 1, "prompt_tokens": 900, "completion_tokens": 90}
    return "call", {"purpose": "reading a part", "prompt": words, "text": words, "usage": usage}


if __name__ == "__main__":
    app()
