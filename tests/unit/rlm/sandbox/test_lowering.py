"""What the passes do to code; that its meaning stays is the business of the conformance suite."""

import pytest

from rlm.sandbox.lowering import MAX_CODE_CHARS, lower
from rlm.sandbox.lowering.classes import ClassMemory
from rlm.sandbox.lowering.rewriting import RefusedSyntaxError


def test_code_that_needs_nothing_is_run_as_it_was_written() -> None:
    code = "x = 1  # one\n\n\nprint( x )"
    assert lower(code).code == code


def test_showing_the_last_value_keeps_the_lines() -> None:
    assert lower("x = 1\n# é\n'é', x  # last").code == "x = 1\n# é\n_ll_show(('é', x))  # last"


def test_shims_are_named_for_whoever_loads_them() -> None:
    assert lower("import heapq, math\nfrom statistics import mean as m").shims == {"heapq", "statistics"}


def test_a_generator_that_may_end_is_collected() -> None:
    code = "def f():\n    while True:\n        yield 1\n        if x:\n            break"
    assert "yield" not in lower(code).code.replace("_ll_yielded", "")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def f():\n    while True:\n        yield 1", "without an end"),
        ("def f():\n    while 1:\n        for i in x:\n            break\n        yield 1", "without an end"),
        ("def f():\n    x = yield 1", "value of a yield"),
        ("def f():\n    print((yield))", "value of a yield"),
        ("async def f():\n    yield 1", "asynchronous generators"),
        ("x = lambda: (yield)", "lambda cannot yield"),
        ("class A(dict):\n    pass", "cannot inherit from dict"),
        ("class A(B, C):\n    pass", "several bases"),
        ("class E(Exception):\n    def __init__(self): pass", "exception with methods"),
        ("class A:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass", "setters"),
        ("del a.b", "`del` of this"),
    ],
)
def test_what_cannot_keep_its_meaning_is_refused_with_its_line_and_what_to_write(code: str, says: str) -> None:
    with pytest.raises(RefusedSyntaxError, match=says) as refused:
        lower(code)
    assert str(refused.value).startswith("line ")
    assert refused.value.args[0].count(". ") >= 1


@pytest.mark.parametrize("code", ["(" * 200 + ")" * 200, "1" + "+1" * 40_000, "x" * (MAX_CODE_CHARS + 1), "\x00"])
def test_code_that_no_compiler_should_be_given_is_refused(code: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        lower(code)


def test_warnings_about_escapes_are_not_ours_to_give(recwarn: pytest.WarningsRecorder) -> None:
    lower("import re\nre.findall('\\d', 'a1')")
    assert not recwarn


@pytest.mark.parametrize("count", [500, 2_800, 10_000])
@pytest.mark.parametrize(("first", "more"), [('"a"', '+"a"'), ("x", ".y"), ("x = 1", "+1"), ("x", "(1)")])
def test_code_that_is_too_deep_for_the_passes_is_refused_as_such(count: int, first: str, more: str) -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        lower(first + more * count)


def test_a_family_of_classes_is_gone_through_once_however_often_it_was_said() -> None:
    """Each of 60 classes twice, and each under two bases: two to the sixtieth ways lead from the first to the last."""
    memory = ClassMemory()
    code = "class A0: pass\n" + "".join(f"class A{n}(A{n - 1}): pass\n" * 2 for n in range(1, 61))
    lowered = lower(f"{code}isinstance(1, A0)", memory).code
    assert lowered.splitlines()[-1].count("A") == 61
    for n in range(61, 120):
        with pytest.raises(RefusedSyntaxError):
            lower(f"class A{n}(A{n - 1}, A{n - 2}): pass", memory)
    assert "A60" in lower("isinstance(1, A0)", memory).code


def test_a_cell_that_is_refused_is_not_remembered() -> None:
    memory = ClassMemory()
    with pytest.raises(RefusedSyntaxError):
        lower(
            "class Box:\n    @property\n    def value(self):\n        return 1\n"
            "    @value.setter\n    def value(self, new):\n        pass",
            memory,
        )
    assert memory == ClassMemory()
    assert lower("x.value", memory).code == "_ll_show((x.value))"
