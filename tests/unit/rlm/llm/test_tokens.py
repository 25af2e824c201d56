from rlm.llm.profiles import estimate_tokens


def test_digits_and_other_scripts_are_estimated_at_a_token_each() -> None:
    assert estimate_tokens("1234567") == 7
    assert estimate_tokens("東京") == 2
    assert estimate_tokens("seven letters ") == 4


def test_half_a_surrogate_pair_is_a_character_too() -> None:
    assert estimate_tokens("\ud800") == 1


def test_what_has_no_words_takes_more_tokens_than_words_do() -> None:
    """Two thousand random letters are about a thousand tokens of Qwen2.5."""
    assert estimate_tokens("xqzjkwvb" * 250) > 1_000
    assert estimate_tokens("a word or " * 200) < 600
