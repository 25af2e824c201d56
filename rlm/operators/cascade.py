"""A cascade: the model labels a sample of the records, and a classifier is trained on it.

The classifier then labels the records about which it is confident, and the model labels the rest. The method follows
LOTUS (arXiv 2407.11418). The classifier learns from the sample's labels over embeddings. Its confidence is calibrated
on predictions for records that it was not trained on: its labels are accepted above the confidence at which it agrees
with the model as often as the target requires, with 95 % confidence. The same records give the error of the final
counts (prediction-powered inference, Angelopoulos et al., Science 2023): count = the classifier's count + (records that
it labelled) x (mean difference between the model's label and the classifier's label in the sample).
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from rlm.errors import iter_unless_cancelled, not_cancelled
from rlm.operators.judged import Doubt
from rlm.operators.packing import OperatorProgress, RecordResults

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Unit vectors of different sentences differ little, so the penalty must allow large weights; see
# `tests/eval/classification`.
_PENALTY = 3e-3
_STEPS = 300
_FOLDS = 5
# With fewer records, it is not clear how often a classifier agrees with the model.
_MIN_SURE = 30
_BLOCK = 4096  # Number of records embedded between checks for cancellation.
# Returns a model's labels for the records with these numbers.
Read = Callable[[Sequence[int]], Generator[OperatorProgress, None, RecordResults]]
# Returns one row for each of the records with these numbers.
Embed = Callable[[Sequence[int]], Matrix]


@dataclass(frozen=True)
class LogisticRegression:
    """A multinomial classifier. `weights` has one row per class; the last column is the bias."""

    weights: Matrix

    def compute_probabilities(self, vectors: Matrix) -> Matrix:
        """Return the probability of each class, one row per vector."""
        return _compute_softmax(_with_bias(vectors) @ self.weights.T)


def train(
    vectors: Matrix,
    labels: Numbers,
    classes: int,
    *,
    penalty: float = _PENALTY,
    cancelled: Callable[[], bool] = not_cancelled,
) -> LogisticRegression:
    """Minimize cross-entropy + penalty/2 · |weights|² (excluding the bias) by Nesterov's accelerated gradient.

    Raises `RunCancelledError` if the run was cancelled.
    """
    features, wanted = _with_bias(vectors), np.eye(classes, dtype=np.float32)[labels]
    shrink = np.full((1, features.shape[1]), penalty, np.float32)
    shrink[0, -1] = 1e-6
    # The maximum curvature of softmax cross-entropy is half of that of least squares.
    step = 1 / (0.5 * np.linalg.norm(features, 2) ** 2 / len(features) + penalty)
    weights = previous = np.zeros((classes, features.shape[1]), np.float32)
    for number in iter_unless_cancelled(range(1, _STEPS + 1), cancelled):
        ahead = weights + (number - 1) / (number + 2) * (weights - previous)
        slope = (_compute_softmax(features @ ahead.T) - wanted).T @ features / len(features) + shrink * ahead
        previous, weights = weights, (ahead - step * slope).astype(np.float32)
    return LogisticRegression(weights)


def compute_cross_fitted(
    vectors: Matrix,
    labels: Numbers,
    classes: int,
    *,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Matrix:
    """Return class probabilities for each vector from a classifier that was not trained on that vector.

    Record `i` is in fold `i % _FOLDS`. Raises `RunCancelledError` if the run was cancelled.
    """
    found = np.zeros((len(vectors), classes), np.float32)
    fold = np.arange(len(vectors)) % _FOLDS
    for number in range(_FOLDS):
        inside = fold == number
        if inside.any() and not inside.all():
            model = train(vectors[~inside], labels[~inside], classes, cancelled=cancelled)
            found[inside] = model.compute_probabilities(vectors[inside])
    return found


@dataclass(frozen=True)
class Threshold:
    """The confidence above which the classifier's labels are accepted.

    In the sample, the fraction `share` of the records reached this confidence. On these records, the classifier agreed
    with the model at the rate `agreement`. With a confidence above 1, no label is accepted.
    """

    confidence: float
    agreement: float
    share: float


def compute_threshold(probabilities: Matrix, labels: Numbers, *, target: float) -> Threshold:
    """Return the lowest confidence above which the classifier agrees with the model often enough to reach `target`.

    The agreement's lower confidence bound (Wilson, one-sided, 95 %) must reach `target`. `probabilities` must be
    cross-fitted.
    """
    confidence = probabilities.max(axis=1)
    agrees = (
        (probabilities.argmax(axis=1) == labels)[order] if (order := np.argsort(-confidence)).size else np.array([])
    )
    right = np.cumsum(agrees, dtype=np.int64)
    best = Threshold(2.0, 1.0, 0.0)
    for count in range(_MIN_SURE, len(order) + 1):
        if count < len(order) and confidence[order[count]] == confidence[order[count - 1]]:
            continue
        share = float(right[count - 1] / count)
        if compute_wilson_interval(share, count, z=1.645)[0] >= target:
            best = Threshold(float(confidence[order[count - 1]]), share, count / len(order))
    return best


def compute_total_error(variance: float, sampled: int, others: int) -> float:
    """Return the margin of error of a sum over `others` records, estimated from a sample with this variance.

    It is half the width of the 95 % confidence interval, and includes the uncertainty of the mean and the variation of
    the other records' values.
    """
    return 1.96 * others * sqrt(variance * (1 / sampled + 1 / others))


def compute_wilson_interval(share: float, count: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the confidence interval of a proportion observed in `count` trials (Wilson, JASA 1927).

    z = 1.96 gives a two-sided 95 % confidence interval.
    """
    if not count:
        return 0.0, 1.0
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5 / (1 + z * z / count)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _with_bias(vectors: Matrix) -> Matrix:
    return np.hstack([vectors, np.ones((len(vectors), 1), np.float32)]).astype(np.float32)


def _compute_softmax(scores: Matrix) -> Matrix:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Matrix = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def convert_to_numbers(names: Sequence[str], labels: Sequence[str]) -> Numbers:
    """Convert each label to its index in `names`."""
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[label] for label in labels], np.int64)


@dataclass(frozen=True)
class CascadeLimits:
    """Limits on the number of distinct records that the model itself reads.

    The model reads every record if there are at most `read_all` of them; None means no limit. Otherwise, the model
    reads `sample` records first. While the classifier is confident about less than the fraction `enough` of the
    records, the model reads more of them, up to half of the records. `target` is how often the classifier must agree
    with the model.
    """

    read_all: int | None = 800
    sample: int = 400
    enough: float = 0.5
    target: float = 0.9

    def is_read_whole(self, records: int) -> bool:
        """Return whether the model reads every one of `records` distinct records."""
        return self.read_all is None or records <= self.read_all


EVERY_RECORD = CascadeLimits(read_all=None)


@dataclass(frozen=True)
class CascadeResult:
    """The model's labels, the classifier's labels for other records, and the uncertainty of counts.

    Labels are keyed by record number.
    """

    asked: RecordResults
    inferred: dict[int, str]
    doubt: Doubt


def run_cascade(
    read: Read,
    labels: Sequence[str],
    copies: Counter[int],
    embed: Embed | None,
    limits: CascadeLimits,
    *,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Generator[OperatorProgress, None, CascadeResult]:
    """Label the distinct records 0 to n - 1. The record `number` occurs `copies[number]` times.

    Raises `RunCancelledError` if the run was cancelled.
    """
    total = len(copies)
    if embed is None or limits.is_read_whole(total):
        return CascadeResult((yield from read(range(total))), {}, Doubt())
    order = random.Random(total).sample(range(total), total)
    taken = limits.sample
    asked = yield from read(sorted(order[:taken]))
    fitted = _fit(asked, labels, embed, limits.target, cancelled)
    while fitted.threshold.share < limits.enough and taken < total // 2 and asked.results:
        more = min(total // 2, 2 * taken)
        asked.add((yield from read(sorted(order[taken:more]))))
        taken = more
        fitted = _fit(asked, labels, embed, limits.target, cancelled)
    others = sorted(order[taken:])
    inferred = yield from _infer(fitted, others, labels, embed, cancelled)
    asked.add((yield from read([number for number in others if number not in inferred])))
    return CascadeResult(asked, inferred, _compute_doubt(fitted, labels, copies, len(inferred)))


@dataclass(frozen=True)
class _FittedSample:
    """A sample with the model's labels, the classifier's cross-fitted probabilities, and the confidence threshold."""

    sample: Sequence[int]
    wanted: Sequence[str]
    vectors: Matrix
    probabilities: Matrix
    threshold: Threshold


def _fit(
    asked: RecordResults, labels: Sequence[str], embed: Embed, target: float, cancelled: Callable[[], bool]
) -> _FittedSample:
    sample, wanted = list(asked.results), [str(label) for label in asked.results.values()]
    if len(set(wanted)) < 2:
        nothing = np.zeros((0, len(labels)), np.float32)
        return _FittedSample(sample, wanted, nothing, nothing, Threshold(2.0, 1.0, 0.0))
    vectors, numbers = embed(sample), convert_to_numbers(labels, wanted)
    probabilities = compute_cross_fitted(vectors, numbers, len(labels), cancelled=cancelled)
    return _FittedSample(
        sample, wanted, vectors, probabilities, compute_threshold(probabilities, numbers, target=target)
    )


def _infer(
    fitted: _FittedSample, numbers: Sequence[int], labels: Sequence[str], embed: Embed, cancelled: Callable[[], bool]
) -> Generator[OperatorProgress, None, dict[int, str]]:
    inferred: dict[int, str] = {}
    if fitted.threshold.confidence > 1:
        return inferred
    model = train(fitted.vectors, convert_to_numbers(labels, fitted.wanted), len(labels), cancelled=cancelled)
    for at in iter_unless_cancelled(range(0, len(numbers), _BLOCK), cancelled):
        block = numbers[at : at + _BLOCK]
        found = model.compute_probabilities(embed(block))
        sure = found.max(axis=1) >= fitted.threshold.confidence
        inferred |= {
            number: labels[label]
            for number, label, is_sure in zip(block, found.argmax(axis=1), sure, strict=True)
            if is_sure
        }
        yield OperatorProgress("infer", at + len(block), len(numbers))
    return inferred


def _compute_doubt(fitted: _FittedSample, labels: Sequence[str], copies: Counter[int], inferred: int) -> Doubt:
    if not inferred:
        return Doubt()
    sure = fitted.probabilities.max(axis=1) >= fitted.threshold.confidence
    said = fitted.probabilities[sure].argmax(axis=1)
    wanted = convert_to_numbers(labels, fitted.wanted)[sure]
    weights = np.array([copies[number] for number in fitted.sample], np.float64)[sure]
    shift: dict[str, float] = {}
    half_width: dict[str, float] = {}
    for at, name in enumerate(labels):
        off = weights * ((wanted == at).astype(np.float64) - (said == at))
        shift[name] = inferred * float(off.mean())
        # This assumes one more disagreement than was observed, because no sample proves that there are none.
        spread = max(float(off.var()), float(weights.mean()) ** 2 / (len(off) + 1))
        half_width[name] = compute_total_error(spread, len(off), inferred)
    return Doubt(fitted.threshold.agreement, shift, half_width)
