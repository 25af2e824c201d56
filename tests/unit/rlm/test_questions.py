import pytest

from rlm.requests import MAX_QUESTION_CHARS, EmptyQuestionError, QuestionError, QuestionTooLongError, normalize_question


def test_a_question_loses_the_white_space_around_it() -> None:
    assert normalize_question("  Wer hat's erfunden?\n") == "Wer hat's erfunden?"


def test_what_no_database_takes_is_a_blank() -> None:
    assert normalize_question("a\0b?\0") == "a b?"


def test_the_longest_question_is_allowed() -> None:
    assert normalize_question("x" * MAX_QUESTION_CHARS) == "x" * MAX_QUESTION_CHARS


def test_a_hundred_thousand_characters_are_refused_with_the_limit_and_a_way_out() -> None:
    with pytest.raises(QuestionTooLongError) as caught:
        normalize_question("why " * 25_000)
    assert isinstance(caught.value, QuestionError)
    assert caught.value.code == "question_too_long"
    assert "100,000" in caught.value.detail
    assert f"{MAX_QUESTION_CHARS:,}" in caught.value.detail
    assert "Shorten" in caught.value.hint


@pytest.mark.parametrize("question", ["", "   \n", "?!", "…"])
def test_a_question_without_a_word_is_refused(question: str) -> None:
    with pytest.raises(EmptyQuestionError):
        normalize_question(question)


def test_a_question_in_another_script_has_words() -> None:
    assert normalize_question("首都は？") == "首都は？"
