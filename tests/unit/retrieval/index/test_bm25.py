import pytest

from retrieval.index.bm25 import CONTEXT_WEIGHT, PAIR_WEIGHT, Bm25Encoder, find_matched_words
from retrieval.index.languages import Language

ENCODER = Bm25Encoder()


def weights(text: str) -> dict[int, float]:
    vector = ENCODER.encode_query(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def test_a_term_asked_for_twice_weighs_twice() -> None:
    once, twice, sea = weights("whale"), weights("whale whale"), weights("sea")
    assert {twice[term] for term in once} == {2.0}
    assert {weights("whale sea")[term] for term in (*once, *sea)} == {1.0}


def test_words_meet_their_inflections() -> None:
    assert set(weights("runner running")) & set(document("they were running"))
    assert set(weights("whales")) & set(document("a whale"))


def test_a_term_of_a_query_is_the_same_term_in_a_document() -> None:
    for language in Language:
        assert set(document("Captain Ahab's ship", language=language)) <= set(weights("Captain Ahab's ship"))


def test_only_stop_words_or_punctuation_give_no_terms() -> None:
    assert weights("the of and") == weights("?!, ...") == {}


def test_a_repeated_term_saturates_in_a_document() -> None:
    one, many = ENCODER.encode_document("whale"), ENCODER.encode_document("whale " * 50)
    assert many.values[0] < 3 * one.values[0]


def document(text: str, *, context: str = "", language: Language = Language.ENGLISH) -> dict[int, float]:
    vector = ENCODER.encode_document(text, context=context, language=language)
    return dict(zip(vector.indices, vector.values, strict=True))


def test_words_that_follow_each_other_are_a_term_more_which_weighs_less_than_a_word() -> None:
    together, apart = document("the white whale"), document("the whale is white")
    pair = set(weights("white whale")) - set(weights("white")) - set(weights("whale"))
    assert pair & set(together)
    assert not pair & set(apart)
    assert {weights("white whale")[term] for term in pair} == {PAIR_WEIGHT}


def test_a_word_of_the_context_counts_as_several_of_the_text_whatever_the_texts_length() -> None:
    (word,) = set(weights("whale")) & set(document("whale"))
    inside, above = document("whale " + "sea " * 300), document("sea " * 300, context="Whale")
    assert above[word] > inside[word]
    assert above[word] == document("sea", context="Whale")[word]
    assert above[word] == pytest.approx(CONTEXT_WEIGHT * 2.2 / (CONTEXT_WEIGHT + 1.2))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("12345", "sales of 12,345 units"),
        ("12,345", "12345 units"),
        ("12,34,567", "1234567 rupees"),
        ("1,234.50", "a total of 1234.50"),
        ("10.5", "10.5 million"),
        ("2022-06-25", "on 2022-06-25"),
    ],
)
def test_a_number_is_a_term_as_a_whole(asked: str, text: str) -> None:
    whole = set(weights(asked)) - {term for part in asked.replace("-", ",").split(",") for term in weights(part)}
    assert (whole or set(weights(asked))) & set(document(text))


def test_the_parts_of_a_grouped_number_are_no_terms() -> None:
    parts = {*document("12"), *document("345")}
    assert not parts & set(document("sales of 12,345 units"))
    assert parts <= set(document("rows 12, 345"))


def test_the_figures_of_a_table_do_not_make_it_long() -> None:
    row, figures = "| Wharf margin | 47,206 | 41,938 |", " | 93,614 | 17.5% | 6,371" * 40
    (margin,) = set(weights("margin")) & set(document("margin"))
    assert document(row + figures)[margin] == document(row)[margin]
    assert document(row + " prose" * 40)[margin] < document(row)[margin]


def test_the_weights_of_the_release_before_are_what_they_were() -> None:
    earlier = ENCODER.find_compatible_encoder("bm25f-edge-2/1.2/0.75/100/2")
    assert earlier is not None
    toll = earlier.encode_document("12,345 whales", context="Year 1851")
    found = {i: round(x, 4) for i, x in zip(toll.indices, toll.values, strict=True)}
    assert found == {
        **dict.fromkeys((329585043, 1156501721, 3757273724), 1.6807),
        **dict.fromkeys((822745112, 1628211310, 2341636358), 1.375),
    }
    assert found.keys() <= set(earlier.encode_query("12,345 whales year 1851").indices)
    assert ENCODER.find_compatible_encoder("bm25f-edge-2/2/0.75/100/2") is None
    assert ENCODER.find_compatible_encoder("bm25f-edge-1/1.2/0.75/100/2") is None
    assert ENCODER.find_compatible_encoder(ENCODER.fingerprint) is ENCODER


def test_pairs_of_words_have_few_ids() -> None:
    words = [f"word{number}" for number in range(3000)]
    pairs = set(document(" ".join(words))) - {term for word in words for term in document(word)}
    assert 2950 < len(pairs) <= 2999
    assert max(pairs) - min(pairs) < 1 << 18


def test_a_number_with_other_digits_between_is_another() -> None:
    apart = {term for part in ("10", "5") for term in weights(part)}
    assert not (set(weights("10.5")) - apart) & set(document("5 of 10"))


@pytest.mark.parametrize(
    ("asked", "text", "language"),
    [
        ("Verträge", "Der Vertrag endet im Mai.", Language.GERMAN),
        ("les chevaux", "Un cheval dans le pré.", Language.FRENCH),
        ("книги", "Это моя книга.", Language.RUSSIAN),
    ],
)
def test_words_meet_their_inflections_in_the_documents_language(asked: str, text: str, language: Language) -> None:
    assert set(weights(asked)) & set(document(text, language=language))
    assert not set(weights(asked)) & set(document(text))


def test_stems_of_two_languages_never_meet() -> None:
    assert not set(document("general")) & set(document("general", language=Language.FRENCH))


def test_text_without_spaces_is_found_by_pairs_of_its_characters() -> None:
    assert set(weights("日本語")) & set(document("これは日本語です"))
    assert not set(weights("中国語圏")) & set(document("これは日本酒です"))


def test_the_words_that_matched_are_named_in_any_inflection_and_language() -> None:
    assert find_matched_words(ENCODER, "Which whales dived?", "The whale dives.") == ("whales", "dived")
    assert find_matched_words(ENCODER, "Verträge im Mai", "Der Vertrag endet.") == ("Verträge",)
