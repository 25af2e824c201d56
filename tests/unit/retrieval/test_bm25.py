from retrieval.bm25 import Bm25Encoder

ENCODER = Bm25Encoder()


def weights(text: str) -> dict[int, float]:
    vector = ENCODER.query(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def test_a_term_asked_for_twice_weighs_twice() -> None:
    once, twice = weights("whale sea"), weights("whale whale sea")
    assert set(once) == set(twice)
    assert sorted(twice.values()) == [1.0, 2.0]


def test_words_meet_their_inflections() -> None:
    assert set(weights("runner running")) & set(ENCODER.document("they were running").indices)
    assert set(weights("whales")) == set(weights("whale"))


def test_a_term_of_a_query_is_the_same_term_in_a_document() -> None:
    assert set(weights("Captain Ahab's ship")) <= set(ENCODER.document("Captain Ahab's ship").indices)


def test_only_stop_words_or_punctuation_give_no_terms() -> None:
    assert weights("the of and") == weights("?!, ...") == {}


def test_a_repeated_term_saturates_in_a_document() -> None:
    one, many = ENCODER.document("whale"), ENCODER.document("whale " * 50)
    assert many.values[0] < 3 * one.values[0]
