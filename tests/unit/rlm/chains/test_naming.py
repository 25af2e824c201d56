import pytest

from rlm.candidates import best, distinct_sentences
from rlm.chains.naming import named, names, with_kind
from tests.fakes.passages import passage


@pytest.mark.parametrize(
    ("sentence", "name", "expected"),
    [
        ("On the stone bridge Old Arch it rains.", "Old Arch", "stone bridge Old Arch"),
        ("She married a painter Ann.", "Ann", "painter Ann"),
        ("He died in 1852.", "1852", "1852"),
        ("She was born in Stonebury in Saltshire.", "Stonebury", "Stonebury in Saltshire"),
        ("She was born in Stonebury in 1852.", "Stonebury", "Stonebury"),
        ('Of the comedy "The Paper Ladle" much is lost.', "The Paper Ladle", 'comedy "The Paper Ladle"'),
        ("The Old Arch fell.", "Old Arch", "Old Arch"),
        ("Ann sang.", "Bob", "Bob"),
    ],
)
def test_a_name_keeps_what_the_sentence_calls_it(sentence: str, name: str, expected: str) -> None:
    assert with_kind(sentence, name) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The seal of the school Quarry & Sons shows a hedgehog.", ["Quarry & Sons"]),
        ("Quarry & Sons show one. Before Hugo Moss it was Ada's.", ["Quarry & Sons", "Hugo Moss", "Ada's"]),
        ("The children played in Rye, and then in Rye Harbour.", ["Rye", "Rye Harbour"]),
        ("Nobody came in 1852.", []),
    ],
)
def test_the_names_of_a_sentence(sentence: str, expected: list[str]) -> None:
    assert names(sentence) == expected


def sentences_on(name: str, *texts: str) -> list[str]:
    passages = [passage(text, document=f"d{at}") for at, text in enumerate(texts)]
    found = named(name, distinct_sentences(passages), passages)
    return [each.text for each in best(found, [0.0] * len(found), passages, 9)]


def test_of_a_name_only_sentences_with_it_are_candidates() -> None:
    texts = ("The toll bridge Old Arch fell.", "The swing bridge Old Arch turns.", "It rained.")
    assert sentences_on("swing bridge Old Arch", *texts) == ["The swing bridge Old Arch turns."]
    assert sentences_on("New Arch", *texts) == []


def test_a_name_may_be_written_without_its_kind_but_not_with_another() -> None:
    texts = ("The toll bridge Old Arch fell.", "In spring Old Arch was painted.", "It rained.")
    assert sentences_on("swing bridge Old Arch", *texts) == ["In spring Old Arch was painted."]
    assert sentences_on("swing bridge Old Arch", "The bridge Old Arch fell.") == ["The bridge Old Arch fell."]


def test_a_place_may_be_written_without_where_it_is() -> None:
    texts = ("The road to Stonebury in Saltshire is long.", "The road to Stonebury in Merrow is short.", "It rained.")
    assert sentences_on("Stonebury in Saltshire", *texts) == ["The road to Stonebury in Saltshire is long."]
    assert sentences_on("Stonebury in Saltshire", "All roads lead to Stonebury.") == ["All roads lead to Stonebury."]
    assert sentences_on("Stonebury in Saltshire", texts[1], "Stonebury lies there.") == ["Stonebury lies there."]


def test_a_surname_stands_for_a_name_but_not_a_namesakes() -> None:
    texts = ("Jellicoe died in 1852.", "Ada Jellicoe died in 1900.", "It rained.")
    assert sentences_on("surgeon Sabina Jellicoe", *texts) == ["Jellicoe died in 1852."]


def test_what_leans_on_a_sentence_with_the_name_is_a_candidate_too() -> None:
    texts = ("The surgeon Sabina Jellicoe came from Marl. Rain fell. She died in 1852. Others lived.", "He sang.")
    found = sentences_on("surgeon Sabina Jellicoe", *texts)
    assert sorted(found) == ["Rain fell. She died in 1852.", "The surgeon Sabina Jellicoe came from Marl."]
