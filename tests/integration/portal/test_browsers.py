"""The portal in browsers that report unknown languages, or in which scripts fail or are not loaded."""

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browser import Portal

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

SENTENCE = "A part of this page could not be loaded"


def broken(page: Page) -> None:
    """Wait until the page says that it is broken. The errors that the browser reports are meant."""
    expect(page.locator(".broken")).to_be_visible()
    expect(page.locator(".broken")).to_contain_text(SENTENCE)
    expect(page.locator(".broken").get_by_role("link", name="Reload")).to_be_visible()


@pytest.mark.parametrize("languages", [["C"], ["en-US@posix"], [], ["xx-invalid-language-tag-1"], ["de", "C"]])
def test_a_browser_with_languages_that_intl_does_not_know_can_use_every_page(
    opened: Portal, languages: list[str]
) -> None:
    opened.context.add_init_script(
        f"Object.defineProperty(navigator, 'languages', {{ get: () => {json.dumps(languages)} }})"
    )
    page = opened.signed_in("/library")
    for path in ("/library", "/ask", "/runs", "/usage", "/keys", "/people", "/audit", "/sign-in"):
        page.goto(f"{opened.url}{path}")
        page.wait_for_load_state("networkidle")
        expect(page.locator("html[data-started]")).to_be_attached()
        expect(page.locator(".broken")).to_be_hidden()
    page.get_by_label("API key").fill("ll_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid")


@pytest.mark.parametrize("name", ["library.js", "dom.js", "text.js", "shell.js"])
def test_a_script_that_is_not_loaded_shows_a_sentence(opened: Portal, name: str) -> None:
    page = opened.signed_in("/ask")
    opened.context.route(f"**/assets/{name}", lambda route: route.abort("blockedbyclient"))
    page.goto(f"{opened.url}/library")
    broken(page)
    opened.context.unroute(f"**/assets/{name}")
    page.locator(".broken").get_by_role("link", name="Reload").click()
    expect(page.locator("html[data-started]")).to_be_attached()
    expect(page.locator(".broken")).to_be_hidden()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404, "body": "gone"},
        {"content_type": "text/javascript", "body": "this is no script"},
        {"content_type": "text/javascript", "body": "throw new RangeError('while it starts')"},
    ],
)
def test_a_script_that_fails_shows_a_sentence(opened: Portal, fault: dict[str, object]) -> None:
    page = opened.signed_in("/ask")

    def fail(route: Route) -> None:
        route.fulfill(**fault)  # type: ignore[arg-type]

    opened.context.route("**/assets/library.js", fail)
    page.goto(f"{opened.url}/library")
    broken(page)
    opened.said.clear()  # the browser reports each of these faults


def test_a_page_whose_scripts_are_all_blocked_says_so_by_itself(opened: Portal) -> None:
    page = opened.signed_in("/ask")
    opened.context.route("**/*.js", lambda route: route.abort("blockedbyclient"))
    page.goto(f"{opened.url}/library")
    broken(page)


def test_an_error_of_a_page_that_has_loaded_does_not_say_that_it_is_broken(opened: Portal) -> None:
    page = opened.signed_in("/library")
    expect(page.locator("html[data-loaded]")).to_be_attached()
    page.evaluate("setTimeout(() => { throw new Error('later') })")
    page.wait_for_timeout(200)
    expect(page.locator(".broken")).to_be_hidden()
    opened.said.clear()
