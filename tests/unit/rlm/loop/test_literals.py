"""Numbers that stand in the code of a run, and those that flow into its answer."""

import pytest

from rlm.loop.literals import CellLiterals


def behind(*cells: str) -> set[str]:
    code = CellLiterals()
    for cell in cells:
        code.add(cell)
    return set(code.behind("submit"))


@pytest.mark.parametrize(
    "cells",
    [
        ["submit(424242 + n)"],
        ["submit(answer=424242 * n)"],
        ["base = 424242", "submit(base + n)"],
        ["base: int = 424242\nsubmit(n - base)"],
        ["total = 0\nfor row in rows:\n    total += 424242\nsubmit(total)"],
        ["submit([424242 for row in rows])"],
        ["submit(424242 if n else 1)"],
        ["submit(int('424242') + n)"],
        ["out = []\nout.append(424242)\nsubmit(out)"],
        ["def price(n):\n    return n * 424242", "submit(price(n))"],
        ["import math\nsubmit(math.floor(n + 424242))"],
        ["submit(sum(x for x in [n, 424242]))"],
        ["submit(f'{n + 424242} ships')"],
        ["from math import floor\nsubmit(n + floor(424242))"],
        ["from decimal import Decimal\nsubmit(n + Decimal('424242'))"],
    ],
)
def test_a_long_number_flows_where_its_value_does(cells: list[str]) -> None:
    assert behind(*cells) == {"424242"}


@pytest.mark.parametrize(
    "cells",
    [
        ["submit(sum(1 for x in years if x > 1715))"],
        ["first = 1715\nsubmit(len([x for x in years if x >= first]))"],
        ["submit(round(100 * a / b, 2))"],
        ["submit(total / 1_000_000)"],
        ["submit(text[200:300].count('a'))"],
        ["submit(read('doc-1', start=500, end=900).count('a'))"],
        ["submit(len(grep('ship', limit=500)['hits']))"],
        ["submit(12 * n)"],
        ["from datetime import date\nsubmit((date(2024, 5, 17) - begun).days)"],
        ["submit(sum(1 for row in rows if row['year'] == '2024'))"],
        ["def f("],
    ],
)
def test_comparisons_indices_tools_dates_and_units_are_no_part_of_a_sum(cells: list[str]) -> None:
    assert behind(*cells) == set()


def test_only_the_last_cell_hands_in() -> None:
    code = CellLiterals()
    code.add("submit(424242)")
    code.add("draft(7)")
    assert code.behind("submit") == frozenset()
    assert code.last == "draft(7)"
