import pytest

from rlm.plan.wording import find_labels, mentioned, take_apart


def test_the_question_is_told_from_its_preamble_and_the_form_of_its_answer() -> None:
    found = take_apart("Records. Question: How many are red? Give the final answer as 'Answer: <number>'.")
    assert (found.asked, found.form) == ("How many are red?", "Answer: <number>")
    assert take_apart("How many are red?").asked == "How many are red?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One of: 'red' (hot); 'sea green' (far, or deep).", {"red": "hot", "sea green": "far, or deep"}),
        ("The labels are: red, green and blue.", {"red": "", "green": "", "blue": ""}),
        ('Sort by these categories: "red", "green" or "blue"', {"red": "", "green": "", "blue": ""}),
        ("Classes\n- red: like blood\n- green: like grass", {"red": "like blood", "green": "like grass"}),
    ],
    ids=["defined", "listed", "quoted", "in lines"],
)
def test_labels_are_found_however_they_are_given(text: str, expected: dict[str, str]) -> None:
    found = find_labels(text)
    assert found is not None
    assert {label.name: label.definition for label in found.labels} == expected


@pytest.mark.parametrize("text", ["How many are red?", "He said 'yes' (loudly).", "", "Types of wine, and more."])
def test_where_no_labels_are_none_are_found(text: str) -> None:
    assert find_labels(text) is None


def test_a_name_inside_a_longer_one_does_not_count() -> None:
    labels = find_labels("The labels are: green, sea green, blue.")
    assert labels is not None
    assert mentioned(labels, "More sea greens than blue ones?") == ["sea green", "blue"]
