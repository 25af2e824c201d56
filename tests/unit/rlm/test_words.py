import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.words import coverage, stem, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("points", "point"),
        ("studies", "study"),
        ("running", "runs"),
        ("makes", "making"),
        ("defeated", "defeat"),
        ("classes", "class"),
        ("happily", "happy"),
    ],
)
def test_forms_of_a_word_share_their_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("class", "clap"), ("war", "wars "), ("point", "paint")])
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_content_words_are_kept_and_function_words_are_not() -> None:
    found = words("Which of the Panthers' players were the most successful?")
    assert set(found.stems.values()) == {"Panthers", "players", "successful"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,308", "1308"),
        ("1.308", "1308"),
        ("3.50", "3.5"),
        ("03", "3"),
        ("twelve", "12"),
        ("1.5 million", "1,500,000"),
        ("two hundred", "200"),
        ("٣", "3"),
    ],
)
def test_one_number_is_known_in_different_writings(one: str, other: str) -> None:
    assert coverage(words(one), words(other)) >= 0.5
    assert not words(one).values.isdisjoint(words(other).values)


@pytest.mark.parametrize(
    ("one", "other"), [("308", "3080"), ("1.5 million", "1.5 billion"), ("3.5", "35"), ("6½", "65")]
)
def test_different_numbers_stay_different(one: str, other: str) -> None:
    meant = frozenset().union(*words(one).numbers.values())
    assert meant.isdisjoint(words(other).values)


def test_a_number_is_found_whether_or_not_its_million_is_repeated() -> None:
    assert coverage(words("37.6"), words("It is 37.6 billion.")) == 1.0


def test_a_name_is_a_capital_inside_a_sentence_or_two_in_a_row() -> None:
    assert set(words("Players of Carolina met. Josh Norman led. Davis said so.").names) == {
        "Carolina",
        "Josh",
        "Norman",
    }


def test_words_of_scripts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    assert coverage(words("日本の首都"), words("東京は日本の首都です")) == 1.0
    assert coverage(words("日本の首都"), words("英国の王様")) < 0.5


def test_words_are_spelled_with_their_marks() -> None:
    assert set(words("हिन्दी भाषा").stems) == {"हिन्दी", "भाषा"}


def test_coverage_is_the_share_found_and_counts_numbers_twice() -> None:
    assert coverage(words("sacks in 2015"), words("They had 24 sacks.")) == pytest.approx(1 / 3)
    assert coverage(words("of the"), words("anything")) == 1.0


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_covers_itself(text: str) -> None:
    found = words(text)
    assert coverage(found, found) == 1.0


def test_a_very_long_number_is_compared_as_written() -> None:
    assert coverage(words("9" * 100_000), words("9" * 100_000)) == 1.0
    assert coverage(words("9" * 100_000), words("9" * 100_001)) == 0.0
