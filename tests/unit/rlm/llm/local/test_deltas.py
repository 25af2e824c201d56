from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlm.llm.local.deltas import DeltaAssembler

STOPS = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=4), max_size=3)


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def assembled(pieces: Sequence[bytes], stop: Sequence[str] = ()) -> list[str]:
    assembler = DeltaAssembler(stop)
    return [*(assembler.push(piece) for piece in pieces), assembler.flush()]


@given(st.text(), st.lists(st.integers(0, 200)))
def test_the_pieces_joined_are_the_text_wherever_tokens_part_its_characters(text: str, cuts: list[int]) -> None:
    assert "".join(assembled(pieces_of(text.encode(), cuts))) == text


@given(st.text(alphabet="ab\nü", max_size=30), st.lists(st.integers(0, 40)), STOPS)
@example("\naa", [2], ["a", "\naa"])
def test_text_ends_before_the_stop_string_that_is_complete_first(text: str, cuts: list[int], stop: list[str]) -> None:
    found = [(at + len(string), at) for string in stop if (at := text.find(string)) >= 0]
    _, end = min(found, default=(len(text), len(text)))
    assert "".join(assembled(pieces_of(text.encode(), cuts), stop)) == text[:end]


@given(st.binary(max_size=40), st.lists(st.integers(0, 40)))
def test_bytes_that_are_not_text_become_replacement_characters(data: bytes, cuts: list[int]) -> None:
    assert "".join(assembled(pieces_of(data, cuts))) == data.decode("utf-8", "replace")


def test_half_a_character_is_held_back() -> None:
    first, second = "東".encode()[:2], "東".encode()[2:]
    assert assembled([first, second]) == ["", "東", ""]


def test_the_beginning_of_a_stop_string_is_held_back_until_it_is_not_one() -> None:
    assert assembled([b"a EN", b"D b"], stop=["ENDED"]) == ["a ", "END b", ""]


def test_the_beginning_of_a_stop_string_at_the_end_is_text() -> None:
    assert assembled([b"a EN"], stop=["END"]) == ["a ", "EN"]


@pytest.mark.parametrize("later", [b"more", b"END"])
def test_nothing_follows_a_stop_string(later: bytes) -> None:
    assembler = DeltaAssembler(["END"])
    assert assembler.push(b"a END b") == "a "
    assert assembler.stopped
    assert assembler.push(later) == ""
    assert assembler.flush() == ""
