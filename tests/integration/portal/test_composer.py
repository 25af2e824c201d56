"""The form of a question in a real browser: where it looks, how it is answered, and the files that it is about."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from api.admission.services import Services
from api.client import Client
from rlm.events import Completed
from tests.support.browser import Portal, portal
from tests.support.portal_pages import TEXT, WrittenAnswers, ask, files, ready_document, serious, wait_for_held, written

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

PHONE_HEIGHT = 740


@pytest.fixture
def documents(service: tuple[Services, Client], said: WrittenAnswers) -> dict[str, str]:
    """Three documents that can be asked about, by title, and an answer to each question."""
    whale = ready_document(service[1])
    said.events = [Completed(written(whale, TEXT))]
    made = {"The Whale 𝔚": whale["id"]}
    for title in ("Annual report", "Annual accounts"):
        made[title] = ready_document(service[1], f"# {title}\n\nMoney.\n", f"{title}.md")["id"]
    return made


def wait_for_turns(page: Page, count: int) -> None:
    expect(page.locator(".turn")).to_have_count(count)
    expect(page.locator(".turn .answer-part")).to_have_count(count)


def top_of(page: Page, selector: str) -> float:
    top: float = page.locator(selector).evaluate("element => element.getBoundingClientRect().top")
    return top


def test_options_close_when_a_question_is_asked_and_never_move_the_buttons(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal
) -> None:
    page = opened.signed_in("/ask")
    before = page.locator("#send").bounding_box()
    page.get_by_role("button", name="Automatic").click()
    expect(page.locator("#options")).to_be_visible()
    assert page.locator("#send").bounding_box() == before
    page.get_by_label("Compute over tables").check()
    page.get_by_label("Time limit").select_option("60")
    expect(page.locator("#options-said")).to_have_text("Tables, at most 1 minute")
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#options")).to_be_hidden()
    expect(page.locator("#options-button")).to_be_focused()
    page.locator("#options-button").click()
    ask(page)
    expect(page.locator("#options")).to_be_hidden()
    wait_for_turns(page, 1)
    limits = said.requests[0].wanted.limits
    assert (said.requests[0].wanted.strategy.value, limits and limits.seconds) == ("table", 60)
    page.locator("#options-button").click()
    page.locator("#talk-title").click()
    expect(page.locator("#options")).to_be_hidden()


def test_the_form_takes_a_small_part_of_a_phone(
    service: tuple[Services, Client], documents: dict[str, str], browser: Browser
) -> None:
    with portal(service[0], browser, viewport={"width": 360, "height": PHONE_HEIGHT}) as opened:
        page = opened.signed_in("/ask")
        ask(page)
        wait_for_turns(page, 1)
        height = page.locator("#composer").evaluate("form => form.getBoundingClientRect().height")
        assert height <= 0.15 * PHONE_HEIGHT
        page.get_by_role("button", name="Marks and keyboard").click()
        expect(page.locator("#info")).to_contain_text("Answers can be wrong.")
        assert serious(page) == []
        page.locator("#choose-scope").click()
        page.locator("#found-documents li").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for each in page.locator(".composer .tools > button:visible").all():
            box = each.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= 360


def test_documents_are_chosen_by_name_as_one_types_and_are_in_the_address(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal
) -> None:
    page = opened.signed_in("/ask")
    question = page.get_by_label("Your question")
    question.press_sequentially("Compare #annual r")
    expect(page.locator("#found-documents li")).to_have_text(["Annual report"])
    expect(page.get_by_label("Find a document or collection")).to_be_focused()
    assert serious(page) == []
    page.keyboard.press("Enter")
    expect(question).to_be_focused()
    expect(question).to_have_value("Compare ")
    expect(page.locator("#chips li")).to_have_text(["Annual report"])
    expect(page.locator("#scope-said")).to_have_text("Annual report")
    page.locator("#choose-scope").click()
    page.keyboard.type("accounts")
    expect(page.locator("#found-documents li")).to_have_text(["Annual accounts"])
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#chips li")).to_have_text(["Annual report", "Annual accounts"])
    page.reload()
    expect(page.locator("#chips li")).to_have_text(["Annual report", "Annual accounts"])
    expect(page.locator("#empty")).to_contain_text("Ask about these documents")
    page.get_by_role("button", name="Remove Annual report").click()
    ask(page)
    wait_for_turns(page, 1)
    assert said.requests[0].scope.documents == (documents["Annual accounts"],)
    assert page.url.endswith(f"?document={documents['Annual accounts']}")
    page.reload()
    expect(page.locator("#chips li")).to_have_text(["Annual accounts"])


def test_a_number_sign_that_chooses_nothing_stays_in_the_question(documents: dict[str, str], opened: Portal) -> None:
    page = opened.signed_in("/ask")
    question = page.get_by_label("Your question")
    question.press_sequentially("Case #99")
    expect(page.locator("#nothing-found")).to_be_visible()
    page.keyboard.press("Escape")
    question.press_sequentially(" and # 1, a#b")
    expect(question).to_have_value("Case #99 and # 1, a#b")
    expect(page.locator("#picker")).to_be_hidden()


def test_a_link_chooses_documents_or_a_collection_and_says_what_is_gone(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal
) -> None:
    first, second, _ = documents.values()
    page = opened.signed_in(f"/ask?document={first}&document={second}&document=gone")
    expect(page.locator("#chips li")).to_have_text(["The Whale 𝔚", "Annual report"])
    expect(page.locator("#trouble")).to_contain_text("1 document or collection of this link is not available")
    ask(page)
    wait_for_turns(page, 1)
    assert said.requests[0].scope.documents == (first, second)
    page.goto(f"{opened.url}/ask?collection=default")
    expect(page.locator("#chips li")).to_have_text(["default"])
    ask(page)
    wait_for_turns(page, 1)
    assert (said.requests[1].scope.collections, said.requests[1].scope.documents) == (("default",), ())
    page.locator("#choose-scope").click()
    page.get_by_role("button", name="Look in all documents").click()
    expect(page.locator("#chips")).to_be_hidden()
    expect(page.locator("#scope-said")).to_have_text("All documents")


def test_a_question_that_is_sent_at_once_waits_for_the_scope_of_the_page(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal
) -> None:
    held = list[Route]()
    page = opened.signed_in("/ask")
    opened.context.route("**/v1/collections", lambda route: held.append(route))
    page.goto(f"{opened.url}/ask?document={documents['Annual report']}")
    ask(page)
    wait_for_held(page, held, 1)
    expect(page.locator(".turn .waiting")).to_be_visible()
    held[0].continue_()
    wait_for_turns(page, 1)
    assert [each.scope.documents for each in said.requests] == [(documents["Annual report"],)]
    expect(page.locator(".asked-about")).to_have_text(["Asked about Annual report"])


def test_a_reopened_conversation_goes_on_in_the_scope_of_its_last_question(
    service: tuple[Services, Client], documents: dict[str, str], said: WrittenAnswers, opened: Portal
) -> None:
    client = service[1]
    first, second = documents["The Whale 𝔚"], documents["Annual report"]
    said.events = [Completed(written(client.get(f"/v1/documents/{first}"), TEXT))]
    page = opened.signed_in(f"/ask?document={first}&document={second}")
    ask(page, "Who was the captain?")
    wait_for_turns(page, 1)
    lines = page.locator(".asked-about")
    expect(lines).to_have_text(["Asked about The Whale 𝔚, Annual report"])
    page.goto(page.url.split("?")[0])  # as from the list of conversations
    expect(page.locator("#chips li")).to_have_text(["The Whale 𝔚", "Annual report"])
    expect(page.locator("#scope-said")).to_have_text("2 documents")
    expect(lines).to_have_text(["Asked about The Whale 𝔚, Annual report"])
    ask(page, "And the ship?")
    wait_for_turns(page, 2)
    assert said.requests[1].scope.documents == (first, second)
    page.locator("#choose-scope").click()
    page.locator("#choose-all").click()
    ask(page, "And everywhere?")
    wait_for_turns(page, 3)
    expect(lines.last).to_have_text("Asked about all documents")
    assert said.requests[2].scope.documents == ()
    page.reload()
    expect(lines).to_have_count(3)
    expect(page.locator("#scope-said")).to_have_text("All documents")
    assert serious(page) == []


def test_a_slash_goes_to_the_question_and_escape_leaves_it(documents: dict[str, str], opened: Portal) -> None:
    page = opened.signed_in("/ask")
    question = page.get_by_label("Your question")
    expect(page.locator("#question-hint")).to_contain_text("/ goes to the question")
    expect(question).to_be_focused()
    page.keyboard.press("Escape")
    expect(question).not_to_be_focused()
    page.keyboard.press("/")
    expect(question).to_be_focused()
    page.keyboard.type("a/b")
    expect(question).to_have_value("a/b")
    page.get_by_label("Search conversations").press("/")
    expect(page.get_by_label("Search conversations")).to_have_value("/")


def test_a_question_about_attached_files_waits_until_they_can_be_searched(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal, tmp_path: Path
) -> None:
    held: list[Route] = []
    opened.context.route("**/v1/documents?name=*", lambda route: held.append(route))
    page = opened.signed_in("/ask")
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Attach files").click()
    choosing.value.set_files(files(tmp_path, ("ship.md", "# The Ship\n\nThe ship was called Pequod.\n")))
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Everybody who can read this collection can find and read the files.")
    assert serious(page) == []
    dialog.get_by_role("button", name="Attach").click()
    expect(page.locator("#chips li")).to_contain_text(["ship.md"])
    wait_for_held(page, held, 1)
    ask(page, "What was the ship called?")
    expect(page.locator("#waiting")).to_contain_text("asked as soon as the file can be searched")
    assert serious(page) == []
    assert said.requests == []
    expect(page.get_by_label("Your question")).to_have_value("What was the ship called?")
    held[0].continue_()
    wait_for_turns(page, 1)
    expect(page.locator("#chips li")).to_have_text(["The Ship"])
    expect(page.locator("#waiting")).to_be_hidden()
    (asked,) = said.requests
    assert len(asked.scope.documents) == 1
    assert asked.scope.documents[0] not in documents.values()


def test_a_file_that_cannot_be_read_is_named_with_its_reason_before_the_question_is_asked(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal, tmp_path: Path
) -> None:
    page = opened.signed_in("/ask")
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Attach files").click()
    choosing.value.set_files(files(tmp_path, ("empty.txt", "")))
    page.get_by_role("dialog").get_by_role("button", name="Attach").click()
    expect(page.locator("#chips li.failed")).to_contain_text("empty.txt")
    ask(page)
    expect(page.get_by_role("alert")).to_contain_text("Some files cannot be asked about")
    expect(page.get_by_role("alert")).to_contain_text("empty.txt: ")
    assert said.requests == []
    page.get_by_role("button", name="Remove empty.txt").click()
    page.get_by_label("Your question").press("Enter")
    wait_for_turns(page, 1)


def test_files_are_dropped_and_pasted_into_the_question(documents: dict[str, str], opened: Portal) -> None:
    page = opened.signed_in("/ask")
    made = "const files = new DataTransfer(); files.items.add(new File(['# Note\\n\\nA note.'], 'note.md'));"
    page.evaluate(
        f"""async () => {{ {made}
        document.body.dispatchEvent(new DragEvent('dragenter', {{ dataTransfer: files, bubbles: true }}))
        }}"""
    )
    expect(page.locator("#composer")).to_contain_class("dropping")
    page.evaluate(
        f"{made} document.body.dispatchEvent(new DragEvent('drop', {{ dataTransfer: files, bubbles: true }}))"
    )
    page.get_by_role("dialog").get_by_role("button", name="Attach").click()
    expect(page.locator("#chips li")).to_have_text(["Note"])
    page.evaluate(
        f"""{made.replace("note", "memo").replace("Note", "Memo")}
        document.getElementById('question').dispatchEvent(
            new ClipboardEvent('paste', {{ clipboardData: files, bubbles: true, cancelable: true }}))"""
    )
    page.get_by_role("dialog").get_by_role("button", name="Attach").click()
    expect(page.locator("#chips li")).to_have_text(["Note", "Memo"])


def test_without_documents_files_are_added_where_one_asks(said: WrittenAnswers, opened: Portal, tmp_path: Path) -> None:
    page = opened.signed_in("/ask")
    expect(page.locator("#empty")).to_contain_text("There are no documents yet")
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Choose files").click()
    choosing.value.set_files(files(tmp_path, ("ship.md", "# The Ship\n\nThe ship was called Pequod.\n")))
    page.get_by_role("dialog").get_by_role("button", name="Attach").click()
    expect(page.locator("#empty")).to_contain_text("Ask about this document")


def test_a_question_is_asked_again_in_another_way_as_a_new_turn(
    documents: dict[str, str], said: WrittenAnswers, opened: Portal
) -> None:
    page = opened.signed_in("/ask")
    ask(page)
    wait_for_turns(page, 1)
    page.get_by_role("button", name="Ask again", exact=True).click()
    page.get_by_role("menuitem", name="With everything read").click()
    wait_for_turns(page, 2)
    assert [each.wanted.strategy.value for each in said.requests] == ["auto", "recursive"]
    assert said.requests[1].question == said.requests[0].question
    expect(page.locator("#options-said")).to_have_text("Automatic")
    page.get_by_role("button", name="Ask again", exact=True).last.click()
    page.get_by_role("menuitem", name="In other documents").click()
    expect(page.get_by_label("Your question")).to_have_value("Which colour had the whale?")
    expect(page.get_by_label("Find a document or collection")).to_be_focused()
