"""The figures against values worked out by hand, and against a second way to write each formula."""

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.evaluation.metrics import (
    compute_bootstrap_interval,
    compute_mean,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank,
)

GRADES = {"a": 3, "b": 2, "c": 1, "d": 0}

documents = st.sampled_from("abcdefgh")
rankings = st.lists(documents, unique=True)
judgements = st.dictionaries(documents, st.integers(-1, 4), min_size=1)
cutoffs = st.integers(1, 10)


def test_ndcg_by_hand() -> None:
    # Gains 1, 0, 3 at ranks 1 to 3; ideally 3, 2, 1. The discounts are 1, log2(3) and 2.
    dcg = 1 + 3 / 2
    ideal = 3 + 2 / 1.584962500721156 + 1 / 2

    assert ndcg_at_k(["c", "x", "a"], GRADES, 3) == pytest.approx(dcg / ideal)


def test_ndcg_takes_the_gain_as_it_is_and_not_as_a_power_of_two() -> None:
    assert ndcg_at_k(["b", "a"], {"a": 2, "b": 1}, 2) == pytest.approx((1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)))


def test_ndcg_measures_against_what_was_not_found_too() -> None:
    assert ndcg_at_k(["a"], {"a": 1, "b": 1}, 10) == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_ndcg_at_k_lets_the_ideal_ranking_end_at_k() -> None:
    assert ndcg_at_k(["a", "x"], {"a": 1, "b": 1, "c": 1}, 1) == 1.0


def test_recall_by_hand() -> None:
    assert recall_at_k(["x", "a", "d", "b"], GRADES, 3) == pytest.approx(1 / 3)
    assert recall_at_k(["x", "a", "d", "b"], GRADES, 4) == pytest.approx(2 / 3)


def test_reciprocal_rank_by_hand() -> None:
    assert reciprocal_rank(["x", "d", "c", "a"], GRADES) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x", "d", "c", "a"], GRADES, 2) == 0.0


def test_a_query_without_a_relevant_document_scores_nothing() -> None:
    for grades in ({}, {"a": 0}, {"a": -1}):
        assert ndcg_at_k(["a"], grades, 10) == 0.0
        assert recall_at_k(["a"], grades, 10) == 0.0
        assert reciprocal_rank(["a"], grades, 10) == 0.0


def test_a_document_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        ndcg_at_k(["a", "a"], GRADES, 2)
    with pytest.raises(ValueError, match="twice"):
        recall_at_k(["a", "a"], GRADES, 2)
    with pytest.raises(ValueError, match="twice"):
        reciprocal_rank(["x", "x"], GRADES, 2)


def test_a_cutoff_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        ndcg_at_k(["a"], GRADES, 0)


@given(rankings, judgements, cutoffs)
def test_ndcg_is_the_gain_over_the_best_gain_of_any_order(ranking: list[str], grades: dict[str, int], k: int) -> None:
    def gain_of(order: tuple[str, ...]) -> float:
        total = 0.0
        for position in range(min(k, len(order))):
            total += max(0, grades.get(order[position], 0)) * math.log(2) / math.log(position + 2)
        return total

    # Five documents at most, so that every order can be tried.
    judged = dict(list(grades.items())[:5])
    grades = judged
    best = max(gain_of(order) for order in permutations(judged))

    expected = gain_of(tuple(ranking)) / best if best > 0 else 0.0
    assert ndcg_at_k(ranking, grades, k) == pytest.approx(expected)


@given(rankings, judgements, cutoffs)
def test_recall_counts_relevant_documents_one_by_one(ranking: list[str], grades: dict[str, int], k: int) -> None:
    found = missed = 0
    for document, grade in grades.items():
        if grade >= 1:
            if document in ranking and ranking.index(document) < k:
                found += 1
            else:
                missed += 1

    expected = found / (found + missed) if found + missed else 0.0
    assert recall_at_k(ranking, grades, k) == pytest.approx(expected)


@given(rankings, judgements, cutoffs)
def test_reciprocal_rank_is_the_best_over_relevant_documents(
    ranking: list[str], grades: dict[str, int], k: int
) -> None:
    positions = [ranking.index(document) + 1 for document in ranking if grades.get(document, 0) >= 1]
    within = [position for position in positions if position <= k]

    assert reciprocal_rank(ranking, grades, k) == pytest.approx(max((1 / p for p in within), default=0.0))
    assert reciprocal_rank(ranking, grades) == pytest.approx(max((1 / p for p in positions), default=0.0))


@given(rankings, judgements, cutoffs)
def test_every_figure_lies_between_nothing_and_one(ranking: list[str], grades: dict[str, int], k: int) -> None:
    for figure in (ndcg_at_k, recall_at_k, reciprocal_rank):
        assert 0.0 <= figure(ranking, grades, k) <= 1.0 + 1e-12


def test_the_mean_needs_a_query() -> None:
    assert compute_mean([0.1] * 10) == 0.1
    with pytest.raises(ValueError, match="no queries"):
        compute_mean([])


def test_the_interval_repeats_with_its_seed_and_changes_with_another() -> None:
    values = [index / 50 for index in range(50)]

    assert compute_bootstrap_interval(values, seed=7) == compute_bootstrap_interval(values, seed=7)
    assert compute_bootstrap_interval(values, seed=7) != compute_bootstrap_interval(values, seed=8)


def test_the_interval_is_that_of_the_normal_approximation_where_that_holds() -> None:
    values = [float(index % 2) for index in range(400)]
    standard_error = 0.5 / math.sqrt(400)

    low, high = compute_bootstrap_interval(values)

    assert low == pytest.approx(0.5 - 1.96 * standard_error, abs=0.004)
    assert high == pytest.approx(0.5 + 1.96 * standard_error, abs=0.004)


def test_more_confidence_takes_a_wider_interval() -> None:
    values = [index / 50 for index in range(50)]
    low, high = compute_bootstrap_interval(values, confidence=0.99)

    assert low < compute_bootstrap_interval(values, confidence=0.5)[0]
    assert high > compute_bootstrap_interval(values, confidence=0.5)[1]


def test_the_interval_of_equal_values_is_that_value() -> None:
    assert compute_bootstrap_interval([0.25] * 8, resamples=100) == (0.25, 0.25)


def test_an_interval_of_nothing_or_of_no_confidence_is_refused() -> None:
    with pytest.raises(ValueError, match="no queries"):
        compute_bootstrap_interval([])
    with pytest.raises(ValueError, match="confidence"):
        compute_bootstrap_interval([0.5], confidence=1.0)
