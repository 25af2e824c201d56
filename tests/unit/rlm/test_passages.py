"""What a direct answer is read from."""

from itertools import pairwise

from rlm.passages import WIDENED_CHARS, PassageNumbers, fits, in_reading_order, in_turn, whole, within
from tests.fakes.passages import passage
from tests.support.contexts import corpus_of

BOOK = "# One\n\n" + "The wind rose and the sea grew dark. " * 200 + "\n\n# Two\n\nThey came home.\n"


def test_a_whole_scope_is_read_in_order_and_nothing_of_it_is_left_out() -> None:
    corpus = corpus_of({"Book": BOOK, "Note": "Buy bread."})
    passages = whole(corpus)
    assert "".join("".join(each.text.split()) for each in passages) == "".join((BOOK + "Buy bread.").split())
    assert all(len(each.text) <= WIDENED_CHARS + 1_000 for each in passages)
    assert all(one.end <= other.start for one, other in pairwise(passages) if one.version_id == other.version_id)
    assert [each.heading_path for each in passages][-2:] == [("Two",), ()]


def test_a_scope_fits_by_its_tokens() -> None:
    corpus = corpus_of({"Book": BOOK})
    assert fits(corpus, 3_000)
    assert not fits(corpus, 1_000)


def test_passages_are_taken_best_first_until_the_budget_is_full() -> None:
    passages = [passage("word " * 200, document=f"d{number}", rank=number) for number in range(1, 9)]
    chosen = within(passages, 1_000)
    assert chosen == passages[: len(chosen)]
    assert 2 <= len(chosen) < 8


def test_of_a_first_passage_that_is_too_long_the_beginning_is_read() -> None:
    (only,) = within([passage("word " * 10_000)], 100)
    assert 0 < len(only.text) < 1_000
    assert only.end == only.start + len(only.text)


def test_passages_of_one_document_stand_together_in_its_order() -> None:
    found = [
        passage("b", document="x", start=500),
        passage("c", document="y"),
        passage("a", document="x", start=0),
    ]
    assert [each.text for each in in_reading_order(found)] == ["a", "b", "c"]


def test_what_was_read_before_gets_no_second_number() -> None:
    numbers = PassageNumbers([])
    first = passage("x" * 100, start=0)
    numbers.add([first])
    overlapping, new, again = (passage("x" * 100, start=start) for start in (20, 90, 95))
    assert list(numbers.new_among([overlapping, new, again])) == [new]


def test_no_query_takes_the_room_of_another() -> None:
    one, two = [passage(text, document="one") for text in "abc"], [passage("x", document="two")]
    assert [each.text for each in in_turn([one, two])] == ["a", "x", "b", "c"]
    assert list(in_turn([])) == []
