"""Usage, keys, people and the audit log, in a real browser over a real service."""

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Scope
from ingest.storage.db.database import write_transaction
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.quotas.rows import add_usage
from tests.support.browser import Portal, portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

PAGES = ("/usage", "/keys", "/people", "/sources", "/audit", "/feedback", "/settings", "/slack")
HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>" + "N" * 110


def dialog_of(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


def spent(services: Services, key_id: str, **amounts: int) -> None:
    """Usage of today, as work that has ended charges it."""
    engine = services.documents.catalog._engine
    day = time.strftime("%Y-%m-%d", time.gmtime())
    with write_transaction(engine) as connection:
        add_usage(connection, Account(DEFAULT_TENANT, key_id), day, **amounts)


def test_usage_shows_what_was_used_by_day_and_key_and_what_is_left(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "nightly upload")
    spent(services, key.id, answers=3, runs=1, prompt_tokens=4000, completion_tokens=500, nanodollars=2_500_000_000)
    spent(services, "", answers=1, prompt_tokens=100)
    services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 10_000})
    client.http.post("/v1/documents", params={"name": "a.txt", "collection": "ships"}, content=b"A ship.")
    page = opened.signed_in("/usage")
    expect(page.locator("#quotas")).to_contain_text("5,400 of 10,000 remaining today")
    expect(page.locator("#quotas")).to_contain_text("shared by the organisation")
    expect(page.locator("#quotas")).to_contain_text("resets")
    expect(page.locator("#sums")).to_contain_text("5 questions · 4,600 tokens · $2.50")
    expect(page.locator("#how")).to_contain_text("Days in UTC.")
    page.get_by_label("Group by", exact=True).select_option("key")
    expect(page.locator("#rows tr", has_text="nightly upload")).to_contain_text("4,000")
    expect(page.locator("#rows tr", has_text="without a key")).to_contain_text("100")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    written = Path(waiting.value.path()).read_text().splitlines()
    assert written[1].startswith("nightly upload,4,")
    expect(page.locator("#stored tr", has_text="ships")).to_contain_text("7 B")
    expect(page.locator("#now")).to_contain_text("Language model")
    assert serious(page) == []


def test_usage_of_slack_is_shown_by_channel_where_there_is_any(
    service: tuple[Services, Client], opened: Portal
) -> None:
    page = opened.signed_in("/usage")
    expect(page.locator("#by-channel")).to_have_attribute("hidden", "")
    spent(service[0], "slack:C0QUAY", runs=2, prompt_tokens=700, nanodollars=1_000_000_000)
    page.reload()
    page.get_by_label("Group by", exact=True).select_option("channel")
    expect(page.locator("#rows tr", has_text="C0QUAY")).to_contain_text("$1.00")
    expect(page.locator("#columns")).to_contain_text("Files shared")


def test_a_key_is_made_shown_once_changed_rotated_and_revoked(opened: Portal) -> None:
    services, page = opened.services, opened.signed_in("/keys")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill("phone")
    page.get_by_role("dialog").get_by_label("Ask").check()
    page.get_by_label("Expires", exact=True).select_option("30")
    dialog_of(page, "Create key")
    secret = page.locator(".secret").input_value()
    made = services.keys.authenticate(secret)
    assert made is not None
    assert made.scopes == {Scope.READ, Scope.ASK}
    assert made.expires_at is not None
    page.keyboard.press("Escape")
    expect(page.locator(".secret")).to_be_visible()
    dialog_of(page, "Done")
    row = page.locator("#rows tr", has_text="phone")
    expect(row).to_contain_text("read, ask")
    assert secret not in page.content()
    row.get_by_role("button", name="Change").click()
    page.get_by_role("dialog").get_by_label("Ask").uncheck()
    dialog_of(page, "Save")
    expect(row).not_to_contain_text("ask")
    row.get_by_role("button", name="Rotate").click()
    page.get_by_label("The old key expires").select_option("0")
    dialog_of(page, "Rotate")
    rotated = page.locator(".secret").input_value()
    dialog_of(page, "Done")
    assert services.keys.authenticate(secret) is None
    successor = services.keys.authenticate(rotated)
    assert successor is not None
    expect(row).to_contain_text(str(successor.key_id))  # until then it is the row of the old one
    row.get_by_role("button", name="Revoke").click()
    dialog_of(page, "Revoke")
    expect(row).to_have_count(0)
    assert services.keys.authenticate(rotated) is None
    page.get_by_label("Show revoked and expired keys").check()
    expect(row).to_have_count(2)
    assert serious(page) == []


def test_a_person_is_added_signs_in_by_the_link_and_is_signed_out_and_removed(opened: Portal) -> None:
    page = opened.signed_in("/people")
    expect(page.locator("#empty")).to_contain_text("Nobody yet")
    page.get_by_role("button", name="Add person").click()
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill("ann")
    page.get_by_role("dialog").get_by_label("Groups").fill("hr, captains")
    dialog_of(page, "Add person")
    page.get_by_label("Read and ask", exact=False).first.check()
    expect(page.get_by_role("dialog")).to_contain_text("This replaces their earlier permissions everywhere.")
    dialog_of(page, "Create link")
    link = page.locator(".secret").input_value()
    dialog_of(page, "Done")
    row = page.locator("#rows tr", has_text="ann")

    def act(text: str) -> None:
        row.get_by_role("button", name="Actions for ann").click()
        page.get_by_role("menuitem", name=text).click()

    expect(row).to_contain_text("read, ask")
    expect(page.locator("#groups")).to_contain_text("captains 1")
    with opened.somebody_else(link) as hers:
        expect(hers.locator("#account")).to_have_text("ann")
        expect(hers.get_by_role("link", name="Manage")).to_have_count(0)
        page.reload()
        expect(row).to_contain_text("in 1 browser")
        expect(row.locator("[data-label='Signed in']")).to_contain_text("last seen")
        act("Groups…")
        page.get_by_role("dialog").get_by_label("Groups").fill("captains")
        dialog_of(page, "Save")
        expect(row).not_to_contain_text("hr")
        act("Sign out")
        dialog_of(page, "Sign out")
        expect(row.locator("[data-label='Signed in']")).to_have_text("no")
        hers.goto(f"{opened.url}/library")
        hers.wait_for_url("**/sign-in?to=%2Flibrary")
    act("Remove")
    dialog_of(page, "Remove")
    expect(page.locator("#empty")).to_contain_text("Nobody yet")
    assert serious(page) == []


@pytest.mark.parametrize("width", [1440, 360])
def test_the_table_of_people_needs_no_sideways_scrolling(
    service: tuple[Services, Client], opened: Portal, width: int
) -> None:
    users = service[0].accounts.users
    for name, groups in (("anneliese.schneider@example.org", ["management", "board", "works council"]), ("ben", [])):
        users.create(DEFAULT_TENANT, name, groups)
        service[0].keys.issue_key(DEFAULT_TENANT, "portal", user=name)
    page = opened.signed_in("/people")
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("#rows tr")).to_have_count(2)
    for place in ("#table", "html"):
        assert page.locator(place).evaluate("each => each.scrollWidth <= each.clientWidth"), place
    expect(page.get_by_role("button", name="Actions for ben")).to_be_visible()


def test_roles_on_a_collection_are_given_and_taken_away(service: tuple[Services, Client], opened: Portal) -> None:
    services, client = service
    client.http.post("/v1/documents", params={"name": "a.txt", "collection": "plans"}, content=b"A plan.")
    page = opened.signed_in("/people")
    place = page.locator("details.collection", has_text="plans")
    expect(place).to_contain_text("open to everybody")
    place.locator("summary").click()
    place.get_by_role("button", name="Give a role").click()
    expect(page.get_by_role("dialog")).to_contain_text("only administrators and those with a role")
    page.get_by_label("Name, mail address, or id of the key").fill("hr")
    dialog_of(page, "Give role")
    expect(place.locator("tr", has_text="group:hr")).to_contain_text("Reader")
    assert serious(page) == []
    place.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog")).to_contain_text("everybody can use the collection")
    dialog_of(page, "Remove")
    expect(place.locator("tbody")).to_have_count(0)
    assert services.accounts.grants.list_grants(DEFAULT_TENANT, "plans") == []


def test_an_entry_about_a_deleted_document_counts_its_versions(
    service: tuple[Services, Client], opened: Portal
) -> None:
    document = ready_document(service[1])
    service[1].http.delete(f"/v1/documents/{document['id']}").raise_for_status()
    page = opened.signed_in("/audit")
    entry = page.locator("#rows tr", has=page.get_by_text("Deleted a document", exact=True))
    expect(entry.locator(".facts-line")).to_contain_text("versions: 1")
    expect(entry.locator(".facts-line")).not_to_contain_text(document["version"])
    entry.get_by_text("Codes").click()
    expect(entry.locator(".codes")).to_contain_text(document["version"])


def test_the_log_is_filtered_turned_verified_and_exported(service: tuple[Services, Client], opened: Portal) -> None:
    services, _ = service
    for number in range(60):
        services.accounts.users.create(DEFAULT_TENANT, f"person {number}")
    page = opened.signed_in("/audit")
    expect(page.locator("#rows tr").first).to_contain_text("Signed in")
    expect(page.locator("#rows tr").first.locator("td").nth(1)).to_contain_text("portal")  # the name of the key
    page.get_by_label("Action").select_option("user.created")
    expect(page.locator("#rows tr")).to_have_count(50)
    expect(page.locator("#rows tr").first).to_contain_text("person 59")
    page.evaluate("for (let n = 0; n < 2; n += 1) document.getElementById('next').click()")  # as a double click does
    expect(page.locator("#page")).to_have_text("Page 2")
    expect(page.locator("#rows tr")).to_have_count(10)
    page.wait_for_timeout(300)  # longer than typing is waited for: choosing an action is no typing
    expect(page.locator("#rows tr")).to_have_count(10)
    page.get_by_label("Person or key").fill("nobody at all")
    expect(page.locator("#empty")).to_contain_text("No entries")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#rows tr")).to_have_count(50)
    page.get_by_label("Action").select_option("user.created")
    expect(page.locator("#export")).to_have_attribute("href", "/v1/audit/export?action=user.created")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert [json.loads(line)["details"]["name"] for line in lines] == [f"person {number}" for number in range(60)]
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#verified")).to_contain_text("No entry was changed or removed")
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#verified")).to_contain_text("previous check is still there")
    assert serious(page) == []
    with write_transaction(services.documents.catalog._engine) as connection:
        connection.exec_driver_sql("UPDATE audit SET action = 'user.deleted' WHERE sequence = 5")
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#verified")).to_contain_text("was changed after it was written")


def test_who_administers_nothing_is_offered_nothing_of_it(opened: Portal) -> None:
    _, key = opened.services.keys.issue_key(DEFAULT_TENANT, "reader", scopes=[Scope.READ])
    page = opened.page()
    page.goto(f"{opened.url}/sign-in")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#account")
    page.get_by_role("link", name="Usage").click()
    expect(page.locator("#now")).to_contain_text("Documents")
    expect(page.get_by_role("navigation", name="Manage")).to_have_count(0)
    for path in PAGES[1:]:
        page.goto(f"{opened.url}{path}")
        expect(page.get_by_text("This page is for administrators.")).to_be_visible()
        assert serious(page) == []


def test_hostile_names_run_nothing_and_break_no_layout_from_a_phone_to_a_wall(
    service: tuple[Services, Client], browser: Browser
) -> None:
    services, client = service
    user = services.accounts.users.create(DEFAULT_TENANT, HOSTILE, [HOSTILE, "g" * 200])
    key, _ = services.keys.issue_key(DEFAULT_TENANT, HOSTILE, user=user.name)
    spent(services, key.id, answers=1, prompt_tokens=1)
    services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 10_000})
    collection = "c" * 128
    client.http.post("/v1/documents", params={"name": f"{HOSTILE}.txt", "collection": collection}, content=b"A plan.")
    client.http.put(f"/v1/collections/{collection}/grants/user:{HOSTILE[:20]}", json={"role": "reader"})
    client.create_source(HOSTILE, "web", {"url": "https://hostile.invalid/"}, collection=collection)
    for width, height in ((360, 740), (3840, 2160)):
        with portal(services, browser, viewport={"width": width, "height": height}) as opened:
            page = opened.signed_in()
            for path in (*PAGES, "/library"):
                page.goto(f"{opened.url}{path}")
                if path == "/usage":
                    page.get_by_label("Group by", exact=True).select_option("key")
                    expect(page.locator("#rows tr", has_text="<img")).to_have_count(1)
                elif path in ("/feedback", "/settings", "/slack"):
                    expect(page.locator("main")).to_contain_text("No feedback" if path == "/feedback" else "LEADLINE_")
                elif path == "/people":
                    page.locator("details.collection summary").click()
                    expect(page.locator("details.collection td").first).to_be_visible()
                    expect(page.locator("#rows tr", has_text="<img")).to_have_count(1)
                    page.get_by_role("button", name="Sign-in link").click()
                    expect(page.get_by_role("dialog")).to_contain_text("<img")
                else:
                    expect(page.locator("#rows tr", has_text="NNNNNNNN").first).to_be_visible()
                page.wait_for_load_state("networkidle")
                assert page.evaluate("document.title").startswith("pwned") is False
                assert page.evaluate("document.querySelectorAll('main :is(script, style, img, iframe)').length") == 0
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide <= 0, (path, width)
                assert serious(page) == [], (path, width)
