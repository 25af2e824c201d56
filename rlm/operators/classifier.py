"""A classifier over embeddings: multinomial logistic regression, trained on labels that a model gave.

Written here, in thirty lines of numpy, because the libraries that have it bring scipy and 150 MB for it. The problem is
convex, small (a few thousand unit vectors of 384) and solved by accelerated gradient descent with a fixed step, so the
same records give the same weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from rlm.cancelling import not_cancelled, unless_cancelled

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Unit vectors of sentences differ little, so the weights must be allowed to grow; see `tests/eval/classification`.
_PENALTY = 3e-3
_STEPS = 300
_FOLDS = 5


@dataclass(frozen=True)
class LogisticRegression:
    """`weights` has a row for each of the `classes`, and the bias as its last column."""

    weights: Matrix

    def probabilities(self, vectors: Matrix) -> Matrix:
        """A row for each vector: the probability of each class."""
        return _softmax(_with_bias(vectors) @ self.weights.T)


def train(
    vectors: Matrix,
    labels: Numbers,
    classes: int,
    *,
    penalty: float = _PENALTY,
    cancelled: Callable[[], bool] = not_cancelled,
) -> LogisticRegression:
    """Minimize cross-entropy + penalty/2 · |weights|² (the bias free) by Nesterov's accelerated gradient.

    Raises `RunCancelledError`.
    """
    features, wanted = _with_bias(vectors), np.eye(classes, dtype=np.float32)[labels]
    shrink = np.full((1, features.shape[1]), penalty, np.float32)
    shrink[0, -1] = 1e-6
    # The largest curvature of softmax cross-entropy is half of that of least squares.
    step = 1 / (0.5 * np.linalg.norm(features, 2) ** 2 / len(features) + penalty)
    weights = previous = np.zeros((classes, features.shape[1]), np.float32)
    for number in unless_cancelled(range(1, _STEPS + 1), cancelled):
        ahead = weights + (number - 1) / (number + 2) * (weights - previous)
        slope = (_softmax(features @ ahead.T) - wanted).T @ features / len(features) + shrink * ahead
        previous, weights = weights, (ahead - step * slope).astype(np.float32)
    return LogisticRegression(weights)


def cross_fitted(
    vectors: Matrix,
    labels: Numbers,
    classes: int,
    *,
    folds: int = _FOLDS,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Matrix:
    """For each vector the probabilities by a classifier that did not see it: record `i` is in fold `i % folds`.

    Raises `RunCancelledError`.
    """
    found = np.zeros((len(vectors), classes), np.float32)
    fold = np.arange(len(vectors)) % folds
    for number in range(folds):
        inside = fold == number
        if inside.any() and not inside.all():
            model = train(vectors[~inside], labels[~inside], classes, cancelled=cancelled)
            found[inside] = model.probabilities(vectors[inside])
    return found


@dataclass(frozen=True)
class Threshold:
    """From `confidence` on, the classifier's label is taken; there it agreed with the model on `agreement` of the
    sample, of which `share` lay there. A confidence above 1 takes none."""

    confidence: float
    agreement: float
    share: float


def sure_threshold(probabilities: Matrix, labels: Numbers, *, target: float, at_least: int = 30) -> Threshold:
    """The lowest confidence over which the lower bound of the agreement with the model reaches `target`.

    `probabilities` must be cross-fitted. The bound is Wilson's, one-sided at 95 %.
    """
    confidence = probabilities.max(axis=1)
    agrees = (
        (probabilities.argmax(axis=1) == labels)[order] if (order := np.argsort(-confidence)).size else np.array([])
    )
    right = np.cumsum(agrees, dtype=np.int64)
    best = Threshold(2.0, 1.0, 0.0)
    for count in range(at_least, len(order) + 1):
        if count < len(order) and confidence[order[count]] == confidence[order[count - 1]]:
            continue
        share = float(right[count - 1] / count)
        if wilson(share, count, z=1.645)[0] >= target:
            best = Threshold(float(confidence[order[count - 1]]), share, count / len(order))
    return best


def error_of_total(variance: float, sampled: int, others: int, *, z: float = 1.96) -> float:
    """Half the width of the interval of the sum over `others`, by a sample of that variance; z = 1.96 is 95 %.

    Not only the mean is uncertain: the values of these very others scatter besides.
    """
    return z * others * sqrt(variance * (1 / sampled + 1 / others))


def wilson(share: float, count: int, *, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share seen in `count` trials (Wilson, JASA 1927); z = 1.96 is 95 %, two-sided."""
    if not count:
        return 0.0, 1.0
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5 / (1 + z * z / count)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _with_bias(vectors: Matrix) -> Matrix:
    return np.hstack([vectors, np.ones((len(vectors), 1), np.float32)]).astype(np.float32)


def _softmax(scores: Matrix) -> Matrix:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Matrix = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def numbers_of(names: Sequence[str], labels: Sequence[str]) -> Numbers:
    """Labels as numbers, in the order of `names`."""
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[label] for label in labels], np.int64)
