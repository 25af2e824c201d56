"""What people do in the portal, with everything real: browser, service, encoder, and the local language model.

A small model's words are its own, so what is asserted holds of any model's answer.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from api.admission.services import Services
from api.build.embedded import open_embedded_services
from api.cli.private_service import open_services_client
from api.client import Client
from api.settings.settings import Settings
from rlm.llm.local.process import LocalModelProcess
from tests.integration.test_end_to_end import Shared
from tests.support.browser import Portal
from tests.support.pdf_files import pdf
from tests.support.portal_pages import serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium"), pytest.mark.timeout(2_400)]

HARBOUR = [
    [
        "The harbour of Norsund",
        "It was dug in 1790 by forty men from the parish.",
        "Its mole is long.",
    ],
    ["The lighthouse", "The keeper of the lighthouse was Ada Brandt.", "She lit the lamp for the first time in 1871."],
]
SHIPS = "ship,port,tons\nPequod,Nantucket,300\nEssex,Nantucket,238\nBeagle,Woolwich,242\nVictory,Chatham,2142\n"
# A model of this machine takes its time when the machine is busy.
ANSWERED_MS = 900_000


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, encoder_files: Path, local_model: LocalModelProcess
) -> Iterator[tuple[Services, Client]]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), models=encoder_files, min_free_bytes=0, ballast_bytes=0)
    with (
        open_embedded_services(settings, language_model=Shared(local_model)) as services,
        open_services_client(services) as client,
    ):
        yield services, client


def added(page: Page, opened: Portal, tmp_path: Path, name: str, content: bytes) -> None:
    """Add a file as people do, and wait until it can be asked about."""
    file = tmp_path / name
    file.write_bytes(content)
    page.goto(f"{opened.url}/library")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(file)
    page.get_by_role("region", name="Uploads").get_by_role("link", name="Ask about it").click()
    expect(page.get_by_label("Your question")).to_be_focused()


def ask(page: Page, question: str, strategy: str = "") -> None:
    if strategy:
        page.get_by_role("button", name="Automatic").click()
        page.get_by_label(strategy).check()
        page.locator("#options-button").click()  # it is now named after the choice
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def answered(client: Client) -> dict[str, Any]:
    """The newest answer, as the service keeps it: each quotation stands in its document."""
    newest = client.get("/v1/conversations")["conversations"][0]["id"]
    found: dict[str, Any] = client.get(f"/v1/conversations/{newest}")["turns"][-1]["answer"]
    for cited in found["citations"]:
        span = {"start": cited["start"], "end": cited["end"]}
        assert client.http.get(f"/v1/documents/{cited['document_id']}/content", params=span).text == cited["quote"]
    return found


def test_a_pdf_is_uploaded_asked_about_and_its_citation_opened_at_the_page_with_its_words_marked(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    client, page = service[1], opened.signed_in()
    added(page, opened, tmp_path, "harbour.pdf", pdf(HARBOUR))
    ask(page, "Who was the keeper of the lighthouse?")
    expect(page.locator(".turn .under").first).to_be_visible(timeout=ANSWERED_MS)
    answer = answered(client)
    (cited, *_) = answer["citations"]
    checks = {each["check"] for each in answer["sentences"]}
    assert checks <= {"verified", "quoted", "unsupported", "unchecked"}
    page.locator(".turn .answer .cite").first.click()
    marked = page.locator("#beside mark")
    expect(marked.first).to_be_visible()
    words = [each["text"] for sentence in answer["sentences"] for each in sentence["quotes"]] or [cited["quote"]]
    assert "".join(marked.all_inner_texts()).strip() in " ".join([*words, cited["quote"]])
    expect(page.locator("#beside .sheet .box").first).to_be_visible()
    number = page.locator("#beside .sheet img").first.get_attribute("alt")
    assert cited["place"] in ("page 1", "page 2")
    assert str(number).startswith(f"Page {cited['place'].removeprefix('page ')} ")
    assert serious(page) == []


def test_a_question_over_a_table_is_computed_and_its_figures_open_their_records(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    client, page = service[1], opened.signed_in()
    added(page, opened, tmp_path, "ships.csv", SHIPS.encode())
    ask(page, "How many ships are there?", "Compute over tables")
    done = page.locator(".turn .under").or_(page.get_by_role("alert"))
    expect(done.first).to_be_visible(timeout=ANSWERED_MS)
    if page.get_by_role("alert").count():  # no plan of this model could be run, which is said with what to do
        expect(page.get_by_role("alert")).to_contain_text("plan")
        return
    answer = answered(client)
    assert answer["strategy"] == "table"
    assert {each["check"] for each in answer["sentences"]} <= {"computed", "unchecked"}
    expect(page.locator("section[aria-label='Computed table'] tbody tr")).to_have_count(len(answer["table"]["rows"]))
    for behind in answer["table"]["records"][:1]:
        page.locator("section[aria-label='Computed table'] .figure").first.click()
        expect(page.locator("#beside tbody tr")).to_have_count(min(50, behind["count"]))
    assert serious(page) == []


def test_a_run_is_watched_as_it_works_and_cancelled(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    client, page = service[1], opened.signed_in()
    added(page, opened, tmp_path, "harbour.pdf", pdf(HARBOUR))
    page.get_by_role("button", name="Automatic").click()
    page.get_by_label("Work through everything").check()
    page.get_by_label("Answer as a background run").check()
    expect(page.locator("#estimate")).to_contain_text("At most")
    ask(page, "Go through every document and list all people, places and years, each with the sentence that names it.")
    page.wait_for_url("**/runs/*")
    expect(page.locator("#steps li").first).to_be_visible(timeout=ANSWERED_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_contain_text("Cancelled", timeout=ANSWERED_MS)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    run = client.get(f"/v1/runs/{page.url.rpartition('/')[2]}")
    assert (run["state"], run["answer"]) == ("cancelled", None)
    assert serious(page) == []


def test_what_the_documents_do_not_say_is_never_shown_as_verified(
    service: tuple[Services, Client], opened: Portal, tmp_path: Path
) -> None:
    client, page = service[1], opened.signed_in()
    added(page, opened, tmp_path, "harbour.pdf", pdf(HARBOUR))
    ask(page, "What is the boiling point of tungsten in degrees Celsius?")
    expect(page.locator(".turn .under").first).to_be_visible(timeout=ANSWERED_MS)
    answer = answered(client)
    expect(page.locator(".answer .check.proven")).to_have_count(0)
    if answer["status"] == "not_found":
        expect(page.get_by_text("Not in these documents")).to_be_visible()
        expect(page.locator(".under .details", has_text="What was searched")).to_be_visible()
    else:  # a small model answers nevertheless
        assert {each["check"] for each in answer["sentences"]} <= {"quoted", "unchecked", "unsupported"}
    assert serious(page) == []
