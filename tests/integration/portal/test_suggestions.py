"""Suggested questions in a real browser over a real service: what a model says is written down, all else is real."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from api.admission.services import Services
from api.client import Client
from rlm.events import Completed
from rlm.llm.scheduler import SubCallScheduler
from rlm.suggesting import ModelSuggester
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.support.browser import Portal, portal
from tests.support.cluster import wait_until
from tests.support.portal_pages import WrittenAnswers, ask, ready_document, serious, wait_for_answer, written

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

FIRST = ["Which colour had the whale?", "What is <b>Ahab</b>?"]
# Where everything is that a reader can look at.
PLACES = """() => [...document.querySelectorAll('.asked, .answer > *, .source-cards, .actions, #composer')]
  .map((each) => Math.round(each.getBoundingClientRect().top))"""
NEXT = ["What was the ship called?", "Who was the captain?"]


@pytest.fixture
def prompts(services: Services) -> Iterator[list[str]]:
    """The prompts for suggestions. The model that writes them is capable."""

    async def reply(prompt: str) -> str:
        return json.dumps({"questions": FIRST if "BEGIN documents" in prompt else NEXT})

    chat, scheduler = CallableChat(answer=reply), SubCallScheduler()
    services.asking = replace(services.asking, suggester=ModelSuggester(LoadedModel(chat), scheduler))
    yield chat.prompts
    scheduler.close()


def answering(client: Client, said: WrittenAnswers) -> None:
    document = ready_document(client)
    said.events = [Completed(written(document, client.http.get(f"/v1/documents/{document['id']}/content").text))]


def to_the_end(page: Page) -> None:
    page.evaluate("document.scrollingElement.scrollTo(0, document.scrollingElement.scrollHeight)")


def test_an_empty_page_suggests_questions_and_the_newest_answer_suggests_the_next_ones(
    service: tuple[Services, Client], said: WrittenAnswers, prompts: list[str], opened: Portal
) -> None:
    answering(service[1], said)
    page = opened.signed_in("/ask")
    first = page.get_by_role("region", name="Suggested questions")
    expect(first.get_by_role("button")).to_have_text(FIRST)
    assert prompts[0].endswith("Language of the questions: en")
    assert serious(page) == []
    first.get_by_role("button").first.click()
    expect(page.locator(".asked")).to_have_text([FIRST[0]])
    wait_for_answer(page)
    expect(first).to_have_count(0)
    following = page.get_by_role("region", name="Follow-up questions")
    to_the_end(page)
    expect(following.get_by_role("button")).to_have_text(NEXT)
    assert serious(page) == []
    following.get_by_role("button", name=NEXT[1]).click()
    expect(page.locator(".asked")).to_have_text([FIRST[0], NEXT[1]])
    wait_for_answer(page)
    expect(page.locator(".turn").first.locator(".suggested")).to_have_count(0)
    to_the_end(page)
    expect(page.locator(".turn").last.get_by_role("region", name="Follow-up questions")).to_be_visible()
    page.reload()
    wait_for_answer(page)
    to_the_end(page)
    expect(following.get_by_role("button")).to_have_text(NEXT)
    assert said.requests[1].question == NEXT[1]


def test_suggestions_follow_the_scope_and_come_after_what_is_being_answered(
    service: tuple[Services, Client], said: WrittenAnswers, prompts: list[str], opened: Portal
) -> None:
    answering(service[1], said)
    ready_document(service[1], "# Harbour\n\nShips lie here.\n", "harbour.md")
    said.events = [None, *said.events]
    page = opened.signed_in("/ask")
    expect(page.locator(".suggested button")).to_have_count(2)
    assert "Harbour" in prompts[-1]
    page.get_by_role("button", name="All documents").click()
    page.get_by_label("Find a document or collection").fill("whale")
    with page.expect_response("**/v1/suggestions"):
        page.get_by_role("option", name="The Whale").click()
    page.keyboard.press("Escape")
    expect(page.locator(".suggested button")).to_have_count(2)
    assert "Harbour" not in prompts[-1]
    count = len(prompts)
    ask(page)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.locator(".suggested")).to_have_count(0)
    assert len(prompts) == count
    said.go_on.set()
    wait_for_answer(page)
    to_the_end(page)
    expect(page.locator(".suggested button")).to_have_text(NEXT)


def test_without_a_capable_model_and_after_a_failure_there_is_nothing_to_see(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    answering(service[1], said)
    page = opened.signed_in("/ask")
    with page.expect_response("**/v1/suggestions") as asked:
        page.reload()
    assert asked.value.json() == {"questions": []}
    expect(page.locator(".suggested")).to_be_hidden()
    page.route("**/v1/suggestions", lambda route: route.fulfill(status=500, body="broken"))
    ask(page)
    with page.expect_response("**/v1/suggestions"):
        wait_for_answer(page)
        to_the_end(page)
    expect(page.locator("#trouble")).to_be_empty()
    expect(page.locator(".suggested")).to_be_hidden()


def test_suggestions_in_german_on_a_narrow_page_stay_within_it(
    service: tuple[Services, Client], said: WrittenAnswers, prompts: list[str], browser: Browser, tmp_path: Path
) -> None:
    answering(service[1], said)
    with portal(service[0], browser, locale="de-DE", viewport={"width": 360, "height": 740}) as opened:
        page = opened.signed_in("/ask")
        first = page.get_by_role("region", name="Vorgeschlagene Fragen")
        expect(first.get_by_role("button")).to_have_text(FIRST)
        assert prompts[0].endswith("Language of the questions: de")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        heights = first.get_by_role("button").evaluate_all("all => all.map((each) => each.offsetHeight)")
        assert min(heights) >= 44


def wait_for_held(page: Page, held: list[Route]) -> None:
    wait_until(lambda: bool(page.evaluate("1") and held), what="suggestions are asked for")


@pytest.mark.parametrize("height", [500, 800, 1400])
def test_suggestions_that_come_late_move_nothing_that_is_being_read(
    service: tuple[Services, Client], said: WrittenAnswers, prompts: list[str], browser: Browser, height: int
) -> None:
    answering(service[1], said)
    with portal(service[0], browser, viewport={"width": 1280, "height": height}) as opened:
        page = opened.signed_in("/ask")
        held: list[Route] = []
        page.route("**/v1/suggestions", lambda route: held.append(route))
        for number in (1, 2):
            ask(page)
            expect(page.locator(".turn")).to_have_count(number)
            wait_for_answer(page)
            to_the_end(page)
            wait_for_held(page, held)
            before = page.evaluate(PLACES)
            held.pop().continue_()
            expect(page.locator(".suggested ul")).to_have_count(1)
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            assert page.evaluate(PLACES) == before, number


def test_suggestions_that_end_a_little_below_the_window_do_not_move_the_answer(
    service: tuple[Services, Client], said: WrittenAnswers, prompts: list[str], browser: Browser
) -> None:
    answering(service[1], said)
    with portal(service[0], browser, viewport={"width": 1280, "height": 300}) as opened:
        page = opened.signed_in("/ask")
        ask(page)
        wait_for_answer(page)
        to_the_end(page)
        expect(page.locator(".suggested ul")).to_have_count(1)
        whole = page.evaluate("document.scrollingElement.scrollHeight")
    with portal(service[0], browser, viewport={"width": 1280, "height": whole - 30}) as opened:
        page = opened.signed_in("/ask")
        held: list[Route] = []
        page.route("**/v1/suggestions", lambda route: held.append(route))
        ask(page)
        wait_for_answer(page)
        wait_for_held(page, held)
        before = page.evaluate(PLACES)
        held.pop().continue_()
        expect(page.locator(".suggested ul")).to_have_count(1)
        page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert page.evaluate("document.scrollingElement.scrollHeight - innerHeight") > 0
        assert page.evaluate(PLACES) == before
