"""Collections in the library: created, renamed, described, deleted, and documents moved between them."""

import pytest
from playwright.sync_api import Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Role, Scope
from tests.support.browser import Portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


def open_menu(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Actions for {title}").click()


def test_a_collection_is_created_renamed_and_deleted_when_it_is_empty(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    ready_document(client)
    page = opened.signed_in("/library")
    page.get_by_role("button", name="Collections").click()
    page.get_by_role("button", name="New collection").click()
    page.get_by_label("Title").fill("Legal affairs & leases")
    expect(page.get_by_label("Short name")).to_have_value("legal-affairs-leases")
    page.get_by_label("Description").fill("Contracts of all years")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".collection-list")).to_contain_text("Contracts of all years")
    assert serious(page) == []
    open_menu(page, "Legal affairs & leases")
    page.get_by_role("menuitem", name="Rename or describe…").click()
    page.get_by_label("Title").fill("Contracts")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".collection-list")).to_contain_text("Contracts legal-affairs-leases")
    changed = client.get("/v1/collections/legal-affairs-leases")
    assert (changed["title"], changed["description"]) == ("Contracts", "Contracts of all years")
    open_menu(page, "default")
    expect(page.get_by_role("menuitem", name="Delete (move its documents first)")).to_be_disabled()
    page.keyboard.press("Escape")
    open_menu(page, "Contracts")
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog", name="Delete this empty collection?").get_by_role("button", name="Delete").click()
    expect(page.locator(".collection-list li")).to_have_count(1)
    page.get_by_role("button", name="Close", exact=True).click()
    assert client.http.get("/v1/collections/legal-affairs-leases").status_code == 404


def test_selected_documents_are_moved_and_the_list_names_their_collection_by_its_title(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    client.create_collection("law", title="Legal affairs")
    first = ready_document(client, "A lease.", "lease.txt")["id"]
    second = ready_document(client, "A note.", "note.txt")["id"]
    page = opened.signed_in("/library")
    page.get_by_label("Select lease.txt").check()
    page.get_by_role("button", name="Move…", exact=True).click()
    page.get_by_role("dialog").get_by_label("Collection").select_option(label="Legal affairs")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 document is moved. Everyone who can see the collection")
    assert serious(page) == []
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.locator("#rows tr", has_text="lease.txt")).to_contain_text("Legal affairs")
    expect(page.locator("#rows tr", has_text="note.txt")).to_contain_text("default")
    assert client.get(f"/v1/documents/{first}")["collection"] == "law"
    page.get_by_label("Collection", exact=True).last.select_option("law")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_label("Collection", exact=True).last.select_option("")
    open_menu(page, "note.txt")
    page.get_by_role("menuitem", name="Move…").click()
    expect(page.get_by_role("dialog").get_by_label("Collection").locator("option")).to_have_text(["Legal affairs"])
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.locator("#rows tr", has_text="note.txt")).to_contain_text("Legal affairs")
    assert client.get(f"/v1/documents/{second}")["collection"] == "law"


def test_files_are_uploaded_to_a_collection_that_is_created_on_the_way(
    service: tuple[Services, Client], opened: Portal
) -> None:
    page = opened.signed_in("/library")
    page.locator("#into").select_option(label="New collection…")
    page.get_by_label("Title").fill("Minutes")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#into")).to_have_value("minutes")
    page.set_input_files("#files", {"name": "may.txt", "mimeType": "text/plain", "buffer": b"Minutes of May."})
    expect(page.locator("#rows tr", has_text="may.txt")).to_contain_text("Minutes")
    assert service[1].get("/v1/documents", collection="minutes")["documents"][0]["name"] == "may.txt"


def test_nothing_is_moved_to_a_collection_in_which_somebody_may_only_read(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    for name in ("law", "tax"):
        client.create_collection(name)
    ready_document(client)
    services.accounts.users.create(DEFAULT_TENANT, "eve", [])
    services.accounts.grants.grant_role(DEFAULT_TENANT, "law", "user:eve", Role.READER)
    _, key = services.keys.issue_key(DEFAULT_TENANT, "hers", scopes=[Scope.READ, Scope.WRITE], user="eve")
    page = opened.page()
    page.goto(f"{opened.url}/sign-in?to=/library")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows tr")
    open_menu(page, "The Whale")
    page.get_by_role("menuitem", name="Move…").click()
    expect(page.get_by_role("dialog").get_by_label("Collection").locator("option")).to_have_text(["tax"])
