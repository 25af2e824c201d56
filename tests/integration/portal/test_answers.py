"""What people do with answers in a real browser: say what is wrong, show them to others, look closer, and go on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Scope
from rlm.answers import Answer, CellRecords, ReadPassage, ResultTable, SearchSummary, SourceRows
from rlm.errors import LanguageModelUnavailableError
from rlm.events import Completed, Delta
from tests.fakes.scripted_answers import answer
from tests.support.browser import Portal
from tests.support.portal_pages import TEXT, WrittenAnswers, ask, ready_document, serious, wait_for_answer, written

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


@pytest.fixture
def answered(service: tuple[Services, Client], said: WrittenAnswers, opened: Portal) -> Page:
    """A conversation with one answer, whose text has four sentences and one source."""
    document = ready_document(service[1])
    text = service[1].http.get(f"/v1/documents/{document['id']}/content").text
    said.events = [Completed(written(document, text))]
    page = opened.signed_in("/ask")
    ask(page)
    wait_for_answer(page)
    return page


def feedback(service: tuple[Services, Client]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service[1].get("/v1/feedback")["feedback"]
    return found


def test_a_person_says_what_is_wrong_of_an_answer_and_finds_it_again(
    service: tuple[Services, Client], answered: Page
) -> None:
    page = answered
    page.get_by_role("button", name="Helpful").click()
    expect(page.get_by_role("button", name="Helpful")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Something is wrong").click()
    page.get_by_label("What is wrong?").fill("It weighs more.")
    page.get_by_text("Which sentences or sources").click()
    page.get_by_label("It weighed 40 tons").check()
    page.locator("[name=citation]").check()
    assert serious(page) == []
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Something is wrong")).to_have_attribute("aria-pressed", "true")
    (entry,) = feedback(service)
    assert (entry["rating"], entry["comment"], entry["sentences"], entry["citations"]) == (
        "down", "It weighs more.", [3], [1],
    )  # fmt: skip
    page.reload()
    page.get_by_role("button", name="Something is wrong").click()
    expect(page.get_by_label("What is wrong?")).to_have_value("It weighs more.")
    expect(page.get_by_label("It weighed 40 tons")).to_be_checked()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("button", name="Something is wrong")).to_have_attribute("aria-pressed", "false")
    assert feedback(service) == []


def test_a_conversation_is_read_by_its_link_until_that_is_ended(
    service: tuple[Services, Client], answered: Page, opened: Portal
) -> None:
    services, page = service[0], answered
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_text("Nobody else can read this.")).to_be_visible()
    page.get_by_role("button", name="Create link").click()
    address = page.locator(".links a").get_attribute("href")
    assert address is not None
    assert serious(page) == []
    services.accounts.users.create(DEFAULT_TENANT, "eve")
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "eve", scopes=(Scope.READ,), user="eve")
    ticket = services.accounts.sessions.issue_ticket(DEFAULT_TENANT, key.id)
    with opened.somebody_else(f"/sign-in#{ticket}") as other:
        other.wait_for_selector("#account")
        other.goto(f"{opened.url}{address}")
        expect(other.locator(".answer")).to_contain_text("The whale was white")
        expect(other.locator("#about")).to_contain_text("You can read it until")
        left, right = other.evaluate(
            "(({ left, right }) => [left, document.documentElement.clientWidth - right])"
            "(document.querySelector('.runs-part').getBoundingClientRect())"
        )
        assert left == pytest.approx(right, abs=1)
        assert left > 100
        expect(other.get_by_role("button", name="Helpful")).to_have_count(0)
        marks = """[...document.querySelectorAll('.answer .check')]
            .map(each => [each.className, getComputedStyle(each).display])"""
        assert other.evaluate(marks) == page.evaluate(marks)
        expect(other.locator(".verdict")).to_contain_text("1 of 4 statements proven")
        other.locator(".answer .cite").first.click()
        expect(other.locator("#beside mark")).to_have_text("The whale was white.")
        assert serious(other) == []
        page.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("Nobody else can read this.")).to_be_visible()
        other.reload()
        expect(other.get_by_role("main")).to_contain_text("has expired")


def test_a_source_and_its_page_show_every_place_that_the_answer_quotes(answered: Page) -> None:
    page, quoted = answered, ["The whale was white.", "hips were many."]
    page.locator(".source-cards .cite").click()
    expect(page.locator("#beside mark")).to_have_text(quoted)
    page.locator("#beside").get_by_role("link", name="The Whale").click()
    expect(page.locator("#text mark")).to_have_text(quoted)


def test_the_passages_that_were_read_are_shown_on_demand_with_their_ranks(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    text = service[1].http.get(f"/v1/documents/{document['id']}/content").text
    at = text.index("hips were many.")
    version = document["active_version"]
    read = (
        ReadPassage(document["id"], version, "The Whale", at, at + len("hips were many."), None, "", 3),
        ReadPassage(document["id"], version, "The Whale", 0, 5, None, "", 1),
    )
    made = written(document, text)
    said.events = [
        Completed(Answer(**{**made.__dict__, "searched": SearchSummary(7, 2, made.searched.documents, (), read)}))
    ]
    page = opened.signed_in("/ask")
    ask(page)
    page.get_by_role("button", name="Details").click()
    page.get_by_text("2 passages that the model read").click()
    expect(page.get_by_text("rank 3")).to_be_visible()
    page.get_by_role("button", name="Passage 1").click()
    expect(page.locator("#beside mark")).to_have_text("hips were many.")
    expect(page.locator("#beside")).to_contain_text("The model read the marked text.")
    assert serious(page) == []


@pytest.mark.parametrize(
    ("columns", "rows", "shapes"),
    [
        (("ship", "tons"), (("Pequod", 1200), ("Nautilus", -3), ("<b>Beagle</b>", 7.5)), "rect"),
        (("year", "ships"), ((1850, 4), (1851, None), (1852, 9)), "circle"),
        (("ship", "captain"), (("Pequod", "Ahab"), ("Nautilus", "Nemo")), None),
        (("ship", "tons"), (("Pequod", 1200), ("Pequod", 3)), None),
    ],
    ids=["groups", "a series", "no figures", "labels twice"],
)
def test_a_computed_table_of_groups_or_a_series_has_a_chart_beside_it(
    service: tuple[Services, Client],
    said: WrittenAnswers,
    opened: Portal,
    columns: tuple[str, ...],
    rows: tuple[tuple[object, ...], ...],
    shapes: str | None,
) -> None:
    document = ready_document(service[1])
    table = ResultTable(columns, rows, len(rows), "SELECT 1")
    said.events = [Completed(written(document, TEXT, table=table, strategy="table"))]
    page = opened.signed_in("/ask")
    ask(page)
    expect(page.locator(".records tbody tr")).to_have_count(len(rows))
    if shapes is None:
        expect(page.locator(".chart")).to_have_count(0)
        return
    known = len([row for row in rows if row[1] is not None])
    expect(page.locator(f".chart svg {shapes}")).to_have_count(known)
    expect(page.get_by_role("img", name="Chart of")).to_have_attribute(
        "aria-label", f"Chart of {columns[1]} by {columns[0]}: {len(rows)} values, which are those of the table"
    )
    assert page.evaluate("document.querySelectorAll('.chart [style], .chart b').length") == 0
    assert serious(page) == []


def test_a_figure_of_a_computed_table_opens_the_records_behind_it_and_they_are_downloaded(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(
        service[1], "ship,port,tons\nPequod,=Nantucket,300\nEssex,Nantucket,238\nBeagle,Woolwich,242\n", "s.csv"
    )
    ports = (("Nantucket", 2, 1819), ("Woolwich", 1200, 1820))
    table = ResultTable(("port", "ships", "year"), ports, 2, "SELECT 1", quantities=(1,))

    def rows(*numbers: int) -> tuple[SourceRows, ...]:
        return (SourceRows(document["id"], document["active_version"], 0, numbers),)

    cells = (CellRecords(1, None, rows(1, 2)), CellRecords(2, None, rows(3)))
    made = answer(document["id"], text="Ports:", sentences=(), citations=(), strategy="table", table=table)
    said.events = [Completed(replace(made, rows_behind=rows(1, 2, 3), cells_behind=cells))]
    page = opened.signed_in("/ask")
    ask(page)
    page.get_by_role("button", name="2: 2 records behind it").click()
    beside = page.locator("#beside")
    expect(beside.locator("tbody tr")).to_have_count(2)
    expect(beside).to_contain_text("Essex")
    expect(beside).not_to_contain_text("Beagle")
    assert serious(page) == []
    with page.expect_download() as waiting:
        beside.get_by_role("button", name="Download all 2 records (CSV)").click()
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert [line.split(",")[1:] for line in lines] == [
        ["row", "ship", "port", "tons"], ["2", "Pequod", "'=Nantucket", "300"], ["3", "Essex", "Nantucket", "238"],
    ]  # fmt: skip
    page.keyboard.press("Escape")
    expect(beside).to_be_hidden()
    expect(page.get_by_role("button", name="2: 2 records behind it")).to_be_focused()
    expect(page.get_by_role("row", name="Woolwich")).to_have_text("Woolwich1,2001820")
    page.get_by_role("button", name="1200: 1 record behind it").press("Enter")
    expect(beside.locator("tbody tr")).to_have_count(1)
    expect(beside).to_contain_text("Beagle")
    page.get_by_role("button", name="Details").click()
    page.get_by_text("3 records behind it").click()
    expect(page.locator(".under .records tbody tr")).to_have_count(3)


def test_more_work_is_estimated_before_it_is_asked_for(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    ready_document(service[1])
    page = opened.signed_in("/ask")
    page.get_by_role("button", name="Automatic").click()
    expect(page.locator("#estimate")).to_be_hidden()
    page.get_by_label("Work through everything").check()
    expect(page.locator("#estimate")).to_contain_text("1 document with")
    expect(page.locator("#estimate")).to_contain_text("At most 500 calls of the language model, 15 min")
    page.get_by_label("Answer as a background run").check()
    page.get_by_label("Ask me before exceeding the budget").check()
    page.get_by_label("Time limit").select_option("60")
    expect(page.locator("#estimate")).to_contain_text("At most 60 s")
    assert serious(page) == []
    ask(page)
    page.wait_for_url("**/runs/*")
    found = service[1].get("/v1/runs")["runs"][0]
    assert (found["pause_on_budget"], found["budget"]["seconds"]) == (True, 60)


CUT = 'id: 1\nevent: delta\ndata: {"text": "The whale "}\n\n'


def test_an_answer_goes_on_after_its_connection_broke_off_and_one_that_failed_can_be_asked_again(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    page = opened.signed_in("/ask")
    opened.context.route(
        "**/v1/answers/*/events", lambda route: route.fulfill(body=CUT, content_type="text/event-stream")
    )
    said.events = [Delta("The whale "), None, Delta("was white."), None, Completed(written(document, TEXT))]
    ask(page, "What of the whale?")
    expect(page.locator(".turn .answer")).to_have_text("The whale")
    opened.context.unroute("**/v1/answers/*/events")
    said.go_on.set()
    wait_for_answer(page)
    opened.context.route("**/v1/answers", lambda route: route.abort())
    ask(page, "And then?")
    expect(page.get_by_text("Leadline does not respond.")).to_be_visible()
    opened.context.unroute("**/v1/answers")
    said.events = [Delta("The whale was "), LanguageModelUnavailableError("The language model is away.")]
    page.locator(".ended").get_by_role("button", name="Ask again", exact=True).click()
    expect(page.get_by_text("It was not checked and is not stored.").last).to_be_visible()
    assert serious(page) == []
    said.events = [Completed(written(document, TEXT))]
    page.get_by_role("button", name="Edit and ask again").last.click()
    page.keyboard.press("Enter")
    wait_for_answer(page)


def test_a_question_is_asked_once_however_often_it_is_sent(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    said.events = [None, Completed(written(document, TEXT))]
    page = opened.signed_in("/ask")
    page.get_by_label("Your question").fill("Which colour?")
    page.evaluate("for (let n = 0; n < 3; n += 1) document.getElementById('composer').requestSubmit()")
    page.get_by_label("Your question").fill("And its age?")
    page.keyboard.press("Enter")
    said.go_on.set()
    wait_for_answer(page)
    expect(page.get_by_label("Your question")).to_have_value("And its age?")
    assert [each.question for each in said.requests] == ["Which colour?"]


def test_what_was_asked_in_another_tab_is_shown_when_somebody_comes_back(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal, answered: Page
) -> None:
    page, other = answered, opened.page()
    other.goto(page.url)
    expect(other.locator(".turn")).to_have_count(1)
    ask(other, "And its age?")
    expect(other.locator(".turn")).to_have_count(2)
    wait_for_answer(other)
    page.bring_to_front()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".turn")).to_have_count(2)
    page.go_back()
    page.go_forward()
    expect(page.locator(".turn")).to_have_count(2)


def test_a_run_that_met_its_budget_waits_for_a_person_and_is_downloaded_when_it_has_ended(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    ready_document(client)
    page = opened.signed_in("/ask")
    made = client.post("/v1/answers", {"question": "What colour was the whale?", "background": True})["id"]
    page.goto(f"{opened.url}/runs/{made}")
    expect(page.locator("#state")).to_contain_text("Complete")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download to read (Markdown)").click()
    text = Path(waiting.value.path()).read_text()
    assert text.startswith("# What colour was the whale?\n")
    assert "The whale was white" in text
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download for programs (JSON)").click()
    whole = json.loads(Path(waiting.value.path()).read_bytes())
    assert (whole["id"], whole["log"][-1]["kind"]) == (made, "end")
    assert serious(page) == []
    paused = {
        **client.get(f"/v1/runs/{made}"), "state": "paused", "answer": None, "ended_at": None,
        "budget": {"calls": 4, "dollars": "1"}, "progress": {"paused": "Of 4 calls 4 are taken.", "resource": "calls"},
    }  # fmt: skip
    sent: list[Any] = []
    opened.context.route(f"**/v1/runs/{made}", lambda route: route.fulfill(json=paused))
    page.reload()
    expect(page.get_by_text("The budget is used up")).to_be_visible()
    expect(page.get_by_label("More model calls")).to_have_value("100")
    assert serious(page) == []

    def resumed(route: Any) -> None:  # noqa: ANN401 - Playwright's
        sent.append(route.request.post_data_json)
        route.fulfill(json={**paused, "state": "queued"})

    opened.context.route(f"**/v1/runs/{made}/continue", resumed)
    page.get_by_label("More model calls").fill("7")
    with page.expect_response("**/continue"):
        page.get_by_role("button", name="Add and continue").click()
    expect(page.get_by_text("The budget is used up")).to_be_visible()
    assert sent == [{"calls": 7}]
