"""What the passes do to code; that its meaning stays is the business of the conformance suite."""

import re

import pytest

from rlm.sandbox.lowering import MAX_CODE_CHARS, lower_code


def test_code_that_needs_nothing_is_run_as_it_was_written() -> None:
    code = "x = 1  # one\n\n\nprint( x )"
    assert lower_code(code).code == code


def test_showing_the_last_value_keeps_the_lines() -> None:
    assert lower_code("x = 1\n# é\n'é', x  # last").code == "x = 1\n# é\n_ll_show(('é', x))  # last"


def test_shims_are_named_for_whoever_loads_them() -> None:
    assert lower_code("import heapq, math\nfrom statistics import mean as m").shims == {"heapq", "statistics"}


def test_a_generator_that_may_end_is_collected() -> None:
    code = "def f():\n    while True:\n        yield 1\n        if x:\n            break"
    assert "yield" not in lower_code(code).code.replace("_ll_yielded", "")


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    while True:\n        yield 1",
        "def f():\n    x = yield 1",
        "async def f():\n    yield 1",
        "x = lambda: (yield)",
        "@contextmanager\ndef f():\n    yield 1",
        "del a.b",
    ],
)
def test_what_cannot_keep_its_meaning_is_left_for_the_interpreter_to_refuse(code: str) -> None:
    assert {"yield", "del"} & set(re.findall(r"\w+", lower_code(code).code))


@pytest.mark.parametrize("code", ["(" * 200 + ")" * 200, "1" + "+1" * 40_000, "x" * (MAX_CODE_CHARS + 1), "\x00"])
def test_code_that_no_compiler_should_be_given_is_refused(code: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        lower_code(code)


def test_warnings_about_escapes_are_not_ours_to_give(recwarn: pytest.WarningsRecorder) -> None:
    lower_code("import re\nre.findall('\\d', 'a1')")
    assert not recwarn


@pytest.mark.parametrize("count", [500, 2_800, 10_000])
@pytest.mark.parametrize(("first", "more"), [('"a"', '+"a"'), ("x", ".y"), ("x = 1", "+1"), ("x", "(1)")])
def test_code_that_is_too_deep_for_the_passes_is_refused_as_such(count: int, first: str, more: str) -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        lower_code(first + more * count)
