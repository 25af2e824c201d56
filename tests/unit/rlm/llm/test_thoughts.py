import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.llm.completion import ThoughtFilter


def read(thoughts: ThoughtFilter, *pieces: str, cut_off: bool = False) -> str:
    return "".join([*map(thoughts.feed, pieces), thoughts.finish(is_cut_off=cut_off)])


@pytest.mark.parametrize("patient", [True, False])
def test_what_stands_between_tags_is_no_part_of_the_reply(patient: bool) -> None:
    assert read(ThoughtFilter(wait_for_tag=patient), " <thi", "nk>Hm.</thi", "nk>\n\nTwo", ". ") == "Two. "


def test_what_stands_before_a_lone_closing_tag_is_none_either_where_somebody_waits_for_it() -> None:
    thoughts = ThoughtFilter(wait_for_tag=True)
    assert read(thoughts, "Hm, 2?</think>", "Two.") == "Two."
    assert thoughts.lone_closing


def test_a_reply_without_thoughts_is_whole_and_comes_at_once() -> None:
    thoughts = ThoughtFilter()
    assert [thoughts.feed(piece) for piece in ("<b>Two", "</b> it is")] == ["<b>Two", "</b> it is"]
    assert read(ThoughtFilter(wait_for_tag=True), "Two", " it is", cut_off=True) == "Two it is"


def test_thoughts_that_never_end_leave_nothing() -> None:
    assert read(ThoughtFilter(), "<think>Hm", cut_off=True) == ""
    assert read(ThoughtFilter(open_ended=True), "Hm", cut_off=True) == ""


def test_thoughts_that_the_server_parts_keep_no_piece_waiting() -> None:
    thoughts = ThoughtFilter(open_ended=True)
    thoughts.stop_filtering()
    assert thoughts.feed("Two") == "Two"


def test_where_there_are_none_the_text_is_left_as_it_is() -> None:
    assert read(ThoughtFilter(is_disabled=True), " <think>", "is a tag</think>") == " <think>is a tag</think>"


def test_a_whole_reply_is_what_follows_the_last_closing_tag() -> None:
    thoughts = ThoughtFilter(wait_for_end=True)
    assert read(thoughts, "Hm.</think>Two", "?</thi", "nk>\nThree.") == "Three."
    assert thoughts.lone_closing
    opened = ThoughtFilter(wait_for_end=True)
    assert read(opened, "<think>Hm.</think>No.</think>Three.") == "Three."
    assert not opened.lone_closing
    assert read(ThoughtFilter(wait_for_end=True), " Two", " it is") == " Two it is"
    assert read(ThoughtFilter(wait_for_end=True), "<think>Hm", cut_off=True) == ""


def test_a_long_thought_is_searched_once() -> None:
    started = time.process_time()
    thoughts = ThoughtFilter()
    for piece in ["<think>", *["Hmm. "] * 60_000]:
        thoughts.feed(piece)
    assert thoughts.feed("</think>Two.") == "Two."
    assert time.process_time() - started < 2.0  # searching all of it for each piece took thrice that


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "</", " ", "a", "Two."]), max_size=8), st.data())
def test_it_makes_no_difference_how_a_reply_is_parted(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    for options in ({}, {"wait_for_tag": True}, {"wait_for_end": True}, {"open_ended": True}, {"is_disabled": True}):
        assert read(ThoughtFilter(**options), *pieces) == read(ThoughtFilter(**options), text)
