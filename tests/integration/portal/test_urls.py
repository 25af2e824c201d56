"""A web page is added to the library by its address, in a real browser and from a real web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import Portal, portal
from tests.support.portal_pages import serious
from tests.support.service import running
from tests.support.web_server import open_web_server

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

PAGE = "<!DOCTYPE html><title>The whale</title><main><h1>The whale</h1><p>The whale was white, and swam.</p></main>"


@pytest.fixture
def opened(tmp_path: Path, browser: Browser) -> Iterator[Portal]:
    with (
        running(tmp_path / "home", webhook_networks="127.0.0.1/32") as (services, _),
        portal(services, browser) as made,
    ):
        yield made


def test_an_address_becomes_a_document_or_the_reason_is_shown(opened: Portal) -> None:
    with open_web_server() as site:
        site.add("/whale", PAGE)
        page = opened.signed_in("/library")
        page.get_by_role("button", name="Web page").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Address").fill(f"{site.url}/shark")
        dialog.get_by_role("button", name="Add").click()
        expect(dialog.get_by_role("alert")).to_contain_text("There is no page at")
        expect(dialog.get_by_role("alert")).to_contain_text("Check the address.")
        assert serious(page) == []
        dialog.get_by_label("Address").fill(f"{site.url}/whale")
        dialog.get_by_role("button", name="Add").click()
        expect(dialog).to_have_count(0)
        expect(page.locator("#rows tr")).to_contain_text("The whale")
    assert [each for each in opened.said if "422" not in each] == []
