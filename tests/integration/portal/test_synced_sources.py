"""Sources in the portal, in a real browser: from nothing to a source that is checked, saved, paused and removed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from api.client import Client
from ingest.storage.accounts.records import Scope
from tests.support.browser import Portal, portal
from tests.support.cluster import wait_until
from tests.support.hostile_sources import wait_for_sync
from tests.support.portal_pages import LOADED, serious
from tests.support.service import running
from tests.support.web_server import Request, WebServer, open_web_server

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


@pytest.fixture
def site() -> Iterator[WebServer]:
    with open_web_server() as server:
        server.pages["/files/"] = server.list_links
        server.write("whale.txt", b"The whale was white.")
        server.write("ship.txt", b"The ship was called Pequod.")
        yield server


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    for number in range(14):
        (folder / f"paper{number:02}.md").write_text(f"# Paper {number}\n\nThe whale {number} was white.\n")
    return folder


@pytest.fixture
def service_and_page(tmp_path: Path, browser: Browser) -> Iterator[tuple[Client, Portal]]:
    with (
        running(tmp_path / "home", webhook_networks="127.0.0.1/32", source_folders=str(tmp_path / "papers")) as (
            services,
            client,
        ),
        portal(services, browser) as made,
    ):
        yield client, made


def test_a_source_is_checked_added_paused_and_removed(service_and_page: tuple[Client, Portal], site: WebServer) -> None:
    client, opened = service_and_page
    page = opened.signed_in("/sources")
    expect(page.get_by_role("heading", name="No sources yet")).to_be_visible()
    page.get_by_role("button", name="Add source").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Papers")
    dialog.get_by_label("Kind").select_option("web")
    dialog.get_by_label("Address", exact=True).fill(f"{site.url}/nothing/")
    assert serious(page) == []
    dialog.get_by_role("button", name="Check").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_text("Or press “Save” again")).to_have_count(0)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Or press “Save” again to add the source as it is")).to_be_visible()
    assert client.sources().sources == []
    dialog.get_by_label("Address", exact=True).fill(f"{site.url}/files/")
    dialog.get_by_text("More options").click()
    dialog.get_by_label("Only these paths").fill("*.txt")
    dialog.get_by_role("button", name="Check").click()
    expect(dialog.get_by_role("status")).to_contain_text("whale.txt")
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("#rows tr")
    expect(row).to_contain_text("PapersWeb site · into default")
    (source,) = client.sources().sources
    assert source.options == {"url": f"{site.url}/files/", "include": ["*.txt"]}
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="Pause").click()
    expect(row).to_contain_text("paused")
    assert client.source(source.id).paused
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="History").click()
    expect(page.get_by_role("dialog")).to_contain_text("History of Papers")
    assert serious(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="Remove").click()
    page.get_by_label("Documents").select_option("remove")
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="No sources yet")).to_be_visible()
    assert client.sources().sources == []


def test_from_nothing_to_a_folder_in_sync_with_the_keyboard(
    service_and_page: tuple[Client, Portal], papers: Path
) -> None:
    client, opened = service_and_page
    page = opened.signed_in("/sources")
    page.get_by_role("button", name="Add source").press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("Papers")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(str(papers))
    page.keyboard.press("Enter")
    row = page.locator("#rows tr")
    expect(row).to_contain_text("In sync")
    expect(row).to_contain_text("14 added")
    assert serious(page) == []
    expect(page.get_by_role("button", name="Add source")).to_be_focused()
    assert len(client.get("/v1/documents")["documents"]) == 14
    row.get_by_role("button", name="14 items: Papers").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link")).to_have_count(14)
    assert serious(page) == []
    dialog.get_by_role("link", name="paper03.md").click()
    expect(page.get_by_role("heading", name="Paper 3", level=1)).to_be_visible()


def test_changes_and_removals_are_in_the_history_and_many_removals_wait_for_an_approval(
    service_and_page: tuple[Client, Portal], papers: Path
) -> None:
    client, opened = service_and_page
    client.create_source("Papers", "folder", {"path": str(papers)})
    page = opened.signed_in("/sources")
    row = page.locator("#rows tr")
    expect(row).to_contain_text("In sync")
    (papers / "paper00.md").write_text("# Paper 0\n\nThe whale was grey.\n")
    (papers / "empty.md").write_text("")
    sync_now(row)
    expect(row).to_contain_text("1 changed, 1 refused")
    row.get_by_role("button", name="1 refused").click()
    expect(page.get_by_role("dialog")).to_contain_text("empty.md")
    expect(page.get_by_role("dialog")).to_contain_text("The file is empty")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    for number in range(12):
        (papers / f"paper{number:02}.md").unlink()
    sync_now(row)
    expect(row).to_contain_text("This sync would remove 12 documents")
    expect(row).to_contain_text("every hour")
    expect(row).not_to_contain_text("no changes")
    assert serious(page) == []
    row.get_by_role("button", name="Show them").click()
    expect(page.get_by_role("dialog").get_by_role("link")).to_have_count(12)
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Remove the documents").click()
    assert serious(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_contain_text("12 removed")
    assert len(client.get("/v1/documents")["documents"]) == 2
    row.get_by_role("button", name="Actions for Papers").click()
    page.get_by_role("menuitem", name="History").click()
    entries = page.get_by_role("dialog").get_by_role("listitem")
    expect(entries).to_have_count(3)
    for entry, words in enumerate(("12 removed", "1 changed", "14 added")):
        expect(entries.nth(entry)).to_contain_text(words)
    expect(entries.filter(has_text="The removal of 12 documents was approved")).to_have_count(1)


def test_documents_that_fail_after_a_sync_are_counted_and_listed_with_the_reason(
    service_and_page: tuple[Client, Portal], papers: Path
) -> None:
    client, opened = service_and_page
    (papers / "broken.pdf").write_bytes(b"%PDF-1.7\nnot a PDF at all")
    made = client.create_source("Papers", "folder", {"path": str(papers)})
    wait_until(lambda: client.source(made.id).failed_documents == 1, what="the document has failed")
    wait_for_sync(client, made.id)
    page = opened.signed_in("/sources")
    row = page.locator("#rows tr")
    expect(row.locator(".status")).to_have_text("In sync, 1 document failed")
    assert serious(page) == []
    row.get_by_role("button", name="1 failed").click()
    dialog = page.get_by_role("dialog", name="Failed documents of Papers")
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    (item,) = client.source_items(made.id, failed=True)
    assert item.document_failure is not None
    expect(dialog.get_by_role("listitem")).to_contain_text(item.document_failure.detail)
    assert serious(page) == []
    dialog.get_by_role("link", name="broken.pdf").click()
    expect(page.get_by_role("heading", name="broken.pdf", level=1)).to_be_visible()
    notice = page.locator("#notices .notice.bad")
    expect(notice).to_contain_text("Correct the file in its source, Papers: broken.pdf.")
    expect(notice).not_to_contain_text("upload")


def test_the_progress_of_a_sync_is_shown_and_its_row_keeps_the_focus(
    service_and_page: tuple[Client, Portal], site: WebServer
) -> None:
    released = threading.Event()

    def answer_late(request: Request) -> None:
        released.wait(60)
        request.reply(b"The captain was called Ahab.", "text/plain")

    addresses = [f"{site.url}/{name}.txt" for name in ("first", "second", "third")]
    places = "".join(f"<url><loc>{each}</loc></url>" for each in addresses)
    namespace = "http://www.sitemaps.org/schemas/sitemap/0.9"
    site.add("/sitemap.xml", f'<urlset xmlns="{namespace}">{places}</urlset>', "text/xml")
    site.add("/first.txt", "The first ship.", "text/plain").add("/second.txt", "The second ship.", "text/plain")
    site.pages["/third.txt"] = answer_late
    _, opened = service_and_page
    page = opened.signed_in("/sources")
    page.get_by_role("button", name="Add source").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Ships")
    dialog.get_by_label("Kind").select_option("Web site")
    dialog.get_by_label("Address", exact=True).fill(f"{site.url}/sitemap.xml")
    dialog.get_by_text("More options").click()
    dialog.get_by_label("Find pages by").select_option("Sitemap of the site")
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("#rows tr")
    expect(row).to_contain_text("3 items found")
    expect(row).to_contain_text("2 added")
    assert serious(page) == []
    row.get_by_role("button", name="Cancel: Ships").focus()
    released.set()
    expect(row).to_contain_text("In sync")
    expect(row.get_by_role("button", name="Actions for Ships")).to_be_focused()
    expect(page.locator("#toast, [role=status]").filter(has_text="Ships: In sync")).to_be_attached()


def test_a_folder_that_is_not_permitted_is_not_saved_and_the_error_names_the_next_step(
    service_and_page: tuple[Client, Portal], tmp_path: Path, papers: Path
) -> None:
    client, opened = service_and_page
    page = opened.signed_in("/sources")
    page.get_by_role("button", name="Add source").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Everything")
    dialog.get_by_label("Path of the folder").fill(str(tmp_path))
    for _ in range(2):  # A second click saves a source that cannot be read for now, but not this one.
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_role("alert")).to_have_count(1)
        expect(dialog.get_by_role("alert")).to_contain_text(f"Sources may not read the folder {tmp_path}.")
        expect(dialog.get_by_role("alert")).to_contain_text("LEADLINE_SOURCE_FOLDERS")
        expect(dialog.get_by_role("alert")).not_to_contain_text("LEADLINE_WEBHOOK_NETWORKS")
    expect(dialog.get_by_text("Or press “Save” again")).to_have_count(0)
    assert client.sources().sources == []


def test_options_that_are_changed_keep_the_credentials(
    service_and_page: tuple[Client, Portal], site: WebServer
) -> None:
    client, opened = service_and_page
    options = {"url": f"{site.url}/files/", "username": "ann", "password": "white whale"}
    made = client.create_source("Ships", "web", options, interval_seconds=0)
    page = opened.signed_in("/sources")
    row = page.locator("#rows tr")
    expect(row).to_contain_text("In sync")
    row.get_by_role("button", name="Actions for Ships").click()
    page.get_by_role("menuitem", name="Change").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("User name")).to_have_value("ann")
    expect(dialog.get_by_label("Password")).to_have_value("")
    dialog.get_by_label("User name").fill("bob")
    assert serious(page) == []
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    changed = client.source(made.id)
    assert (changed.options["username"], changed.credentials) == ("bob", ["password"])


def test_a_site_that_rejects_the_password_is_saved_on_a_second_click_and_its_failure_is_explained(
    service_and_page: tuple[Client, Portal], site: WebServer
) -> None:
    site.add("/closed/", "Sign in first.", status=401)
    client, opened = service_and_page
    page = opened.signed_in("/sources")
    page.get_by_role("button", name="Add source").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Closed")
    dialog.get_by_label("Kind").select_option("Web site")
    dialog.get_by_label("Address", exact=True).fill(f"{site.url}/closed/")
    dialog.get_by_label("User name").fill("ann")
    dialog.get_by_label("Password").fill("a wrong password")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("answered with the status 401")
    expect(dialog.get_by_role("alert")).to_contain_text("Check the credentials")
    expect(dialog.get_by_text("Or press “Save” again to add the source as it is")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("#rows tr")
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("Check the credentials")
    assert serious(page) == []
    assert "a wrong password" not in page.content()
    assert client.sources().sources[0].credentials == ["password"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_and_its_form_are_german_and_fit_a_telephone(
    tmp_path: Path, browser: Browser, papers: Path, scheme: str
) -> None:
    options = {"locale": "de-DE", "viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    with (
        running(tmp_path / "home", source_folders=str(papers)) as (services, _),
        portal(services, browser, **options) as opened,
    ):
        page = opened.signed_in("/sources")
        expect(page.get_by_role("heading", name="Noch keine Quellen")).to_be_visible()
        assert page.evaluate(LOADED) < 160_000
        assert is_fitting(page)
        page.get_by_role("button", name="Quelle hinzufügen").click()
        dialog = page.get_by_role("dialog")
        for kind in ("LangChain-Loader", "Postfach (IMAP)", "Slack-Kanäle", "Website", "Ordner"):
            dialog.get_by_label("Art").select_option(kind)
            dialog.get_by_text("Weitere Optionen").click()
            assert is_fitting(page)
            assert serious(page) == []
        dialog.get_by_label("Name", exact=True).fill("Berichte")
        dialog.get_by_label("Pfad des Ordners").fill(str(papers))
        dialog.get_by_role("button", name="Speichern").click()
        expect(page.locator("#rows tr")).to_contain_text("Synchron")
        for each in papers.iterdir():
            each.unlink()
        page.get_by_role("button", name="Jetzt synchronisieren: Berichte").click()
        expect(page.locator("#rows tr")).to_contain_text("Diese Synchronisierung würde 14 Dokumente entfernen")
        assert is_fitting(page)
        assert serious(page) == []


def test_only_administrators_see_sources(service_and_page: tuple[Client, Portal]) -> None:
    _, opened = service_and_page
    _, key = opened.services.keys.issue_key("default", "a reader", scopes=(Scope.READ, Scope.ASK))
    page = opened.page()
    page.goto(f"{opened.url}/sign-in?to=/sources")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("This page is for administrators.")).to_be_visible()
    expect(page.get_by_role("button", name="Add source")).to_have_count(0)


def sync_now(row: Locator) -> None:
    row.get_by_role("button", name="Sync now").click()
    expect(row.get_by_role("button", name="Cancel")).to_have_count(0)


def is_fitting(page: Page) -> bool:
    boxes = "[document.documentElement, ...document.querySelectorAll('dialog')]"
    return bool(page.evaluate(f"Math.max(...{boxes}.map((each) => each.scrollWidth))") <= 360)
