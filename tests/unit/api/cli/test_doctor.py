"""What `leadline doctor` says of the model in use."""

from dataclasses import replace
from decimal import Decimal

import pytest

from api.cli.doctor import about_profile
from rlm.llm.prices import FREE, Price
from rlm.llm.profiles import Profiles


def test_a_model_that_nobody_described_fills_in_plans_at_a_price_that_is_not_known() -> None:
    said = about_profile(Profiles().named("some/model"))
    assert said == "some/model: fills in plans, a window of 32,768 tokens, 4 calls at once, price not known"


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (FREE, "free"),
        (Price(Decimal("0.00"), Decimal(0)), "free"),
        (Price(Decimal("0.15"), Decimal(1)), "$0.15 and $1 for a million tokens read and written"),
        (Price(Decimal("1E+1"), Decimal("1E-2")), "$10 and $0.01 for a million tokens read and written"),
    ],
)
def test_a_price_is_a_number_or_said_to_be_none(price: Price, said: str) -> None:
    profile = replace(Profiles().named("gpt-5-mini"), price=price)
    assert about_profile(profile) == f"gpt-5-mini: writes code, a window of 272,000 tokens, 16 calls at once, {said}"
