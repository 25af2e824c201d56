"""Many documents in the library: sorted, filtered, and one action on those that were chosen or that match."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal
from tests.support.cluster import wait_until
from tests.support.portal_pages import change_failure, files, serious, wait_for_held

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


def test_uploaded_documents_are_asked_about_and_only_failed_ones_are_offered_a_retry(
    opened: Portal, tmp_path: Path
) -> None:
    page = opened.signed_in("/library")
    page.locator("#files").set_input_files(files(tmp_path, ("ahab.md", "# Ahab"), ("pip.md", "# Pip")))
    expect(page.locator("#uploads-sum")).to_contain_text("2 of 2 files can be asked about")
    page.get_by_label("Select all on this page").check()
    retry = page.get_by_role("button", name="Retry failed", exact=True)
    expect(page.locator("#delete-chosen")).to_be_visible()
    expect(retry).to_be_hidden()
    page.locator("#files").set_input_files(files(tmp_path, ("broken.pdf", b"%PDF-1.7 nothing")))
    expect(page.locator("#uploads-sum")).to_contain_text("1 failed")
    page.get_by_label("Select all on this page").check()
    expect(retry).to_be_visible()
    page.get_by_role("link", name="Ask about them").click()
    expect(page.locator("#chips li")).to_have_count(2)


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
    page.get_by_label("Add a person or group").fill("hr")
    expect(dialog.get_by_role("option")).to_have_count(1)  # A new person of the same name is not offered.
    page.get_by_label("Add a person or group").fill("h")
    dialog.get_by_role("option", name="hr group, 1 member").click()
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("Then only the group “hr” can see them.")
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
    chosen = dialog.locator(".readers li")
    expect(chosen).to_have_text(["hr"])
    dialog.get_by_label("Add a person or group").fill("legal")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Is “legal” a person or a group?")
    expect(dialog.get_by_label("Add a person or group")).to_have_value("legal")
    assert serious(page) == []
    dialog.get_by_role("option", name="legal group, not known yet").click()
    expect(chosen).to_have_text(["hr", "legal"])
    dialog.get_by_label("Add a person or group").fill("user:ben")  # as in the API, and not chosen from the list
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("Then only ben, the group “hr”, and the group “legal” can see them.")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    assert client.get(f"/v1/documents/{plan}")["readers"] == ["group:hr", "group:legal", "user:ben"]

    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Permissions…", exact=True).click()
    expect(dialog).to_contain_text("The documents have different permissions now")
    expect(dialog.get_by_role("radio", checked=True)).to_have_count(0)
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Choose who can read them.")
    dialog.get_by_role("button", name="Cancel").click()

    page.goto(f"{opened.url}/library/{note}")
    page.get_by_role("button", name="Permissions…").click()
    dialog.get_by_label("Only these people and groups").check()
    dialog.get_by_label("Add a person or group").fill("ann")
    page.keyboard.press("Enter")
    dialog.get_by_label("Add a person or group").fill("team:hr")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("“team:hr” is not a person or group.")
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
    for reader in ("user:ann", "group:hr"):
        page.get_by_label("Add a person or group").fill(reader)
        page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    expect(page.locator("#access")).to_contain_text("Only ann and the group “hr” can read this.")
    page.get_by_text("Details", exact=True).click()
    expect(page.locator("#facts")).to_contain_text("ann and the group “hr”")
    assert serious(page) == []
    (broken,) = sent(client, ("broken.pdf", b"%PDF-1.7 nothing"))
    change_failure(service[0], broken, "internal_error")
    page.goto(f"{opened.url}/library/{broken}")
    before = client.get(f"/v1/documents/{broken}")["version"]
    page.get_by_role("button", name="Try again").click()
    wait_until(lambda: client.get(f"/v1/documents/{broken}")["version"] != before, what="it is tried again")
    expect(page.locator("#notices .bad")).to_contain_text("The same file would fail again.")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_file_at_fault_is_replaced_and_what_may_pass_is_tried_again(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    services, client = service
    broken, unlucky = sent(client, ("broken.pdf", b"%PDF-1.7 nothing"), ("unlucky.pdf", b"%PDF-1.7 no"))
    change_failure(services, unlucky, "internal_error")
    page = opened.signed_in("/library")
    row = page.locator(f"tr[data-id='{broken}']")
    expect(row.get_by_role("button", name="Retry broken.pdf")).to_have_count(0)
    expect(row.locator(".failure")).to_contain_text("The same file would fail again.")
    expect(page.get_by_role("button", name="Retry unlucky.pdf")).to_be_visible()
    expect(page.get_by_role("button", name="Replace unlucky.pdf")).to_have_count(0)
    row.get_by_role("button", name="Actions for broken.pdf").click()
    expect(page.get_by_role("menuitem", name="Retry")).to_have_count(0)
    page.keyboard.press("Escape")
    assert serious(page) == []
    (good,) = files(tmp_path, ("mended.txt", "The mended anchor."))
    with page.expect_file_chooser() as chooser:
        row.get_by_role("button", name="Replace broken.pdf").click()
    chooser.value.set_files(good)
    expect(row).to_contain_text("Ready")
    expect(row).to_contain_text("mended.txt")
    expect(page.locator("#rows tr")).to_have_count(2)
    assert client.get(f"/v1/documents/{broken}")["state"] == "ready"
    page.goto(f"{opened.url}/library/{unlucky}")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_file_that_is_here_already_says_under_which_name(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    sent(service[1], ("annual report.txt", b"The report of the year."))
    page = opened.signed_in("/library")
    expect(page.locator("#rows tr")).to_have_count(1)
    same = files(tmp_path, ("copy.txt", "The report of the year."), ("annual report.txt", "The report of the year."))
    page.set_input_files("#files", same)
    line = page.locator("#upload-list li", has_text="copy.txt")
    expect(line).to_contain_text("Already in “default” as “annual report.txt”, so not added again")
    expect(page.locator("#upload-list li", has_text="annual report.txt").last).to_contain_text("so not added again")
    expect(page.locator("#rows tr")).to_have_count(1)
    assert serious(page) == []


def test_a_row_and_a_page_say_who_can_read_a_document_and_an_admin_checks_it(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    for name, groups in (("ann", ["management"]), ("bea", [])):
        services.accounts.users.create("default", name, groups)
    (plan,) = sent(client, ("plan.txt", b"A plan."))

    def let_read(*readers: str) -> None:
        body = {"readers": readers}
        client.http.patch(f"/v1/documents/{plan}", json=body, headers={"If-Match": "*"}).raise_for_status()

    for readers, words in (
        (("group:management",), "Group management"),
        (("user:bea", "user:ann", "group:management"), "2 people and 1 group"),
        (("user:bea",), "bea"),
        ((), "Nobody"),
        (("group:management",), "Group management"),
    ):
        let_read(*readers)
        page = opened.signed_in("/library")
        expect(page.locator("#rows td.permissions")).to_have_text(words)
    page.goto(f"{opened.url}/library/{plan}")
    expect(page.locator("#access")).to_contain_text("Only the group “management” can read this.")
    page.get_by_role("button", name="Check a person…").click()
    dialog = page.get_by_role("dialog")
    for person, verdict in (
        ("ann", "Yesann belongs to the group “management”."),
        ("bea", "Nobea is not on the list, and in no group that is on it."),
    ):
        dialog.get_by_label("Person").fill(person)
        page.keyboard.press("Enter")
        expect(dialog.locator(".notice")).to_have_text(verdict)
    assert serious(page) == []
    dialog.get_by_label("Person").fill("zoe")
    dialog.get_by_role("button", name="Check").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
