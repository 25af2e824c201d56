"""How an answer looks on a terminal, and in a file."""

import io
from dataclasses import replace
from typing import Any

import pytest

from api.answers.schemas import AnswerOut
from api.cli.answer_view import LiveAnswer, describe_event, print_answer
from api.cli.console import Console, remove_control_chars
from rlm.answers import (
    Answer,
    AnswerStatus,
    Check,
    Citation,
    Coverage,
    Quote,
    ResultTable,
    Sentence,
    build_stored_answer,
)
from tests.fakes.scripted_answers import answer


def sentence(text: str, check: Check, reason: str = "") -> Sentence:
    return Sentence(text, 0, len(text), (1,), check, reason)


def citation(number: int, *, title: str = "The Whale", quote: str = "white", page: int | None = 3) -> Citation:
    return Citation(number, "d", "v", title, (), page, 0, 5, quote, True)


def wire(made: Answer) -> dict[str, Any]:
    return AnswerOut.from_stored_answer(build_stored_answer(made, "id", "ann", "Why?", None)).model_dump(mode="json")


def printed(made: Answer, *, terminal: bool = False, width: int = 100, **how: Any) -> list[str]:  # noqa: ANN401
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, legacy_windows=False)
    print_answer(console, wire(made), **how)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_a_good_answer_is_its_text_its_source_and_a_line_about_it() -> None:
    assert printed(answer()) == [
        "",
        "The whale was white [1].",
        "",
        "1 of 1 statement proven",
        "",
        "[1] The Whale, page 2 (Chapter 1): “white whale was”",
        "answered · direct · a model · 0.0 s",
    ]


@pytest.mark.parametrize(
    ("page", "place", "said"),
    [(4, "slide 4", "slide 4"), (2, "sheet Costs, row 40", "sheet Costs, row 40"), (None, "row 7", "row 7")],
)
def test_a_source_says_its_place_in_the_words_of_its_file(page: int | None, place: str, said: str) -> None:
    made = answer()
    placed = replace(made, citations=(replace(made.citations[0], page=page, place=place),))
    assert f"[1] The Whale, {said} (Chapter 1): “white whale was”" in printed(placed)


def test_a_kept_answer_of_an_earlier_release_has_no_words_for_places_and_is_shown_with_its_page() -> None:
    body = build_stored_answer(answer(), "id", "ann", "Why?", None).body
    for each in body["citations"]:
        del each["place"]
    for each in (quote for sentence in body["sentences"] for quote in sentence["quotes"]):
        del each["place"]
    read = AnswerOut.from_body(body, identifier="id", conversation=None)
    assert {each.place for each in read.citations} == {""}
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_answer(console, read.model_dump(mode="json"))
    assert "[1] The Whale, page 2 (Chapter 1)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_kept_answer_of_the_next_release_is_read_without_what_that_one_adds() -> None:
    body = dict(build_stored_answer(answer(), "id", "ann", "Why?", None).body)
    expected = AnswerOut.from_body(body, identifier="id", conversation=None)
    later = {**body, "mood": "cheerful", "searched": {**body["searched"], "libraries": 3}}
    later["citations"] = [{**each, "colour": "blue"} for each in body["citations"]]
    assert AnswerOut.from_body(later, identifier="id", conversation=None) == expected


def test_a_sentence_that_is_not_supported_is_named_under_the_answer_and_a_file_gets_the_text_as_it_is() -> None:
    text = "It was white [1]. It was tame [1]."
    sentences = (
        sentence("It was white [1].", Check.VERIFIED),
        sentence("It was tame [1].", Check.UNSUPPORTED, "The passage does not say that it was tame."),
    )
    lines = printed(answer(text=text, sentences=sentences))
    assert lines[1] == text
    assert lines[3:6] == [
        "1 of 2 statements proven, 1 not supported",
        "",
        "! “It was tame [1].” The passage does not say that it was tame.",
    ]


def test_on_a_terminal_each_sentence_has_its_sign_and_a_row_has_it_in_its_last_cell() -> None:
    parts = ("It was white [1].", "It was tame [1].", "| Pequod | 1851 [1] |", "| Essex | 1799 [1] |")
    text = f"# Whales\n\n{parts[0]} {parts[1]}\n\n| ship | year |\n|---|---|\n{parts[2]}\n{parts[3]}\n\n## More\n"
    checks = (Check.VERIFIED, Check.UNSUPPORTED, Check.VERIFIED, Check.UNSUPPORTED)
    sentences = tuple(
        replace(sentence(part, check), start=text.index(part), end=text.index(part) + len(part))
        for part, check in zip(parts, checks, strict=True)
    )
    lines = [line.rstrip() for line in printed(answer(text=text, sentences=sentences), terminal=True)]
    assert "It was white [1]. ✓ It was tame [1]. !" in lines
    assert [line.split()[-1] for line in lines if line.lstrip().startswith(("Pequod", "Essex"))] == ["✓", "!"]
    assert not any("More" in line and ("✓" in line or "!" in line) for line in lines)
    assert sum(line.count("✓") for line in lines) == 3  # two sentences, and the legend


def test_the_words_of_a_source_are_never_cut() -> None:
    words = " ".join(f"word{number}" for number in range(20))
    lines = printed(answer(citations=(citation(1, quote=words),), sentences=()), terminal=True, width=50)
    assert all(len(line) <= 50 for line in lines)
    assert words in " ".join(" ".join(lines).split())


def test_an_answer_that_nobody_judged_says_so_once_and_has_no_signs() -> None:
    made = answer(sentences=(sentence("The whale was white [1].", Check.QUOTED),))
    lines = printed(made, terminal=True)
    assert sum("not checked" in line for line in lines) == 1
    assert not any("✓" in line or line.rstrip().endswith("?") for line in lines)


def test_every_quotation_of_a_source_has_a_line() -> None:
    white, tame = Quote(1, 4, 19, "white whale was"), Quote(1, 40, 44, "tame")
    sentences = (
        replace(sentence("It was white [1].", Check.VERIFIED), quotes=(white,)),
        replace(sentence("It was white and tame [1].", Check.VERIFIED), quotes=(tame, white)),
    )
    made = answer(sentences=sentences)
    lines = printed(made)
    first = lines.index("[1] The Whale, page 2 (Chapter 1): “white whale was”")
    assert lines[first + 1 : first + 3] == ["    “tame”", lines[-1]]
    (cited,) = wire(made)["citations"]
    assert [(each["start"], each["end"], each["text"]) for each in cited["quotes"]] == [
        (4, 19, "white whale was"),
        (40, 44, "tame"),
    ]


def test_markdown_is_drawn_on_a_terminal_and_goes_into_a_file_as_it_is() -> None:
    text = "# Whales\n\n* **white** ones [1]\n"
    assert printed(answer(text=text))[1:4] == ["# Whales", "", "* **white** ones [1]"]
    drawn = "\n".join(printed(answer(text=text), terminal=True))
    assert "white ones [1]" in drawn
    assert "**" not in drawn


def test_many_sources_take_few_lines() -> None:
    citations = tuple(citation(number, quote="white " * 100) for number in range(1, 19))
    lines = printed(answer(citations=citations), terminal=True, width=80)
    sources = [line for line in lines if line.startswith("[")]
    assert len(lines) < 50
    assert len(sources) == 11
    assert sources[-1] == "[11][12][13][14][15][16][17][18] The Whale"
    assert all(len(line) <= 80 for line in sources)


def test_a_table_is_drawn_and_says_how_much_more_there_is() -> None:
    table = ResultTable(("name", "[b]ships"), (("Ann", 2345), (None, 3)), 7, "SELECT name FROM ships")
    text = "\n".join(printed(answer(table=table)))
    assert "[b]ships" in text
    assert "Ann" in text
    assert "Showing the first 2 of 7 rows." in text
    assert "SELECT name FROM ships" in text
    assert "2345" in text
    assert "2,345" in "\n".join(printed(answer(table=replace(table, quantities=(1,)))))


def test_a_note_is_said_once() -> None:
    made = answer(notes=("The built-in model is small.",))
    assert "The built-in model is small." in printed(made)
    assert "The built-in model is small." not in printed(made, printed_notes=["The built-in model is small."])


def test_an_answer_without_anything_to_show_is_printed() -> None:
    made = answer(text="They do not say it.", status=AnswerStatus.NOT_FOUND, sentences=(), citations=(), model=None)
    assert printed(made)[-1] == "not found · direct · no language model · 0.0 s"


def test_reasons_are_shown_where_much_was_gone_through() -> None:
    made = answer(reasons=("It is about everything.",))
    assert "· It is about everything." not in printed(made)
    covered = answer(reasons=("It is about everything.",), coverage=Coverage(10, 5, 5, 2, 2))
    assert printed(covered)[-2:] == ["· It is about everything.", "answered · direct · a model · 0.0 s"]


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\r"])
def test_no_document_takes_over_the_terminal(hidden: str) -> None:
    made = answer(text=f"wh{hidden}ite", citations=(citation(1, title=f"The {hidden}Whale", quote=f"{hidden}white"),))
    for terminal in (False, True):
        assert hidden not in "\n".join(printed(made, terminal=terminal))


def test_text_of_other_scripts_is_left_as_it_is() -> None:
    assert remove_control_chars("می\u200cخواهم 鯨\n\t👩\u200d🚀") == "می\u200cخواهم 鯨\n\t👩\u200d🚀"


def test_what_is_written_shows_as_it_comes_and_does_not_stay() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=10, color_system=None)
    with LiveAnswer(console, text=True) as live:
        live.show_event("routed", {"strategy": "direct", "reason": "A passage says it.", "estimate": ""})
        for number in range(40):
            live.show_event("delta", {"text": f"Line {number}\n\n"})
        live._live.refresh()
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "A passage says it." in shown
    assert "Line 39" in shown
    assert shown.endswith("\x1b[2K")


def test_into_a_file_goes_nothing_but_the_answer() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with LiveAnswer(console, text=False) as live:
        live.show_event("delta", {"text": "The whale"})
        live.update("Reading …")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().strip() == ""


def test_an_event_that_nobody_knows_says_nothing() -> None:
    assert describe_event("new", {}) == ""
    assert describe_event("reading", {"titles": []}) == ""
    assert describe_event("retrieved", {"passages": 1200, "titles": [], "query": ""}) == "Found 1,200 passages"
    assert describe_event("working", {"step": "cells", "done": 1, "total": 30}) == ""
