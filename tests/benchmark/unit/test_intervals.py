import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmark.tasks.intervals import interval, wilson


def test_wilson_agrees_with_published_values() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for successes, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60))
def test_an_interval_holds_the_mean(scores: list[float]) -> None:
    low, high = interval(scores)
    assert -1e-9 <= low <= sum(scores) / len(scores) + 1e-9
    assert sum(scores) / len(scores) - 1e-9 <= high <= 1 + 1e-9


def test_partial_scores_are_resampled_and_equal_ones_leave_no_doubt() -> None:
    assert interval([0.75, 0.75, 0.75]) == (0.75, 0.75)
    few, many = (interval([0.2, 0.9, 0.5] * times) for times in (2, 40))
    assert many[1] - many[0] < (few[1] - few[0]) / 3


def test_no_score_says_nothing() -> None:
    assert interval([]) == (0.0, 1.0)
