"""A conversation as a file: marks stand at their statements, and nothing in the file links or loads anything."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from api.answers.conversation_export import _iter_json, _iter_markdown, build_export, build_file_name
from api.answers.conversation_schemas import ConversationOut, ConversationWithTurnsOut, TurnOut
from api.answers.forms import ExportForm
from api.answers.schemas import AnswerOut
from api.languages.catalogue import Texts
from rlm.answers import AnswerStatus, Check, Citation, Coverage, Sentence, Support, build_answer_json
from tests.fakes.scripted_answers import answer

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
CONVERSATION = ConversationOut(id="c", title="Which *colour*?", answered=1, created_at=AT, updated_at=AT)
TEXT = (
    "## Colour\n\nThe whale was white [1]. It was old.\n\n| ship | year |\n|---|---|\n| Pequod | 1851 [1] |\n\n"
    "![x](https://evil.example/x.png) <img src=x> [1](https://evil.example) [a]: https://evil.example"
)


def make_turn(**changes: Any) -> TurnOut:  # noqa: ANN401 - members of `Answer`
    def sentence(text: str, check: Check, support: Support | None, reason: str = "") -> Sentence:
        start = TEXT.index(text)
        return Sentence(text, start, start + len(text), (1,), check, reason, (), support)

    sentences = (
        sentence("The whale was white [1].", Check.VERIFIED, Support.FULL),
        sentence("It was old.", Check.UNSUPPORTED, Support.NONE, "The source gives no *age*."),
        sentence("| Pequod | 1851 [1] |\n", Check.QUOTED, Support.PARTIAL, "Supported in part: the year."),
    )
    citation = Citation(1, "d", "v", "The Whale", ("Colour",), None, 0, 5, "white", True, place="page 2")
    made = answer("d", text=TEXT, sentences=sentences, citations=(citation,), **changes)
    shown = AnswerOut.from_body(build_answer_json(made), identifier="a", conversation="c")
    return TurnOut(number=1, question="Which <colour>?", answer=shown, created_at=AT)


@pytest.fixture
def lines() -> list[str]:
    return "".join(_iter_markdown(CONVERSATION, iter([make_turn()]), Texts("en"))).splitlines()


def test_each_mark_stands_at_its_statement_and_in_its_row(lines: list[str]) -> None:
    assert lines[0] == r"# Which \*colour\*?"
    assert "Marks after statements: ✓ Proven, ~ Partly proven, ! Not supported" in lines
    assert r"## Which \<colour>?" in lines
    assert "> 1 of 3 statements proven, 1 partly proven, 1 not supported" in lines
    assert "The whale was white [1]. ✓ It was old. !" in lines
    assert "| Pequod | 1851 [1] ~ |" in lines
    assert "## Colour" in lines


def test_reasons_and_sources_are_listed_with_the_cited_words(lines: list[str]) -> None:
    assert r"* ! It was old. (The source gives no \*age\*.)" in lines
    assert lines[lines.index("* [1] The Whale, page 2") + 1] == "  > white"


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        (
            {"status": AnswerStatus.PARTIAL},
            "> **Not complete.** These documents answer only a part of the question.",
        ),
        (
            {"status": AnswerStatus.PARTIAL, "coverage": Coverage(9, 9, 0, units=2, units_read=1, units_failed=1)},
            "> **Not complete.** Some documents or records could not be read, so the answer leaves them out.",
        ),
        (
            {"status": AnswerStatus.PARTIAL, "finished": False},
            "> **Not complete.** The work reached a limit of time or cost before it was finished. "
            "This is what was found until then.",
        ),
    ],
)
def test_an_export_says_what_is_missing_in_an_answer(changes: dict[str, Any], notice: str) -> None:
    written = "".join(_iter_markdown(CONVERSATION, iter([make_turn(**changes)]), Texts("en"))).splitlines()
    assert written.index(notice) < written.index("## Colour")


def test_marks_that_are_no_sign_are_words_in_the_language_of_the_file() -> None:
    sentence = Sentence("It sank [1].", 0, 12, (1,), Check.QUOTED)
    judged = Sentence("It was old [1].", 13, 28, (1,), Check.VERIFIED, "", (), Support.FULL)
    made = answer("d", text="It sank [1]. It was old [1].", sentences=(sentence, judged))
    turn = make_turn().model_copy(
        update={"answer": AnswerOut.from_body(build_answer_json(made), identifier="a", conversation="c")}
    )
    written = "".join(_iter_markdown(CONVERSATION, iter([turn]), Texts("de")))
    assert "It sank [1]. (nicht geprüft) It was old [1]. ✓" in written
    assert "> 1 von 2 Aussagen belegt, 1 nicht geprüft" in written


def test_links_images_and_html_of_a_model_are_plain_text(lines: list[str]) -> None:
    (hostile,) = (each for each in lines if "evil" in each)
    assert hostile == (
        r"!\[x](https://evil.example/x.png) \<img src=x> \[1](https://evil.example) \[a]: https://evil.example"
    )


def test_json_is_the_conversation_with_all_its_turns() -> None:
    def turns() -> Iterator[TurnOut]:
        yield make_turn()
        yield make_turn()

    written = json.loads("".join(_iter_json(CONVERSATION, turns())))
    assert ConversationWithTurnsOut.model_validate(written).turns == [make_turn(), make_turn()]


@pytest.mark.parametrize(
    ("title", "name"),
    [("Why?", "Why"), ("../a\\b: c\u202e", ".. a b c"), ("?", "conversation"), ("鯨 " * 60, ("鯨 " * 40).strip())],
)
def test_a_file_is_named_by_the_title(title: str, name: str) -> None:
    assert build_file_name(title) == name.removeprefix(".. ")
    named = CONVERSATION.model_copy(update={"title": title})
    header = build_export(named, iter(()), ExportForm.JSON, Texts("en")).headers["content-disposition"]
    assert header.isascii()
    assert "/" not in header
