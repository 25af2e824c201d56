"""Seeded witnesses with known mistakes."""

import numpy as np
import pytest

from rlm.errors import RunCancelledError
from rlm.operators.consensus import consensus, separation

LABELS = 5


def world(count: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True labels, embeddings around a centre for each, and how near each is to all centres."""
    source = np.random.default_rng(4)
    truth = source.integers(0, LABELS, count)
    centres = np.eye(LABELS, 24)
    vectors = centres[truth] + spread * source.standard_normal((count, 24))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return truth, vectors, vectors @ centres.T.astype(np.float32)


def reading(truth: np.ndarray, right: float, seed: int, favourite: int | None = None) -> np.ndarray:
    """The true label of a share of the records; for the rest any, or always the same."""
    source = np.random.default_rng(seed)
    wrong = source.random(len(truth)) > right
    said = truth.copy()
    said[wrong] = source.integers(0, LABELS, wrong.sum()) if favourite is None else favourite
    return said


@pytest.mark.parametrize("count", [60, 400])
def test_witnesses_that_err_apart_are_right_together_more_often_than_any_alone(count: int) -> None:
    truth, vectors, nearness = world(count, 0.45)
    readings = [reading(truth, 0.6, 1), reading(truth, 0.6, 2)]
    together = (consensus([nearness], readings, vectors) == truth).mean()
    alone = [(nearness.argmax(axis=1) == truth).mean(), *((each == truth).mean() for each in readings)]
    assert together > max(alone) + 0.03


def test_a_label_that_a_model_likes_too_much_is_believed_less() -> None:
    truth, vectors, nearness = world(300, 0.5)
    readings = [reading(truth, 0.5, 1, favourite=0), reading(truth, 0.5, 2, favourite=4)]
    found = consensus([nearness], readings, vectors)
    assert (found == truth).mean() > 0.8
    assert max((each == truth).mean() for each in readings) < 0.65
    assert abs((found == 0).mean() - (truth == 0).mean()) < 0.05


@pytest.mark.parametrize("labels", [2, 5, 12])
@pytest.mark.parametrize("apart", [0.0, 1.0, 2.0, 4.0])
def test_how_well_a_witness_tells_labels_apart_follows_from_how_far_its_first_choice_is_ahead(
    labels: int, apart: float
) -> None:
    source = np.random.default_rng(5)
    truth = source.integers(0, labels, 4_000)
    witness = apart * np.eye(labels)[truth] + source.standard_normal((4_000, labels))
    leaning = (3 * witness + source.standard_normal(labels) * 5).astype(np.float32)
    # Near nothing, leads are nearly alike.
    assert abs(separation(leaning) - apart) < (0.3 if apart else 0.7)


def test_witnesses_that_are_wrong_together_do_not_outvote_a_better_one() -> None:
    """Two look at what a record mentions, one at what it asks; the two agree with each other more often."""
    source = np.random.default_rng(6)
    truth, mentioned = source.integers(0, LABELS, (2, 300))
    asks = 2.3 * np.eye(LABELS)[truth] + source.standard_normal((300, LABELS))
    noise = source.standard_normal((300, LABELS))
    both = [
        0.6 * np.eye(LABELS)[truth]
        + np.eye(LABELS)[mentioned]
        + 0.8 * noise
        + 0.6 * source.standard_normal((300, LABELS))
        for _ in range(2)
    ]
    vectors = source.standard_normal((300, 24)).astype(np.float32)
    found = consensus([each.astype(np.float32) for each in (both[0], asks, both[1])], (), vectors)
    assert (asks.argmax(axis=1) == truth).mean() > 0.85
    assert max((each.argmax(axis=1) == truth).mean() for each in both) < 0.35
    assert (found == truth).mean() > 0.75, "0.41 where witnesses are believed as often as they agree"


def test_the_same_witnesses_give_the_same_labels() -> None:
    truth, vectors, nearness = world(80, 0.5)
    readings = [reading(truth, 0.6, 1), reading(truth, 0.6, 2)]
    assert np.array_equal(consensus([nearness], readings, vectors), consensus([nearness], readings, vectors))


def test_a_label_that_most_records_have_is_found_in_most() -> None:
    source = np.random.default_rng(3)
    truth = source.choice(LABELS, 400, p=[0.6, 0.15, 0.1, 0.1, 0.05])
    centres = np.eye(LABELS, 24)
    vectors = (centres[truth] + 0.5 * source.standard_normal((400, 24))).astype(np.float32)
    likely = [np.eye(LABELS)[truth] * 2 + source.standard_normal((400, LABELS)) * 0.6 for _ in range(2)]
    nearness = vectors @ centres.T.astype(np.float32)
    found = consensus([nearness, *(each.astype(np.float32) for each in likely)], (), vectors)
    assert (found == truth).mean() > 0.96, "0.94 with the mean in place of the quartile"
    assert abs((found == 0).mean() - 0.6) < 0.07


def test_likelihoods_need_no_reading_and_lose_their_favourite() -> None:
    truth, vectors, nearness = world(300, 0.5)
    source = np.random.default_rng(9)
    right = np.eye(LABELS)[truth]
    likely = [right * 2 + source.standard_normal((300, LABELS)) * 1.2 for _ in range(2)]
    leaning = [each + np.array([6.0, 0, 0, -6, 0]) for each in likely]
    alone = [(each.argmax(axis=1) == truth).mean() for each in leaning]
    found = consensus([nearness, *leaning], (), vectors)
    assert max(alone) < 0.45
    assert (found == truth).mean() > 0.85
    assert np.array_equal(found, consensus([nearness, *likely], (), vectors))


def test_finding_what_is_likely_can_be_cancelled() -> None:
    truth, vectors, nearness = world(60, 0.45)
    with pytest.raises(RunCancelledError):
        consensus([nearness], [reading(truth, 0.6, 1), reading(truth, 0.6, 2)], vectors, cancelled=lambda: True)
