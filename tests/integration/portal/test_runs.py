"""Background runs in plain words: the answer first, steps with titles, time in minutes, and a list by state."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.admission.services import Services
from api.client import Client
from tests.integration.portal.test_ask import logged
from tests.support.browser import Portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

LOOK = "# a note that nobody reads\nhits = grep('journal')\nprint(len(hits))"
EXTRACT = (
    "# Ask who writes each journal.\nwriters = extract(hits, 'who writes', {})\n"
    + "print(writers)  # looked at\n" * 600
    + "last = writers[-1]"
)
SUBMIT = "submit(writers)"
WRITES = {"code": "step_submit", "values": {}, "text": "Writes the answer"}


def call(purpose: str, text: str, **body: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401 - JSON
    usage = {"prompt_tokens": 2_400, "completion_tokens": 78}
    return "call", {
        "purpose": purpose,
        "prompt": "Question: who keeps a journal?",
        "text": text,
        "usage": usage,
        **body,
    }


def cell(number: int, code: str, **body: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401 - JSON
    made = {"number": number, "depth": 0, "part": "", "code": code, "note": "", "output": "", "error": None}
    return "cell", {**made, "seconds": 85.2, "sub_calls": 0, **body}


STEPS = (
    call("root", f"<think>What now?</think>Look for headings of journals. Then read each.\n```python\n{LOOK}\n```"),
    cell(1, LOOK, output="27", title="Look for headings of journals."),
    ("working", {"step": "cells", "done": 1, "total": 30, "coded_step": None}),
    *(call("extract", '{"writer": "Mina Murray"}') for _ in range(3)),
    call("root", f"```python\n{EXTRACT}\n```"),
    cell(2, EXTRACT, sub_calls=3, title="Ask who writes each journal."),
    call("root", f"```python\n{SUBMIT}\n```"),
    cell(3, SUBMIT, title=WRITES["text"], coded_title=WRITES),
)


def ended_run(client: Client) -> str:
    ready_document(client)
    made = client.post("/v1/answers", {"question": "What colour was the whale?", "background": True})["id"]
    return str(made)


def open_run(opened: Portal, run: str, *events: tuple[str, dict[str, Any]], going_on: bool = False) -> Page:
    body = "retry: 600000\n\n" + logged(*events) if going_on else logged(*events, ("end", {}))
    opened.context.route("**/events", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    return opened.signed_in(f"/runs/{run}")


def test_the_answer_stands_before_the_steps_and_the_budget_of_a_run(
    service: tuple[Services, Client], opened: Portal
) -> None:
    page = open_run(opened, ended_run(service[1]), *STEPS)
    expect(page.locator("#state")).to_contain_text("Complete")
    expect(page.locator("#answer")).to_contain_text("The whale was white")
    order = page.evaluate(
        "['#answer .answer', '#steps-part', '#bars']"
        ".map((each) => document.querySelector(each).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    # Steps are closed once there is an answer, and the page is centred.
    assert page.evaluate("document.querySelector('#steps-details').open") is False
    left, right = page.evaluate(
        "(({ left, right }) => [left, document.documentElement.clientWidth - right])"
        "(document.querySelector('.runs-part').getBoundingClientRect())"
    )
    assert abs(left - right) <= 1
    assert left > 100
    assert serious(page) == []


def test_each_step_has_the_models_own_sentence_as_its_title_and_its_code_one_click_away(
    service: tuple[Services, Client], opened: Portal
) -> None:
    page = open_run(opened, ended_run(service[1]), *STEPS)
    page.locator("#steps-details > summary").click()
    titles = page.locator("#steps > li > details > summary > .title")
    expect(titles).to_have_text(["Look for headings of journals.", "Ask who writes each journal.", "Writes the answer"])
    steps = page.locator("#steps")
    expect(steps.locator("> li").first).to_contain_text("1 min 25 s")
    expect(steps.locator("> li")).to_have_count(3)
    for term in ("root", "extract ·", "2,478 tokens", "sub-call", "cells", "of 30"):
        expect(steps).not_to_contain_text(term)
    titles.nth(1).click()
    second = steps.locator("> li").nth(1)
    expect(second).to_contain_text("Extracts values from records")
    expect(second).to_contain_text("3 times")
    second.get_by_text("Code", exact=True).click()
    code = second.locator("pre").last
    expect(code).to_contain_text("writers = extract(hits")
    expect(code).to_contain_text("last = writers[-1]")  # All of it is there, and it can be scrolled.
    assert (
        code.evaluate("(each) => each.scrollHeight > each.clientHeight && getComputedStyle(each).overflowY") == "auto"
    )
    assert serious(page) == []


def test_a_run_in_progress_tells_its_time_and_the_step_that_it_is_at(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    run = ended_run(client)
    page = opened.signed_in()
    spent = {"calls": 15, "cached": 0, "prompt_tokens": 40_000, "completion_tokens": 900, "dollars": 0}
    working = {
        **client.get(f"/v1/runs/{run}"), "state": "running", "answer": None, "ended_at": None, "seconds": 85.4,
        "budget": {"calls": 500, "seconds": 900, "dollars": "0"}, "usage": spent,
    }  # fmt: skip
    opened.context.route(f"**/v1/runs/{run}", lambda route: route.fulfill(json=working))
    page = open_run(opened, run, *STEPS[:2], going_on=True)
    expect(page.locator("#state")).to_contain_text("s of 15 min")
    expect(page.locator("#state")).to_contain_text("1 min ")
    expect(page.locator("#state")).to_contain_text("15 model calls")
    expect(page.locator("#state")).to_contain_text("Look for headings of journals.")
    assert page.evaluate("document.querySelector('#steps-details').open") is True
    expect(page.locator("#bars")).to_contain_text("1 min 25 s of 15 min")
    expect(page.locator("#bars")).not_to_contain_text("900")
    expect(page.locator("#bars")).not_to_contain_text("$")  # a limit of nothing is none
    assert serious(page) == []


def test_runs_are_listed_with_their_duration_and_filtered_by_state(
    service: tuple[Services, Client], opened: Portal
) -> None:
    ended_run(service[1])
    page = opened.signed_in("/runs")
    row = page.locator("#rows tr")
    expect(row).to_contain_text("Complete")
    expect(page.get_by_role("columnheader", name="Duration")).to_be_visible()
    expect(row.locator("[data-label=Duration]")).to_contain_text(" s")
    page.get_by_label("Waiting for you").check()
    expect(page.locator("#empty")).to_contain_text("No runs in this state")
    expect(page.locator("#list")).to_be_hidden()
    page.get_by_label("Answered").check()
    expect(row).to_have_count(1)
    assert serious(page) == []
