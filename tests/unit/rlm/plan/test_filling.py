import json

import pytest

from rlm.corpus.records import Records, SplitBy, Splitting
from rlm.operators.aggregate import Key
from rlm.operators.reading import YES
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan.filling import FormError, read_form
from rlm.plan.layout import Layout
from rlm.plan.plan import MATCHES, Aggregation, Classify, Count, Extract, Filter, Listing, Measure, Plan, Rank

LAYOUT = Layout(Records((), Splitting(SplitBy.LINE)), ("Date", "User", "Text"), ("Date",), "Text")
LABELS = [{"name": "praise", "definition": "says it is good"}, {"name": "complaint", "definition": ""}]


def plan(**fields: object) -> Plan:
    blank = {"yes_no_question": "", "labels": [], "values": [], "where": [], "compute": "count", "column": ""}
    return read_form(json.dumps(blank | fields), "Complaints, in total?", LAYOUT, "scripted")


IS_COMPLAINT = Condition(LABEL, Op.IS, ("complaint",))


@pytest.mark.parametrize(
    ("compute", "column", "answer"),
    [
        ("count", "Complaint", Count((IS_COMPLAINT,))),
        ("list", "complaint", Listing((IS_COMPLAINT,))),
        ("count", "label", Listing((), LABEL)),
        ("list", "label", Listing((), LABEL)),
        ("most_common", "label", Rank(Key(LABEL))),
    ],
)
def test_a_form_says_which_label_counts(compute: str, column: str, answer: Aggregation) -> None:
    made = plan(labels=LABELS, compute=compute, column=column)
    assert made.answer == answer
    assert [type(step) for step in made.steps] == [Classify]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"compute": "list"},
        {"yes_no_question": "Is it about the staff?"},
        {"compute": "sum", "column": "User"},
        {"where": [{"column": "User", "op": "is", "value": "7"}]},
    ],
    ids=str,
)
def test_labels_of_which_none_is_meant_are_refused_before_records_are_sorted(fields: dict[str, object]) -> None:
    with pytest.raises(FormError, match='which of the "labels" counts'):
        plan(labels=LABELS, **fields)


@pytest.mark.parametrize("compute", ["count", "list"])
def test_values_that_nothing_is_computed_from_are_refused(compute: str) -> None:
    with pytest.raises(FormError, match='computed from the "values"'):
        plan(values=["price"], compute=compute)


def test_values_that_a_question_makes_needless_are_not_paid_for() -> None:
    made = plan(values=["price"], yes_no_question="Does it cost over 100?")
    assert made.steps == (Filter("Does it cost over 100?"),)
    assert made.answer == Count((Condition(MATCHES, Op.IS, (YES,)),))


def test_values_that_are_computed_from_are_taken_out() -> None:
    made = plan(values=["price"], compute="average", column="price")
    assert [type(step) for step in made.steps] == [Extract]
    assert made.answer == Measure("price", "average")
