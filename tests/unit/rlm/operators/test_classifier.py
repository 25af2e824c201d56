import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.errors import RunCancelledError
from rlm.operators.cascade import (
    compute_cross_fitted_probabilities,
    compute_margin_of_error,
    compute_threshold,
    compute_wilson_interval,
    train_classifier,
)


def clusters(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(1)
    labels = source.integers(0, 3, count)
    vectors = np.eye(3, 8)[labels] + noise * source.standard_normal((count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_what_can_be_told_apart_is_learned() -> None:
    vectors, labels = clusters(300, 0.2)
    model = train_classifier(vectors[:200], labels[:200], 3)
    found = model.compute_probabilities(vectors[200:])
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == labels[200:]).mean() > 0.95


def test_training_again_gives_the_same_weights() -> None:
    vectors, labels = clusters(100, 0.3)
    assert np.array_equal(train_classifier(vectors, labels, 3).weights, train_classifier(vectors, labels, 3).weights)


def test_training_can_be_cancelled() -> None:
    vectors, labels = clusters(100, 0.3)
    with pytest.raises(RunCancelledError):
        train_classifier(vectors, labels, 3, cancelled=lambda: True)
    with pytest.raises(RunCancelledError):
        compute_cross_fitted_probabilities(vectors, labels, 3, cancelled=lambda: True)


def test_no_vector_teaches_the_classifier_that_judges_it() -> None:
    source = np.random.default_rng(2)
    vectors = source.standard_normal((200, 64)).astype(np.float32)
    labels = source.integers(0, 2, 200)
    seen = train_classifier(vectors, labels, 2, penalty=1e-6).compute_probabilities(vectors).argmax(axis=1)
    assert (seen == labels).mean() > 0.7
    assert abs((compute_cross_fitted_probabilities(vectors, labels, 2).argmax(axis=1) == labels).mean() - 0.5) < 0.1


def test_over_the_threshold_the_target_is_met_and_noise_is_never_sure() -> None:
    vectors, labels = clusters(600, 0.45)
    found = compute_cross_fitted_probabilities(vectors, labels, 3)
    threshold = compute_threshold(found, labels, target=0.95)
    sure = found.max(axis=1) >= threshold.confidence
    assert (found.argmax(axis=1) == labels)[sure].mean() >= 0.95
    assert threshold.share == sure.mean()
    shuffled = np.random.default_rng(0).permutation(labels)
    assert (
        compute_threshold(compute_cross_fitted_probabilities(vectors, shuffled, 3), shuffled, target=0.9).confidence > 1
    )


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_its_share(right: int, wrong: int) -> None:
    low, high = compute_wilson_interval(right / max(1, right + wrong), right + wrong)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low <= right / (right + wrong) <= high


@pytest.mark.parametrize(("sampled", "others"), [(400, 400), (400, 4_000), (400, 100)])
def test_the_error_of_a_total_holds_its_share_of_totals(sampled: int, others: int) -> None:
    """By drawing: with the error of the mean alone, of equally many others 83 % would be held."""
    source = np.random.default_rng(1)
    held = 0
    for _ in range(2_000):
        sample, rest = (source.choice([-1.0, 0.0, 1.0], size, p=[0.1, 0.85, 0.05]) for size in (sampled, others))
        half = compute_margin_of_error(float(sample.var()), sampled, others)
        held += bool(abs(others * sample.mean() - rest.sum()) <= half)
    assert 0.93 < held / 2_000 < 0.97
