import pytest

from rlm.operators.aggregate import Key
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan.layout import look
from rlm.plan.plan import Count, Plan, Rank
from rlm.plan.rules import plan_by_rules
from tests.support.corpora import corpus_of

DEFINED = "Every record is of one of the categories: 'red', 'green' or 'blue'."
TEXT = "a text that is longer than the other fields"


def planned(question: str, column: str, preamble: str = "") -> Plan | None:
    lines = "\n".join(f"{column}: {('red', 'blue')[n % 2]} || Text: {TEXT} {n}" for n in range(6))
    return plan_by_rules(question, look(corpus_of(f"{preamble}\n\n{lines}")))


@pytest.mark.parametrize(
    ("question", "column"),
    [
        ("Which category has the most records?", "Category"),
        ("Which of the categories is the most common?", "Category"),
        ("Which class has the fewest records?", "Class"),
        ("Which of the classes is the most common?", "Class"),
        ("Which type has the most records?", "Type"),
        ("Which kind has the most records?", "Kind"),
        ("Which label is the most common?", "Label"),
        ("Which label is the most common?", "label"),
    ],
)
@pytest.mark.parametrize("preamble", ["", DEFINED], ids=["no labels", "labels in the documents"])
def test_a_written_field_is_grouped_by_whatever_it_is_called(question: str, column: str, preamble: str) -> None:
    plan = planned(question, column, preamble)
    assert plan is not None
    assert isinstance(plan.answer, Rank)
    assert plan.answer.key == Key(column)
    assert plan.steps == ()


def test_labels_that_the_question_defines_go_before_a_field_of_their_name() -> None:
    plan = planned(f"{DEFINED} Question: Which category has the most records?", "Category")
    assert plan is not None
    assert plan.answer == Rank(Key(LABEL))
    assert len(plan.steps) == 1


def test_labels_of_the_documents_count_where_no_field_has_their_name() -> None:
    plan = planned("Which of the categories is the most common?", "User", DEFINED)
    assert plan is not None
    assert plan.answer == Rank(Key(LABEL))
    assert len(plan.steps) == 1


def test_a_label_that_is_written_is_not_asked_for() -> None:
    plan = planned("How many records have the label 'red'?", "label", DEFINED)
    assert plan is not None
    assert plan.answer == Count((Condition(LABEL, Op.IS, ("red",)),))
    assert plan.steps == ()
