import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.checking.markers import list_sentence_spans, merge_full_stops


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in list_sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He asked: "Really?" Yes.', ['He asked: "Really?"', "Yes."]),
        (
            "Am 1. April 1903 begann es. Vom 26. März bis zum 24. Oktober lag das Schiff fest.",
            ["Am 1. April 1903 begann es.", "Vom 26. März bis zum 24. Oktober lag das Schiff fest."],
        ),
        (
            "Im 19. Jahrhundert waren es 12. Danach, im 3. Jahr, endete es am 5. Mai.",
            ["Im 19. Jahrhundert waren es 12.", "Danach, im 3. Jahr, endete es am 5. Mai."],
        ),
        ("I am 12. Then she left at 4. March began.", ["I am 12.", "Then she left at 4.", "March began."]),
        (
            "Mr. Smith met J. Doe in the U.S. capital. They left.",
            ["Mr. Smith met J. Doe in the U.S. capital.", "They left."],
        ),
        (
            "It fell by approx. 3 % in p. 4 of it. Then no more.",
            ["It fell by approx. 3 % in p. 4 of it.", "Then no more."],
        ),
        (
            "See sec. 4 and art. 12 of it, or Jan. 5. Es steht in Abs. 2. Le colis pèse env. 12 kg.",
            ["See sec. 4 and art. 12 of it, or Jan. 5.", "Es steht in Abs. 2.", "Le colis pèse env. 12 kg."],
        ),
        (
            "It ended in 1871. 40 men drowned [1]. 3 lived! 2 of them wrote.",
            ["It ended in 1871.", "40 men drowned [1].", "3 lived!", "2 of them wrote."],
        ),
        ("東京。首都です。", ["東京。", "首都です。"]),
        ("broken where the\npage was. Next", ["broken where the\npage was.", "Next"]),
        ("# Heading\n- one\n- two\n\nText", ["# Heading", "- one", "- two", "Text"]),
        ("# Heading\r\n- one\r\n- two\r\n\r\nText", ["# Heading", "- one", "- two", "Text"]),
        ("  \n ", []),
    ],
)
def test_sentences_end_where_readers_say_so(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


@given(st.text(st.sampled_from('aB .!?\n-。"U.S.'), max_size=80))
def test_spans_are_in_order_and_leave_out_only_white_space(text: str) -> None:
    spans = list_sentence_spans(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    assert edges == sorted(edges)
    assert "".join(split(text)).split() == text.split() or "".join("".join(split(text)).split()) == "".join(
        text.split()
    )


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("It was sold by Brandt Inc..", "It was sold by Brandt Inc."),
        ("Sold by Inc.. Then by Ltd.. ", "Sold by Inc. Then by Ltd. "),
        ("And so on... From a..b to ../x, 3.. 4", "And so on... From a..b to ../x, 3.. 4"),
    ],
)
def test_an_abbreviation_at_the_end_of_a_sentence_has_one_full_stop(text: str, merged: str) -> None:
    assert merge_full_stops(text) == merged
