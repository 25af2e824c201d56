"""Sources in the portal, in a real browser: from nothing to a source that is checked, saved, paused and removed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from api.client import Client
from tests.support.browser import Portal, portal
from tests.support.portal_pages import serious
from tests.support.service import running
from tests.support.web_server import WebServer, open_web_server

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


@pytest.fixture
def site() -> Iterator[WebServer]:
    with open_web_server() as server:
        server.pages["/files/"] = server.list_links
        server.write("whale.txt", b"The whale was white.")
        server.write("ship.txt", b"The ship was called Pequod.")
        yield server


@pytest.fixture
def service_and_page(tmp_path: Path, browser: Browser) -> Iterator[tuple[Client, Portal]]:
    with (
        running(tmp_path / "home", webhook_networks="127.0.0.1/32") as (services, client),
        portal(services, browser) as made,
    ):
        yield client, made


def test_a_source_is_checked_added_paused_and_removed(service_and_page: tuple[Client, Portal], site: WebServer) -> None:
    client, opened = service_and_page
    page = opened.signed_in("/sources")
    expect(page.get_by_role("heading", name="No sources yet")).to_be_visible()
    page.get_by_role("button", name="Add source").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Papers")
    dialog.get_by_label("Kind").select_option("web")
    dialog.get_by_label("Url", exact=True).fill(f"{site.url}/nothing/")
    assert serious(page) == []
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("The source could not be read. Correct the options, or save it anyway.")).to_be_visible()
    assert client.sources().sources == []
    dialog.get_by_label("Url", exact=True).fill(f"{site.url}/files/")
    dialog.get_by_text("More options").click()
    dialog.get_by_label("Include").fill("*.txt")
    dialog.get_by_role("button", name="Check").click()
    expect(dialog.get_by_role("status")).to_contain_text("whale.txt")
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("#rows tr")
    expect(row).to_contain_text("PapersWeb site · into default")
    (source,) = client.sources().sources
    assert source.options == {"url": f"{site.url}/files/", "include": ["*.txt"]}
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="Pause").click()
    expect(row).to_contain_text("paused")
    assert client.source(source.id).paused
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="History").click()
    expect(page.get_by_role("dialog")).to_contain_text("History of Papers")
    assert serious(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="Remove").click()
    page.get_by_label("Documents").select_option("remove")
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="No sources yet")).to_be_visible()
    assert client.sources().sources == []
