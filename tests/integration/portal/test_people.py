"""People who signed in with an identity provider, in a real browser over a real service: names in place of ids."""

import csv
import io
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Principal, Profile, Role, Scope
from ingest.storage.answers.feedback_records import Rating, Verdict
from tests.support.browser import Portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


def sign_in(services: Services, name: str, mail: str | None = None, *, is_verified: bool = True) -> Principal:
    """Store a person as a sign-in with the provider does."""
    profile = Profile(name, mail, is_verified)
    scopes = frozenset({Scope.READ, Scope.ASK})
    user, groups = str(uuid4()), frozenset({"lawyers"})
    person = Principal(DEFAULT_TENANT, None, name, user=user, groups=groups, scopes=scopes, profile=profile)
    services.accounts.people.record_sign_in(person, groups_seconds=3600)
    return person


def test_pages_show_the_names_of_people_and_not_their_ids(service: tuple[Services, Client], opened: Portal) -> None:
    services, client = service
    eve, bob = (
        sign_in(services, "Eve Adams", "eve@example.org"),
        sign_in(services, "Bob <b>", "b@x.org", is_verified=False),
    )
    document = ready_document(client)
    readers = {"readers": [f"user:{eve.user}"]}
    client.http.patch(f"/v1/documents/{document['id']}", json=readers, headers={"If-Match": "*"})
    services.accounts.grants.grant_role(DEFAULT_TENANT, "contracts", f"user:{bob.user}", Role.READER)
    page = opened.signed_in("/library")
    expect(page.locator("#rows .permissions")).to_have_text("Eve Adams")
    page.goto(f"{opened.url}/library/{document['id']}")
    expect(page.locator("#access")).to_contain_text("Only Eve Adams can read this.")
    page.goto(f"{opened.url}/audit")
    facts = page.locator("#rows .facts-line").filter(has_text="readers")
    expect(facts).to_contain_text("everyone who can see the collection before, Eve Adams now")
    page.goto(f"{opened.url}/people")
    expect(page.locator("#provided tr")).to_have_count(2)
    expect(page.locator("#provided .named")).to_have_text(["Bob <b>b@x.org (not verified)", "Eve Adamseve@example.org"])
    expect(page.locator("#groups")).to_contain_text("lawyers 2")
    page.get_by_label("Find a person").fill("eve@")
    expect(page.locator("#provided .named")).to_have_text(["Eve Adamseve@example.org"])
    page.locator("#collections summary").filter(has_text="contracts").click()
    expect(page.locator("#collections tbody td").first).to_contain_text("Bob <b>")
    assert serious(page) == []
    assert opened.said == []


def test_feedback_names_its_author_on_the_page_and_in_the_export(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    eve = sign_in(services, "Eve Adams", "eve@example.org")
    ready_document(client)
    asked = client.post("/v1/answers", {"question": "Which colour had the whale?", "conversation": "new"})
    services.answers.feedback.record_feedback(DEFAULT_TENANT, asked["id"], eve.owner, Verdict(Rating.UP), owner=None)
    page = opened.signed_in("/feedback")
    expect(page.locator("#rows > li")).to_contain_text("Eve Adams")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export (CSV)").click()
    (row,) = csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text()))
    assert (row["author"], row["author_name"]) == (f"user:{eve.user}", "Eve Adams")


def test_the_portal_suggests_people_by_name_and_address_and_tells_namesakes_apart(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    eve = sign_in(services, "Eve Adams", "eve@example.org")
    other = sign_in(services, "Eve Adams", "adams@example.org")
    for at in range(100):  # more than the first suggestions
        sign_in(services, f"Abel {at}")
    document = ready_document(client)
    page = opened.signed_in(f"/library/{document['id']}")
    page.get_by_role("button", name="Permissions").click()
    page.get_by_label("Only these people and groups").check()
    field = page.get_by_role("combobox")
    field.fill("Eve Adams")
    options = page.locator("#found-readers").get_by_role("option")
    expect(options.filter(has_text="@example.org")).to_have_count(2)
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#readers-wrong")).to_contain_text("Choose it from the list")
    options.filter(has_text="adams@example.org").click()
    field.fill("eve@")
    options.filter(has_text="eve@example.org").click()
    expect(page.locator(".readers .name")).to_have_text(["Eve Adams", "Eve Adams"])
    page.get_by_role("button", name="Remove Eve Adams").last.click()
    assert serious(page) == []
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#access")).to_contain_text("Only Eve Adams can read this.")
    assert client.get(f"/v1/documents/{document['id']}")["readers"] == [f"user:{other.user}"]
    assert eve.user != other.user


def test_an_administrator_gives_a_role_by_mail_address(service: tuple[Services, Client], opened: Portal) -> None:
    services, client = service
    eve = sign_in(services, "Eve Adams", "eve@example.org")
    ready_document(client)
    page = opened.signed_in("/people")
    page.locator("#collections summary").click()
    for name, shown in (("eve@example.org", "Eve Adams"), ("later", "user:later")):
        page.get_by_role("button", name="Give a role on").click()
        page.get_by_label("For", exact=True).select_option("user")
        page.get_by_label("Name, mail address, or id of the key").fill(name)
        page.get_by_role("button", name="Give role").click()
        expect(page.locator("#collections tbody")).to_contain_text(shown)
    subjects = [each.subject for each in services.accounts.grants.list_grants(DEFAULT_TENANT, "default")]
    assert subjects == sorted([f"user:{eve.user}", "user:later"])
