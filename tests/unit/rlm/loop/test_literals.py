"""Answers that the code states as they are, and answers that it came to."""

import pytest

from rlm.loop.cell_code import CellCode


def states(*cells: str) -> bool:
    code = CellCode()
    for cell in cells:
        code.add(cell)
    return code.states("submit")


@pytest.mark.parametrize(
    "cells",
    [
        ["submit(42, computed=True)"],
        ["submit(answer='42', computed=True)"],
        ["submit(-4.5)"],
        ["submit(40 + 2)"],
        ["submit({'a': [1, 2]})"],
        ["submit(f'{42} of {60}')"],
        ["n = 42\nsubmit(n)"],
        ["n = 42", "m: int = n\nsubmit(f'There are {m}.')"],
        ["if True:\n    submit(1)\nelse:\n    submit(2)"],
        ["submit(int('42'))"],
        ["import math\nn = math.floor(42.5)\nsubmit(n)"],
        ["n = len('x' * 42)", "submit(f'{n} ships')"],
        ["total = 0\nfor n in range(42):\n    total += n\nsubmit(total)"],
        ["out = []\nout.append(42)\nsubmit(out)"],
        ["if count('x'):\n    submit(42)"],
        ["n = 42 if True else 7\nsubmit(sorted([n]))"],
    ],
)
def test_what_stands_in_the_code_is_stated(cells: list[str]) -> None:
    assert states(*cells)


@pytest.mark.parametrize(
    "cells",
    [
        ["submit(len(rows), computed=True)"],
        ["submit(f'{n} of 7')"],
        ["n = 0\nfor each in rows:\n    n += 1", "submit(n)"],
        ["n = 0", "n = count('x')['total']", "submit(n)"],
        ["out = []\nout.append(read('a'))\nsubmit(out)"],
        ["for n in rows:\n    pass\nsubmit(n)"],
        ["if x:\n    submit(1)\nelse:\n    submit(total)"],
        ["def hand_in(n):\n    submit(n)", "hand_in(42)"],
        ["done = submit\ndone(42)"],
        ["submit(*answers)"],
        ["n = 0\nfor each in [1, 2]:\n    if count(each):\n        n += 1\nsubmit(n)"],
        ["found = {}\nfor ship in grep('ship'):\n    found['n'] = 1\nsubmit(found)"],
        ["def counted():\n    return count('x')", "submit(counted())"],
        ["submit(sum(map(int, texts)))"],
        ["submit(1"],
    ],
)
def test_what_code_came_to_is_not_stated(cells: list[str]) -> None:
    assert not states(*cells)
