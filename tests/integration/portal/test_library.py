"""Signing in, uploading and finding documents, in a real browser over a real service."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from tests.support.blob_paths import blob_path
from tests.support.browser import Portal
from tests.support.cluster import wait_until
from tests.support.cutting_proxy import Cutting
from tests.support.portal_pages import WHALE, change_failure, choose, files, ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


def test_a_link_signs_in_once_and_leads_to_where_documents_are_added(opened: Portal) -> None:
    link, page = opened.link(), opened.page()
    page.goto(link)
    expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
    assert page.url == f"{opened.url}/library"
    cookie = opened.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    opened.context.clear_cookies()
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("This sign-in link was already used")
    assert "#" not in page.url


def test_somebody_signs_in_with_a_key_and_out_everywhere_and_goes_on_where_they_were(
    service: tuple[Services, Client], opened: Portal
) -> None:
    ready_document(service[1])
    _, key = opened.services.keys.issue_key(DEFAULT_TENANT, "hers")
    page = opened.page()
    page.goto(f"{opened.url}/library?of=here")
    page.get_by_label("API key").fill("ll_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#account")
    assert page.url == f"{opened.url}/library?of=here"
    page.wait_for_selector("#rows tr")
    other = opened.context.new_page()
    other.goto(f"{opened.url}/library")
    other.wait_for_selector("#rows tr")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out everywhere").click()
    page.wait_for_url("**/sign-in")
    other.get_by_label("Order").select_option("oldest")
    expect(other.get_by_role("dialog")).to_contain_text("Your session has ended")
    other.get_by_role("dialog").get_by_label("API key").fill(key)
    other.keyboard.press("Enter")
    expect(other.get_by_role("dialog")).to_have_count(0)
    assert other.url == f"{opened.url}/library?order=oldest"
    opened.context.clear_cookies()
    page.goto(f"{opened.url}/sign-in?to=//evil.example/")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#account")
    assert page.url == f"{opened.url}/ask"


def test_a_refused_file_says_why_and_stops_no_other_and_what_is_ready_is_found(opened: Portal, tmp_path: Path) -> None:
    page = opened.signed_in()
    some = files(
        tmp_path,
        ("whale.md", WHALE),
        ("empty.md", ""),
        ("picture.bin", bytes(range(256)) * 20),
        *((f"note {number}.txt", f"Note {number} is about ship {number}.") for number in range(20)),
    )
    choose(page, *some)
    wait_until(
        lambda: "21 of 23 files can be asked about, 21 ready" in page.inner_text("#uploads-sum"),
        what="all are ready",
    )
    refused = page.locator("#upload-list li", has_text="empty.md")
    expect(refused.locator(".why")).to_contain_text("empty")
    expect(page.locator("#upload-list li", has_text="picture.bin")).to_contain_text("Not accepted")
    # The service would reject the same files again, so the page offers no retry.
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry failed uploads")).to_be_hidden()
    expect(page.locator("#rows tr", has_text="The Whale")).to_contain_text("Ready")
    page.get_by_label("Search the library").fill("WHALE")
    expect(page.locator("#rows tr")).to_have_count(1)
    choose(page, some[0])
    expect(page.locator("#upload-list")).to_contain_text("so not added again")
    assert serious(page) == []


def test_dropped_folders_and_pasted_text_are_uploaded(opened: Portal) -> None:
    page = opened.signed_in()
    page.evaluate(
        """() => {
          const data = new DataTransfer()
          data.items.add(new File(['The anchor is red.'], 'anchor.txt'))
          data.items.add(new File(['x'], '.DS_Store'))
          dispatchEvent(new DragEvent('dragenter', { dataTransfer: data }))
          dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }))
        }"""
    )
    expect(page.locator("#rows tr", has_text="anchor.txt")).to_be_visible()
    expect(page.locator("#uploads-sum")).to_contain_text("1 hidden file skipped")
    page.evaluate(
        """() => {
          const data = new DataTransfer()
          data.setData('text/plain', 'A pasted sentence about sails.')
          document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))
        }"""
    )
    expect(page.locator("#rows tr", has_text="Pasted")).to_be_visible()


def test_a_document_is_read_by_its_outline_replaced_and_deleted_with_a_receipt(opened: Portal, tmp_path: Path) -> None:
    page = opened.signed_in()
    choose(page, *files(tmp_path, ("whale.md", WHALE)))
    expect(page.locator("#rows tr")).to_contain_text("Ready")
    page.locator("#rows").get_by_role("link", name="The Whale").click()
    expect(page.locator("#text")).to_contain_text("The whale was white.")
    page.get_by_role("link", name="Ship").click()
    assert page.url.endswith(f"#at-{WHALE.index('## Ship')}")
    expect(page.locator("#text")).to_be_focused()
    assert serious(page) == []
    page.goto(page.url.partition("#")[0])
    document = page.url.rpartition("/")[2]
    start = WHALE.index("white")
    page.goto(f"{page.url}?start={start}&end={start + 5}")
    expect(page.locator("#text mark")).to_have_text("white")
    page.set_input_files("#replacement", files(tmp_path, ("whale2.md", WHALE.replace("white", "grey"))))
    expect(page.locator("#text")).to_contain_text("The whale was grey.")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("deleted permanently")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").filter(has_text="Receipt")).to_be_visible()
    page.goto(f"{opened.url}/library/{document}")
    expect(page.get_by_role("heading", name="Document not found")).to_be_visible()


def test_somebody_who_may_only_read_is_offered_nothing_else(opened: Portal) -> None:
    _, key = opened.services.keys.issue_key(DEFAULT_TENANT, "reader", scopes=["read"])  # type: ignore[list-item]
    page = opened.page()
    page.goto(f"{opened.url}/sign-in")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/library")
    expect(page.locator("#empty")).to_contain_text("People with the permission")
    expect(page.get_by_role("button", name="Choose files")).to_be_hidden()


def test_a_large_file_goes_on_where_its_connection_broke_off(opened: Portal, tmp_path: Path) -> None:
    lines = "".join(f"Buoy {number} of the chart lies at {number * 7919 % 100_003}.\n" for number in range(260_000))
    with Cutting(opened.url, after=4_000_000).running() as cutting:
        opened.url = cutting.url
        page = opened.signed_in()
        choose(page, *files(tmp_path, ("chart.txt", lines)))
        wait_until(
            lambda: bool(opened.services.documents.catalog.list_documents(DEFAULT_TENANT)),
            what="it has become a document",
        )
        (document,) = opened.services.documents.catalog.list_documents(DEFAULT_TENANT)
        assert cutting.cuts >= 1
        assert blob_path(opened.services, document.version.blob_key).read_text() == lines
        expect(page.locator("#rows tr")).to_contain_text("chart")


def test_while_the_service_is_away_an_upload_waits_and_the_listing_says_so(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    ready_document(service[1])
    page = opened.signed_in("/library")
    page.wait_for_selector("#rows tr")
    opened.context.route("**/v1/documents**", lambda route: route.abort())
    choose(page, *files(tmp_path, ("late.txt", "It came late.")))
    expect(page.locator("#upload-list")).to_contain_text("Trying again soon")
    page.get_by_label("Order").select_option("oldest")
    expect(page.locator("#trouble")).to_contain_text("Leadline does not respond")
    opened.context.unroute("**/v1/documents**")
    expect(page.locator("#rows tr", has_text="late.txt")).to_contain_text("Ready")
    expect(page.locator("#trouble")).to_be_empty()


def test_a_file_is_listed_once_and_goes_from_reading_to_ready(opened: Portal, tmp_path: Path) -> None:
    page = opened.signed_in("/library")
    page.evaluate(
        """() => {
          window.seen = new Set()
          new MutationObserver(() => {
            const texts = [...document.querySelectorAll('#rows .status')].map((each) => each.textContent)
            for (const each of texts) window.seen.add(each)
            const isShown = (id) => !document.getElementById(id).hidden
            if (isShown('empty') && isShown('uploads')) window.seen.add('empty')
          }).observe(document.querySelector('main'), { subtree: true, childList: true, attributes: true })
        }"""
    )
    choose(page, *files(tmp_path, ("whale.md", WHALE), ("ship.txt", "The ship was called Pequod.")))
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#rows tr", has_text="The Whale")).to_contain_text("Ready")
    expect(page.locator("#rows tr", has_text="ship.txt")).to_contain_text("Ready")
    expect(page.locator("#upload-list li")).to_have_count(0)
    expect(page.locator("#uploads-sum")).to_contain_text("2 of 2 files can be asked about, 2 ready")
    assert "empty" not in page.evaluate("[...window.seen]")
    allowed = ("Waiting", "Reading…", "Can be asked now, search by meaning", "Ready")
    for each in page.evaluate("[...window.seen]"):
        assert each.startswith(allowed), each


def test_a_failed_document_is_retried_in_its_row(service: tuple[Services, Client], opened: Portal) -> None:
    client = service[1]
    broken = client.http.post("/v1/documents", params={"name": "broken.pdf"}, content=b"%PDF-1.7 nothing").json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{broken}")["state"] == "failed", what="it failed")
    change_failure(service[0], broken, "internal_error")
    before = client.get(f"/v1/documents/{broken}")["version"]
    page = opened.signed_in("/library")
    page.get_by_role("button", name="Retry broken.pdf").click()
    wait_until(lambda: client.get(f"/v1/documents/{broken}")["version"] != before, what="it is tried again")


def test_while_files_are_dragged_the_whole_window_is_tinted_also_when_it_is_scrolled(
    service: tuple[Services, Client], opened: Portal
) -> None:
    for number in range(30):
        service[1].http.post("/v1/documents", params={"name": f"{number}.txt"}, content=f"Note {number}".encode())
    page = opened.signed_in("/library")
    page.wait_for_selector("#rows tr")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.evaluate(
        """() => {
          const data = new DataTransfer()
          data.items.add(new File(['x'], 'x.txt'))
          dispatchEvent(new DragEvent('dragenter', { dataTransfer: data }))
        }"""
    )
    expect(page.get_by_text("Drop the files to add them to the library")).to_be_in_viewport()
    size = page.viewport_size
    assert page.locator("#drop-veil").bounding_box() == {"x": 0, "y": 0, **(size or {})}
    page.evaluate("dispatchEvent(new DragEvent('dragleave', {}))")
    expect(page.locator("#drop-veil")).to_be_hidden()


def test_skipped_page_headers_are_no_warning_and_types_have_names(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    page_of_news = "<body><nav>a b</nav><main><h1>News</h1><p>The light is red.</p></main><footer>x</footer></body>"
    ready_document(client, page_of_news, "news.html")
    photo = BytesIO()
    Image.new("L", (8, 8)).save(photo, "JPEG")
    client.http.post("/v1/documents", params={"name": "photo.jpg"}, content=photo.getvalue())
    page = opened.signed_in("/library")
    line = page.locator("#rows tr", has_text="News").get_by_text("Page headers and footers skipped")
    expect(line).to_have_class("small soft")
    expect(page.locator("#of-type option", has_text="JPEG image (1)")).to_have_count(1)
    expect(page.locator("#of-type option", has_text="Web page (1)")).to_have_count(1)
    expect(page.get_by_text("Only incomplete documents")).to_be_visible()


def test_the_columns_are_as_wide_as_their_content_and_the_head_of_the_table_stays_in_view(
    service: tuple[Services, Client], opened: Portal
) -> None:
    for number in range(40):
        service[1].http.post("/v1/documents", params={"name": f"{number}.txt"}, content=f"Note {number}".encode())
    # A row is drawn again when its document is ready.
    wait_until(lambda: all(each.state == "ready" for each in service[1].documents()), what="all are ready")
    page = opened.signed_in("/library")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_selector("#rows tr")
    row = page.locator("#rows tr").first
    name, date = row.locator(".main-cell").bounding_box(), row.locator(".when").bounding_box()
    assert name is not None
    assert name["width"] < 700
    assert date is not None
    lines = row.locator(".when").evaluate(
        """each => {
          const range = document.createRange()
          range.selectNodeContents(each)
          return range.getClientRects().length
        }"""
    )
    assert lines == 1
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("button", name="Added")).to_be_in_viewport()
    page.get_by_label("Select all on this page").check()
    expect(page.get_by_role("button", name="Added")).to_be_in_viewport()
    tall = row.evaluate("each => each.getBoundingClientRect().height")
    opened.context.add_cookies([{"name": "leadline-density", "value": "compact", "url": opened.url}])
    page.reload()
    page.wait_for_selector("#rows tr")
    # The rows are drawn again while the page loads, so the measure must wait for a row that is there.
    assert page.locator("#rows tr").first.evaluate("each => each.getBoundingClientRect().height") < tall
