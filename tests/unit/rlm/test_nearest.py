from retrieval.embedding import HashingEmbedder
from rlm.nearest import compare, nearest_first, sentences_of
from tests.fakes.passages import passage

FILLER = "The hay was wet. Nobody came to the fair. The mill stood still for a week."
FOUND = [passage(f"{FILLER} Number {n}.", document=f"d{n}", rank=n) for n in range(1, 9)]
NEEDLE = passage(f"{FILLER} Rupert Balfrey collects concertinas. {FILLER}", document="needle", rank=9)
QUESTION = "Rupert Balfrey collects what?"


def test_a_passage_is_compared_by_its_nearest_sentence() -> None:
    near = compare(QUESTION, [*FOUND, NEEDLE], HashingEmbedder())
    assert [each.document_id for each in near] == [*(f"d{n}" for n in range(1, 9)), "needle"]
    values = [each.nearest for each in near]
    assert max(values[:-1]) < values[-1]  # type: ignore[type-var, operator]


def test_the_nearest_come_first_and_the_searchs_own_first_three_stay() -> None:
    find = nearest_first(lambda _: [*FOUND, NEEDLE], HashingEmbedder(), top_k=5)
    found = find(QUESTION)
    assert found[0].document_id == "needle"
    assert len(found) == 5
    assert {"d1", "d2", "d3"} < {each.document_id for each in found}
    assert len(nearest_first(lambda _: FOUND, HashingEmbedder(), top_k=2)(QUESTION)) == 2
    assert nearest_first(lambda _: [], HashingEmbedder(), top_k=5)(QUESTION) == []


def test_sentences_know_where_they_stand() -> None:
    first, second = sentences_of([passage("One here. Two there.")])
    assert [(each.text, each.start, each.end) for each in (first, second)] == [
        ("One here.", 0, 9),
        ("Two there.", 10, 20),
    ]
    assert sentences_of([passage(" ")]) == []
    assert compare("?", [passage(" ")], HashingEmbedder())[0].nearest == -1.0
