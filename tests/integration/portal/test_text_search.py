"""The library's search in the text of documents, and questions about selected documents."""

import pytest
from playwright.sync_api import expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

LEASE = "# Lease\n\n## Term\n\nThe harbour lease ends on 4 May 2027.\n\n## Rent\n\nThe rent is due every quarter.\n"


def test_passages_are_found_by_their_words_with_their_place_and_open_at_the_span(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    client.create_collection("law", title="Legal affairs")
    lease = ready_document(client, LEASE, "lease.md")
    client.change_document(lease["id"], collection="law")
    ready_document(client, "Amber was sold in the harbour.", "amber.txt")
    page = opened.signed_in("/library")
    page.get_by_text("In the text", exact=True).click()
    expect(page.locator("#passages-empty")).to_contain_text("Type words or a question")
    page.get_by_label("Search the library").fill("when do leases end")
    first = page.locator(".passage").first
    expect(first).to_contain_text("The harbour lease ends on 4 May 2027.")
    expect(first.locator("mark")).to_have_text(["lease", "ends"])
    expect(first).to_contain_text("Term")
    expect(first).to_contain_text("Legal affairs")
    expect(page.locator("#table")).to_be_hidden()
    assert serious(page) == []
    page.keyboard.press("ArrowDown")
    expect(first.locator("a.title")).to_be_focused()
    page.locator("#in-collection").select_option("default")
    expect(page.locator(".passage").first).to_contain_text("Amber")
    expect(page.locator(".passage", has_text="lease")).to_have_count(0)
    page.locator("#in-collection").select_option("law")
    expect(first).to_contain_text("The harbour lease ends")
    page.reload()
    expect(page.get_by_label("Search the library")).to_have_value("when do leases end")
    expect(first.get_by_role("link", name="Ask about Lease")).to_have_attribute("href", f"/ask?document={lease['id']}")
    first.get_by_role("link", name="Open Lease at this passage").click()
    expect(page.locator("#text mark", has_text="The harbour lease ends")).to_be_visible()


def test_passages_are_shown_some_at_a_time_and_an_empty_result_names_the_next_step(
    service: tuple[Services, Client], opened: Portal
) -> None:
    for number in range(12):
        ready_document(service[1], f"Amber of ship {number}.", f"ship {number}.txt")
    page = opened.signed_in("/library?text=amber")
    expect(page.locator(".passage")).to_have_count(10)
    expect(page.locator("#passages-page")).to_have_text("1 to 10 of 12")
    page.locator("#passages-next").click()
    expect(page.locator(".passage")).to_have_count(2)
    expect(page.locator(".passage a.title").first).to_be_focused()
    page.get_by_text("Names", exact=True).click()
    expect(page.locator("#empty")).to_contain_text("Nothing matches")
    page.get_by_role("button", name="Search in the text instead").click()
    expect(page.locator(".passage")).to_have_count(10)
    page.get_by_label("Search the library").fill("ship 3")
    expect(page.locator(".passage").first).to_contain_text("Amber of ship 3.")
    page.get_by_text("Names", exact=True).click()
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_role("button", name="Search for “ship 3” in the text").click()
    expect(page.locator(".passage").first).to_contain_text("Amber of ship 3.")


def test_a_library_without_a_match_in_its_text_leads_back_to_names(opened: Portal) -> None:
    page = opened.signed_in("/library?text=whale")
    expect(page.locator("#passages-empty")).to_contain_text("Nothing in the text matches")
    page.get_by_role("button", name="Search names instead").click()
    expect(page.locator("#in-names")).to_be_checked()


def test_questions_are_asked_about_selected_documents_or_a_whole_collection(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    client.create_collection("law")
    ids = [
        client.http.post(
            "/v1/documents", params={"name": f"{number}.txt", "collection": "law"}, content=f"Ship {number}".encode()
        ).json()["id"]
        for number in range(101)
    ]
    page = opened.signed_in("/library?order=oldest")
    for name in ("0.txt", "1.txt"):
        page.get_by_label(f"Select {name}", exact=True).check()
    link = page.get_by_role("link", name="Ask about these")
    expect(link).to_have_attribute("href", f"/ask?document={ids[0]}&document={ids[1]}")
    page.get_by_role("button", name="Clear selection").click()
    expect(page.locator("#chosen")).to_be_hidden()
    for _ in range(3):
        page.get_by_label("Select all on this page").check()
        if page.locator("#next").is_enabled():
            first = page.locator("#rows tr").first.get_attribute("data-id")
            page.locator("#next").click()
            expect(page.locator("#rows tr").first).not_to_have_attribute("data-id", str(first))
    expect(page.locator("#chosen-count")).to_have_text("101 documents selected")
    expect(page.locator("#ask-limit")).to_contain_text("You can ask about up to 100 selected documents")
    expect(link).to_be_hidden()
    page.locator("#in-collection").select_option("law")
    expect(page.locator("#rows tr")).to_have_count(50)  # the last page, with one document, is no longer shown
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Select all 101 that match").click()
    expect(page.get_by_role("link", name="Ask about this collection")).to_have_attribute("href", "/ask?collection=law")
    assert "collection=law" in page.url
