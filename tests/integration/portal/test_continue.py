"""Answers that continue while the page is left, in a real browser: nothing is lost, and the last turn stays in view."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Route, expect

from api.admission.services import Services
from api.client import Client
from api.main import create_app
from retrieval.search.requests import Passage
from rlm.answers import Answer
from rlm.errors import LanguageModelUnavailableError
from rlm.events import Cell, Checking, Completed, Delta, Event, Reading, Retrieved, Routed, Turn, Working
from rlm.requests import AnswerRequest
from tests.benchmark.portal_stream import long_answer
from tests.support.browser import Portal, portal
from tests.support.cluster import wait_until
from tests.support.portal_pages import (
    WrittenAnswers,
    ask,
    ready_document,
    serious,
    wait_for_answer,
    wait_for_held,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

TEXT = "# The Whale\n\nThe whale was white. Ships were many. The captain was called Ahab.\n"
# The last turn: how far its question is from the top, and whether its question and its end are in the window, above the
# composer.
LAST_TURN = """() => {
  const turn = [...document.querySelectorAll('.turn')].at(-1)
  const composer = document.querySelector('#composer').getBoundingClientRect()
  const question = turn.querySelector('.asked').getBoundingClientRect()
  const parts = [...turn.querySelectorAll('.answer > *, .waiting, .under, .ended')].filter((each) => each.offsetHeight)
  return {
    top: question.top,
    isQuestionVisible: question.top >= 0 && question.bottom <= composer.top,
    isEndVisible: !parts.length || parts.at(-1).getBoundingClientRect().bottom <= composer.top + 1,
  }
}"""


class LongAnswers:
    """Answers each question at length, and waits in the middle of an answer until `go_on` is set."""

    def __init__(self, document: Mapping[str, Any], words: int = 400) -> None:
        self._document = document
        self._words = words
        self.requests: list[AnswerRequest] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def get_state(self) -> Mapping[str, Any]:
        return {"state": "ready", "model": "a model"}

    def build_answer(self, question: str) -> Answer:
        made = long_answer(self._document, self._words, 10)
        return replace(made, question=question)

    def stream(self, request: AnswerRequest, *, cancelled: Callable[[], bool], **_: object) -> Iterator[Event]:
        self.requests.append(request)
        made = self.build_answer(request.question)
        middle = len(made.text) // 2
        yield Routed("direct", "")
        yield Reading(1, ())
        yield from (Delta(made.text[at : at + 200]) for at in range(0, middle, 200))
        while not self.go_on.wait(0.05):
            if cancelled():
                return
        yield from (Delta(made.text[at : at + 200]) for at in range(-(-middle // 200) * 200, len(made.text), 200))
        yield Checking(len(made.sentences))
        yield Completed(made)


@contextmanager
def serve_on(services: Services, port: int) -> Iterator[None]:
    """Serve the portal on this port, and stop as a service does that is restarted."""
    services.accepting = True
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="error", lifespan="on", port=port))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, what="the service listens")
    try:
        yield
    finally:
        services.accepting = False
        server.should_exit = True
        thread.join()
        services.accepting = True


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_settled(page: Page) -> bool:
    return bool(page.evaluate("document.querySelectorAll('.answer[aria-busy], [data-live]').length === 0"))


def wait_for_end(page: Page, count: int) -> None:
    expect(page.locator(".turn")).to_have_count(count)
    expect(page.locator(".turn").last.locator(".cite").first).to_be_visible()
    wait_until(lambda: is_settled(page), what="the answer is drawn")


def require_question_in_view(page: Page) -> None:
    wait_until(lambda: page.evaluate(LAST_TURN)["isQuestionVisible"], what="the newest question is in view")


def test_ten_turns_survive_leaving_three_times_and_a_restart_with_the_last_turn_in_view(
    service: tuple[Services, Client], browser: Browser
) -> None:
    services, client = service
    model = LongAnswers(ready_document(client, TEXT))
    services.asking = replace(services.asking, answering=model)
    port = find_port()
    # One turn fits in the window, so its question stays there even while the page follows the end of the answer.
    context = browser.new_context(viewport={"width": 1280, "height": 1500}, reduced_motion="reduce")
    opened = Portal(services, f"http://127.0.0.1:{port}", context)
    questions = [f"What happened in part {number}?" for number in range(1, 11)]
    with serve_on(services, port):
        page = opened.signed_in("/ask")
        for number, question in enumerate(questions[:7], 1):
            model.go_on.clear() if number in (3, 5) else model.go_on.set()
            ask(page, question)
            expect(page.locator(".turn")).to_have_count(number)
            require_question_in_view(page)
            if number == 3:  # Leave in the middle, and come back with the back button after the answer's end.
                expect(page.locator(".turn").last.locator(".answer > *").first).to_be_visible()
                page.get_by_role("link", name="Library").click()
                page.wait_for_url("**/library")
                model.go_on.set()
                wait_until(lambda: len(shown_turns(client)) == 3, what="the answer is stored")
                page.go_back()
            if number == 5:  # Reload in the middle: the text so far is there, and the stream goes on.
                expect(page.locator(".turn").last.locator(".answer > *").first).to_be_visible()
                page.reload()
                expect(page.locator(".turn").last.locator(".answer > *").first).to_be_visible()
                require_question_in_view(page)
                model.go_on.set()
            wait_for_end(page, number)
            require_question_in_view(page)
        page.close()
        page = opened.page()
        page.goto(f"{opened.url}/ask/{client.get('/v1/conversations')['conversations'][0]['id']}")
        wait_for_end(page, 7)
        require_question_in_view(page)
        assert page.evaluate(LAST_TURN)["top"] < 200
        model.go_on.clear()
        ask(page, questions[7])
        expect(page.locator(".turn").last.locator(".answer > *").first).to_be_visible()
    model.go_on.set()
    with serve_on(services, port):  # The page stays open, and shows the answer that starts again by itself.
        wait_for_end(page, 8)
        expect(page.locator(".turn").last).to_contain_text(questions[7])
        require_question_in_view(page)
        for number, question in enumerate(questions[8:], 9):
            ask(page, question)
            wait_for_end(page, number)
            require_question_in_view(page)
        page.reload()
        wait_for_end(page, 10)
        assert page.locator(".asked").all_text_contents() == questions
        assert [len(each["answer"]["citations"]) for each in shown_turns(client)] == [10] * 10
        require_question_in_view(page)
        context.close()


def test_a_restarted_answer_replaces_the_text_so_far_on_an_open_page_and_is_there_on_return(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    services, client = service
    document = ready_document(client, TEXT)
    said.events = [Retrieved((), "whale"), Delta("The first attempt."), None, Completed(written(document, TEXT))]
    port = find_port()
    context = browser.new_context(reduced_motion="reduce")
    opened = Portal(services, f"http://127.0.0.1:{port}", context)
    with serve_on(services, port):
        page = opened.signed_in("/ask")
        ask(page)
        expect(page.locator(".answer")).to_contain_text("The first attempt.")
        left = opened.page()
        left.goto(page.url)
        expect(left.locator(".answer")).to_contain_text("The first attempt.")
        left.goto(f"{opened.url}/library")
    said.events[1] = Delta("The second attempt.")
    with serve_on(services, port):
        expect(page.locator(".answer")).to_have_text("The second attempt.")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        left.go_back()
        expect(left.locator(".answer")).to_have_text("The second attempt.")
        said.go_on.set()
        for each in (page, left):
            wait_for_answer(each)
            expect(each.locator(".turn")).to_have_count(1)
            expect(each.locator(".answer")).not_to_contain_text("attempt")
        assert len(shown_turns(client)) == 1
        context.close()


def shown_turns(client: Client) -> list[dict[str, Any]]:
    (conversation,) = client.get("/v1/conversations")["conversations"]
    found: list[dict[str, Any]] = client.get(f"/v1/conversations/{conversation['id']}")["turns"]
    return found


def test_the_page_follows_a_reader_at_the_end_and_leaves_one_who_scrolled_up(
    service: tuple[Services, Client], browser: Browser
) -> None:
    services, client = service
    model = LongAnswers(ready_document(client, TEXT))
    services.asking = replace(services.asking, answering=model)
    with portal(services, browser, viewport={"width": 1000, "height": 600}) as opened:
        page = opened.signed_in("/ask")
        ask(page, "What happened first?")
        wait_for_end(page, 1)
        model.go_on.clear()
        ask(page, "And then?")
        # The answer of about 200 words is longer than the window, so its end is followed.
        expect(page.locator(".turn").last.locator(".cite, li").last).to_be_visible()
        wait_until(lambda: page.evaluate(LAST_TURN)["isEndVisible"], what="the end of the text is above the composer")
        page.mouse.move(500, 300)
        page.mouse.wheel(0, -500)
        wait_until(lambda: page.evaluate("window.innerHeight + scrollY < document.body.scrollHeight - 200"), what="up")
        before = page.evaluate("scrollY")
        held = page.evaluate("document.querySelectorAll('.turn:last-child .answer > *').length")
        model.go_on.set()
        wait_until(
            lambda: (
                page.evaluate("document.querySelectorAll('.turn:last-child .answer > *').length") > held
                and is_settled(page)
            ),
            what="more is written",
        )
        assert abs(page.evaluate("scrollY") - before) < 120
        assert serious(page) == []


def test_a_new_question_goes_to_the_top_of_the_window_and_the_newest_text_is_one_press_away(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    services, client = service
    document = ready_document(client, TEXT)
    filled = "\n\n".join(f"Paragraph {number} of the answer, long enough to fill a line." for number in range(30))
    said.events = [Delta(filled), Completed(written(document, TEXT))]
    with portal(services, browser, viewport={"width": 1000, "height": 600}) as opened:
        page = opened.signed_in("/ask")
        ask(page, "What happened?")
        wait_for_answer(page)
        said.events = [Delta("A first sentence.\n\n"), None, *(Delta(f"{each}\n\n") for each in filled.split("\n\n"))]
        said.events.append(Completed(long_answer(document, 400, 10)))
        ask(page, "And then?")
        expect(page.locator(".turn").last).to_contain_text("A first sentence.")
        assert 0 <= page.evaluate(LAST_TURN)["top"] < 60
        page.mouse.move(500, 300)
        page.mouse.wheel(0, -300)
        wait_until(lambda: page.evaluate(LAST_TURN)["top"] > 100, what="scrolled up")
        before = page.evaluate("scrollY")
        said.go_on.set()
        page.get_by_role("button", name="To the newest").click()
        wait_until(lambda: page.evaluate("scrollY") > before, what="the newest is shown")


def test_the_list_shows_in_which_conversation_an_answer_is_being_written(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1], TEXT)
    said.events = [Delta("The whale was "), None, Completed(written(document, TEXT))]
    page = opened.signed_in("/ask")
    ask(page)
    expect(page.locator("#conversations a[aria-current]")).to_have_count(1)
    expect(page.locator("#conversations .running")).to_have_count(0)  # the page itself shows it
    page.get_by_role("link", name="Ask", exact=True).first.click()
    expect(page.locator("#turns .turn")).to_have_count(0)
    expect(page.locator("#conversations li .running")).to_have_text("The answer is being written")
    assert serious(page) == []
    said.go_on.set()
    expect(page.locator("#conversations li .running")).to_have_count(0)
    expect(page.locator("#conversations li")).to_have_count(1)


def test_the_list_shows_whose_last_question_has_no_answer(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1], TEXT)
    said.events = [LanguageModelUnavailableError("It is away.")]
    page = opened.signed_in("/ask")
    ask(page)
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("link", name="Ask", exact=True).first.click()
    expect(page.locator("#conversations li .unanswered")).to_have_text("The last question has no answer")
    assert serious(page) == []
    said.events = [Completed(written(document, TEXT))]
    page.locator("#conversations a").click()
    expect(page.get_by_role("alert")).to_be_visible()
    ask(page, "And now?")
    wait_for_answer(page)
    page.get_by_role("link", name="Ask", exact=True).first.click()
    expect(page.locator("#conversations li")).to_have_count(1)
    expect(page.locator("#conversations .state")).to_have_count(0)


def test_a_question_asked_while_the_conversation_loads_comes_after_the_earlier_ones(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    said.events = [Completed(written(ready_document(service[1], TEXT), TEXT))]
    page = opened.signed_in("/ask")
    ask(page)
    wait_for_answer(page)
    held: list[Route] = []
    opened.context.route("**/v1/conversations/*?*", lambda route: route.continue_() if held else held.append(route))
    page.reload()
    wait_for_held(page, held, 1)
    ask(page, "And now?")
    expect(page.locator(".turn")).to_have_count(1)
    held[0].continue_()
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".turn .asked")).to_contain_text(["Which colour had the whale?", "And now?"])
    wait_for_answer(page)


def test_two_tabs_and_another_device_see_the_same(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal, browser: Browser
) -> None:
    document = ready_document(service[1], TEXT)
    said.events = [Completed(written(document, TEXT))]
    first = opened.signed_in("/ask")
    ask(first)
    wait_for_answer(first)
    second = opened.page()
    second.goto(first.url)
    wait_for_answer(second)
    said.events = [Routed("direct", ""), Delta("The whale was "), None, Completed(written(document, TEXT))]
    ask(first, "And its age?")
    for page in (first, second):
        expect(page.locator(".turn")).to_have_count(2)
        expect(page.locator(".turn").last.locator(".answer")).to_contain_text("The whale was")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
    elsewhere = browser.new_context()
    device = Portal(service[0], opened.url, elsewhere).signed_in(first.url.removeprefix(opened.url))
    expect(device.locator(".turn").last.locator(".answer")).to_contain_text("The whale was")
    said.go_on.set()
    for page in (first, second, device):
        wait_for_answer(page)
        expect(page.locator(".turn")).to_have_count(2)
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    said.go_on.clear()
    ask(second, "And who was Ahab?")
    expect(first.locator(".turn")).to_have_count(3)
    first.get_by_role("button", name="Stop").click()
    assert said.stopped.wait(60)
    for page in (first, second):
        expect(page.get_by_text("You stopped this answer.")).to_be_visible()
        expect(page.locator(".turn").last).to_contain_text("And who was Ahab?")
    second.reload()
    expect(second.get_by_text("You stopped this answer.")).to_be_visible()
    elsewhere.close()


def test_waiting_shows_what_was_found_how_long_it_takes_and_the_steps_in_plain_words(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1], TEXT)
    content = service[1].http.get(f"/v1/documents/{document['id']}/content").text
    timed = written(document, TEXT, timings_ms={"total": 30_000.0}, strategy="direct")
    page = opened.signed_in("/ask")
    said.events = [Completed(timed)]
    for _ in range(3):
        ask(page)
        wait_for_answer(page)
    start = content.index("The captain")
    found = Passage(
        document["id"], document["active_version"], "The Whale", ("Colour",), start, start + 11, 4, "The captain", 1,
        0.5, place="page 4",
    )  # fmt: skip
    said.events = [Reading(1, ()), Routed("direct", ""), Reading(1, ()), None]
    ask(page, "Who sailed the ship?")
    expect(page.locator(".waiting .said")).to_have_text("Looking for the best passages")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    said.events = [Routed("direct", ""), Retrieved((found,), "captain"), Reading(1, (found,)), None]
    ask(page, "Who was the captain?")
    expect(page.locator(".waiting")).to_contain_text("Reading 1 passage")
    expect(page.locator(".waiting .spinner")).to_be_visible()
    expect(page.locator(".waiting .elapsed")).to_contain_text("usually 30 s here")
    seconds = page.locator(".waiting .elapsed").inner_text()
    expect(page.locator(".waiting .elapsed")).not_to_have_text(seconds)
    page.locator(".waiting .cards button", has_text="The Whale").click()
    expect(page.locator("#beside mark")).to_have_text("The captain")
    assert serious(page) == []
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("You stopped this answer.")).to_have_count(2)
    title = "Look for the headings of journals."
    said.events = [
        Routed("recursive", ""),
        Cell(Turn(1, 0, "print(1)", "", "1", None, 0.1, 0, title=title)),
        Working("cells", 1, 30),
        None,
    ]
    ask(page, "Which journals are there?")
    expect(page.locator(".waiting .said")).to_have_text("Look for the headings of journals.")
    expect(page.locator(".waiting")).not_to_contain_text("cells")


def test_a_failed_answer_keeps_its_text_and_its_question_and_is_asked_again(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1], TEXT)
    said.events = [Delta("The whale was white."), LanguageModelUnavailableError("The language model is away.")]
    page = opened.signed_in("/ask")
    page.get_by_role("button", name="Automatic").click()
    page.get_by_label("Compute over tables").check()
    ask(page)
    expect(page.get_by_role("alert")).to_contain_text("It was not checked and is not stored.")
    expect(page.locator(".answer.partial")).to_contain_text("The whale was white.")
    assert serious(page) == []
    page.reload()
    expect(page.locator(".turn")).to_contain_text("Which colour had the whale?")
    expect(page.get_by_role("alert")).to_be_visible()
    said.events = [Completed(written(document, TEXT))]
    page.locator(".ended").get_by_role("button", name="Ask again", exact=True).click()
    wait_for_answer(page)
    assert [each.wanted.strategy.value for each in said.requests] == ["table", "table"]
    page.reload()
    wait_for_answer(page)
    expect(page.locator(".turn")).to_have_count(1)


def test_thousands_of_pieces_are_joined_and_shown_whole_on_return(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1], TEXT)
    said.events = [Delta(f"word{number} ") for number in range(5_000)]
    said.events += [None, Completed(written(document, TEXT))]
    page = opened.signed_in("/ask")
    ask(page)
    expect(page.locator(".answer")).to_contain_text("word4999")
    (pending,) = service[1].get(f"/v1/conversations/{page.url.rsplit('/', 1)[1]}")["pending"]
    assert len(service[0].answers.pending.list_events(pending["id"])) < 100
    page.reload()
    expect(page.locator(".answer")).to_contain_text("word4999")
    text = page.locator(".answer").inner_text().split()
    assert text == [f"word{number}" for number in range(5_000)]
    said.go_on.set()
    wait_for_answer(page)


@pytest.mark.parametrize("words", [200, 300, 400, 800])
def test_the_newest_question_is_in_view_after_a_reload_in_the_middle_of_its_answer(
    service: tuple[Services, Client], browser: Browser, words: int
) -> None:
    services, client = service
    model = LongAnswers(ready_document(client, TEXT), words)
    services.asking = replace(services.asking, answering=model)
    with portal(services, browser, viewport={"width": 1280, "height": 800}) as opened:
        page = opened.signed_in("/ask")
        ask(page, "What happened first?")
        wait_for_end(page, 1)
        model.go_on.clear()
        ask(page, "What happened then?")
        wait_until(lambda: is_half_drawn(page, model), what="the text so far is drawn")
        for _ in range(2):
            page.reload()
            wait_until(lambda: is_half_drawn(page, model), what="the text so far is drawn")
            page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            assert page.evaluate(LAST_TURN)["isQuestionVisible"], page.evaluate(LAST_TURN)
        # A reader who goes to the end sees the rest as it is written.
        page.keyboard.press("Escape")
        page.keyboard.press("End")
        wait_until(lambda: page.evaluate(LAST_TURN)["isEndVisible"], what="the end is in view")
        model.go_on.set()
        wait_for_end(page, 2)


def is_half_drawn(page: Page, model: LongAnswers) -> bool:
    """Return whether the last turn shows the half of the answer that was written, without its signs of Markdown."""
    written = len(model.build_answer("").text) // 2
    return len(page.locator(".turn").last.locator(".answer").inner_text()) > 0.9 * written
