import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.storage.texts.normalize import normalize, normalize_title

# Letters, marks and joiners that compose, join or vanish, far more often than chance would bring them together.
_AWKWARD = st.text(
    st.sampled_from(
        "a e\t\n\r\f\v\x00\x07\x1c\x85\xa0\xad\u0301\u0327\u0338\u0344\u034f\u0628\u0653\u0915\u093c\u094d\u0958\u0f73"
        "\u1100\u1160\u1161\u11a8\u200b\u200c\u200d\u200e\u2028\u202e\u2060\u2126\u212b\u2329\u2640\u2764\u2adc\u2add"
        "\u3000\u3099\u304b\uac00\ud800\udc00\ufb1d\ufe0e\ufe0f\ufeff\uffff\U0001f468\U0001f3fd\U000e0041\U000e0100\U0001d15e"
    )
)
_ANY = st.text(st.characters(codec=None)) | _AWKWARD


@given(_ANY)
@example("\r\r\n\x00\n")
@example("e\u200d\u0301")
@example("\u2adc\u200d\u2640")
@example("\ufe0e\ufe0f\u200c\u0628")
@example("\u0628\u200c\u0653\u200c\u0327")
@example("\u0628" + "\u200c\u0653" * 20 + "\u200c\u0327")
@example("\u2764\ufe0f\u200d\ufe0f")
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once


@given(_ANY)
def test_what_is_left_is_composed_visible_and_encodable(text: str) -> None:
    left = normalize(text)
    assert unicodedata.is_normalized("NFC", left)
    assert not {unicodedata.category(character) for character in left if character not in "\t\n"} & {"Cc", "Cs"}
    left.encode("utf-8")


@given(st.text("abc \t\n"))
def test_words_of_plain_text_survive_in_order(text: str) -> None:
    assert normalize(text).split() == text.split()


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("a\r\nb\rc\x0bd\x0ce", "a\nb\nc\nd\ne"),
        ("cafe\u0301", "café"),
        ("a\x00b\x07c\x7fd\x9fe\tf", "abcde\tf"),
        ("a\x00b\x07c\x7fd\tf", "abcd\tf"),
        ("a  \nb\t \nc\xa0\u3000", "a\nb\nc"),
        ("    indented", "    indented"),
        ("a\n\n\n\n\n\nb\n\n\nc\n\nd", "a\n\n\nb\n\n\nc\n\nd"),
        ("a\n \n\t\n \n\nb", "a\n\n\nb"),
        ("\n\n\na\n\n", "a"),
        ("\ud800a\udfff", "\ufffda\ufffd"),
        ("", ""),
    ],
)
def test_layout_is_reduced_to_lines_and_blank_lines(text: str, normalized: str) -> None:
    assert normalize(text) == normalized


@pytest.mark.parametrize(
    "invisible",
    [
        *"\u200b\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff\xad\u061c\u115f\u3164",
        "\U000e0041\U000e007f",
        "\U000e0100",
    ],
)
def test_characters_a_reader_cannot_see_are_dropped(invisible: str) -> None:
    assert normalize(f"pass{invisible}word {invisible}") == "password"


def test_joiners_stay_where_a_script_or_an_emoji_needs_them() -> None:
    for needed in (
        "می\u200cخواهم",
        "क\u094d\u200dष",
        "👩\u200d👩\u200d👧",
        "❤\ufe0f\u200d🔥",
        "👩🏽\u200d⚕\ufe0f",
        "🚶\u200d➡\ufe0f",
    ):
        assert normalize(needed) == needed


def test_joiners_that_only_hide_are_dropped() -> None:
    assert normalize("pass\u200dword \u200c👩\u200d") == "password 👩"
    assert normalize("क\u200d\u200dष") == "कष"
    assert normalize("❤\ufe0f\ufe01\ufe02") == "❤\ufe0f", "bytes can be hidden in a row of selectors"


def test_a_title_is_one_short_line_or_none() -> None:
    assert normalize_title("  A\n title\u202e ") == "A title"
    assert normalize_title("\u200b \n") is None
    assert normalize_title(None) is None
    assert normalize_title("x" * 1_000) == "x" * 300


@pytest.mark.parametrize(
    "text", [" " * 2_000_000 + "x", "\n" * 2_000_000 + "x", "\u200d" * 2_000_000, "a \u200b" * 500_000]
)
def test_long_runs_take_linear_time(text: str) -> None:
    normalize(text)  # quadratic, any of these would run into the suite's time limit
