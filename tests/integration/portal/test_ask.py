"""Asking in a real browser over a real service: what a model would say is written down, all else is real."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from api.admission.services import Services
from api.client import Client
from rlm.answers import (
    Answer,
    AnswerStatus,
    Check,
    Citation,
    Quote,
    ResultTable,
    SearchedDocument,
    SearchSummary,
    Sentence,
)
from rlm.events import Checking, Completed, Delta, Reading, Routed
from tests.fakes.scripted_answers import answer
from tests.support.browser import Portal, portal
from tests.support.pdf_files import pdf
from tests.support.portal_pages import (
    MARKDOWN,
    TEXT,
    WrittenAnswers,
    ask,
    ready_document,
    serious,
    wait_for_answer,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


def test_an_answer_streams_and_its_markers_open_the_source_at_the_very_words(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    said.events = [Routed("direct", ""), Reading(1, ()), Delta(MARKDOWN[:60]), None, Delta(MARKDOWN[60:]), Checking(4)]
    said.events.append(
        Completed(written(document, service[1].http.get(f"/v1/documents/{document['id']}/content").text))
    )
    page = opened.signed_in("/ask")
    expect(page.get_by_text("You can ask about 1 document.")).to_be_visible()
    ask(page)
    expect(page.locator(".answer strong")).to_have_text("white")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    said.go_on.set()
    expect(page.locator(".verdict > *:not(.help)")).to_have_text(
        ["✓1 of 4 statements proven", "1 not checked", "!1 not supported", "1 with no source"]
    )
    expect(page.locator(".answer .check")).to_have_text(["✓", "not checked", "!", "no source"])
    expect(page.locator(".contradicted-text")).to_have_text(["It weighed 40 tons", "."])
    page.get_by_role("button", name="Not supported", exact=True).click()
    expect(page.get_by_role("note")).to_have_text("Not supported The source gives no weight.")
    expect(page.locator(".answer table td")).to_have_text(["Pequod", "1851"])
    expect(page.locator(".answer pre")).to_have_text("code <b>here</b>")
    page.locator(".answer .cite").first.click()
    expect(page.locator("#beside mark")).to_have_text("The whale was white.")
    page.locator(".answer .cite").nth(1).click()
    expect(page.locator("#beside mark")).to_have_text("hips were many.")
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#beside")).to_be_hidden()
    assert page.evaluate("document.activeElement === document.querySelectorAll('.answer .cite')[1]")
    page.reload()
    expect(page.locator(".answer .check")).to_have_count(4)
    expect(page.locator("#conversations a[aria-current]")).to_have_text("Which colour had the whale?")
    ask(page, "And its age?")
    expect(page.locator(".turn")).to_have_count(2)
    wait_for_answer(page)
    assert next(each.text for each in said.requests[1].history) == "Which colour had the whale?"


def test_what_a_person_chooses_is_asked_and_an_estimate_is_confirmed(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    said.events = [Completed(written(document, TEXT))]
    page = opened.signed_in("/ask")
    page.get_by_role("button", name="All documents").click()
    page.get_by_role("option", name="default").click()
    page.get_by_role("button", name="Automatic").click()
    page.get_by_label("Compute over tables").check()
    page.get_by_label("Time limit").select_option("60")
    expect(page.locator("#scope-said")).to_have_text("default")
    expect(page.locator("#options-said")).to_have_text("Tables, at most 1 minute")
    ask(page)
    wait_for_answer(page)
    wanted, scope = said.requests[0].wanted, said.requests[0].scope
    assert (wanted.strategy.value, scope.collections, wanted.limits and wanted.limits.seconds) == (
        "table", ("default",), 60,
    )  # fmt: skip
    page.goto(f"{opened.url}/ask?document={document['id']}")
    expect(page.locator("#chips li")).to_have_text(["The Whale 𝔚"])
    ask(page)
    wait_for_answer(page)
    assert said.requests[1].scope.documents == (document["id"],)


def test_an_answer_is_stopped_and_the_question_edited_and_asked_again(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    said.events = [Delta("The whale was "), None]
    page = opened.signed_in("/ask")
    ask(page, "What of the whale?")
    expect(page.locator(".answer")).to_contain_text("The whale was")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    assert said.stopped.wait(60)
    said.events = [Completed(written(document, TEXT))]
    page.get_by_role("button", name="Edit and ask again").click()
    assert page.get_by_label("Your question").input_value() == "What of the whale?"
    page.keyboard.press("Enter")
    wait_for_answer(page)


def test_the_next_question_is_asked_while_the_connection_of_a_complete_answer_is_still_open(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    said.events = [Completed(written(document, TEXT)), None]
    page = opened.signed_in("/ask")
    ask(page)
    wait_for_answer(page)
    said.events = [Completed(written(document, TEXT))]
    ask(page, "And its age?")
    expect(page.locator(".turn").nth(1)).to_contain_text("1 of 4 statements proven")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    said.go_on.set()


def test_what_the_documents_do_not_say_and_what_failed_is_told_with_the_next_step(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    from rlm.errors import LanguageModelUnavailableError

    document = ready_document(service[1])
    nothing = "The documents do not say."
    sentence = (Sentence(nothing, 0, len(nothing)),)
    said.events = [
        Completed(
            written(document, TEXT, text=nothing, sentences=sentence, citations=(), status=AnswerStatus.NOT_FOUND)
        )
    ]
    page = opened.signed_in("/ask")
    ask(page, "Who built it?")
    expect(page.get_by_text("Not in these documents")).to_be_visible()
    expect(page.get_by_text("colour of the whale")).to_be_visible()
    said.events = [LanguageModelUnavailableError("The language model is away.")]
    ask(page, "And now?")
    expect(page.get_by_role("alert")).to_contain_text("language model")


def test_a_computed_table_is_shown_and_downloaded_without_formulas(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    table = ResultTable(("ship", "tons"), (("=HYPERLINK(1)", 1200), ('a "b", c', -3)), 2, "SELECT ship FROM t")
    said.events = [Completed(written(document, TEXT, table=table, strategy="table"))]
    page = opened.signed_in("/ask")
    ask(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download this table").click()
    written_csv = Path(waiting.value.path()).read_bytes().decode()
    assert written_csv == 'ship,tons\r\n\'=HYPERLINK(1),1200\r\n"a ""b"", c",-3\r\n'
    page.get_by_text("How it was computed").click()
    expect(page.get_by_text("SELECT ship FROM t")).to_be_visible()
    assert serious(page) == []


def cites(document: dict[str, Any], content: str, words: str) -> Answer:
    start = content.index(words)
    said = "So it is [1]."
    quote = Quote(1, start, start + len(words), words)
    citation = Citation(
        1, document["id"], document["active_version"], "A source", (), 1, start, start + len(words), words, True
    )
    sentence = Sentence(said, 0, len(said), (1,), Check.QUOTED, "", (quote,))
    return answer(document["id"], text=said, sentences=(sentence,), citations=(citation,))


def test_a_page_is_shown_with_boxes_around_the_cited_words_and_a_row_among_its_neighbours(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    client = service[1]
    page = opened.signed_in("/ask")
    for name, content, words in (
        ("whale.pdf", pdf([["A first page."], ["The whale was white.", "It weighed 40 tons."]]), "weighed 40 tons"),
        ("ships.csv", b"ship,year\nPequod,1851\nNautilus,1870\nBeagle,1820\n", "Nautilus"),
    ):
        document = ready_document(client, content, name)
        text = client.http.get(f"/v1/documents/{document['id']}/content").text
        said.events = [Completed(cites(document, text, words))]
        page.goto(f"{opened.url}/ask")
        ask(page)
        page.locator(".answer .cite").click()
        expect(page.locator("#beside mark")).to_have_text(words)
        if name.endswith("pdf"):
            expect(page.locator("#beside .sheet .box")).to_have_count(1)
            sheet, box = page.evaluate(
                "['img', '.box'].map(each => document.querySelector(`.sheet ${each}`).getBoundingClientRect().toJSON())"
            )
            assert sheet["left"] < box["left"] < box["right"] < sheet["right"]
            assert sheet["top"] < box["top"] < box["bottom"] < (sheet["top"] + sheet["bottom"]) / 2
        else:
            expect(page.locator("#beside tr.cited")).to_have_text("3Nautilus1870")
        assert serious(page) == []


def logged(*events: tuple[str, dict[str, Any]]) -> str:
    """A stream as the service sends it."""
    return "".join(
        f"id: {number}\nevent: {kind}\ndata: {json.dumps({'sequence': number, 'kind': kind, 'body': body})}\n\n"
        for number, (kind, body) in enumerate(events, 1)
    )


def test_a_run_goes_on_in_the_background_and_shows_its_steps_as_a_tree(
    service: tuple[Services, Client], opened: Portal
) -> None:
    ready_document(service[1])
    page = opened.signed_in("/ask")
    page.get_by_role("button", name="Automatic").click()
    page.get_by_label("Answer as a background run").check()
    ask(page, "What colour was the whale?")
    page.wait_for_url("**/runs/*")
    expect(page.locator("#state")).to_contain_text("Complete")
    expect(page.locator(".answer")).to_contain_text("The whale was white")
    expect(page.locator("#steps")).to_contain_text("Found")
    assert serious(page) == []
    call = {"purpose": "read a part", "prompt": "Is it white?", "text": "yes", "usage": {"prompt_tokens": 7}}
    cell = {"number": 1, "depth": 0, "code": "llm_query('<b>x</b>')", "output": "yes", "seconds": 2, "sub_calls": 1}
    title = "Has a model read a part of the text"
    cell |= {"title": title, "coded_title": {"code": "step_llm_query", "values": {}, "text": title}}
    going_on = "retry: 600000\n\n" + logged(*(("call", {**call, "purpose": "root"}) for _ in range(7)))
    opened.context.route("**/events", lambda route: route.fulfill(body=going_on, content_type="text/event-stream"))
    page.reload()
    expect(page.locator("#steps")).to_contain_text("7 model calls in this step so far")
    expect(page.locator("#steps .calls > li", has_text="Decides on the next step")).to_have_count(5)
    opened.context.unroute("**/events")
    stream = logged(("call", call), ("cell", cell), ("end", {}))
    opened.context.route("**/events", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
    page.reload()
    page.locator("#steps-details > summary").click()
    page.get_by_text(title).click()
    page.locator("#steps summary", has_text="Code").click()
    expect(page.locator("#steps pre").last).to_have_text("llm_query('<b>x</b>')")
    page.locator("#steps .calls").get_by_text("Calls the model").click()
    expect(page.locator("#steps .calls")).to_contain_text("Is it white?")
    page.goto(f"{opened.url}/runs")
    expect(page.locator("#rows tr")).to_contain_text("Complete")
    assert serious(page) == []


HOSTILE = (
    "<script>document.title = 'pwned'; fetch('https://evil.example/')</script>\n"
    "<style>body{display:none}</style><svg onload=\"document.title='pwned'\"></svg>\n"
    "<img src=https://evil.example/x.png onerror=\"document.title='pwned'\">\n"
    "![tracked](https://evil.example/t.png) [click](javascript:alert(1)) <https://evil.example/>\n"
    "\u202eright to left\u202c \u2066isolated\u2069 " + "W" * 10_000 + "\n"
)


def test_a_hostile_document_runs_nothing_asks_nobody_and_breaks_no_layout(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    client, name = service[1], "<script>document.title='pwned'</script>\u202etxt.exe" + "N" * 900
    document = ready_document(client, f"# <img src=x onerror=alert(1)> Title\n\n{HOSTILE}", name=name)
    identifier = document["id"]
    content = client.http.get(f"/v1/documents/{identifier}/content").text
    whole = Citation(1, identifier, document["active_version"], HOSTILE[:300], (HOSTILE[:300],), None, 0, 60,
                     content[:60], True)  # fmt: skip
    text = f"{HOSTILE} [1]"
    said.events = [
        Delta(text),
        Completed(
            answer(
                identifier,
                text=text,
                sentences=(Sentence(text, 0, len(text), (1,), Check.VERIFIED, HOSTILE, (Quote(1, 0, 60, ""),)),),
                citations=(whole,),
                question=HOSTILE,
                notes=(HOSTILE,),
                reasons=(HOSTILE,),
                table=ResultTable((HOSTILE[:100],), ((HOSTILE,),), 1, HOSTILE),
                searched=SearchSummary(1, 1, (SearchedDocument(identifier, HOSTILE, 1, 1),), (HOSTILE,)),
            )
        ),
    ]
    page = opened.signed_in("/library")
    for path in ("/library", f"/library/{identifier}", "/ask"):
        page.goto(f"{opened.url}{path}")
        if path == "/ask":
            ask(page, HOSTILE[:3000])
            page.locator(".answer .cite").click()
            expect(page.locator("#beside mark")).to_have_count(1)
        else:
            expect(page.locator(".status", has_text="Ready")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.title").startswith("pwned") is False
        assert (
            page.evaluate("document.querySelectorAll('main :is(script, style, svg:not(.icon), iframe, object)').length")
            == 0
        )
        assert page.evaluate("[...document.querySelectorAll('main img')].map(each => each.src)") == []
        hrefs = page.evaluate("[...document.querySelectorAll('a')].map(each => each.href)")
        assert [each for each in hrefs if not each.startswith(opened.url)] == []
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, path
        assert "\u202e" not in page.inner_text("main")


def test_on_a_narrow_screen_nothing_is_wider_than_the_screen(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    document = ready_document(service[1])
    said.events = [Completed(written(document, TEXT))]
    with portal(service[0], browser, viewport={"width": 360, "height": 740}) as opened:
        page = opened.signed_in("/ask")
        ask(page)
        wait_for_answer(page)
        page.locator(".answer .cite").first.click()
        expect(page.locator("#beside mark").first).to_be_visible()
        assert page.locator(".turn").evaluate("turn => turn.clientWidth") > 300
        heights = "[...document.querySelectorAll('.top nav a span')].map(name => name.offsetHeight)"
        assert max(page.evaluate(heights)) < 20  # each name is on one line below its icon
        for path in ("", "/library", f"/library/{document['id']}", "/runs", "/sign-in"):
            if path:
                page.goto(f"{opened.url}{path}")
            page.wait_for_load_state("networkidle")
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, path or "/ask"
            assert serious(page) == []
