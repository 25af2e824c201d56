"""The list of conversations in a real browser: groups by day, search, renaming, export, and the sheet of a phone."""

import json
import time
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from api.portal.links import build_sign_in_link, ensure_portal_key
from ingest.storage.accounts.records import Scope
from ingest.storage.answers.conversations import Conversations
from rlm.answers import build_stored_answer
from tests.fakes.scripted_answers import answer
from tests.support.browser import Portal, portal
from tests.support.cluster import wait_until
from tests.support.portal_pages import serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

LONG = "Which of the two contracts with the harbour of Nantucket may be ended first, and by whom?"
DAY_SECONDS = 86_400


def converse(
    services: Services, question: str, text: str = "It was white.", *, days_ago: int = 0, owner: str | None = None
) -> str:
    """Store a conversation with one answer, of the person who signs in to the portal or another. Returns its id."""
    began = time.time() - days_ago * DAY_SECONDS
    store = Conversations(services.answers.conversations._engine, clock=lambda: began)
    owner = owner or f"key:{ensure_portal_key(services.keys, DEFAULT_TENANT).id}"
    made = store.start_conversation(DEFAULT_TENANT, question, owner)
    store.store_answer(build_stored_answer(answer(text=text), str(uuid4()), DEFAULT_TENANT, question, made, owner))
    return made


@pytest.fixture
def talks(service: tuple[Services, Client]) -> dict[str, str]:
    """Conversations by their title: of today, of yesterday, of last week, and of a year ago."""
    return {
        title: converse(service[0], title, text, days_ago=days)
        for title, text, days in (
            ("What is old?", "Everything is old.", 400),
            ("Who pays?", "The harbour pays the ferryman.", 5),
            ("Which colour?", "It was white.", 1),
            (LONG, "The first one.", 0),
        )
    }


def test_conversations_are_listed_by_day_with_titles_that_can_be_read(talks: dict[str, str], opened: Portal) -> None:
    page = opened.signed_in("/ask")
    groups = page.locator("#conversations section")
    expect(groups.locator("h3")).to_contain_text(["Today", "Yesterday", "Last 7 days", ""])
    expect(groups.first.locator("a")).to_have_text([LONG])
    link = groups.first.locator("a")
    assert (link.get_attribute("title") or "").startswith(LONG)
    lines = link.locator(".title").evaluate("each => each.clientHeight / parseFloat(getComputedStyle(each).lineHeight)")
    assert round(lines) == 2
    assert serious(page) == []


def test_the_list_stays_in_view_and_scrolls_by_itself(
    service: tuple[Services, Client], talks: dict[str, str], opened: Portal
) -> None:
    for number in range(40):
        converse(service[0], f"Question {number}?", "\n\n".join(["A long answer."] * 200) if number == 39 else "Short.")
    page = opened.signed_in("/ask")
    page.get_by_role("link", name="Question 39?").click()
    expect(page.locator(".answer")).to_contain_text("A long answer.")
    page.mouse.move(900, 300)
    page.mouse.wheel(0, 1_500)
    wait_until(lambda: page.evaluate("scrollY") > 1_000, what="the page has scrolled")
    assert page.locator("#history").evaluate("list => Math.round(list.getBoundingClientRect().top)") == 0
    before = page.evaluate("scrollY")
    page.mouse.move(100, 300)
    page.mouse.wheel(0, 400)
    wait_until(lambda: page.locator("#history").evaluate("list => list.scrollTop") > 100, what="the list has scrolled")
    assert page.evaluate("scrollY") == before
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#conversations li")).to_have_count(44)


def test_conversations_are_found_by_words_of_their_answers(talks: dict[str, str], opened: Portal) -> None:
    page = opened.signed_in("/ask")
    field = page.get_by_label("Search conversations")
    field.fill("FERRYMAN")
    expect(page.locator("#conversations li")).to_have_count(1)
    expect(page.locator("#conversations li")).to_contain_text("Who pays?")
    expect(page.locator("#conversations .excerpt")).to_have_text("The harbour pays the ferryman.")
    assert serious(page) == []
    field.fill("nobody said this")
    expect(page.locator("#conversations")).to_have_text("No conversation contains these words.")
    field.fill("")
    expect(page.locator("#conversations li")).to_have_count(4)


def test_a_conversation_is_renamed_exported_and_deleted_from_the_list(
    service: tuple[Services, Client], talks: dict[str, str], opened: Portal
) -> None:
    page = opened.signed_in(f"/ask/{talks['Who pays?']}")
    page.get_by_role("button", name="Actions for this conversation").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("Ferry")
    assert serious(page) == []
    page.get_by_label("Title").press("Enter")
    expect(page.locator("#talk-title")).to_have_text("Ferry")
    expect(page.locator("#conversations a[aria-current]")).to_have_text("Ferry")
    page.get_by_role("button", name="Actions for “Ferry”").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name="Export as Markdown").click()
    assert waiting.value.suggested_filename == "Ferry.md"
    written = Path(waiting.value.path()).read_text()
    assert written.startswith("# Ferry\n")
    assert "The harbour pays the ferryman. ✓" in written
    page.get_by_role("button", name="Actions for “Ferry”").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name="Export as JSON").click()
    assert json.loads(Path(waiting.value.path()).read_text())["turns"][0]["question"] == "Who pays?"
    page.get_by_role("button", name="Actions for “Which colour?”").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#conversations li")).to_have_count(3)
    assert service[1].http.get(f"/v1/conversations/{talks['Which colour?']}").status_code == 404


def test_on_a_phone_the_list_is_a_sheet_that_escape_closes(
    service: tuple[Services, Client], talks: dict[str, str], browser: Browser
) -> None:
    with portal(service[0], browser, viewport={"width": 360, "height": 740}) as opened:
        page = opened.signed_in("/ask")
        opener = page.get_by_role("button", name="Conversations", exact=True)
        expect(page.locator("#history")).to_be_hidden()
        opener.click()
        expect(page.get_by_label("Search conversations")).to_be_focused()
        assert page.locator("#history").evaluate("list => list.getBoundingClientRect().height") == 740
        assert serious(page) == []
        page.keyboard.press("Escape")
        expect(page.locator("#history")).to_be_hidden()
        expect(opener).to_be_focused()
        opener.click()
        page.mouse.click(350, 400)
        expect(page.locator("#history")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_administrator_sees_own_conversations_and_on_request_those_of_others_with_their_names(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services = service[0]
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "nightly report")
    converse(services, "My question about sails?")
    converse(services, "What does Ann earn?", owner="user:ann")
    converse(services, "What is new?", owner=f"key:{key.id}")
    page = opened.signed_in("/ask")
    entries = page.locator("#conversations li > a")
    expect(entries).to_have_text(["My question about sails?"])
    page.get_by_label("Search conversations").fill("earn")
    expect(page.locator("#conversations")).to_contain_text("No conversation contains these words.")
    page.get_by_label("Search conversations").fill("")
    page.get_by_label("Everyone").check()
    expect(entries).to_have_text(
        ["What is new?key “nightly report”", "What does Ann earn?ann", "My question about sails?"]
    )
    assert serious(page) == []
    entries.nth(1).click()
    expect(page.locator("#talk-by")).to_contain_text("A conversation of ann.")
    expect(page.get_by_label("Everyone")).to_be_checked()
    expect(entries).to_have_count(3)
    page.get_by_label("Mine").check()
    expect(entries).to_have_text(["My question about sails?"])
    entries.first.click()
    expect(page.locator(".answer")).to_contain_text("It was white.")
    expect(page.locator("#talk-by")).to_be_hidden()


def test_others_cannot_choose_whose_conversations_they_see(service: tuple[Services, Client], opened: Portal) -> None:
    services = service[0]
    services.accounts.users.create(DEFAULT_TENANT, "eve")
    converse(services, "Mine?")
    converse(services, "Hers?", owner="user:eve")
    scopes = frozenset({Scope.READ, Scope.ASK})
    key = ensure_portal_key(services.keys, DEFAULT_TENANT, user="eve", scopes=scopes)
    link = build_sign_in_link(opened.url, services.accounts.sessions.issue_ticket(DEFAULT_TENANT, key.id))
    with opened.somebody_else(link) as page:
        page.wait_for_selector("#account")
        page.goto(f"{opened.url}/ask")
        expect(page.locator("#conversations li > a")).to_have_text(["Hers?"])
        expect(page.get_by_label("Everyone")).to_have_count(0)
