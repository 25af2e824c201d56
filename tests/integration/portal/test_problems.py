"""Errors in words for people: on pages, in notices, from a proxy, and while the service starts."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Scope
from ingest.storage.errors import CatalogUnavailableError
from tests.support.browser import Portal
from tests.support.portal_pages import serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

# Returns the text and the details that the page shows for an error.
_SHOWN = """async ([body, status, headers]) => {
  const { trouble } = await import('/portal/assets/dom.js')
  const { problemOf } = await import('/portal/assets/rest.js')
  const notice = trouble(await problemOf(new Response(body, { status, headers })))
  document.querySelector('main').replaceChildren(notice)
  const details = notice.querySelector('details')?.textContent ?? ''
  notice.querySelector('details')?.remove()
  return [notice.innerText, details]
}"""
QUOTA = {"quota": "tokens_per_day", "of": "tenant", "limit": 1000, "used": 1000, "left": 0}


def show(page: Page, body: dict[str, Any] | str, status: int, **headers: str) -> tuple[str, str]:
    text = body if isinstance(body, str) else json.dumps(body)
    shown, details = page.evaluate(_SHOWN, [text, status, headers])
    return shown, details


def page_of(services: Services, opened: Portal, context: BrowserContext, *scopes: Scope) -> Page:
    """Return a page of somebody who signed in with a key that has these scopes."""
    _, key = services.keys.issue_key(DEFAULT_TENANT, "hers", scopes=frozenset(scopes))
    assert context.request.post(f"{opened.url}/v1/sign-in", data={"key": key}).ok
    page = opened.page()
    page.goto(f"{opened.url}/library")
    page.wait_for_load_state("networkidle")
    return page


def test_an_error_says_what_to_do_to_a_reader_and_to_an_administrator(services: Services, opened: Portal) -> None:
    spent = {
        "code": "quota_exceeded",
        "detail": "The tenant's quota tokens_per_day is 1,000.",
        "hint": "Retry after the number of seconds in Retry-After. GET /v1/quotas shows all limits.",
        "quota": {**QUOTA, "renews_at": "2026-12-02T00:00:00Z"},
    }
    opened.context.clock.set_fixed_time("2026-12-01T12:00:00Z")
    page = page_of(services, opened, opened.context, Scope.READ, Scope.ASK)
    time = page.evaluate(
        "new Intl.DateTimeFormat('en-US', { timeStyle: 'short' }).format(new Date('2026-12-02T00:00Z'))"
    )
    shown, details = show(page, spent, 429)
    assert shown.split("\n")[0] == "Today’s questions are used up."
    assert f"They renew at {time}. Your administrator can raise the limit." in shown
    assert "Retry-After" not in shown
    assert "Retry-After" in details
    admin = opened.signed_in("/library")
    assert "“Operate” can raise the limit under “Manage”, “Settings”." in show(admin, spent, 429)[0]
    missing = {
        "code": "document_not_found",
        "detail": "Document 'x' not found.",
        "hint": "List with GET /v1/documents.",
    }
    shown, _ = show(admin, missing, 404)
    assert "you do not have permission to see it" in shown
    assert "GET" not in shown
    expect(admin.get_by_role("alert").get_by_role("link", name="Library")).to_be_visible()


def test_the_request_number_is_shown_for_errors_of_the_service_alone(opened: Portal) -> None:
    page = opened.signed_in("/library")
    body = {"code": "internal_error", "detail": "Internal error.", "hint": "Report it.", "request_id": "abc123"}
    assert "Request number: abc123" in show(page, body, 500)[0]
    assert "abc123" not in show(page, {**body, "code": "name_taken"}, 409)[0]


def test_the_services_own_words_are_shown_where_they_name_the_fault_in_plain_english(opened: Portal) -> None:
    page = opened.signed_in("/library")
    damaged = {
        "code": "document_damaged",
        "detail": "The PDF is cut off: its end is missing.",
        "hint": "Save it again.",
    }
    assert show(page, damaged, 422)[0] == "The PDF is cut off: its end is missing.\nSave it again."
    field = {
        "code": "invalid_request",
        "detail": "body.name: too long",
        "hint": "Correct `errors`; /docs describes them.",
    }
    shown, details = show(page, field, 422)
    assert shown == "One of the entries cannot be used.\nCorrect it, and try again."
    assert "body.name: too long" in details


def test_the_page_of_a_proxy_becomes_a_sentence_that_names_the_proxy(opened: Portal) -> None:
    page = opened.signed_in("/library")
    html = "<html><title>Oops nginx</title><h1>No</h1></html>"
    for status, sentence in (
        (413, "A proxy between you and Leadline does not let a file of this size through."),
        (504, "A proxy between you and Leadline stopped waiting for the answer."),
        (403, "A proxy between you and Leadline answered instead of Leadline."),
    ):
        shown, details = show(page, html, status)
        assert shown.startswith(sentence)
        assert f"{status} · Oops nginx" in details
    opened.context.route(
        "**/v1/documents*", lambda route: route.fulfill(status=502, content_type="text/html", body=html)
    )
    page.reload()
    notice = page.locator("#trouble").get_by_role("alert")
    expect(notice).to_contain_text("A proxy between you and Leadline cannot reach Leadline.")
    notice.get_by_text("Details").click()
    expect(notice).to_contain_text("502 · Oops nginx")


def test_a_proxy_that_refuses_a_file_is_named_in_the_list_of_uploads(opened: Portal, tmp_path: Path) -> None:
    page = opened.signed_in("/library")
    opened.context.route(
        "**/v1/documents?*",
        lambda route: (
            route.fulfill(status=413, content_type="text/html", body="<html><title>413 nginx</title></html>")
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    file = tmp_path / "large.txt"
    file.write_text("The tide turns at noon.")
    page.set_input_files("#files", file)
    expect(page.locator("#uploads")).to_contain_text(
        "A proxy between you and Leadline does not let a file of this size through."
    )


def test_an_address_without_a_page_shows_a_page_to_people_and_a_problem_to_programs(
    service: tuple[Services, Client], opened: Portal
) -> None:
    page = opened.signed_in("/library")
    for path, title in (
        ("/nonsense", "Page not found"),
        ("/library/a.b", "Page not found"),
        ("/library/unknown", "Document not found"),
        ("/ask/unknown", "Conversation not found"),
        ("/runs/unknown", "Run not found"),
        ("/shared/unknown", "Link not found"),
        ("/v1/documents/unknown/original", "Document not found"),
    ):
        found = page.goto(f"{opened.url}{path}")
        assert found is not None
        assert found.status == 404, path
        expect(page.get_by_role("heading", name=title)).to_be_visible()
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        assert page.get_by_role("main").get_by_role("link").count() == 2, path
        assert "Content-Security-Policy".lower() in found.headers
        problem = service[1].http.get(path)
        assert problem.headers["Content-Type"] == "application/problem+json", path
        assert problem.status_code in (404, 422), path


def test_a_page_without_a_connection_says_so_and_goes_on_with_one(opened: Portal) -> None:
    page = opened.signed_in("/usage")
    page.locator("#account").click()
    opened.context.set_offline(True)
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("You are not connected to the network.")
    opened.context.set_offline(False)
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in to Leadline")).to_be_visible()


def test_somebody_who_is_not_signed_in_is_led_to_signing_in_and_back(opened: Portal) -> None:
    page = opened.page()
    found = page.goto(f"{opened.url}/nonsense")
    assert found is not None
    assert found.status == 401
    page.get_by_role("main").get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/sign-in?to=**nonsense")


def test_errors_of_the_service_are_pages_and_a_starting_service_is_waited_for(
    services: Services, opened: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened.signed_in("/library")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(type(services.documents.catalog), "load_document", fail)
        found = page.goto(f"{opened.url}/library/x")
        assert found is not None
        assert found.status == 500
        expect(page.get_by_role("heading", name="Leadline made an error")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text(f"Request number: {found.headers['x-request-id']}")
        expect(page.get_by_role("main")).not_to_contain_text("a defect")
    with monkeypatch.context() as patched:
        patched.setattr(type(services.accounts.sessions), "find_session", starting)
        found = page.goto(f"{opened.url}/library")
        assert found is not None
        assert found.status == 503
        expect(page.get_by_role("heading", name="Leadline is not ready yet")).to_be_visible()
        assert serious(page) == []
    expect(page.get_by_role("heading", name="Library")).to_be_visible()  # nobody has reloaded the page


def starting(*_: object, **__: object) -> None:
    raise CatalogUnavailableError("The database at 10.0.0.1 does not respond.")
