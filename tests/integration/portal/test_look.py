"""Header, preferences, menus and the sign-in page, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal, portal
from tests.support.portal_pages import LOADED, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

PAGES = ("/sign-in", "/library", "/ask", "/usage", "/nonsense")
_MENU = """async () => {
  const { menuButton } = await import('/portal/assets/menu.js')
  globalThis.chosen = []
  const act = (name) => () => globalThis.chosen.push(name)
  const items = [
    { text: 'Rename', icon: 'pencil', act: act('rename') }, { text: 'Copy', disabled: true, act: act('copy') }, null,
    { text: 'Delete', icon: 'trash-2', danger: true, act: act('delete') },
  ]
  document.querySelector('main').append(menuButton('More', items))
}"""


@pytest.fixture
def small(service: tuple[Services, Client], browser: Browser) -> Iterator[Portal]:
    with portal(service[0], browser, viewport={"width": 360, "height": 700}) as made:
        yield made


def ground_of(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))


def focus_of(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel"))


def test_preferences_are_shown_at_once_and_kept_for_the_next_page(opened: Portal) -> None:
    page = opened.signed_in("/library")
    light, height = ground_of(page), page.locator("#choose-files").bounding_box()
    page.locator("#account").click()
    dialog = page.get_by_role("dialog", name="Account and preferences")
    dialog.get_by_role("radio", name="Dark").check()
    dialog.get_by_role("radio", name="Compact").check()
    dark = ground_of(page)
    assert dark != light
    served = page.request.get(f"{opened.url}/ask").text()
    assert '<html lang="en" data-theme="dark" data-density="compact">' in served  # before any script runs
    page.goto(f"{opened.url}/library")
    assert ground_of(page) == dark
    compact = page.locator("#choose-files").bounding_box()
    assert height
    assert compact
    assert compact["height"] < height["height"]
    page.locator("#account").click()
    dialog.get_by_role("radio", name="System").check()
    dialog.get_by_role("radio", name="Comfortable").check()
    page.reload()
    assert ground_of(page) == light
    assert "data-" not in page.request.get(f"{opened.url}/ask").text().split("<head>")[0]


def test_the_language_and_the_theme_are_chosen_before_anybody_signs_in(opened: Portal) -> None:
    page = opened.page()
    page.goto(f"{opened.url}/sign-in")
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("radio", name="Dark").check()
    page.get_by_label("Language").select_option("de")
    expect(page.locator("html[lang=de][data-theme=dark]")).to_be_attached()
    expect(page.locator(".skip")).to_have_text("Zum Inhalt springen")
    expect(page.locator("html[data-started]")).to_be_attached()


def test_a_menu_is_used_by_keyboard_and_gives_the_focus_back(opened: Portal) -> None:
    page = opened.signed_in("/library")
    page.evaluate(_MENU)
    button = page.get_by_role("button", name="More")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    assert focus_of(page) == "Rename"
    page.keyboard.press("ArrowDown")
    assert focus_of(page) == "Delete"  # what is disabled is passed over
    page.keyboard.press("ArrowDown")
    assert focus_of(page) == "Rename"
    page.keyboard.press("d")
    assert focus_of(page) == "Delete"
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(button).to_be_focused()
    assert page.evaluate("chosen") == []
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.evaluate("chosen") == ["delete"]
    expect(button).to_be_focused()
    button.click()
    page.get_by_role("menuitem", name="Rename").click()
    button.click()
    button.click()  # closes it again
    expect(page.get_by_role("menu")).to_have_count(0)
    button.click()
    page.mouse.click(5, 400)
    expect(page.get_by_role("menu")).to_have_count(0)
    assert page.evaluate("chosen") == ["delete", "rename"]


def test_the_header_names_each_page_and_fits_a_phone(small: Portal) -> None:
    page = small.signed_in("/library")
    for path in PAGES:
        page.goto(f"{small.url}{path}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path
        assert serious(page) == [], path
    for name in ("Ask", "Library", "Runs", "Manage"):
        box = page.get_by_role("navigation", name="Main").get_by_role("link", name=name).bounding_box()
        assert box
        assert box["height"] >= 36
        assert box["width"] >= 44
    page.locator("#account").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert serious(page) == []


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
@pytest.mark.parametrize("path", ["/ask", "/library", "/runs", "/usage", "/sources", "/settings"])
def test_a_first_page_loads_less_than_160_kb(
    service: tuple[Services, Client], browser: Browser, path: str, locale: str
) -> None:
    with portal(service[0], browser, locale=locale) as opened:
        page = opened.signed_in(path)
        loaded = page.evaluate(LOADED)
        assert page.evaluate("document.documentElement.lang") == locale[:2]
    assert 20_000 < loaded < 160_000, loaded


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_the_shell_have_no_serious_violations_in_either_theme(opened: Portal, theme: str) -> None:
    page = opened.signed_in("/library")
    opened.context.add_cookies([{"name": "leadline-theme", "value": theme, "url": opened.url}])
    for path in PAGES:
        page.goto(f"{opened.url}{path}")
        page.wait_for_load_state("networkidle")
        assert serious(page) == [], path
    page.locator("#account").click()
    assert serious(page) == []
