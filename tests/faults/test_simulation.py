"""The seeded simulation, short; `python -m tests.faults.simulation --runs 10000` is the long form."""

import pytest

from tests.faults.simulation import simulate, without_fence


def test_no_order_of_events_breaks_the_rules() -> None:
    simulate(40, first_seed=1)


def test_a_missing_fence_check_is_found() -> None:
    with without_fence(), pytest.raises((AssertionError, ExceptionGroup)):
        simulate(1_000, first_seed=1, shrink=False)
