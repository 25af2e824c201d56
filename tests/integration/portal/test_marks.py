"""How well an answer is proven, in a real browser: the marks of sentences, the verdict, the sources, and formulas."""

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect

from api.admission.services import Services
from api.answers.schemas import AnswerOut
from api.client import Client
from rlm.answers import Answer, AnswerStatus, Check, Coverage, Support, build_answer_json
from rlm.events import Completed
from tests.support.browser import Portal, portal
from tests.support.marked_answers import build_marked_answer
from tests.support.portal_pages import WrittenAnswers, ask, ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

LEVELS = Path(__file__).parents[2] / "unit" / "rlm" / "checking" / "levels.json"
TABLE = (
    "## Damages\n\nThe rates are:\n\n| Delay | Rate | Most |\n|---|---|---|\n| 1 full week | 0.5 % [1] | 5 % |\n"
    "| 5 full weeks | 2.5 % [1] | 5 % |\n| 10 full weeks or more | 5 % [1] | Warranty |\n\n"
    "## What follows\n\nThe rate is 10 % [1]. Nobody pays more.\n"
)
# Returns the words of cells that are divided between two lines.
BROKEN_WORDS = """() => {
  const range = document.createRange()
  const found = []
  for (const cell of document.querySelectorAll('.answer :is(td, th)')) {
    const nodes = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT)
    while (nodes.nextNode()) {
      const node = nodes.currentNode
      for (const word of node.data.matchAll(/\\p{L}+/gu)) {
        range.setStart(node, word.index)
        range.setEnd(node, word.index + word[0].length)
        if (range.getClientRects().length > 1) found.push(word[0])
      }
    }
  }
  return found
}"""
SOURCES = [f"Clause {at}: the rate is {at} % of the order value.\n\nMore of it." for at in range(1, 5)]


def make_documents(client: Client, count: int = 1) -> list[dict[str, Any]]:
    return [ready_document(client, SOURCES[at], f"agreement-{at + 1}.md") for at in range(count)]


def show(page: Page, said: WrittenAnswers, made: Answer) -> None:
    said.events = [Completed(made)]
    ask(page, "Which damages are owed?")
    expect(page.locator(".turn .actions")).to_be_visible()
    expect(page.locator(".answer[aria-busy]")).to_have_count(0)


def measure(page: Page, selector: str) -> dict[str, float]:
    box: dict[str, float] = page.locator(selector).first.evaluate("each => each.getBoundingClientRect().toJSON()")
    return box


def leave_unjudged(at: int, text: str, numbers: Sequence[int]) -> tuple[Check, Support | None, str]:
    return (Check.QUOTED, None, "") if numbers else (Check.UNCHECKED, None, "This sentence cites nothing.")


def refute(at: int, text: str, numbers: Sequence[int]) -> tuple[Check, Support | None, str]:
    return Check.UNSUPPORTED, Support.NONE, "The source names a rate."


def test_each_row_of_a_table_has_its_own_mark_and_words_stay_whole(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    documents = make_documents(service[1])
    for width in (1440, 360):
        with portal(service[0], browser, viewport={"width": width, "height": 800}) as opened:
            page = opened.signed_in("/ask")
            show(page, said, build_marked_answer(documents, SOURCES[:1], TABLE))
            rows = page.locator(".answer tbody tr")
            for at, name in enumerate(("Proven", "Partly proven", "Not checked")):
                expect(rows.nth(at).locator(".check")).to_have_attribute("aria-label", name)
            assert [rows.nth(at).locator(".check").count() for at in range(3)] == [1, 1, 1]
            expect(page.locator(".answer :is(h1, h2, h3, h4, h5, h6) .check")).to_have_count(0)
            assert page.evaluate(BROKEN_WORDS) == []
            sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(sideways) <= 0


def test_the_verdict_counts_the_marks_leads_to_them_and_has_a_legend(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    page = opened.signed_in("/ask")
    show(page, said, build_marked_answer(documents, SOURCES[:1], TABLE))
    verdict = page.locator(".verdict")
    expect(verdict.locator("> *:not(.help)")).to_have_text(
        [
            "✓1 of 5 statements proven",
            "~1 partly proven",
            "1 not checked",
            "!1 not supported",
            "1 with no source",
        ]
    )
    expect(page.locator(".answer .check")).to_have_count(5)
    assert measure(page, ".verdict")["bottom"] <= measure(page, ".answer")["top"]
    verdict.get_by_role("button", name="1 not supported").click()
    expect(page.locator(".answer .check.contradicted")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("note")).to_contain_text("The source names another party.")
    page.locator(".answer .check.partly").click()
    expect(page.get_by_role("note").first).to_contain_text(
        "The source proves only part of this: The source gives no date."
    )
    assert "dotted" in page.locator(".partly-text").first.evaluate("each => getComputedStyle(each).textDecoration")
    assert "wavy" in page.locator(".contradicted-text").first.evaluate("each => getComputedStyle(each).textDecoration")
    page.get_by_role("button", name="What the marks mean").click()
    expect(page.locator(".verdict-part .legend dt")).to_have_text(
        [
            "✓Proven",
            "✓calculated",
            "~Partly proven",
            "not checked",
            "quotation not found",
            "!Not supported",
            "no source",
            "1Source",
            "Records",
        ]
    )
    expect(page.locator(".verdict-part .legend")).to_contain_text(
        "This sentence was not checked against its source. Compare the two."
    )
    assert serious(page) == []


def test_sentences_are_listed_in_the_feedback_without_the_signs_of_markdown(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    page = opened.signed_in("/ask")
    show(
        page,
        said,
        build_marked_answer(documents, SOURCES[:1], f"{TABLE}\n- Notice is **due** [1].\n\n> In writing [1].\n"),
    )
    page.get_by_role("button", name="Something is wrong").click()
    page.get_by_text("Which sentences or sources").click()
    labels = page.locator(".boxes").first.locator("label")
    for words in ("1 full week · 0.5 % · 5 %", "Notice is due.", "In writing."):
        expect(labels.filter(has_text=re.compile(f"^{re.escape(words)}$"))).to_have_count(1)
    left = labels.evaluate_all("all => all.map(each => each.getBoundingClientRect().left)")
    assert len(set(left)) == 1  # each on a line of its own


def test_on_a_phone_numbers_stay_beside_their_signs_and_the_help_beside_a_count(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    documents = make_documents(service[1])
    with portal(service[0], browser, viewport={"width": 360, "height": 740}) as opened:
        page = opened.signed_in("/ask")
        show(page, said, build_marked_answer(documents, SOURCES[:1], f"{TABLE}\n```\nrate = 5 %\n```\n"))
        for cell in page.locator(".answer td", has_text="%").all():
            assert "\u00a0%" in cell.inner_text()
        assert "5 %" in page.locator(".answer code").inner_text()  # code stays as it is written
        count, help_ = page.locator(".verdict .last > *").all()
        boxes = count.bounding_box(), help_.bounding_box()
        assert boxes[0]
        assert boxes[1]
        assert abs(boxes[0]["y"] + boxes[0]["height"] / 2 - boxes[1]["y"] - boxes[1]["height"] / 2) < 2


def test_the_full_stop_stands_beside_its_word_and_marks_are_wide_enough_for_a_thumb(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    documents = make_documents(service[1])
    with portal(service[0], browser, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as opened:
        page = opened.signed_in("/ask")
        show(page, said, build_marked_answer(documents, SOURCES[:1], "The rate is 10 % [1]. It is due [1]."))
        assert (
            page.locator(".answer p").inner_text().replace("\u2060", "").replace("\n", "")
            == "The rate is 10\u00a0%.1✓ It is due.1~"
        )
        reach = """each => { const box = each.getBoundingClientRect(), after = getComputedStyle(each, '::after')
            return [box.width - 2 * parseFloat(after.left), box.height - 2 * parseFloat(after.top)] }"""
        for target in (".answer .check", ".answer .cite"):
            width, height = page.locator(target).first.evaluate(reach)
            assert width >= 32
            assert height >= 40


def test_where_nothing_is_judged_a_banner_says_so_once_and_sentences_have_no_marks(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    page = opened.signed_in("/ask")
    show(page, said, build_marked_answer(documents, SOURCES[:1], TABLE, leave_unjudged))
    expect(page.locator(".unchecked")).to_have_text(
        "This answer was not checked: no language model compared it with its sources. Open the sources to check."
    )
    expect(page.locator(".answer .check")).to_have_count(0)
    expect(page.locator(".verdict")).to_have_count(0)
    expect(page.locator(".answer .cite")).to_have_count(4)


def test_what_stands_below_a_short_answer_is_small_and_details_are_behind_one_button(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1], 4)
    page = opened.signed_in("/ask")
    show(page, said, build_marked_answer(documents[:1], SOURCES[:1], "The rate is 10 % [1]."))
    assert measure(page, ".turn")["bottom"] - measure(page, ".answer")["bottom"] < 150
    expect(page.get_by_role("heading", name="What was searched")).to_have_count(0)
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_role("heading", name="What was searched")).to_be_visible()
    card = page.locator(".source-cards li")
    expect(card).to_contain_text("1Clause 1: the rate is 1 % of the order value.")
    card.get_by_role("button").click()
    expect(page.locator("#beside mark")).to_have_text("Clause 1: the rate is 1 % of the order value.")
    page.goto(f"{opened.url}/ask")
    show(page, said, build_marked_answer(documents, SOURCES, "So it is [1][2][3][4]."))
    expect(card).to_have_count(3)
    page.get_by_role("button", name="Show all 4 sources").click()
    expect(card).to_have_count(4)
    assert serious(page) == []


def test_a_copied_answer_keeps_its_marks_in_words(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened.signed_in("/ask")
    show(page, said, build_marked_answer(documents, SOURCES[:1], TABLE))
    page.get_by_role("button", name="Copy with sources").click()
    expect(page.locator("#said")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "| 1 full week | 0.5 % [1] | 5 % (Proven) |" in copied
    assert "5 % (Partly proven. The source proves only part of this: The source gives no date.) |" in copied
    assert "The rate is 10 % [1]. (Not supported. The source names another party.) Nobody" in copied
    assert "1 of 5 statements proven, 1 partly proven, 1 not checked, 1 not supported, 1 with no source" in copied
    assert "## Damages\n" in copied
    assert "Sources\n[1] " in copied


def test_a_number_shows_a_preview_of_its_source_to_the_pointer_and_the_keyboard_and_not_to_fingers(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal, browser: Browser
) -> None:
    documents = make_documents(service[1])
    made = build_marked_answer(documents, SOURCES[:1], "The rate is 10 % [1]. It is due [1].")
    page = opened.signed_in("/ask")
    show(page, said, made)
    preview, number = page.get_by_role("tooltip"), page.locator(".answer .cite").first
    number.hover()
    expect(preview).to_contain_text("page 1")
    expect(preview).to_contain_text("Clause 1: the rate is 1 % of the order value.")
    preview.hover()
    page.wait_for_timeout(500)
    expect(preview).to_be_visible()
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    box = measure(page, ".answer .cite")
    page.mouse.move(box["x"] - 60, box["y"] + 8)
    number.evaluate("each => { each.style.translate = '-60px' }")  # slides below a pointer at rest
    page.wait_for_timeout(600)
    expect(preview).to_have_count(0)
    number.evaluate("each => { each.style.translate = '' }")
    page.mouse.move(2, 2)
    page.locator(".verdict .help").focus()
    while not page.evaluate("document.activeElement.matches('.answer .cite')"):
        page.keyboard.press("Tab")
    expect(preview).to_be_visible()
    expect(number).to_have_attribute("aria-describedby", "preview")
    page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    expect(number).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#beside mark")).to_have_count(1)
    expect(preview).to_have_count(0)
    with portal(service[0], browser, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as phone:
        touched = phone.signed_in("/ask")
        show(touched, said, made)
        touched.evaluate("addEventListener('pointerover', () => { window.entered = true }, true)")
        touched.locator(".answer .cite").first.tap()
        expect(touched.locator("#beside mark")).to_have_count(1)
        assert touched.evaluate("window.entered")
        touched.wait_for_timeout(500)
        expect(touched.get_by_role("tooltip")).to_have_count(0)


def test_formulas_are_typeset_money_is_none_and_marks_stand_right(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    text = (
        "It costs $5 and $10 [1]. The width is $w = \\frac{a_1}{2}$ [1]. It is \\(x_i\\) or $n$ [1].\n\n"
        "$$\n\\sum_{i=1}^{n} r_i\n$$\n\n$$\\colorbox{red}{x} = y$$\n\n"
        "A link is $\\href{https://evil.example}{x}$ and $\\unknown{$ stays [1]."
    )
    requested: list[str] = []
    opened.context.on("request", lambda request: requested.append(request.url))
    page = opened.signed_in("/ask")
    show(page, said, build_marked_answer(documents, SOURCES[:1], "It costs $5 and $10 [1]. It was $3, $4 or 5$ [1]."))
    page.wait_for_load_state("networkidle")
    assert [each for each in requested if "temml" in each] == []
    expect(page.locator(".formula")).to_have_count(0)
    page.goto(f"{opened.url}/ask")
    show(page, said, build_marked_answer(documents, SOURCES[:1], text))
    expect(page.locator(".answer math")).to_have_count(5)
    expect(page.locator(".answer mfrac")).to_have_count(1)
    expect(page.locator(".answer math[display=block] munderover")).to_have_count(1)
    expect(page.locator(".answer")).to_contain_text("It costs $5 and $10.")
    expect(page.locator(".answer")).to_contain_text("\\href{https://evil.example}{x}")
    expect(page.locator("math :is([style], [href], [src], [mathbackground]), merror")).to_have_count(0)
    expect(page.locator(".answer p").nth(0).locator(".check")).to_have_count(3)
    expect(page.locator(".answer p").last.locator(".check")).to_have_count(1)
    assert [each for each in requested if "temml" in each]
    assert serious(page) == []


def test_the_portal_derives_the_same_levels_and_verdicts_as_the_service(opened: Portal) -> None:
    page = opened.signed_in("/ask")
    for case in json.loads(LEVELS.read_text()):
        levels, verdict = page.evaluate(
            "async answer => { const { levelsOf, verdictOf } = await import('/portal/assets/marks.js');"
            " return [levelsOf(answer), verdictOf(answer)] }",
            case["answer"],
        )
        assert (levels, verdict) == (case["levels"], case["verdict"]), case["name"]


WORDS = (
    "The whale",
    "was **white**",
    "of 5 %",
    "`x = 1`",
    "𝔚ide 🐋",
    "at $w^2$",
    "~~gone~~",
    "[2] it",
    "and a_b",
    "naïve",
)
# A word that tells the sentence from all others is put in the place of the paragraph sign.
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(lambda words: " ".join((*words, "§")))
sentences = st.tuples(phrases, st.sampled_from((" [1].", " [1][2].", ".", "! [1]", "?", " [1]"))).map("".join)
paragraphs = st.lists(sentences, min_size=1, max_size=3).map(" ".join)
cells = st.lists(st.tuples(phrases, st.sampled_from(("", " [1]", " [2]."))).map("".join), min_size=2, max_size=2)
tables = st.lists(cells, min_size=1, max_size=4).map(
    lambda rows: "\n".join(("| a | b |", "|---|---|", *(f"| {first} | {second} |" for first, second in rows)))
)
lists = st.lists(paragraphs, min_size=1, max_size=3).map(lambda items: "\n".join(f"- {each}" for each in items))
markdown_blocks = st.one_of(
    paragraphs,
    tables,
    lists,
    lists.map(lambda each: each.replace("- ", "1. ")),
    phrases.map(lambda each: f"## {each}"),
    paragraphs.map(lambda each: f"> {each}"),
    lists.map(lambda each: "\n".join(f"> {line}" for line in each.split("\n"))),
    st.just("The rates are:"),
    st.just("---"),
    st.just("```\ncode | of it. And more.\n```"),
    st.just("$$\nq^2\n$$"),
)
markdown_texts = st.tuples(
    st.lists(markdown_blocks, min_size=1, max_size=6).map("\n\n".join), st.sampled_from(("\n", "\r\n"))
).map(lambda each: each[0].replace("\n", each[1]))

# Renders answers with a letter in the place of each mark, and returns the text of each block or row with its letters.
RENDER = """async answers => {
  const { answerOf } = await import('/portal/assets/answer.js')
  const { kindsOf } = await import('/portal/assets/marks.js')
  const found = []
  for (const answer of answers) {
    const made = answerOf(answer, null)
    document.body.append(made)
    while (made.querySelector('[aria-busy]')) await new Promise(resolve => setTimeout(resolve))
    const marks = [...made.querySelectorAll('.answer .check')]
    const blocks = marks.map(mark => mark.closest('tr, li, p, h3, h4, h5, h6'))
    found.push({
      kinds: kindsOf(answer), marks: marks.map(each => each.classList[1]),
      counted: [...made.querySelectorAll('.verdict > :not(.help)')].map(each => each.textContent),
      blocks: blocks.map(each => {
        const block = (each.classList.contains('marks') ? each.parentElement : each).cloneNode(true)
        for (const child of block.querySelectorAll('ul, ol')) child.remove()
        return block.textContent }) })
    made.remove()
  }
  return found
}"""


def test_every_mark_stands_in_the_block_in_which_its_sentence_ends_and_all_are_counted(
    service: tuple[Services, Client], opened: Portal
) -> None:
    documents = make_documents(service[1], 2)
    page = opened.signed_in("/ask")
    made: list[dict[str, Any]] = []

    @settings(
        max_examples=300, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(markdown_texts)
    def build(text: str) -> None:
        numbers = itertools.count(1)
        text = re.sub("§", lambda _: f"k{next(numbers):03}", text)
        body = build_answer_json(build_marked_answer(documents, SOURCES[:2], text))
        sent = AnswerOut.from_body(body, identifier=None, conversation=None)
        made.append(json.loads(sent.model_dump_json()))

    build()
    told = 0
    for at in range(0, len(made), 50):
        answers = made[at : at + 50]
        for sent, shown in zip(answers, page.evaluate(RENDER, answers), strict=True):
            kinds = [kind for kind in shown["kinds"] if kind]
            assert shown["marks"] == kinds, sent["text"]
            statements = [each for each, kind in zip(sent["sentences"], shown["kinds"], strict=True) if kind]
            for statement, block in zip(statements, shown["blocks"], strict=True):
                last = [*re.findall(r"k\d{3}|more|q|are", statement["text"])][-1:]
                assert not last or last[0] in block, (sent["text"], statement["text"], block)
                told += len(last)
            if kinds:
                proven = sum(kind in ("proven", "computed") for kind in kinds)
                assert f"{proven} of {len(kinds)} statement" in shown["counted"][0], sent["text"]
    assert told > 1_000


def test_nothing_is_counted_where_the_documents_do_not_say_it(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    page = opened.signed_in("/ask")
    nothing = build_marked_answer(documents, SOURCES[:1], "The documents do not say.", status=AnswerStatus.NOT_FOUND)
    show(page, said, nothing)
    expect(page.get_by_text("Not in these documents")).to_be_visible()
    expect(page.locator(".answer .check, .verdict, .unchecked")).to_have_count(0)
    expect(page.get_by_role("heading", name="What was searched")).to_be_visible()
    near = build_marked_answer(documents[:1], SOURCES[:1], "The rate is 10 % [1].", status=AnswerStatus.NOT_FOUND)
    page.goto(f"{opened.url}/ask")
    show(page, said, near)
    expect(page.locator(".answer .cite")).to_have_count(1)
    expect(page.locator(".answer .check, .verdict, .unchecked")).to_have_count(0)
    page.goto(f"{opened.url}/ask")
    show(
        page,
        said,
        build_marked_answer(
            documents[:1], SOURCES[:1], "It names no rate [1]. So it is [1].", refute, status=AnswerStatus.NOT_FOUND
        ),
    )
    expect(page.locator(".answer .check")).to_have_text(["!", "!"])
    expect(page.locator(".verdict > *:not(.help)")).to_have_text(["!2 not supported"])


def judge_by_letter(at: int, text: str, numbers: Sequence[int]) -> tuple[Check, Support | None, str]:
    return {
        "A": (Check.VERIFIED, Support.FULL, ""),
        "B": (Check.QUOTED, Support.PARTIAL, "Supported in part: The source gives no date."),
        "C": (Check.QUOTED, None, ""),
        "D": (Check.UNSUPPORTED, Support.NONE, "The source names another party."),
        "E": (Check.QUOTED, Support.FULL, "The words that the model quoted for this sentence are not in the passage."),
        "F": (Check.COMPUTED, None, ""),
    }[text.strip()[0]]


def test_marks_that_are_no_plain_sign_say_in_words_what_they_mean(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    documents = make_documents(service[1])
    text = "A rate is due [1]. C rate is due [1]. E rate is due [1]. F rate is due [1]."
    for locale, words in (
        ("en", ["✓", "not checked", "quotation not found", "✓calculated"]),
        ("de", ["✓", "nicht geprüft", "Zitat nicht gefunden", "✓berechnet"]),
    ):
        for scheme in ("light", "dark"):
            with portal(
                service[0], browser, viewport={"width": 360, "height": 800}, locale=locale, color_scheme=scheme
            ) as opened:
                page = opened.signed_in("/ask")
                said.events = [Completed(build_marked_answer(documents, SOURCES[:1], text, judge_by_letter))]
                page.locator("#question").fill("Which damages are owed?")
                page.locator("#send").click()
                marks = page.locator(".answer .check")
                expect(marks).to_have_text(words)
                # The line above counts the marks that can be seen, in their words.
                counts = page.locator(".verdict > :not(.help)")
                expect(counts).to_have_count(3)
                expect(counts.nth(0)).to_contain_text("✓2")
                expect(counts.nth(1)).to_have_text(f"1 {words[1]}")
                expect(counts.nth(2)).to_have_text(f"1 {words[2]}")
                marks.nth(1).click()
                note = page.get_by_role("note")
                if locale == "en":
                    expect(note).to_contain_text("This sentence was not checked against its source. Compare the two.")
                assert not re.search("judge|urteil", page.locator("body").inner_text(), re.IGNORECASE)
                sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert page.evaluate(sideways) <= 0
                assert serious(page) == []


def test_the_panel_of_a_source_agrees_with_the_mark_of_the_sentence(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    page = opened.signed_in("/ask")
    text = "A rate is due [1]. B rate is due [1]. C rate is due [1]. D rate is due [1]. E rate is due [1]."
    show(page, said, build_marked_answer(documents, SOURCES[:1], text, judge_by_letter))
    hint = page.locator("#beside-body > .hint")
    quoted = "The model quoted the marked words, and they are in the document exactly so."
    for at, expected in enumerate(
        (
            f"{quoted} The source supports the sentence.",
            f"{quoted} The source supports only a part of the sentence. The source gives no date.",
            f"{quoted} Nobody has checked whether the source supports the sentence.",
            f"{quoted} The source does not support the sentence. The source names another party.",
            "The model did not quote the marked words: they are the part of the source closest to the sentence. "
            "The words that the model quoted for this sentence are not in the source.",
        )
    ):
        page.locator(".answer .cite").nth(at).click()
        expect(hint).to_have_text(expected)
    page.locator(".source-cards .cite").click()  # It belongs to all of these sentences.
    expect(hint).to_have_text(quoted)
    page.goto(f"{opened.url}/ask")
    show(page, said, build_marked_answer(documents, SOURCES[:1], "D rate is due [1].", judge_by_letter))
    page.locator(".source-cards .cite").click()
    expect(hint).to_have_text(f"{quoted} The source does not support the sentence. The source names another party.")


def test_an_answer_that_is_not_complete_says_why_and_so_does_its_copy(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    documents = make_documents(service[1])
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened.signed_in("/ask")
    missing, unread = (
        "These documents answer only a part of the question.",
        "Some documents or records could not be read, so the answer leaves them out.",
    )
    covered = Coverage(100, 50, 0, units=3, units_read=2, units_failed=1)
    for coverage, sentence, other in ((None, missing, unread), (covered, unread, missing)):
        made = build_marked_answer(
            documents, SOURCES[:1], "The rate is due [1].", status=AnswerStatus.PARTIAL, coverage=coverage
        )
        show(page, said, made)
        notice = page.locator(".answer-part > .notice")
        expect(notice).to_have_text(f"Not complete{sentence}")
        expect(notice).not_to_contain_text(other)
        page.get_by_role("button", name="Copy with sources").click()
        expect(page.locator("#said")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith(f"Not complete. {sentence}\n\nThe rate")
        page.goto(f"{opened.url}/ask")


def test_the_button_beside_the_question_explains_the_marks_before_the_keyboard(
    service: tuple[Services, Client], opened: Portal
) -> None:
    make_documents(service[1])
    page = opened.signed_in("/ask")
    page.get_by_role("button", name="Marks and keyboard").click()
    expect(page.locator("#info h3")).to_have_text(["Marks", "Keyboard"])
    assert measure(page, "#info .legend")["bottom"] <= measure(page, "#info .facts")["top"]
    expect(page.locator("#info .legend dt")).to_have_count(9)
    expect(page.locator("#info").get_by_text("quotation not found")).to_be_in_viewport()
    assert serious(page) == []
