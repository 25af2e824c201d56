"""Every page in both languages: a text that is the same in both comes from code, unless people or models wrote it."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import Services
from api.client import Client
from api.slack.manifest import OPTIONAL_SCOPES, SCOPES
from ingest.storage.remarks import Remark, convert_remark_to_json, name_problem
from rlm.answers import Check, Support
from rlm.checking.checker import NOT_SAID, QUOTE_NOT_FOUND, UNCITED
from rlm.checking.levels import ABOUT_ALL
from rlm.events import Completed, Delta, Routed
from tests.integration.portal.test_ask import logged
from tests.integration.portal.test_languages import SHOWN_TEXTS, compile_patterns, ready_tenant, script_answer
from tests.integration.portal.test_runs import STEPS, cell, ended_run
from tests.support.browser import Portal, portal
from tests.support.portal_pages import WrittenAnswers, ready_document, written
from tests.texts.untranslated import CODE as COMMANDS
from tests.texts.untranslated import NAMES

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

ADMINISTRATION = ("/usage", "/keys", "/people", "/sources", "/audit", "/feedback", "/settings", "/slack")
PAGES = ("/ask", "/library", "/runs", *ADMINISTRATION, "/nonsense", "/runs/unknown", "/library/unknown", "/ask?x=1")
# Shown as they are: data of the test, names, and codes that administrators look up.
_SAME = {*NAMES, *COMMANDS, "default", "Leadline"}
TITLE, QUESTION = "The Whale", "What colour was the whale?"
CODE = convert_remark_to_json(Remark("step_code"))
_CODES = re.compile(r"[\w./:@{}<>+*%-]+|LEADLINE_\w+.*|[\d\s.,:/·–-]+(AM|PM)?")


@pytest.fixture
def both(service: tuple[Services, Client], browser: Browser) -> Iterator[tuple[Portal, Portal]]:
    """The portal in English and in German, at the same time in the same zone."""
    with (
        portal(service[0], browser, locale="en-GB", timezone_id="Europe/Berlin") as english,
        portal(service[0], browser, locale="de-DE", timezone_id="Europe/Berlin") as german,
    ):
        yield english, german


def read_texts(page: Page) -> set[str]:
    page.wait_for_load_state("networkidle")
    return set(page.evaluate(SHOWN_TEXTS))


def find_untranslated(english: set[str], german: set[str]) -> list[str]:
    """Return the texts that are the same in both languages, although a language has words of its own for them."""
    _, translated = compile_patterns()
    return sorted(
        each
        for each in {text.removesuffix(" · Leadline") for text in english & german} - _SAME
        if re.search(r"[^\W\d_]{2}", each) and not translated.fullmatch(each) and not _CODES.fullmatch(each)
    )


BUSY = name_problem("language_model_timeout", "The server did not answer.")
EVENTS = logged(*STEPS, cell(4, "print(1)", title="Runs code", coded_title=CODE), ("end", {}))
STEPS_SHOWN = 4
SLACK_STATE = {
    "is_set_up": True, "transport": "http", "public_url": None, "takes_files": True, "collection": "slack",
    "workspaces": [], "channels": [], "files": {}, "users": 0, "open_questions": 0, "last_event_at": None,
    "last_failure": None, "manifests": {"http": None, "socket_mode": {}},
}  # fmt: skip


def build_finding(*said: str) -> dict[str, object]:
    what, found, step = said
    coded = [convert_remark_to_json(each) for each in said]
    names = ("coded_what", "coded_found", "coded_next_step")
    return {"what": what, "found": found, "next_step": step, "needed": True, **dict(zip(names, coded, strict=True))}


FINDINGS = [
    build_finding(Remark("slack_events"), Remark("slack_over_http"), ""),
    build_finding(Remark("slack_bot_token"), Remark("slack_none"), Remark("slack_step_install")),
    *(
        build_finding(
            Remark("slack_scope", scope=scope),
            Remark("slack_missing"),
            Remark("slack_step_scope", scope=scope, reason=reason),
        )
        for scope, reason in {**SCOPES, **OPTIONAL_SCOPES}.items()
    ),
]


def open_all_details(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def test_no_page_has_a_text_of_the_code_that_is_the_same_in_english_and_german(
    service: tuple[Services, Client], said: WrittenAnswers, both: tuple[Portal, Portal]
) -> None:
    client = service[1]
    document = ready_tenant(*service)
    script_answer(client, said, document)
    found: dict[str, list[str]] = {}
    for path in (*PAGES, f"/library/{document['id']}"):
        texts = []
        for opened in both:
            page = opened.signed_in("/library")
            page.goto(f"{opened.url}{path}")
            page.wait_for_load_state("networkidle")
            open_all_details(page)
            texts.append(read_texts(page))
            page.close()
        if same := find_untranslated(*texts):
            found[path] = same
    # The values of settings, and the document's own title.
    values = {str(each["value"]) for each in client.get("/v1/settings")["settings"]} | {"~/.local/share/leadline"}
    found = {path: [each for each in same if each not in values and TITLE not in each] for path, same in found.items()}
    assert {path: same for path, same in found.items() if same} == {}


def test_no_state_of_answers_runs_and_slack_has_an_english_text_of_the_code_in_german(
    service: tuple[Services, Client], said: WrittenAnswers, both: tuple[Portal, Portal]
) -> None:
    client = service[1]
    document = ready_document(client)
    run = ended_run(client)
    content = client.http.get(f"/v1/documents/{document['id']}/content").text
    made = written(
        document, content, notes=(Remark("run_cells_over", n=30), Remark("calls_not_answered", n=2, problem=BUSY))
    )
    reasons = (f"{ABOUT_ALL} Of 3 documents, passages of 2 were read.", QUOTE_NOT_FOUND, NOT_SAID, UNCITED)
    checks = (Check.QUOTED, Check.QUOTED, Check.UNSUPPORTED, Check.UNCHECKED)
    sentences = tuple(
        replace(each, reason=reason, check=check, support=support)
        for each, reason, check, support in zip(
            made.sentences, reasons, checks, (Support.PARTIAL, None, Support.NONE, None), strict=True
        )
    )
    texts = []
    for opened in both:
        said.events = [Routed("direct", ""), Delta(made.text), Completed(replace(made, sentences=sentences))]
        page = opened.signed_in("/ask")
        page.locator("#question").fill("Which colour?")
        page.keyboard.press("Enter")
        expect(page.locator(".verdict")).to_be_visible()
        expect(page.locator(".answer[aria-busy]")).to_have_count(0)
        for mark in page.locator(".answer .check").all():
            mark.click()
        found = set(page.locator(".why").all_inner_texts()) | set(page.locator(".notes p").all_inner_texts())
        opened.context.route("**/events", lambda route: route.fulfill(body=EVENTS, content_type="text/event-stream"))
        page.goto(f"{opened.url}/runs/{run}")
        page.locator("#steps-details > summary").click()
        expect(page.locator("#steps > li")).to_have_count(STEPS_SHOWN)
        found |= set(page.locator("#steps .title:not(:has(.foreign))").all_inner_texts()) | read_texts(page)
        opened.context.route("**/v1/slack", lambda route: route.fulfill(json=SLACK_STATE))
        opened.context.route("**/v1/slack/check", lambda route: route.fulfill(json={"findings": FINDINGS}))
        page.goto(f"{opened.url}/slack")
        page.locator("#check").click()
        expect(page.locator("#findings tr")).to_have_count(len(FINDINGS))
        found |= set(page.locator("#findings th, #findings td div, #findings td").all_inner_texts())
        texts.append(found)
    assert find_untranslated(*({each for each in found if QUESTION not in each} for found in texts)) == []
