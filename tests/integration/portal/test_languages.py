"""The portal in German, in a real browser over a real service: no English text, and nothing that does not fit."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.remarks import Remark, name_problem
from rlm.events import Checking, Completed, Delta, Reading, Routed
from tests.integration.portal.test_manage import spent
from tests.integration.portal.test_runs import STEPS, ended_run, open_run
from tests.support.browser import Portal, portal
from tests.support.cluster import wait_until
from tests.support.portal_pages import MARKDOWN, WrittenAnswers, ready_document, written
from tests.texts.extraction import list_messages, read_catalogue

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

WIDTHS = (1440, 360)
# Every text that is shown or read aloud, without what people and models wrote.
SHOWN_TEXTS = """() => {
  const own = '.foreign, .answer > *, pre, code, textarea'
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement
    const shown = parent.checkVisibility({ visibilityProperty: true }) || parent.closest('.unseen')
    if (shown && !parent.closest('script, style, ' + own)) found.push(node.textContent)
  }
  for (const name of ['title', 'aria-label', 'placeholder', 'alt', 'data-label', 'data-tip']) {
    for (const each of document.querySelectorAll(`[${name}]`)) {
      if (each.checkVisibility() && !each.closest(own)) found.push(each.getAttribute(name))
    }
  }
  return [document.title, ...found].map((each) => each.replace(/\\s+/g, ' ').trim()).filter(Boolean)
}"""


@pytest.fixture(params=WIDTHS)
def german(service: tuple[Services, Client], browser: Browser, request: pytest.FixtureRequest) -> Iterator[Portal]:
    size = {"width": request.param, "height": 900}
    with portal(service[0], browser, locale="de-DE", timezone_id="Europe/Berlin", viewport=size) as made:
        yield made


def find_english(page: Page) -> list[str]:
    """Return the texts of a page that are English texts of the catalogue and not their translations."""
    english, german = compile_patterns()
    texts = [each for each in page.evaluate(SHOWN_TEXTS) if each != "default"]  # the name of the organisation
    return [each for each in texts if english.fullmatch(each) and not german.fullmatch(each)]


def check_german(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.lang") == "de"
    assert find_english(page) == []
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, page.url


def ready_tenant(services: Services, client: Client) -> dict[str, Any]:
    """Fill the installation with something to see on each page. Returns the document."""
    document = ready_document(client)
    client.http.post("/v1/documents", params={"name": "Mietvertrag.txt", "collection": "mieten"}, content=b"Die Miete.")
    client.http.post("/v1/documents", params={"name": "leer.pdf"}, content=b"%PDF-1.4 broken")
    user = services.accounts.users.create(DEFAULT_TENANT, "anna", ["personal"])
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "Nachtlauf", scopes=(Scope.READ, Scope.ASK), user=user.name)
    spent(services, key.id, answers=3, runs=1, prompt_tokens=4_000, completion_tokens=500, nanodollars=2_500_000_000)
    services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 10_000})
    client.http.put("/v1/collections/mieten/grants/group:personal", json={"role": "reader"})
    return document


def script_answer(client: Client, said: WrittenAnswers, document: dict[str, Any]) -> None:
    content = client.http.get(f"/v1/documents/{document['id']}/content").text
    said.events = [Routed("direct", ""), Reading(1, ()), Delta(MARKDOWN), Checking(4)]
    said.events.append(Completed(written(document, content)))


def test_no_page_for_people_shows_english_text_or_is_too_wide_in_german(
    service: tuple[Services, Client], said: WrittenAnswers, german: Portal
) -> None:
    client = service[1]
    document = ready_tenant(*service)
    script_answer(client, said, document)
    page = german.signed_in("/ask")
    check_german(page)
    page.locator("#question").fill("Which colour had the whale?")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_contain_text("1 von 4 Aussagen belegt")
    expect(page.locator(".answer[aria-busy]")).to_have_count(0)
    check_german(page)
    page.locator(".answer .check.contradicted").click()
    expect(page.locator(".why")).to_contain_text("Nicht gestützt")
    page.get_by_role("button", name="Etwas ist falsch").click()
    check_german(page)
    page.get_by_role("button", name="Teilen").click()
    page.get_by_role("dialog").get_by_role("button", name="Link erstellen").click()
    shared = page.locator(".links a").get_attribute("href")
    check_german(page)
    page.goto(f"{german.url}{shared}")
    expect(page.locator("#about")).to_contain_text("Eine Unterhaltung, geteilt von")
    check_german(page)
    page.goto(f"{german.url}/library/{document['id']}")
    expect(page.get_by_role("button", name="Löschen")).to_be_visible()
    check_german(page)
    page.goto(f"{german.url}/library")
    expect(page.locator("#rows tr", has_text="leer.pdf")).to_contain_text(
        "Die PDF-Datei ist abgeschnitten: Ihr Ende fehlt."
    )
    check_german(page)
    page.locator("#rows input[type=checkbox]").first.check()
    page.get_by_role("button", name="Sammlungen").click()
    check_german(page)


def test_places_in_documents_are_named_in_german(german: Portal) -> None:
    page = german.signed_in("/library")
    words = """async (places) => {
      const { placeInWords } = await import('/portal/assets/places.js')
      return places.map(placeInWords)
    }"""
    labels = ["page 12", "pages 3 to 4", "slide 2", "sheet Costs, rows 2 to 9", "table Ports, row 3", "annex page"]
    assert page.evaluate(words, labels) == [
        "Seite 12", "Seiten 3 bis 4", "Folie 2", "Blatt Costs, Zeilen 2 bis 9", "Tabelle Ports, Zeile 3", "annex page",
    ]  # fmt: skip


def test_no_page_of_the_administration_shows_english_text_or_is_too_wide_in_german(
    service: tuple[Services, Client], german: Portal
) -> None:
    ready_tenant(*service)
    page = german.signed_in("/usage")
    expect(page.locator("#quotas")).to_contain_text("Heute noch 5.500 von 10.000")
    expect(page.locator("#quotas")).to_contain_text(re.compile(r"neu ab \d\d\.\d\d\.\d{4}"))
    expect(page.locator("#sums")).to_contain_text("2,50\xa0$")
    check_german(page)
    for path in ("/keys", "/people", "/sources", "/audit", "/feedback", "/settings", "/slack"):
        page.goto(f"{german.url}{path}")
        check_german(page)
        for button in {"/keys": ("Schlüssel anlegen",), "/people": ("Person hinzufügen",)}.get(path, ()):
            page.get_by_role("button", name=button).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            check_german(page)
    page.goto(f"{german.url}/people")
    page.locator("details.collection summary").first.click()
    expect(page.locator("details.collection[open]")).to_contain_text("Rolle vergeben")
    expect(page.locator("details.collection[open]")).not_to_contain_text("null")
    page.locator("#account").click()
    expect(page.get_by_role("dialog")).to_contain_text("lesen, fragen, schreiben, verwalten")
    check_german(page)


def test_settings_are_described_in_german_and_found_by_german_and_english_words(german: Portal) -> None:
    page = german.signed_in("/settings")
    rows, found = page.locator("#settings tbody tr"), page.get_by_label("Einstellung suchen")
    found.fill("Größe hochgeladenen Datei")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("LEADLINE_MAX_UPLOAD_BYTES")
    expect(rows).to_contain_text("Höchste Größe einer hochgeladenen Datei in Bytes.")
    expect(rows.locator("[lang=en]")).to_have_count(0)
    check_german(page)
    found.fill("size of an uploaded")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Höchste Größe")


def test_the_details_of_the_audit_log_are_german(service: tuple[Services, Client], german: Portal) -> None:
    document = ready_tenant(*service)
    quotas = service[0].admission.meter.quotas
    quotas.reset_limits(Account(DEFAULT_TENANT), [Quota.TOKENS_PER_DAY])
    quotas.set_limits(Account(DEFAULT_TENANT), {Quota.DOLLARS_PER_DAY: 2_500_000_000, Quota.DOCUMENTS: None})
    path = f"/v1/documents/{document['id']}"
    service[1].http.patch(path, json={"readers": ["group:personal"]}, headers={"If-Match": "*"}).raise_for_status()
    page = german.signed_in("/audit")
    for words in (
        "Grenzen: Tokens pro Tag 10.000",
        "auf den Standard zurückgesetzt: Tokens pro Tag",
        "Kosten pro Tag 2,50\xa0$",
        "Dokumente keine Grenze",
        "Leser: vorher alle, die die Sammlung sehen, jetzt group:personal",
        "für: group:personal, Rolle: Leser",
    ):
        expect(page.locator(".facts-line", has_text=words)).to_have_count(1)
    check_german(page)


def test_runs_and_pages_without_a_session_are_german_and_fit(service: tuple[Services, Client], german: Portal) -> None:
    page = open_run(german, ended_run(service[1]), *STEPS)
    expect(page.locator("#state")).to_contain_text("Vollständig")
    page.locator("#steps-details > summary").click()
    expect(page.locator("#steps")).to_contain_text("Schreibt die Antwort")
    check_german(page)
    for path in ("/runs", "/nonsense", "/runs/unknown"):
        page.goto(f"{german.url}{path}")
        check_german(page)
    german.context.clear_cookies()
    page.goto(f"{german.url}/sign-in")
    check_german(page)


def test_the_language_that_was_chosen_comes_before_that_of_the_browser(
    service: tuple[Services, Client], browser: Browser
) -> None:
    with portal(service[0], browser, locale="en-GB") as opened:
        page = opened.signed_in("/library")
        assert "No documents yet" in find_english(page)
        page.locator("#account").click()
        page.get_by_label("Language").select_option("de")
        expect(page.get_by_role("heading", name="Noch keine Dokumente")).to_be_visible()
        check_german(page)
        page.goto(f"{opened.url}/usage")
        check_german(page)


@cache
def compile_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    english: list[str] = []
    german: list[str] = []
    for message in list_messages(read_catalogue("de")):
        for texts, patterns in ((message.id, english), (message.string, german)):
            for text in [texts] if isinstance(texts, str) else texts or ():
                if re.search(r"[^\W\d_]{2}", re.sub(r"\{\w+\}", "", text)):
                    patterns.append(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text)))
    return re.compile("|".join(english)), re.compile("|".join(german))


def test_the_reasons_of_refused_and_failed_files_and_what_they_lack_are_german(
    service: tuple[Services, Client], german: Portal, tmp_path: Path
) -> None:
    client = service[1]
    cut = client.http.post("/v1/documents", params={"name": "leer.pdf"}, content=b"%PDF-1.4 broken").json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{cut}")["state"] == "failed", what="it has failed")
    failure = client.get(f"/v1/documents/{cut}")["failure"]
    assert failure["detail"] == failure["coded_detail"]["text"] == "The PDF is cut off: its end is missing."
    page = german.signed_in(f"/library/{cut}")
    expect(page.locator("div.notice.bad")).to_have_text(
        "Die PDF-Datei ist abgeschnitten: Ihr Ende fehlt.Laden Sie die vollständige Datei hoch. "
        "Dieselbe Datei würde wieder fehlschlagen."
    )
    hidden = "<html><body><p>The lease ends in 2031.</p><p hidden>Secret.</p></body></html>"
    document = ready_document(client, hidden, "lease.html")
    page.goto(f"{german.url}/library/{document['id']}")
    expect(page.locator(".notice.warn li")).to_have_text("1 verborgener Teil: verborgene Elemente")
    program = tmp_path / "setup.exe"
    program.write_bytes(b"MZ\x90\0" + bytes(range(256)) * 8)
    page.goto(f"{german.url}/library")
    page.locator("#files").set_input_files(program)
    expect(
        page.get_by_text("Der Inhalt sieht wie eine EXE-Datei aus. Dieses Format liest Leadline nicht.").first
    ).to_be_visible()


def test_notes_and_reasons_of_the_service_are_german(
    service: tuple[Services, Client], said: WrittenAnswers, german: Portal
) -> None:
    client = service[1]
    document = ready_document(client)
    content = client.http.get(f"/v1/documents/{document['id']}/content").text
    why = name_problem("budget_exhausted", "The budget is spent.")
    notes = (Remark("rows_not_judged", column="late", n=1_200, problem=why), Remark("answer_cut_off"))
    said.events = [
        Routed("direct", Remark("route_small_model")),
        Delta(MARKDOWN),
        Completed(written(document, content, notes=notes, reasons=(Remark("route_small_model"), "Own words."))),
    ]
    page = german.signed_in("/ask")
    page.locator("#question").fill("Which colour had the whale?")
    page.keyboard.press("Enter")
    expect(page.locator(".notes p").first).to_have_text(
        "Für „late“ haben 1.200 Zeilen kein Ergebnis: Das Budget ist aufgebraucht, bevor die Antwort vollständig ist."
    )
    expect(page.locator(".notes p").last).to_have_text(
        "Die Antwort wurde abgeschnitten: Das Modell hat seine Ausgabelänge erreicht."
    )
    small = "Direkt: Das Modell ist zu klein, um eine Vorgehensweise zu wählen."
    expect(page.locator(".details")).to_contain_text(small)
    expect(page.locator(".details")).to_contain_text("Own words.")
