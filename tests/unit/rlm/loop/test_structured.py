import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.loop.submit import build_result, render_markdown
from rlm.sandbox.port import ToolError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=12)


@given(VALUES)
def test_any_json_value_is_an_answer_as_it_is(value: object) -> None:
    result = build_result(value)
    assert json.loads(json.dumps(result.value)) == result.value
    assert render_markdown(result.value) is not None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "Yes."),
        (12.5, "12.5"),
        ([], "None."),
        (["a", 2], "- a\n- 2"),
        ({"a": 1, "b": None}, "- **a**: 1\n- **b**: "),
        ([{"who": "Ann|e", "n": 1}, {"who": "Bo\nb"}], "| who | n |\n| --- | --- |\n| Ann\\|e | 1 |\n| Bo b |  |"),
        ({"a": {"b": 1}}, '```json\n{\n  "a": {\n    "b": 1\n  }\n}\n```'),
    ],
)
def test_values_are_shown_as_lists_tables_or_json(value: object, text: str) -> None:
    assert render_markdown(value) == text


def test_sets_and_tuples_of_python_are_lists() -> None:
    assert build_result({"b", "a"}).value == ["a", "b"]
    assert build_result([(1, 2)]).value == [[1, 2]]


@pytest.mark.parametrize("value", [float("nan"), object(), [b"x"], {"a": float("inf")}])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ToolError):
        build_result(value)


def test_what_is_nested_without_end_is_refused() -> None:
    value: object = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(ToolError, match="deep"):
        build_result(value)
