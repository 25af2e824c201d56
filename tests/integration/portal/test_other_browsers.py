"""The main flows in Firefox and WebKit, which report a language that `Intl` does not know."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from api.main import create_app
from api.portal.links import build_sign_in_link, ensure_portal_key
from rlm.events import Checking, Completed, Delta
from tests.support.cluster import wait_until
from tests.support.other_browsers import click, find, firefox, webkit
from tests.support.portal_pages import MARKDOWN, TEXT, WrittenAnswers, ready_document, written
from tests.support.service import running
from tests.support.serving import serving

needs = pytest.mark.needs_program
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Site:
    services: Services
    client: Client
    url: str
    answers: WrittenAnswers
    missing: set[str]  # paths that the service answers with 404

    def link(self) -> str:
        key = ensure_portal_key(self.services.keys, DEFAULT_TENANT)
        return build_sign_in_link(self.url, self.services.accounts.sessions.issue_ticket(DEFAULT_TENANT, key.id))


class _Without:
    """The application, but for these paths."""

    def __init__(self, app: ASGIApp, paths: set[str]) -> None:
        self._app, self._paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lost = scope["type"] == "http" and scope["path"] in self._paths
        await (PlainTextResponse("gone", 404) if lost else self._app)(scope, receive, send)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site") / "home") as (services, client):
        answers = WrittenAnswers()
        services.asking = replace(services.asking, answering=answers)
        missing: set[str] = set()
        app = create_app(services)
        app.add_middleware(_Without, paths=missing)
        with serving(app) as url:
            yield Site(services, client, url, answers, missing)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(firefox, id="firefox", marks=needs("firefox-esr")),
        pytest.param(webkit, id="webkit", marks=[needs("WebKitWebDriver"), needs("Xvfb")]),
    ],
)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with request.param(tmp_path_factory.mktemp("browser")) as driver:
        driver.set_window_size(1280, 900)
        yield driver


@pytest.fixture
def driver(started: WebDriver, site: Site) -> Iterator[WebDriver]:
    """A browser that has signed in with a link. At the end no page says that a part of it was not loaded."""
    sign_out(started, site)
    started.get(site.link())
    find(started, "html[data-loaded] #account")
    yield started
    assert started.execute_script("return document.documentElement.dataset.broken") is None


def sign_out(driver: WebDriver, site: Site) -> None:
    """Delete the session, and leave the page, which would only move to another fragment of its address."""
    driver.get(f"{site.url}/sign-in")
    driver.delete_all_cookies()
    driver.get("about:blank")


def test_a_link_signs_in_once(driver: WebDriver, site: Site) -> None:
    assert driver.execute_script("return navigator.language") == "C"
    link = site.link()
    sign_out(driver, site)
    driver.get(link)
    find(driver, "html[data-loaded] #account")
    sign_out(driver, site)
    driver.get(link)
    find(driver, "[role=alert]", "This sign-in link was already used")
    assert "#" not in driver.current_url


def test_an_uploaded_file_is_asked_about_and_a_mark_opens_its_source(
    driver: WebDriver, site: Site, tmp_path: Path
) -> None:
    name = driver.capabilities["browserName"]
    path = tmp_path / f"{name}.md"
    path.write_text(f"{TEXT}\nRead in {name}.\n")
    driver.get(f"{site.url}/library")
    find(driver, "html[data-loaded] #choose-files")
    driver.execute_script("return document.querySelector('#files')").send_keys(str(path))
    find(driver, "#uploads-sum", "1 of 1 file can be asked about, 1 ready")
    click(driver, "#ask-uploaded")
    question = find(driver, "html[data-loaded] #question")
    document = next(each for each in site.client.get("/v1/documents")["documents"] if each["name"] == path.name)
    content = site.client.http.get(f"/v1/documents/{document['id']}/content").text
    site.answers.events = [Delta(MARKDOWN), Checking(4), Completed(written(document, content))]
    question.send_keys("Which colour had the whale?", Keys.ENTER)
    find(driver, ".verdict", "1 of 4 statements proven")
    for level in ("Proven", "Not checked", "Not supported", "No source"):
        find(driver, ".answer .check", level)
    click(driver, ".answer .cite")
    find(driver, "#beside mark", "The whale was white.")


def test_documents_are_listed_and_found_by_name(driver: WebDriver, site: Site) -> None:
    ready_document(site.client, "# Ports\n\nNorsund has a port.\n", "norsund.md")
    ready_document(site.client, "# Ships\n\nThe Pequod sank.\n", "pequod.md")
    driver.get(f"{site.url}/library")
    find(driver, "#rows tr", "norsund")
    find(driver, "#rows tr", "pequod")
    find(driver, "#named").send_keys("norsund")
    wait_until(
        lambda: driver.execute_script("return document.querySelectorAll('#rows tr').length") == 1, what="one row"
    )
    click(driver, "#rows tr a", "Ports")
    find(driver, "main", "Norsund has a port.")


def test_the_portal_speaks_german_and_is_dark(driver: WebDriver, site: Site) -> None:
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    light = driver.execute_script(ground)
    click(driver, "#account")
    click(driver, "#preference-form label", "Dark")
    find(driver, "html[data-theme=dark]")
    assert driver.execute_script(ground) != light
    find(driver, "#preference-language").send_keys("Deutsch")
    find(driver, "html[lang=de][data-theme=dark][data-loaded]")
    find(driver, ".skip", "Zum Inhalt springen")


def test_every_page_starts(driver: WebDriver, site: Site) -> None:
    for path in (
        "/library",
        "/ask",
        "/runs",
        "/usage",
        "/keys",
        "/people",
        "/audit",
        "/sources",
        "/feedback",
        "/settings",
        "/slack",
    ):
        driver.get(f"{site.url}{path}")
        find(driver, "h1")
        find(driver, "html[data-loaded]:not([data-broken])")


@pytest.mark.parametrize("name", ["library.js", "dom.js"])
def test_a_script_that_is_not_loaded_shows_a_sentence(driver: WebDriver, site: Site, name: str) -> None:
    site.missing.add(f"/portal/assets/{name}")
    try:
        driver.get(f"{site.url}/library")
        find(driver, "[data-broken] .broken", "A part of this page could not be loaded")
    finally:
        site.missing.clear()
    click(driver, ".broken a", "Reload")
    find(driver, "html[data-loaded]:not([data-broken])")
