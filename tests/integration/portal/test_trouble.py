"""What goes wrong while somebody works in the portal, and working in it by keyboard alone, in a real browser."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from api.portal.links import ensure_portal_key
from ingest.storage.queue.records import JobKind
from ingest.storage.quotas.records import Account, Quota
from rlm.events import Completed
from tests.support.browser import Portal
from tests.support.portal_pages import (
    TEXT,
    WHALE,
    WrittenAnswers,
    change_failure,
    choose,
    files,
    ready_document,
    wait_for_answer,
    wait_for_held,
    written,
)
from tests.support.relay import Relay, relayed

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

LARGE = b"The ship sailed on and on.\n" * 80_000


@pytest.fixture
def line(opened: Portal) -> Iterator[Relay]:
    """The line to the service, which can be cut."""
    with relayed(opened.url) as made:
        opened.url = made.url
        yield made


def end_sessions(services: Services) -> None:
    services.accounts.sessions.end_sessions_of_owner(
        DEFAULT_TENANT, f"key:{ensure_portal_key(services.keys, DEFAULT_TENANT).id}"
    )


def tabbed_to(page: Page, name: str, *, most: int = 60) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(most):
        page.keyboard.press("Tab")
        called = page.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? document.activeElement.labels?.[0]?.textContent"
            " ?? document.activeElement.textContent"
        )
        if called.strip() == name:
            return
    raise AssertionError(f"Tab leads to nothing that is called {name!r}")


def test_an_upload_is_cancelled_and_tried_again(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    services, client = service
    page = opened.signed_in("/library")
    services.jobs.pause_kind(JobKind.INGEST)
    choose(page, *files(tmp_path, ("whale.md", WHALE)))
    row = page.locator("#rows tr", has_text="whale.md")
    expect(row).to_contain_text("Waiting")  # it has arrived, and waits to be read
    row.get_by_role("button", name="Actions").click()
    row.get_by_role("menuitem", name="Cancel processing").click()
    expect(row).to_contain_text("Cancelled")
    expect(page.locator("#uploads-sum")).to_contain_text("1 cancelled")
    services.jobs.resume_kind(JobKind.INGEST)
    row.get_by_role("button", name="Actions").click()
    row.get_by_role("menuitem", name="Retry").click()
    expect(row).to_contain_text("Ready")
    expect(page.locator("#uploads-sum")).to_have_text("1 of 1 file can be asked about, 1 ready")
    assert [each["state"] for each in client.get("/v1/documents")["documents"]] == ["ready"]


def test_what_failed_and_is_retried_in_its_row_counts_as_an_upload_again(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    services, client = service
    page = opened.signed_in("/library")
    choose(page, *files(tmp_path, ("broken.pdf", b"%PDF-1.7 nothing")))
    expect(page.locator("#uploads-sum")).to_contain_text("1 failed")
    (broken,) = client.get("/v1/documents")["documents"]
    change_failure(services, broken["id"], "internal_error")
    page.get_by_label("Order").select_option("oldest")  # loads the list again
    services.jobs.pause_kind(JobKind.INGEST)
    page.get_by_role("button", name="Retry broken.pdf").click()
    expect(page.locator("#uploads-sum")).not_to_contain_text("failed")
    services.jobs.resume_kind(JobKind.INGEST)
    expect(page.locator("#uploads-sum")).to_contain_text("1 failed")


def hold_while_drawn_again(page: Page, button: Locator, added: Path) -> None:
    """Press a button, and release it after another upload has drawn the lists again."""
    button.hover()
    page.mouse.down()
    with page.expect_response(lambda response: "order=" in response.url):
        choose(page, added)
    page.wait_for_timeout(500)  # it would be drawn by now
    page.mouse.up()


def test_a_button_of_an_upload_that_is_held_while_the_list_is_drawn_again_is_pressed(
    opened: Portal, tmp_path: Path
) -> None:
    page, held = opened.signed_in("/library"), list[Route]()
    opened.context.route("**/v1/documents?name=whale.md*", lambda route: held.append(route))
    choose(page, *files(tmp_path, ("whale.md", WHALE)))
    wait_for_held(page, held, 1)
    item = page.locator("#upload-list li", has_text="whale.md")
    (note,) = files(tmp_path, ("note.txt", "One more."))
    hold_while_drawn_again(page, item.get_by_role("button", name="Cancel"), note)
    expect(item).to_contain_text("Cancelled")


def test_a_button_and_a_menu_of_a_row_that_are_held_while_the_list_is_loaded_again_are_pressed(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    page = opened.signed_in("/library")
    service[0].jobs.pause_kind(JobKind.INGEST)
    choose(page, *files(tmp_path, ("whale.md", WHALE)))
    row = page.locator("#rows tr", has_text="whale.md")
    first, second = files(tmp_path, ("note.txt", "One more."), ("other.txt", "And another."))
    hold_while_drawn_again(page, row.get_by_role("button", name="Actions"), first)
    hold_while_drawn_again(page, row.get_by_role("menuitem", name="Cancel processing"), second)
    expect(row).to_contain_text("Cancelled")


def test_a_service_that_goes_away_in_mid_upload_is_waited_for_and_gets_the_whole_file(
    service: tuple[Services, Client], opened: Portal, line: Relay, tmp_path: Path
) -> None:
    page = opened.signed_in("/library")
    line.cut_after(1 << 20)
    choose(page, *files(tmp_path, ("large.txt", LARGE)))
    expect(page.locator("#upload-list")).to_contain_text("Trying again soon")
    assert line.is_cut.is_set()
    assert service[1].get("/v1/documents")["documents"] == []
    line.mend()
    expect(page.locator("#uploads-sum")).to_contain_text("1 ready")
    (document,) = service[1].get("/v1/documents")["documents"]
    assert document["size_bytes"] == len(LARGE)


def test_progress_goes_on_after_its_stream_was_cut_and_after_the_service_was_away(
    service: tuple[Services, Client], opened: Portal, line: Relay, tmp_path: Path
) -> None:
    services = service[0]
    page = opened.signed_in("/library")
    services.jobs.pause_kind(JobKind.INGEST)
    with page.expect_response("**/events"):  # a request alone may not have come to the line yet
        choose(page, *files(tmp_path, ("whale.md", WHALE)))
    expect(page.locator("#rows tr")).to_contain_text("Waiting")
    expect(page.locator("#uploads-sum")).to_contain_text("0 ready")
    opened.context.route("**/events", lambda route: route.fulfill(status=503, body="starting"))
    with page.expect_response(lambda response: response.url.endswith("/events") and response.status == 503):
        line.cut()
        line.mend()
    opened.context.unroute("**/events")
    services.jobs.resume_kind(JobKind.INGEST)
    expect(page.locator("#uploads-sum")).to_contain_text("1 ready")


def test_a_session_that_ends_in_the_middle_is_begun_again_without_losing_what_was_typed(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    said = WrittenAnswers()
    services.asking = replace(services.asking, answering=said)
    document = ready_document(client)
    said.events = [Completed(written(document, TEXT))]
    key, secret = services.keys.issue_key(DEFAULT_TENANT, "hers")
    page = opened.page()
    page.goto(f"{opened.url}/sign-in")
    page.get_by_label("API key").fill(secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("#account")
    # If a request of the page itself is refused, the page asks the user to sign in before the question is sent.
    page.route("**/v1/suggestions", lambda route: route.fulfill(json={"questions": []}))
    page.goto(f"{opened.url}/ask")
    page.wait_for_load_state("networkidle")
    page.get_by_label("Your question").fill("A long question that nobody wants to type twice?")
    services.accounts.sessions.end_sessions_of_owner(DEFAULT_TENANT, f"key:{key.id}")
    page.get_by_label("Your question").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Your session has ended")
    dialog.get_by_label("API key").fill("ll_wrong")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("not valid")
    dialog.get_by_label("API key").fill(secret)
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert [each.question for each in said.requests] == ["A long question that nobody wants to type twice?"]
    expect(page.get_by_role("link", name="A long question that nobody wants to type twice?")).to_be_visible()
    services.accounts.sessions.end_sessions_of_owner(DEFAULT_TENANT, f"key:{key.id}")
    page.get_by_label("Your question").fill("And another?")
    page.get_by_label("Your question").press("Enter")
    dialog.get_by_role("button", name="Not now").click()
    expect(page.locator("#session-ended")).to_be_visible()
    expect(page.locator(".turn").last.get_by_role("alert")).to_be_visible()  # the dialog closes a moment before
    page.locator(".turn").last.get_by_role("button", name="Edit and ask again").click()
    assert page.get_by_label("Your question").input_value() == "And another?"
    page.get_by_role("button", name="Sign in again").click()
    _, other = services.keys.issue_key(DEFAULT_TENANT, "somebody else’s")
    dialog.get_by_label("API key").fill(other)
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("this page belongs to somebody else")


def test_somebody_who_signed_in_elsewhere_goes_on_where_the_session_had_ended(
    service: tuple[Services, Client], opened: Portal
) -> None:
    service[1].http.post("/v1/documents", params={"name": "log.md", "collection": "logs"}, content=WHALE.encode())
    page = opened.signed_in("/library")
    page.wait_for_selector("#rows tr")
    into = page.get_by_role("region", name="Add documents").get_by_label("Collection")
    into.select_option("logs")
    end_sessions(opened.services)
    page.get_by_label("Order").select_option("name")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="I have signed in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not signed in")
    opened.signed_in()
    page.bring_to_front()
    dialog.get_by_role("button", name="I have signed in").click()
    expect(dialog).to_have_count(0)
    expect(into).to_have_value("logs")


def test_a_spent_quota_is_told_with_the_next_step_where_one_asks_and_uploads(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    services, client = service
    client.http.post("/v1/documents", params={"name": "whale.md"}, content=WHALE.encode())
    services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 0, Quota.DOCUMENTS: 1})
    page = opened.signed_in("/library")
    choose(page, *files(tmp_path, ("note.txt", "One more.")))
    refused = page.locator("#upload-list li", has_text="note.txt")
    expect(refused).to_contain_text("Not accepted")
    expect(refused.locator(".why")).to_contain_text("The limit of 1 document is reached.")
    page.goto(f"{opened.url}/ask")
    page.get_by_label("Your question").fill("What colour was the whale?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("They renew at")
    page.goto(f"{opened.url}/usage")
    expect(page.locator("#quotas li", has_text="Tokens per day")).to_contain_text("0 of 0 remaining today")


def test_a_large_file_that_is_cancelled_before_its_first_part_is_not_sent(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    page, held = opened.signed_in("/library"), list[Route]()
    opened.context.route("**/v1/uploads", lambda route: held.append(route))
    services, client = service
    services.jobs.pause_kind(JobKind.INGEST)
    choose(page, *files(tmp_path, ("large.txt", LARGE * 4), ("other.txt", b"Another.\n" + LARGE * 4)))
    wait_for_held(page, held, 2)
    page.get_by_role("button", name="Cancel large.txt").click()
    with page.expect_response(lambda response: response.request.method == "DELETE") as gone:
        for each in held:
            each.continue_()
    assert gone.value.status == 204
    expect(page.locator("#rows").get_by_role("link", name="other.txt")).to_be_visible()
    assert [each["name"] for each in client.get("/v1/documents")["documents"]] == ["other.txt"]


def test_the_part_of_a_text_that_was_asked_for_last_is_shown_whichever_comes_first(
    service: tuple[Services, Client], opened: Portal
) -> None:
    document, held = ready_document(service[1], WHALE), list[Route]()
    page = opened.signed_in()
    opened.context.route("**/content?*", lambda route: held.append(route))
    page.goto(f"{opened.url}/library/{document['id']}")
    wait_for_held(page, held, 1)
    page.get_by_role("link", name="Ship").click()
    wait_for_held(page, held, 2)
    with page.expect_response("**/content?*"):
        held[1].continue_()
    with page.expect_response("**/content?*"):
        held[0].continue_()
    expect(page.locator("#text")).to_contain_text("The ship was called Pequod.")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#text")).not_to_contain_text("The whale was white.")


def test_the_receipt_of_a_document_that_was_followed_stays(service: tuple[Services, Client], opened: Portal) -> None:
    services, client = service
    services.jobs.pause_kind(JobKind.INGEST)
    document = client.http.post("/v1/documents", params={"name": "whale.md"}, content=WHALE.encode()).json()["id"]
    page = opened.signed_in()
    with page.expect_request("**/events"):
        page.goto(f"{opened.url}/library/{document}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    receipt = page.get_by_role("status").filter(has_text="Receipt")
    expect(receipt).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(receipt).to_be_visible()


def test_everything_is_done_by_keyboard_alone(service: tuple[Services, Client], opened: Portal, tmp_path: Path) -> None:
    services, client = service
    page = opened.signed_in("/library")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    tabbed_to(page, "Choose files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(files(tmp_path, ("whale.md", TEXT)))
    expect(page.locator("#rows tr")).to_contain_text("Ready")
    document = client.get("/v1/documents")["documents"][0]
    said = WrittenAnswers()
    services.asking = replace(services.asking, answering=said)
    said.events = [Completed(written(document, TEXT))]
    page.reload()
    page.wait_for_selector("#rows tr")
    tabbed_to(page, "Ask")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ask")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("What colour was the whale?")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    page.locator(".turn").evaluate("turn => { turn.tabIndex = -1; turn.focus() }")
    while not page.evaluate("document.activeElement.matches('.cite')"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#beside")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#beside")).to_be_hidden()
    expect(page.locator(".cite").first).to_be_focused()
    services.jobs.pause_kind(JobKind.RUN)
    run = client.post("/v1/answers", {"question": "What colour was the whale?", "background": True})["id"]
    page.goto(f"{opened.url}/runs/{run}")
    expect(page.locator("#cancel")).to_be_visible()
    tabbed_to(page, "Cancel run")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("Cancelled")
