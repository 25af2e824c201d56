import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.replies import Quotation, read_reply
from tests.fakes.scripted_chat import reply


def quotes(content: str) -> list[str]:
    return [quotation.text for quotation in read_reply(content).quotations]


def test_a_well_formed_reply_is_read_whole() -> None:
    found = read_reply(reply((2, "Ann paid in full."), (1, "Bob did not."), answer="Ann"))
    assert found.quotations == (Quotation("Ann paid in full.", 2), Quotation("Bob did not.", 1))
    assert found.answer == "Ann"


@pytest.mark.parametrize(
    "content",
    [
        '{"quotes": ["Ann paid in full."], "answer": "Ann"}',
        '{"quote": "Ann paid in full.", "answer": "Ann"}',
        '{"quotes": [{"quote": "Ann paid in full."}], "answer": "Ann"}',
        'Sure! ```json\n{"quotes": ["Ann paid in full."], "answer": "Ann"}\n``` Hope that helps',
        '{"quotes": ["Ann paid in full."], "answer": "Ann", ',
        '{"quotes": ["Ann paid in full."] "answer": "Ann"}',
        '{"quotes": ["Ann paid in full."],\n"answer": "Ann',
    ],
    ids=["plain", "one quote", "objects", "in prose", "unfinished", "broken", "cut in the answer"],
)
def test_json_is_read_as_far_as_it_goes(content: str) -> None:
    assert quotes(content) == ["Ann paid in full."]
    assert read_reply(content).answer == "Ann"


def test_half_a_quotation_is_still_one() -> None:
    assert quotes('{"quotes": ["Ann paid in \\"full\\" and then le') == ['Ann paid in "full" and then le']


def test_in_prose_every_sentence_and_everything_in_quotation_marks_may_be_a_quotation() -> None:
    found = quotes("The passage says “Ann paid in full”. So it was Ann.")
    assert "Ann paid in full" in found
    assert "So it was Ann." in found


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", "!!!!!!!!", "{" * 5_000, '{"answer": null}', '{"quotes": 7}']
)
def test_nonsense_has_neither_quotation_nor_answer(content: str) -> None:
    found = read_reply(content)
    assert found.quotations == ()
    assert found.answer == ""


def test_a_number_is_an_answer() -> None:
    assert read_reply('{"quotes": ["It has 308 points."], "answer": 308}').answer == "308"


def test_markers_that_the_model_wrote_are_taken_out() -> None:
    assert read_reply(reply("q w e", answer="Ann [1] and Bob [23].")).answer == "Ann and Bob."


@pytest.mark.parametrize(
    ("answer", "declines"),
    [
        ("It is not mentioned in the passage.", True),
        ("The text does not say; unknown", True),
        ("No information", True),
        ("N/A", True),
        ("Notary Ann", False),
        ("A known author", False),
        ("None of the above parties paid", False),
    ],
)
def test_a_refusal_is_recognized(answer: str, declines: bool) -> None:
    assert read_reply(reply("some quoted words", answer=answer)).declines is declines


@settings(deadline=None)
@given(st.text(st.sampled_from('{}[]":,\\ \nquotesanswer5'), max_size=200))
def test_any_text_is_read_without_an_error(content: str) -> None:
    read_reply(content)


@pytest.mark.parametrize("content", ['"' * 200_000, '{"quotes": ["' + "\\" * 200_000, "[1" * 100_000, "not " * 100_000])
def test_an_endless_reply_is_cut(content: str) -> None:
    assert len(read_reply(content).quotations) <= 8
