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
from rlm.operators.judged import CountUncertainty
from rlm.operators.packing import OperatorProgress, RecordResults

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Penalty on a classifier's weights. Unit vectors of different sentences differ little, so the penalty must allow large
# weights; see `tests/eval/classification`.
_PENALTY = 3e-3
_STEPS = 300
_FOLDS = 5
# Minimum number of records above a threshold. With fewer records, it is not clear how often a classifier agrees with
# the model.
_MIN_SURE = 30
_BLOCK = 4096  # Number of records embedded between checks for cancellation.
# A function that returns a model's labels for the records with the given numbers.
Read = Callable[[Sequence[int]], Generator[OperatorProgress, None, RecordResults]]
# A function that returns a matrix with one row for each of the records with the given numbers.
Embed = Callable[[Sequence[int]], Matrix]


@dataclass(frozen=True)
class LogisticRegression:
    """A multinomial classifier. `weights` has one row per class; the last column is the bias."""

    weights: Matrix

    def compute_probabilities(self, vectors: Matrix) -> Matrix:
        """Return the probability of each class, one row per vector."""
        return _compute_softmax(_append_bias_column(vectors) @ self.weights.T)


def train_classifier(
    vectors: Matrix,
    labels: Numbers,
    class_count: int,
    *,
    penalty: float = _PENALTY,
    cancelled: Callable[[], bool] = not_cancelled,
) -> LogisticRegression:
    """Minimize cross-entropy + penalty/2 · |weights|² (excluding the bias) by Nesterov's accelerated gradient.

    Raises `RunCancelledError` if the run was cancelled.
    """
    features, wanted = _append_bias_column(vectors), np.eye(class_count, dtype=np.float32)[labels]
    shrink = np.full((1, features.shape[1]), penalty, np.float32)
    shrink[0, -1] = 1e-6
    # The maximum curvature of softmax cross-entropy is half of that of least squares.
    step = 1 / (0.5 * np.linalg.norm(features, 2) ** 2 / len(features) + penalty)
    weights = previous = np.zeros((class_count, features.shape[1]), np.float32)
    for number in iter_unless_cancelled(range(1, _STEPS + 1), cancelled):
        ahead = weights + (number - 1) / (number + 2) * (weights - previous)
        slope = (_compute_softmax(features @ ahead.T) - wanted).T @ features / len(features) + shrink * ahead
        previous, weights = weights, (ahead - step * slope).astype(np.float32)
    return LogisticRegression(weights)


def compute_cross_fitted_probabilities(
    vectors: Matrix,
    labels: Numbers,
    class_count: int,
    *,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Matrix:
    """Return class probabilities for each vector from a classifier that was not trained on that vector.

    Record `i` is in fold `i % _FOLDS`. Raises `RunCancelledError` if the run was cancelled.
    """
    found = np.zeros((len(vectors), class_count), np.float32)
    fold = np.arange(len(vectors)) % _FOLDS
    for number in range(_FOLDS):
        inside = fold == number
        if inside.any() and not inside.all():
            model = train_classifier(vectors[~inside], labels[~inside], class_count, cancelled=cancelled)
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


def compute_margin_of_error(variance: float, sample_size: int, record_count: int) -> float:
    """Return the margin of error of a sum over `record_count` records, estimated from a sample with this variance.

    It is half the width of the 95 % confidence interval, and includes the uncertainty of the mean and the variation of
    the other records' values.
    """
    return 1.96 * record_count * sqrt(variance * (1 / sample_size + 1 / record_count))


def compute_wilson_interval(share: float, count: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the confidence interval of a proportion observed in `count` trials (Wilson, JASA 1927).

    z = 1.96 gives a two-sided 95 % confidence interval.
    """
    if not count:
        return 0.0, 1.0
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5 / (1 + z * z / count)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _append_bias_column(vectors: Matrix) -> Matrix:
    return np.hstack([vectors, np.ones((len(vectors), 1), np.float32)]).astype(np.float32)


def _compute_softmax(scores: Matrix) -> Matrix:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Matrix = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def convert_labels_to_numbers(names: Sequence[str], labels: Sequence[str]) -> Numbers:
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

    def should_read_all(self, record_count: int) -> bool:
        """Return whether the model reads every one of `record_count` distinct records."""
        return self.read_all is None or record_count <= self.read_all


EVERY_RECORD = CascadeLimits(read_all=None)


@dataclass(frozen=True)
class CascadeResult:
    """The model's labels, the classifier's labels for other records, and the uncertainty of counts.

    Labels are keyed by record number.
    """

    asked: RecordResults
    inferred: dict[int, str]
    doubt: CountUncertainty


def run_cascade(
    label_records: Read,
    labels: Sequence[str],
    occurrences: Counter[int],
    embed_records: Embed | None,
    limits: CascadeLimits,
    *,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Generator[OperatorProgress, None, CascadeResult]:
    """Label the distinct records 0 to n - 1. The record `number` occurs `occurrences[number]` times.

    Raises `RunCancelledError` if the run was cancelled.
    """
    total = len(occurrences)
    if embed_records is None or limits.should_read_all(total):
        return CascadeResult((yield from label_records(range(total))), {}, CountUncertainty())
    order = random.Random(total).sample(range(total), total)
    taken = limits.sample
    asked = yield from label_records(sorted(order[:taken]))
    fitted = _fit_sample(asked, labels, embed_records, limits.target, cancelled)
    while fitted.threshold.share < limits.enough and taken < total // 2 and asked.results:
        more = min(total // 2, 2 * taken)
        asked.add_results((yield from label_records(sorted(order[taken:more]))))
        taken = more
        fitted = _fit_sample(asked, labels, embed_records, limits.target, cancelled)
    others = sorted(order[taken:])
    inferred = yield from _infer_labels(fitted, others, labels, embed_records, cancelled)
    asked.add_results((yield from label_records([number for number in others if number not in inferred])))
    return CascadeResult(asked, inferred, _compute_uncertainty(fitted, labels, occurrences, len(inferred)))


@dataclass(frozen=True)
class _FittedSample:
    """A sample with the model's labels, the classifier's cross-fitted probabilities, and the confidence threshold."""

    sample: Sequence[int]
    wanted: Sequence[str]
    vectors: Matrix
    probabilities: Matrix
    threshold: Threshold


def _fit_sample(
    record_results: RecordResults,
    labels: Sequence[str],
    embed_records: Embed,
    target: float,
    cancelled: Callable[[], bool],
) -> _FittedSample:
    sample, wanted = list(record_results.results), [str(label) for label in record_results.results.values()]
    if len(set(wanted)) < 2:
        nothing = np.zeros((0, len(labels)), np.float32)
        return _FittedSample(sample, wanted, nothing, nothing, Threshold(2.0, 1.0, 0.0))
    vectors, numbers = embed_records(sample), convert_labels_to_numbers(labels, wanted)
    probabilities = compute_cross_fitted_probabilities(vectors, numbers, len(labels), cancelled=cancelled)
    return _FittedSample(
        sample, wanted, vectors, probabilities, compute_threshold(probabilities, numbers, target=target)
    )


def _infer_labels(
    fitted_sample: _FittedSample,
    record_numbers: Sequence[int],
    labels: Sequence[str],
    embed_records: Embed,
    cancelled: Callable[[], bool],
) -> Generator[OperatorProgress, None, dict[int, str]]:
    inferred: dict[int, str] = {}
    if fitted_sample.threshold.confidence > 1:
        return inferred
    model = train_classifier(
        fitted_sample.vectors, convert_labels_to_numbers(labels, fitted_sample.wanted), len(labels), cancelled=cancelled
    )
    for at in iter_unless_cancelled(range(0, len(record_numbers), _BLOCK), cancelled):
        block = record_numbers[at : at + _BLOCK]
        found = model.compute_probabilities(embed_records(block))
        sure = found.max(axis=1) >= fitted_sample.threshold.confidence
        inferred |= {
            number: labels[label]
            for number, label, is_sure in zip(block, found.argmax(axis=1), sure, strict=True)
            if is_sure
        }
        yield OperatorProgress("infer", at + len(block), len(record_numbers))
    return inferred


def _compute_uncertainty(
    fitted_sample: _FittedSample, labels: Sequence[str], occurrences: Counter[int], inferred_count: int
) -> CountUncertainty:
    if not inferred_count:
        return CountUncertainty()
    sure = fitted_sample.probabilities.max(axis=1) >= fitted_sample.threshold.confidence
    said = fitted_sample.probabilities[sure].argmax(axis=1)
    wanted = convert_labels_to_numbers(labels, fitted_sample.wanted)[sure]
    weights = np.array([occurrences[number] for number in fitted_sample.sample], np.float64)[sure]
    shift: dict[str, float] = {}
    half_width: dict[str, float] = {}
    for at, name in enumerate(labels):
        off = weights * ((wanted == at).astype(np.float64) - (said == at))
        shift[name] = inferred_count * float(off.mean())
        # Assume one more disagreement than was observed, because no sample proves that there are no disagreements.
        spread = max(float(off.var()), float(weights.mean()) ** 2 / (len(off) + 1))
        half_width[name] = compute_margin_of_error(spread, len(off), inferred_count)
    return CountUncertainty(fitted_sample.threshold.agreement, shift, half_width)
