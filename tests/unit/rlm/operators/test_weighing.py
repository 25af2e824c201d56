"""Labels of records and records of labels: what is asked of a model that tells likelihoods, and what its reply says."""

import pytest

from rlm.operators.labels import label_set
from rlm.operators.weighing import MOST_WRITTEN_CHARS, LabelsWeighed, RecordsWeighed

LABELS = label_set({"animal": "moves by itself", "plant": ""})


def test_each_label_is_weighed_as_the_class_of_each_record_with_all_classes_shown() -> None:
    task = LabelsWeighed(LABELS)
    call = task.call(["a fox", "a fern"])
    assert "animal: moves by itself" in call.prompt
    assert [context.text for context in call.contexts] == ["Text: a fox", "Text: a fern"]
    assert {context.continuations for context in call.contexts} == {(" animal", " plant")}
    assert task.read({"1": [-1.0, -2.0], "2": [-3.0, -1.0]}, 2) == [-3.0, -1.0]


def test_each_record_is_weighed_as_a_text_of_each_label_by_itself() -> None:
    task = RecordsWeighed(LABELS)
    call = task.call(["a fox", "a fern"])
    assert [context.continuations for context in call.contexts] == [("a fox", "a fern")] * 2
    assert ["moves by itself" in context.text for context in call.contexts] == [True, False]
    assert "plant" not in call.contexts[0].text + call.prompt + call.system
    # How long a record is says nothing of its label.
    assert task.read({"1": [-20.0, -60.0], "2": [-30.0, -50.0]}, 1) == [5.0, -5.0]
    assert task.read({"1": [-20.0, -60.0], "2": [-30.0, -50.0]}, 2) == [-5.0, 5.0]


def test_of_a_long_record_its_beginning_is_weighed_and_an_empty_one_is_something() -> None:
    call = RecordsWeighed(LABELS).call(["fox " * 1_000, ""])
    long, empty = call.contexts[0].continuations
    assert len(long) == MOST_WRITTEN_CHARS
    assert empty


@pytest.mark.parametrize("values", [{}, {"1": [-1.0]}, {"1": [-1.0], "2": []}, {"1": "no", "2": [-1.0]}, {"1": None}])
def test_a_reply_with_a_number_missing_says_nothing_of_the_record(values: dict[str, object]) -> None:
    assert RecordsWeighed(LABELS).read(values, 1) is None
    assert LabelsWeighed(LABELS).read(values, 1) is None
