"""Numbers that stand in the code of a run, and those that flow into its answer."""

import pytest

from rlm.loop.literals import CellLiterals, extract_number_contexts, has_number, raise_bounds


def behind(*cells: str) -> set[str]:
    code = CellLiterals()
    for cell in cells:
        code.add_cell(cell)
    return set(code.get_answer_numbers("submit"))


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
    code.add_cell("submit(424242)")
    code.add_cell("draft(7)")
    assert code.get_answer_numbers("submit") == frozenset()


def test_a_factor_is_named_as_the_code_writes_it() -> None:
    assert behind("submit(1.04 * n)") == {"1.04"}


@pytest.mark.parametrize(
    ("question", "number", "is_there"),
    [
        ("What is it at 250 each?", "250", True),
        ("What is it at 4 percent?", "1.04", True),
        ("What is it at 4 percent?", "0.96", True),
        ("What is it at 4 percent?", "0.04", True),
        ("Wie viel mit 12,5 % Abschlag?", "0.875", True),
        ("What is it at 4 percent?", "1.05", False),
        ("What is it at 4 percent?", "1.4", False),
        ("What is it at 4 percent?", "104", False),
        ("What is it?", "1.04", False),
    ],
)
def test_a_question_has_its_numbers_and_the_factors_of_its_percentages(
    question: str, number: str, is_there: bool
) -> None:
    assert has_number(question, number) is is_there


def test_numbers_in_texts_of_the_code_are_found_with_the_words_beside_them() -> None:
    assert extract_number_contexts('f"{n:.2f} left 20 minutes late"') == {"left 20 minutes"}
    assert extract_number_contexts("n = 7; x = '7'; f'{n:07d}'; def") == frozenset()
    assert extract_number_contexts("n = 7; x = '7'; f'{n:07d}'") == frozenset()


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("n = len([x for x in xs if x > 150])", "n = len([x for x in xs if x > 1063])"),
        ("LIMIT = 150", "LIMIT = 1063"),
        ("n = xs[150] + 150 * len(f(150))", "n = xs[150] + 150 * len(f(150))"),
        ("x > 15 and x == '150' and x > True", "x > 15 and x == '150' and x > True"),
        ("x > 150 and", "x > 150 and"),
    ],
)
def test_bounds_are_raised_and_no_other_numbers(code: str, raised: str) -> None:
    assert raise_bounds(code, "150") == raised
