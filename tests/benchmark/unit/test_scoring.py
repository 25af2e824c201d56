import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmark.tasks.folder import Form, Question
from tests.benchmark.tasks.scoring import declines, f1, normalized, score

LABELS = ("abbreviation", "entity", "human being", "location", "numeric value")


def asked(form: Form, *gold: str, choices: tuple[str, ...] = ()) -> Question:
    return Question("q", "kind", "?", form, gold, choices)


TEXT = asked(Form.TEXT, "a cracked butter dish", choices=("a cracked butter dish", "a tin globe"))
LABEL = asked(Form.LABEL, "location", choices=LABELS)
NUMBER = asked(Form.NUMBER, "125")
USER = asked(Form.USER, "37622")
MORE = asked(Form.COMPARISON, "more", choices=("label 'entity'", "label 'location'"))
PAIRS = asked(Form.PAIRS, "10001,10002", "10001,10003")
NOT_THERE = asked(Form.TEXT)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (TEXT, "a cracked butter dish"),
        (TEXT, "The spare key is beneath a Cracked Butter-Dish. [1]"),
        (LABEL, "Label: location"),
        (LABEL, "location"),
        (LABEL, "Not an entity.\n**Label:**\nlocation"),
        (LABEL, "The most common label is 'location' (53 of 120). [1][2]"),
        (LABEL, "It is ahead of entity and human being.\n**Label:** location"),
        (NUMBER, "Answer: 125"),
        (NUMBER, "125"),
        (NUMBER, "Of 1,300 records so many have it.\n\nAnswer:\n125"),
        (NUMBER, "There are 125.0 of them."),
        (NUMBER, "Of 1,300 records that were read, so many have it.\nAnswer: 125 [3]"),
        (USER, "User: 37622"),
        (USER, "It is user 37622 with 12 records."),
        (MORE, "Answer: label 'entity' is more common than label 'location'"),
        (MORE, "entity is more common"),
        (MORE, "label 'location' is less common than label 'entity'"),
        (PAIRS, "(10001, 10002)\n(10001, 10003)"),
        (PAIRS, "10003-10001, and 10002,10001"),
        (NOT_THERE, "These documents do not answer the question. Searched: 10 passages of 3 documents."),
        (NOT_THERE, "The text does not mention where the key is."),
        (NOT_THERE, "Not found."),
        (NOT_THERE, "It is not stated in the documents."),
    ],
)
def test_right_answers_score_one_however_they_are_worded(question: Question, answer: str) -> None:
    assert score(question, answer) == 1.0


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (TEXT, ""),
        (TEXT, "a butter dish"),
        (TEXT, "a cracked butter dish or a tin globe"),
        (TEXT, "a cracked butter dishwasher"),
        (TEXT, "These documents do not say. Perhaps a cracked butter dish."),
        (TEXT, "word " * 60 + "a cracked butter dish"),
        (LABEL, "Label: entity"),
        (LABEL, "Label: location or entity"),
        (LABEL, ", ".join(LABELS)),
        (LABEL, "Label: location\nLabel: entity"),
        (LABEL, "Label: none of them"),
        (LABEL, "location" * 2),
        (NUMBER, "Answer: many"),
        (NUMBER, "Answer: 124 or 125"),
        (NUMBER, "between 120 and 130"),
        (NUMBER, " ".join(map(str, range(200)))),
        (NUMBER, "Answer: 125\nAnswer: 126"),
        (USER, "User: 37622 or 37623"),
        (USER, "User: 137622"),
        (MORE, "Answer: label 'entity' is less common than label 'location'"),
        (MORE, "label 'location' is more common than label 'entity'"),
        (MORE, "more common or less common or the same frequency"),
        (MORE, "entity"),
        (PAIRS, "10001"),
        (PAIRS, "(10001, 10001)"),
        (NOT_THERE, "a tin globe"),
        (NOT_THERE, ""),
    ],
)
def test_wrong_and_hedged_answers_score_nothing(question: Question, answer: str) -> None:
    assert score(question, answer) == 0.0


def test_declining_is_wrong_where_there_is_an_answer_and_may_be_said_by_status() -> None:
    assert score(TEXT, "a cracked butter dish", declined=True) == 0.0
    assert score(NOT_THERE, "", declined=True) == 1.0
    assert score(NOT_THERE, "I do not say.", declined=False) == 0.0


def test_a_number_that_is_off_scores_by_how_much() -> None:
    assert score(NUMBER, "Answer: 126") == 0.75
    assert score(NUMBER, "Answer: 122") == pytest.approx(0.75**3)
    assert score(NUMBER, "Answer: 1,125") < 1e-100


def test_pairs_score_by_f1() -> None:
    assert score(PAIRS, "(10001, 10002)\n(10002, 10003)") == 0.5


def test_a_value_inside_a_longer_one_does_not_count() -> None:
    question = asked(Form.TEXT, "the harp", choices=("the harp", "the jew's harp"))
    assert score(question, "the jew's harp") == 0.0
    assert score(question, "the harp") == 1.0


@settings(max_examples=50)
@given(st.text())
def test_any_answer_has_a_score(answer: str) -> None:
    for question in (TEXT, LABEL, NUMBER, USER, MORE, PAIRS, NOT_THERE):
        assert 0.0 <= score(question, answer) <= 1.0


@given(st.sets(st.integers()), st.sets(st.integers()))
def test_f1_is_symmetric_and_one_only_for_equal_sets(one: set[int], other: set[int]) -> None:
    assert f1(one, other) == f1(other, one)
    assert (f1(one, other) == 1.0) == (one == other and bool(one))


def test_normalization_ignores_case_articles_and_punctuation() -> None:
    assert normalized("The  “Dolls’ Houses”!") == normalized("dolls’ houses")


@pytest.mark.parametrize("answer", ["Nothing is known of it, not even where.", "a tin globe", "The key is not far."])
def test_answers_that_say_something_do_not_decline(answer: str) -> None:
    assert not declines(answer)
