"""The span of a passage that is nearest to a sentence is found by words that few of its spans have."""

import pytest

from rlm.checking.nearest import PassageSpans, extract_nearest_text, extract_stems
from tests.fakes.passages import passage

ROWS = (
    "The table lists the surplus of each yard over the four weeks up to February 17, 2012.\n\n"
    "| (In crates) | Four Weeks up to February 17, 2012 | Four Weeks up to February 18, 2011 |\n"
    "| --- | --- | --- |\n"
    "| Ropewalk | $14,357 | $2,618 |\n"
    "| Sailcloth | 3,726 | 841 |\n"
    "| The Rest | (2,479) | (1,863) |\n\n"
    "9\n\nIn the four weeks up to February 17, 2012, the rest of the yards had 357 people and a deficit."
)


def nearest(text: str, sentence: str, *quoted: str) -> str | None:
    spans = [(text.index(each), text.index(each) + len(each)) for each in quoted]
    found = PassageSpans(passage(text)).find_nearest_span(extract_stems(sentence), spans)
    return None if found is None else text[slice(*found)]


def test_a_figure_with_its_separators_is_one_word() -> None:
    assert extract_stems("$14,357 and 1.9% of Keepers, in 2012.") == {
        "14,357",
        "and",
        "1.9",
        "of",
        "keepe",
        "in",
        "2012",
    }
    assert extract_stems("709037") != extract_stems("709038")


@pytest.mark.parametrize(
    ("sentence", "row"),
    [
        ("It made a surplus of $14,357 crates in the four weeks that went up to February 17, 2012.", "Ropewalk"),
        ("Sailcloth made 3,726 in the four weeks up to February 17, 2012.", "Sailcloth"),
    ],
)
def test_a_row_with_the_figure_is_nearer_than_a_date_and_many_common_words(sentence: str, row: str) -> None:
    assert (nearest(ROWS, sentence) or "").startswith(f"| {row} |")


def test_the_header_of_a_table_and_a_scrap_are_chosen_only_where_there_is_nothing_else() -> None:
    assert "|" not in (nearest(ROWS, "The weeks up to February 17, 2012 and February 18, 2011.") or "|")
    assert nearest("Seven wicks were burnt.\n\n7", "There were 7 wicks.") == "Seven wicks were burnt."
    assert nearest("7", "There were 7.") == "7"


def test_words_of_most_spans_make_nothing_near() -> None:
    text = "The lamp of the tower burnt. The keeper of the tower slept. The sea of the north rose."
    assert nearest(text, "The end of the tale.") is None
    assert nearest(text, "The end of the keeper.") == "The keeper of the tower slept."


def test_a_rare_word_tells_more_than_several_common_ones() -> None:
    text = (
        "The lamp in the tower was lit at dusk. The lamp in the tower was out at dawn. The lamp in the tower smoked. "
        "Marta mended nets."
    )
    assert nearest(text, "The lamp in the tower was what Marta lit.") == "The lamp in the tower was lit at dusk."
    assert nearest(text, "In the tower: Marta.") == "Marta mended nets."


def test_a_quotation_that_is_as_near_is_preferred() -> None:
    text = "Sales of lamps rose at home. Sales of wicks fell abroad. Nothing is said of oil."
    assert nearest(text, "They tell about lamps and wicks.", "wicks fell abroad") == "wicks fell abroad"
    assert nearest(text, "They tell of sales of lamps.", "wicks fell abroad") == "Sales of lamps rose at home."


def test_a_lone_year_or_small_figure_is_less_than_a_quotation() -> None:
    text = "1.1 The beginning of it all 2\n\n1.2 Ada Brandt died in May 2004. The tower fell down in 2022."
    quoted = "Ada Brandt died in May"
    assert nearest(text, "Das macht 26 + 2 = 28.") == "1.1 The beginning of it all 2"
    assert nearest(text, "Das macht 26 + 2 = 28.", quoted) == quoted
    assert nearest(text, "Der Turm: 2022.", quoted) == quoted
    assert nearest(text, "The tower fell down in 2022.", quoted) == "The tower fell down in 2022."


@pytest.mark.parametrize("text", ["", "…", "| --- |", "# Keeper"])
def test_a_passage_without_sentences_has_nothing_that_is_near(text: str) -> None:
    assert nearest(text, "Ada Brandt lit it in 1871.") is None


def test_the_text_shown_for_a_passage_is_the_part_around_the_words_sought() -> None:
    stems = extract_stems("How large was the deficit of the sailcloth yard?")
    assert extract_nearest_text(passage(ROWS), stems, 80) == "| Sailcloth | 3,726 | 841 |"
    long = f"{'The yards were open, and ' * 20}the sailcloth was sold at the {'quay and at the ' * 20}end. They shut."
    shown = extract_nearest_text(passage(long), stems, 80)
    assert "sailcloth was sold" in shown
    assert 60 < len(shown) <= 80
    assert f" {shown}" in long
    assert extract_nearest_text(passage(long), extract_stems("Merle"), 20) == long[:20]
