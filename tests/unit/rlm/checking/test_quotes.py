import unicodedata
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlm.checking.quotes import QuotedText, Span, fold_text

SOURCE = (
    "The ropers’ guild turned out just **417 coils**, placing fourth on the coast — its best year.\n"
    "It cost €1,417.50 in “Zürich”… and the ﬁnal count was 31–18."
)


def locate(quote: str, text: str) -> Span | None:
    return QuotedText(text).locate(quote)


def shown(quote: str, text: str = SOURCE) -> str | None:
    span = locate(quote, text)
    return None if span is None else text[slice(*span)]


@pytest.mark.parametrize(
    ("quote", "expected"),
    [
        ("turned out just **417 coils**", "turned out just **417 coils**"),
        ("turned out just 417 coils", "turned out just **417 coils"),
        ('The ropers\' guild "turned out"', "The ropers’ guild turned out"),
        ("PLACING FOURTH\ton   the coast - its best year", "placing fourth on the coast — its best year"),
        ("cost €1,417.50 in 'zu\u0308rich'", "cost €1,417.50 in “Zürich"),
        ("and the final count was 31-18.", "and the ﬁnal count was 31–18."),
        ("placing fourth on the coast.", "placing fourth on the coast"),
    ],
    ids=["exact", "emphasis", "quotation marks", "case, space and dash", "composed letters", "ligature", "full stop"],
)
def test_finds_what_differs_only_in_typing_and_shows_the_source(quote: str, expected: str) -> None:
    assert shown(quote) == expected


@pytest.mark.parametrize(
    "quote",
    [
        "turned out just 418 coils",
        "coils just 417 out turned",
        "turned out 417 coils",
        "17 coils",
        "the coas",
        "It cost €1",
        "fi",
        "",
        "   ",
        "…",
        "“”",
    ],
)
def test_finds_no_other_words_and_cuts_no_word_or_number(quote: str) -> None:
    assert locate(quote, SOURCE) is None


def test_prefers_the_exact_copy_to_an_earlier_folded_one() -> None:
    assert locate("the end", "The End. Then the end.") == (14, 21)


def test_a_number_inside_another_is_passed_over_for_the_number_itself() -> None:
    assert locate("308", "In 1308 and 1,308 and 308.5 it was 308.") == (35, 38)


def test_scripts_without_spaces_are_quoted_from_anywhere() -> None:
    assert shown("首都です", "東京は日本の首都です。") == "首都です"


def test_an_accent_of_its_own_is_not_torn_from_its_letter() -> None:
    assert locate("cafe", "one cafe\u0301 here") is None


def test_a_name_is_found_before_the_apostrophe_of_its_genitive() -> None:
    assert locate("the book of john", "The book of John’s sister") == (0, 16)


def test_a_short_number_is_found_without_the_full_stop_that_ended_it() -> None:
    assert locate("«7».", "It was 7 or eight.") == (7, 8)


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("The experiment failed", "The experi-\nment failed twice."),
        ("The experiment failed", "The experi\u00ad\n  ment failed twice."),
        ("a well-known ship", "It was a well-\nknown ship."),
        ("of 1914-1918", "of 1914-\n1918"),
    ],
)
def test_a_word_that_a_lines_end_divides_is_found_whole(quote: str, text: str) -> None:
    assert locate(quote, text) is not None


def test_a_number_that_ends_a_line_is_not_joined_with_the_next() -> None:
    assert locate("in 19141918", "in 1914-\n1918") is None


class TestEllipsis:
    def test_joins_parts_that_follow_each_other(self) -> None:
        assert shown("The ropers' guild ... placing fourth") == SOURCE[: SOURCE.index(" on the coast")]

    def test_takes_the_nearest_pair(self) -> None:
        text = "red apples. " + "x " * 400 + "red apples and green pears"
        assert shown("red apples … green pears", text) == "red apples and green pears"

    def test_leaves_out_an_ellipsis_at_either_end(self) -> None:
        assert shown("...placing fourth on the coast...") == "placing fourth on the coast"

    def test_wants_the_parts_in_order(self) -> None:
        assert locate("placing fourth ... The ropers' guild", SOURCE) is None

    def test_wants_the_parts_near_each_other(self) -> None:
        assert locate("first part ... second part", "first part" + " x" * 190 + " second part") is not None
        assert locate("first part ... second part", "first part" + " x" * 210 + " second part") is None

    def test_wants_parts_long_enough_to_mean_a_place(self) -> None:
        assert locate("in ... was", SOURCE) is None


Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
_FORMS: list[Form] = ["NFC", "NFD", "NFKC", "NFKD"]
_WORDS = st.text(
    st.sampled_from("abcdefgé ß ñ Ｗ ﬁ 12 Ⅷ 中 文 ¾ ö İ".replace(" ", "") + "e\u0301a\u0308\u0323"),
    min_size=1,
    max_size=6,
)
_JOINTS = st.sampled_from(
    [" ", "  ", "\n", " — ", "-", ", ", "’s ", " “", "” ", " *", "** ", " _", "\u00a0", ". ", "\u00ad "]
)
_TEXTS = st.lists(st.tuples(_WORDS, _JOINTS), min_size=1, max_size=30)


@given(_TEXTS, st.data(), st.sampled_from(_FORMS))
def test_any_words_of_a_text_are_found_again_after_being_typed_differently(
    pieces: list[tuple[str, str]], data: st.DataObject, form: Form
) -> None:
    text = "".join(word + joint for word, joint in pieces)
    first = data.draw(st.integers(0, len(pieces) - 1))
    last = data.draw(st.integers(first, len(pieces) - 1))
    start = sum(len(word) + len(joint) for word, joint in pieces[:first])
    end = start + sum(len(word) + len(joint) for word, joint in pieces[first : last + 1]) - len(pieces[last][1])
    assume(not unicodedata.combining(text[start]))
    typed = unicodedata.normalize(form, text[start:end]).replace("\n", "   ").replace("“", '"').replace("’", "'")
    typed = typed.replace("—", "-").replace("*", "")
    span = locate(typed, text)
    assert span is not None
    assert fold_text(text[slice(*span)]) == fold_text(typed)


@given(st.text(max_size=60), st.data())
def test_what_is_found_always_folds_to_what_was_asked_for(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    quote = text[start : data.draw(st.integers(start, len(text)))]
    span = locate(quote, text)
    if span is not None:
        assert fold_text(text[slice(*span)]).strip(" .,;:!?()[]{}<>-") == fold_text(quote).strip(" .,;:!?()[]{}<>-")


@given(st.text(max_size=80))
def test_folding_does_not_depend_on_the_normal_form(text: str) -> None:
    assert fold_text(unicodedata.normalize("NFKC", text)) == fold_text(text)
    assert fold_text(unicodedata.normalize("NFD", text)) == fold_text(text)


class CountingText(str):
    """Counts the searches made in it and how much text they could have gone over."""

    def __new__(cls, text: str) -> "CountingText":
        made = super().__new__(cls, text)
        made.searches = 0
        return made

    searches: int

    def find(self, wanted: str, start: int | None = None, end: int | None = None, /) -> int:  # type: ignore[override]
        self.searches += 1
        return super().find(wanted, start, end)


def test_a_text_full_of_misfits_is_given_up_on_in_time_linear_in_its_length() -> None:
    text = CountingText("7" * 100_000)
    assert locate("7" * 1_000, text) is None
    assert text.searches <= 2 * len(text) // 1_000 + 1


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("fi" + "ffi" * 30_000, "ﬃ" * 100_000),
        ("b" + "ab" * 20_000 + "c", "ab" * 50_000),
        pytest.param("\u0301" * 50_000 + "a", "\u0301\u0323" * 50_000, marks=pytest.mark.slow),
        ("the cat ... " * 5 + "end", "the cat " * 12_500),
        ("... " * 25_000, ". " * 50_000),
    ],
)
def test_hostile_texts_of_a_hundred_kilobytes_are_only_long(quote: str, text: str) -> None:
    assert locate(quote, text) is None
