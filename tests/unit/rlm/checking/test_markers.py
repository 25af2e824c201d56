"""Markers are read from a reply in whatever pieces it streams in, numbered by use, and found again in sentences."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.checking.markers import MarkedText, iter_marked_spans, remove_markers


def numbered(passages: int) -> tuple[MarkedText, dict[int, int]]:
    order: dict[int, int] = {}

    def number(passage: int) -> int | None:
        return order.setdefault(passage, len(order) + 1) if 1 <= passage <= passages else None

    return MarkedText(number), order


def shown(reply: str, *, passages: int = 9, pieces: int = 1) -> tuple[str, MarkedText]:
    marked, _ = numbered(passages)
    text = "".join(marked.feed(reply[at : at + pieces]) for at in range(0, len(reply), pieces))
    return text + marked.close(), marked


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("It ends in 2031 [4]. It began in 2001 [2][4].", "It ends in 2031 [1]. It began in 2001 [2][1]."),
        ("Both say so [4, 7].", "Both say so [1][2]."),
        ("All say so [2-4].", "All say so [1][2][3]."),
        ("So it says [passage 5].", "So it says [1]."),
        ("So it says【5】.", "So it says[1]."),
        ("A list `a[3]` in code, and [3].", "A list `a[3]` in code, and [1]."),
        ("```\nx = y[3]\n```\nSo [3].", "```\nx = y[3]\n```\nSo [1]."),
        ("The year [sic] and a <b>tag</b>.", "The year [sic] and a <b>tag</b>."),
        ("A link [text](http://x) and [3].", "A link [text](http://x) and [1]."),
        ('Done [3].\n\n<support answered="yes">\n[3] "words"\n</support>', "Done [1]."),
        ('1 < 2 and <supper> [3] <SUPPORT answered="no">', "1 < 2 and <supper> [1]"),
    ],
)
def test_markers_are_numbered_by_use_however_the_reply_comes_in(reply: str, text: str, pieces: int) -> None:
    assert shown(reply, pieces=pieces)[0] == text


def test_a_marker_that_names_no_passage_is_left_out_and_counted() -> None:
    text, marked = shown("It is so [12]. And so [2].", passages=3)
    assert text == "It is so . And so [1]."
    assert marked.strangers == 1


@pytest.mark.parametrize("cut", ["It is so [1", "It is so [", "It is so <supp", "It is so [pass"])
def test_a_reply_that_is_cut_in_a_marker_or_tag_ends_before_it(cut: str) -> None:
    assert shown(cut)[0].strip() == "It is so"


def test_the_block_behind_the_text_is_kept_apart() -> None:
    _, marked = shown('So [3].\n<support answered="partly">\n[3] "a, b"\n</support>', pieces=2)
    assert marked.rest == '<support answered="partly">\n[3] "a, b"\n</support>'


@given(st.text(alphabet="ab [](){}<>`1234,-\n.su", max_size=80), st.integers(0, 2**32))
def test_pieces_never_change_what_is_shown(reply: str, seed: int) -> None:
    whole, first = shown(reply, pieces=1000)
    marked, _ = numbered(9)
    at, text, draws = 0, "", random.Random(seed)
    while at < len(reply):
        size = draws.randint(1, 6)
        text += marked.feed(reply[at : at + size])
        at += size
    text += marked.close()
    assert text.rstrip() == whole.rstrip()
    assert marked.strangers == first.strangers


def test_a_marker_behind_the_full_stop_belongs_to_the_sentence_before_it() -> None:
    text = "The lease ends. [1] It began early [2]. [3][4]\n\n- An item [2]\n- Another"
    spans = [(text[start:end], numbers) for start, end, numbers in iter_marked_spans(text)]
    assert spans == [
        ("The lease ends. [1]", (1,)),
        ("It began early [2]. [3][4]", (2, 3, 4)),
        ("- An item [2]", (2,)),
        ("- Another", ()),
    ]


def test_a_quotation_of_several_sentences_is_one_sentence() -> None:
    text = 'He says: "She lives. She is a lady. And I love her!" [1] He took out "Castaway.... Tabor island" [2]. So.'
    assert [text[start:end] for start, end, _ in iter_marked_spans(text)] == [
        'He says: "She lives. She is a lady. And I love her!" [1]',
        'He took out "Castaway.... Tabor island" [2].',
        "So.",
    ]


def test_a_quotation_mark_that_is_never_closed_joins_nothing() -> None:
    text = 'It is 5" long. It is heavy.'
    assert len(list(iter_marked_spans(text))) == 2


@pytest.mark.parametrize(
    "sentence",
    [
        "Of the urgent ones (P1!) 33 were escalated (state 'Esc. L2', 'Esc. L3' or 'Closed (esc.)'); 16 are closed.",
        "He saw it (Oops!) in the hall.",
        "The reading (it was taken at noon. Nobody wrote down by whom.) is the highest.",
        "Rows with `x = 'a. B'` and the code ‘Nr. 7’ count.",
        'Yahoo! was asked, and "Why?" was all that it said.',
        "By supplier: St. Clair Bros. (19632, 143474.89), Vandenberg & Cie. (14202 of 14210).",
    ],
)
def test_values_and_parentheses_tear_no_sentence(sentence: str) -> None:
    text = f"{sentence} Another one [1]."
    assert [text[start:end] for start, end, _ in iter_marked_spans(text)] == [sentence, "Another one [1]."]


def test_a_parenthesis_that_ends_with_a_mark_is_a_sentence_of_its_own() -> None:
    text = "He kept the light. (Nobody else would.) She kept the boat."
    assert len(list(iter_marked_spans(text))) == 3


def test_single_quotation_marks_and_parentheses_that_are_never_closed_join_nothing() -> None:
    text = "'Tis the dogs' own (so they say. It's theirs. We don't ask."
    assert len(list(iter_marked_spans(text))) == 3


def test_numbers_of_a_list_are_no_sentences() -> None:
    text = "In this order:\n\n1. **Arthur** gives first [1].\n2. Seward gives second [2]."
    assert [text[start:end] for start, end, _ in iter_marked_spans(text)] == [
        "In this order:",
        "1. **Arthur** gives first [1].",
        "2. Seward gives second [2].",
    ]


def test_markers_go_with_the_space_before_them() -> None:
    assert remove_markers("It ends [1][2]. So.") == "It ends. So."
