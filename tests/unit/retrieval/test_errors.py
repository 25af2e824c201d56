"""Waits between attempts: they double, they end, and chance spreads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import RetryPolicy

POLICY = RetryPolicy(attempts=5, first_wait_seconds=1.0, longest_wait_seconds=4.0)


def test_waits_double_up_to_the_longest_and_are_one_fewer_than_attempts() -> None:
    assert list(POLICY.iter_delays(lambda: 1.0)) == [1.0, 2.0, 4.0, 4.0]


def test_half_of_each_wait_is_chance() -> None:
    assert list(POLICY.iter_delays(lambda: 0.0)) == [0.5, 1.0, 2.0, 2.0]
    assert len({tuple(POLICY.iter_delays()) for _ in range(20)}) > 1


@given(st.integers(1, 40), st.floats(0.001, 10), st.floats(1, 100), st.floats(0, 1))
def test_no_wait_is_longer_than_the_longest(attempts: int, first: float, factor: float, chance: float) -> None:
    policy = RetryPolicy(attempts, first, first * factor)
    waits = list(policy.iter_delays(lambda: chance))
    assert len(waits) == attempts - 1
    assert all(0 < wait <= policy.longest_wait_seconds for wait in waits)


@pytest.mark.parametrize(("attempts", "first", "longest"), [(0, 1, 1), (1, 0, 1), (1, 2, 1)])
def test_a_policy_that_makes_no_sense_is_refused(attempts: int, first: float, longest: float) -> None:
    with pytest.raises(ValueError, match="attempt"):
        RetryPolicy(attempts, first, longest)
