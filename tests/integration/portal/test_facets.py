"""The facets of the library and the card of a document, in a real browser over a real service."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


def add(client: Client, name: str, **card: Any) -> str:  # noqa: ANN401 - fields
    document = ready_document(client, f"# {name}\n\nThis is {name}.\n", f"{name}.md")["id"]
    client.change_card(document, **card)
    return str(document)


@pytest.fixture
def filled(service: tuple[Services, Client]) -> Client:
    client = service[1]
    add(client, "Lease", kind="contract", subjects=["Acme", "Borealis"], periods=["2022"], language="en")
    add(client, "Loan", kind="contract", subjects=["Acme"], periods=["2023-Q2"], dates=["2023-04-01"], language="en")
    add(client, "Meeting", kind="minutes", subjects=["Borealis"], periods=["2023"], language="de")
    return client


def expect_rows(page: Page, *names: str) -> None:
    expect(page.locator("#rows tr")).to_have_count(len(names))
    for name in names:
        expect(page.locator("#rows tr", has_text=name)).to_have_count(1)


def test_values_are_counted_chosen_and_kept_in_the_address(filled: Client, opened: Portal) -> None:
    page = opened.signed_in("/library")
    facets = page.get_by_role("group", name="Narrow down")
    kinds = facets.get_by_role("group", name="Kind")
    expect(kinds).to_contain_text("contract2")
    expect(facets.get_by_role("group", name="Language")).to_contain_text("German1")
    facets.get_by_label("contract").press("Space")
    expect_rows(page, "Lease", "Loan")
    expect(kinds, "another kind can be added").to_contain_text("minutes1")
    expect(facets.get_by_role("group", name="Subject")).to_contain_text("Borealis1")
    expect(facets.get_by_label("contract")).to_be_focused()
    facets.get_by_label("minutes").check()
    facets.get_by_label("Borealis").check()
    expect_rows(page, "Lease", "Meeting")
    assert page.url == f"{opened.url}/library?kind=contract&kind=minutes&subjects=Borealis"
    page.locator("#rows").get_by_role("link", name="Lease").click()
    page.wait_for_selector("#card")
    page.go_back()
    expect_rows(page, "Lease", "Meeting")
    expect(facets.get_by_label("minutes")).to_be_checked()
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Delete", exact=True).first.click()
    expect(page.get_by_role("dialog")).to_contain_text("2 documents")
    page.get_by_role("button", name="Cancel").click()
    assert serious(page) == []
    page.get_by_role("button", name="Remove all").click()
    expect_rows(page, "Lease", "Loan", "Meeting")
    assert page.url == f"{opened.url}/library"


def test_facets_are_closed_on_a_narrow_screen_and_open_by_keyboard(filled: Client, opened: Portal) -> None:
    page = opened.signed_in("/library?kind=minutes")
    page.set_viewport_size({"width": 375, "height": 800})
    page.reload()
    expect_rows(page, "Meeting")
    expect(page.locator("#facets summary")).to_be_visible()
    expect(page.get_by_label("contract")).to_be_hidden()
    page.locator("#facets summary").press("Enter")
    expect(page.get_by_label("contract")).to_be_visible()
    page.get_by_label("contract").press("Space")
    expect_rows(page, "Lease", "Loan", "Meeting")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert serious(page) == []


def test_a_card_is_changed_and_taken_back_on_the_page_of_its_document(filled: Client, opened: Portal) -> None:
    document = next(each for each in filled.documents() if each.name == "Loan.md")
    page = opened.signed_in(f"/library/{document.id}")
    card = page.get_by_role("region", name="Card")
    expect(card).to_contain_text("contract set by a person")
    card.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Periods").fill("2023-Q3\nspring")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("'spring' is not valid in periods.")
    dialog.get_by_label("Periods").fill("2023-Q3\n2023-Q4")
    dialog.get_by_label("As found in the document").first.check()
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    expect(card).to_contain_text("2023-Q3 · 2023-Q4")
    changed = filled.document(document.id).card
    assert changed is not None
    assert "kind" not in {name for name, layer in changed.origins.items() if layer == "person"}
    assert changed.fields.subjects == ["Acme"]
    assert serious(page) == []
    card.get_by_role("button", name="Edit").click()
    expect(dialog.get_by_label("Version")).to_be_visible()
    filled.change_card(document.id, version="2")
    dialog.get_by_label("Version").fill("3")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("changed")
