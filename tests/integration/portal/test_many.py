"""Many documents in the library: sorted, filtered, and one action on those that were chosen or that match."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal
from tests.support.cluster import wait_until
from tests.support.portal_pages import serious, wait_for_held

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

BUSY = {"accepted", "parsing", "chunking", "indexing", "searchable", "embedding"}
MANY = 53


def sent(client: Client, *files: tuple[str, bytes]) -> list[str]:
    ids = [client.http.post("/v1/documents", params={"name": name}, content=body).json()["id"] for name, body in files]
    wait_until(lambda: not BUSY & set(client.get("/v1/status")["documents"]), what="all have ended")
    return ids


def first_rows(page: Page, *names: str) -> None:
    for at, name in enumerate(names):
        expect(page.locator("#rows tr").nth(at)).to_contain_text(name)


def test_documents_are_sorted_by_their_columns_and_pages_say_where_they_are(
    service: tuple[Services, Client], opened: Portal
) -> None:
    files = [(f"note {number}.txt", b"x" * (number + 1) + b" y") for number in range(MANY)]
    sent(service[1], *files, ("broken.pdf", b"%PDF-1.7 nothing"))
    page = opened.signed_in("/library")
    expect(page.locator("#page")).to_have_text("1 to 50 of 54")
    page.get_by_role("button", name="Document", exact=True).click()
    first_rows(page, "broken.pdf", "note 0.txt", "note 1.txt", "note 2.txt")
    expect(page.locator("th[aria-sort='ascending']")).to_have_text("Document")
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("#page")).to_have_text("51 to 54 of 54")
    first_rows(page, "note 49.txt", "note 50.txt")
    page.get_by_role("button", name="Previous page").click()
    page.get_by_role("button", name="Document", exact=True).click()
    first_rows(page, "note 52.txt", "note 51.txt")
    page.get_by_role("button", name="Size", exact=True).click()
    first_rows(page, "note 52.txt", "note 51.txt")
    page.get_by_role("button", name="Status", exact=True).click()
    first_rows(page, "broken.pdf")
    page.get_by_label("Type").select_option("application/pdf")
    expect(page.locator("#rows tr")).to_have_count(1)
    assert serious(page) == []


def test_all_that_match_are_deleted_after_it_is_said_what_goes(
    service: tuple[Services, Client], opened: Portal
) -> None:
    sent(service[1], *((f"draft {number}.txt", f"Draft {number}.".encode()) for number in range(MANY)), ("k.txt", b"K"))
    page = opened.signed_in("/library")
    expect(page.locator("#chosen")).to_be_hidden()
    page.get_by_label("Search the library").fill("draft")
    expect(page.locator("#page")).to_have_text("1 to 50 of 53")
    page.get_by_label("Select all on this page").check()
    expect(page.locator("#chosen-count")).to_have_text("50 documents selected")
    page.get_by_role("button", name="Select all 53 that match").click()
    expect(page.locator("#chosen-count")).to_have_text("All 53 documents that match are selected")
    page.get_by_role("button", name="Delete", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("53 documents (467 B) are deleted permanently")
    expect(dialog).to_contain_text("53 passages")
    assert serious(page) == []
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#chosen-count")).to_have_text("All 53 documents that match are selected")
    page.get_by_role("button", name="Delete", exact=True).first.click()
    dialog.get_by_role("button", name="Delete 53 documents").click()
    expect(page.locator("#empty")).to_contain_text("Nothing matches", timeout=120_000)
    page.get_by_role("button", name="Show all documents").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    first_rows(page, "k.txt")


def test_no_row_moves_when_the_first_document_is_selected(service: tuple[Services, Client], opened: Portal) -> None:
    sent(service[1], *((f"note {number}.txt", f"Note {number}.".encode()) for number in range(30)))
    page = opened.signed_in("/library")
    expect(page.locator("#rows tr")).to_have_count(30)
    first, second = (page.locator("#rows input").nth(at) for at in (0, 1))
    places = [each.bounding_box() for each in (first, second)]
    for place in places:
        assert place is not None
        page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(page.locator("#chosen-count")).to_have_text("2 documents selected")
    expect(page.get_by_role("link", name="Ask about these")).to_be_in_viewport()
    assert [each.bounding_box() for each in (first, second)] == places
    page.locator("#rows input").last.focus()
    last, bar = page.locator("#rows input").last.bounding_box(), page.locator("#chosen").bounding_box()
    assert last is not None
    assert bar is not None
    assert last["y"] + last["height"] <= bar["y"]
    assert serious(page) == []


def test_rows_of_the_filter_before_cannot_be_selected_while_the_new_ones_are_loading(
    service: tuple[Services, Client], opened: Portal
) -> None:
    sent(service[1], ("anchor.txt", b"An anchor."), ("buoy.txt", b"A buoy."))
    page = opened.signed_in("/library")
    expect(page.locator("#rows tr")).to_have_count(2)
    held: list[Route] = []
    page.route(re.compile("named=buoy"), lambda route: held.append(route))
    page.get_by_label("Search the library").fill("buoy")
    wait_for_held(page, held, 1)
    row = page.locator("#rows tr", has_text="anchor.txt")
    place = row.locator("input").bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(page.locator("#pick-all")).to_be_disabled()
    expect(row.locator("input")).not_to_be_checked()
    expect(page.locator("#chosen")).to_be_hidden()
    held[0].continue_()
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_label("Select all on this page").check()
    expect(page.locator("#chosen-count")).to_have_text("1 document selected")


def test_the_collection_for_uploads_is_remembered(service: tuple[Services, Client], opened: Portal) -> None:
    service[1].http.post("/v1/collections", json={"name": "contracts", "title": "Contracts"}).raise_for_status()
    page = opened.signed_in("/library")
    page.locator("#into").select_option("contracts")
    page.goto(f"{opened.url}/ask")
    page.goto(f"{opened.url}/library")
    expect(page.locator("#into")).to_have_value("contracts")
    page.get_by_text("Contracts (0)").wait_for(state="attached")  # the collections have come
    expect(page.locator("#into")).to_have_value("contracts")
    service[1].http.delete("/v1/collections/contracts")
    page.reload()
    expect(page.locator("#into")).to_have_value("default")


def test_what_failed_is_tried_again_and_who_may_see_the_chosen_is_changed(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    services.accounts.users.create("default", "eve", ["hr"])
    broken, note = sent(client, ("broken.pdf", b"%PDF-1.7 nothing"), ("note.txt", b"A note."))
    page = opened.signed_in("/library")
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Retry failed").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 document that failed is read again")
    expect(dialog).to_contain_text("1 other did not fail")
    before, held = client.get(f"/v1/documents/{broken}")["version"], list[Route]()
    opened.context.route("**/v1/documents?*", lambda route: held.append(route))
    dialog.get_by_role("button", name="Retry").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Select note.txt")).not_to_be_checked()  # before the list has come
    wait_for_held(page, held, 1)
    held[0].continue_()
    opened.context.unroute("**/v1/documents?*")
    wait_until(lambda: client.get(f"/v1/documents/{broken}")["version"] != before, what="it is tried again")
    page.get_by_label("Select note.txt").check()
    page.get_by_role("button", name="Permissions…", exact=True).click()
    page.get_by_label("Only these people and groups").check()
    page.get_by_label("Add a person or group").fill("group:hr")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("Then only group:hr and administrators can see them.")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    assert client.get(f"/v1/documents/{note}")["readers"] == ["group:hr"]


def test_permissions_show_the_present_readers_and_take_each_entry_that_was_typed(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    plan, note = sent(client, ("plan.txt", b"A plan."), ("note.txt", b"A note."))
    client.http.patch(f"/v1/documents/{plan}", json={"readers": ["group:hr"]}, headers={"If-Match": "*"})
    page = opened.signed_in("/library")
    dialog = page.get_by_role("dialog")

    page.get_by_role("button", name="Actions for plan.txt").click()
    page.get_by_role("menuitem", name="Permissions…").click()
    expect(dialog.get_by_label("Only these people and groups")).to_be_checked()
    expect(dialog.get_by_label("People and groups, one per line")).to_have_value("group:hr")
    dialog.get_by_label("Add a person or group").fill("legal")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Is “legal” a group or a person?")
    expect(dialog.get_by_label("Add a person or group")).to_have_value("legal")
    assert serious(page) == []
    dialog.get_by_role("button", name="group:legal").click()
    expect(dialog.get_by_label("People and groups, one per line")).to_have_value("group:hr\ngroup:legal")
    dialog.get_by_label("Add a person or group").fill("user:ben")  # without "Add"
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("Then only group:hr, group:legal, user:ben and administrators can see them.")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    assert client.get(f"/v1/documents/{plan}")["readers"] == ["group:hr", "group:legal", "user:ben"]

    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Permissions…", exact=True).click()
    expect(dialog).to_contain_text("The documents have different permissions now")
    expect(dialog.get_by_role("radio", checked=True)).to_have_count(0)
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Choose who can see them.")
    dialog.get_by_role("button", name="Cancel").click()

    page.goto(f"{opened.url}/library/{note}")
    page.get_by_role("button", name="Permissions…").click()
    dialog.get_by_label("Only these people and groups").check()
    dialog.get_by_label("People and groups, one per line").fill("ann")
    dialog.get_by_role("button", name="Change").click()
    dialog.get_by_role("button", name="user:ann").click()
    dialog.get_by_label("Add a person or group").fill("team:hr")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Write user:NAME or group:NAME.")
    dialog.get_by_label("Add a person or group").fill("group:hr")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    assert client.get(f"/v1/documents/{note}")["readers"] == ["group:hr", "user:ann"]


def test_a_documents_page_lists_versions_tries_again_and_says_who_may_see_it(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    (note,) = sent(client, ("note.txt", b"A note."))
    client.http.put(f"/v1/documents/{note}", content=b"Another note.", headers={"If-Match": "*"})
    wait_until(lambda: client.get(f"/v1/documents/{note}")["state"] == "ready", what="it is replaced")
    page = opened.signed_in(f"/library/{note}")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    page.get_by_text("Versions", exact=True).click()
    expect(page.locator("#versions tbody tr")).to_have_count(2)
    expect(page.locator("#versions tbody tr").first).to_contain_text("searches find this one")
    page.get_by_role("button", name="Permissions…").click()
    page.get_by_label("Only these people and groups").check()
    page.get_by_label("People and groups, one per line").fill("user:ann\ngroup:hr")
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    page.get_by_text("Details", exact=True).click()
    expect(page.locator("#facts")).to_contain_text("group:hr, user:ann")
    assert serious(page) == []
    (broken,) = sent(client, ("broken.pdf", b"%PDF-1.7 nothing"))
    page.goto(f"{opened.url}/library/{broken}")
    before = client.get(f"/v1/documents/{broken}")["version"]
    page.get_by_role("button", name="Try again").click()
    wait_until(lambda: client.get(f"/v1/documents/{broken}")["version"] != before, what="it is tried again")
    expect(page.locator("#notices .bad")).to_be_visible()
