"""Labels of records and records of labels: what is asked of a model that tells likelihoods, and what its reply says."""

import pytest

from rlm.library import pack_limits
from rlm.operators.labels import label_set
from rlm.operators.weighing import MOST_WRITTEN_CHARS, LabelsWeighed, RecordsWeighed, many_alike
from rlm.profiles import LOCAL_QWEN
from rlm.subcalls.exchange import prompt_tokens
from rlm.tokens import estimated_tokens

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


def test_an_empty_record_is_weighed_as_something() -> None:
    assert all(RecordsWeighed(LABELS).call(["", "a fox"]).contexts[0].continuations)


@pytest.mark.parametrize("values", [{}, {"1": [-1.0]}, {"1": [-1.0], "2": []}, {"1": "no", "2": [-1.0]}, {"1": None}])
def test_a_reply_with_a_number_missing_says_nothing_of_the_record(values: dict[str, object]) -> None:
    assert RecordsWeighed(LABELS).read(values, 1) is None
    assert LabelsWeighed(LABELS).read(values, 1) is None


def test_texts_that_begin_alike_come_after_another_prompt_in_every_call() -> None:
    head = "Dear customer service, I am writing to you about the following: "
    task = RecordsWeighed(LABELS, apart=True)
    calls = [task.call([f"{head} {number}", f"{head} {number + 1}"]) for number in range(0, 20, 2)]
    assert len({call.prompt for call in calls}) == 10
    assert calls[0] == task.call([f"{head} 0", f"{head} 1"])
    assert many_alike(f"{head} {number}" for number in range(40))
    assert not many_alike(f"{head} {number}" for number in range(20))
    assert not many_alike(f"{number} {head}" for number in range(100))


def test_others_come_after_the_same_prompt_which_says_nothing_of_a_class() -> None:
    task = RecordsWeighed(LABELS)
    assert {task.call([f"text {number}"]).prompt for number in range(20)} == {""}


@pytest.mark.parametrize("count", [2, 6, 12])
@pytest.mark.parametrize("word", ["кит ", "鯨", "whale ", '{"id": 1742, "at": "2024-05-01T10:00:00Z"} '])
def test_texts_fit_the_window_with_every_label(count: int, word: str) -> None:
    labels = label_set({f"label {number}": "what is said of such a thing in a few words" for number in range(count)})
    task, limits = RecordsWeighed(labels), pack_limits(LOCAL_QWEN)
    beginning = (word * MOST_WRITTEN_CHARS)[:MOST_WRITTEN_CHARS]
    within = task.within(limits)
    at_once = min(within.records, max(1, within.tokens // estimated_tokens(beginning)))
    call = task.call([beginning] * at_once)
    assert prompt_tokens(call, LOCAL_QWEN) <= LOCAL_QWEN.max_prompt_tokens
    assert within.record_chars >= MOST_WRITTEN_CHARS
