"""What a model is told of its code's failure."""

import pytest

from rlm.sandbox.reports import format_report


def told(text: str, limit: int = 3_000) -> str:
    return format_report(text, limit=limit, tool_names=())


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("    _ll_show((f(1) + 2))", "    f(1) + 2"),
        ("    _ll_show(f(1))", "    f(1)"),
        ("    x = 3; _ll_show((a)); b", "    x = 3; a; b"),
        ("    f(1)", "    f(1)"),
    ],
)
def test_a_line_that_was_wrapped_is_shown_as_it_was_written(line: str, plain: str) -> None:
    text = f'Traceback\n  File "<python-input-1>", line 1\n{line}\n    ~~~~\nValueError: no'
    carets = "" if line != plain else "    ~~~~\n"
    assert told(text) == f'Traceback\n  File "<cell>", line 1\n{plain}\n{carets}ValueError: no'


@pytest.mark.parametrize(
    "text",
    ["_ll_show(" + ")" * 1_000_000, "_ll_show(" * 200_000, "_ll_show((" * 50_000 + "))" * 50_000, "(" * 2_000_000],
)
def test_what_code_raises_is_told_in_time_whatever_it_is(text: str) -> None:
    """A square of its length would take days, in which no other thread ran."""
    shown = told(f"Traceback\n{text}\nValueError: {text}\n", limit=1_000)
    assert len(shown) < 1_500
