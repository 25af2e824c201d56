from decimal import Decimal

import pytest

from rlm.llm.budgets import Price


def test_a_call_costs_what_its_tokens_cost() -> None:
    assert Price(Decimal("0.15"), Decimal("0.60")).compute_cost(2_000_000, 1_000) == Decimal("0.3006")


def test_a_price_below_nothing_is_refused() -> None:
    for bad in (Decimal(-1), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(ValueError, match="dollars"):
            Price(bad, Decimal(0))
