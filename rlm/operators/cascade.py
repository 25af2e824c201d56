"""A cascade: the model labels a sample, a classifier what it is sure of, and the model the rest (after LOTUS,
arXiv 2407.11418).

The classifier learns from the sample's labels over embeddings. Its confidence is calibrated on predictions for records
that it did not learn from: its label is taken from the confidence on at which it agrees with the model as often as the
target says, at 95 % certainty. The same records give the error of the final counts (prediction-powered inference,
Angelopoulos et al., Science 2023): count = the classifier's count + (records it labelled) x (mean difference between
the model's label and its own in the sample).
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from rlm.cancelling import not_cancelled, unless_cancelled
from rlm.operators.classifier import (
    Matrix,
    Threshold,
    cross_fitted,
    error_of_total,
    numbers_of,
    sure_threshold,
    train,
)
from rlm.operators.judged import Doubt
from rlm.operators.labels import LabelSet
from rlm.operators.packing import Asked, Progress

_BLOCK = 4096

# A model's labels of the records with these numbers.
Read = Callable[[Sequence[int]], Generator[Progress, None, Asked]]
# A row for each of these records.
Embed = Callable[[Sequence[int]], Matrix]


@dataclass(frozen=True)
class CascadeLimits:
    """How many different records the model reads itself.

    Up to `read_all` it reads every one; None is no limit. Over that it reads `sample` of them first, and more again
    while the classifier is sure of less than `enough` of them, until half are read. `target` is how often the
    classifier must agree with the model.
    """

    read_all: int | None = 800
    sample: int = 400
    enough: float = 0.5
    target: float = 0.9

    def covers(self, records: int) -> bool:
        """True if the model reads every one of so many different records."""
        return self.read_all is None or records <= self.read_all


EVERY_RECORD = CascadeLimits(read_all=None)


@dataclass(frozen=True)
class Cascaded:
    """What the model said, what the classifier said of other records by number, and how far off counts may be."""

    asked: Asked
    inferred: dict[int, str]
    doubt: Doubt


def cascade(
    read: Read,
    labels: LabelSet,
    copies: Counter[int],
    embed: Embed | None,
    limits: CascadeLimits,
    *,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Generator[Progress, None, Cascaded]:
    """Label the different records 0 to n - 1, of which there are `copies[number]` each. Raises `RunCancelledError`."""
    total = len(copies)
    if embed is None or limits.covers(total):
        return Cascaded((yield from read(range(total))), {}, Doubt())
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
    return Cascaded(asked, inferred, _doubt(fitted, labels, copies, len(inferred)))


@dataclass(frozen=True)
class _Fitted:
    """A sample with the model's labels, the classifier's cross-fitted probabilities, and where it is believed."""

    sample: Sequence[int]
    wanted: Sequence[str]
    vectors: Matrix
    probabilities: Matrix
    threshold: Threshold


def _fit(asked: Asked, labels: LabelSet, embed: Embed, target: float, cancelled: Callable[[], bool]) -> _Fitted:
    sample, wanted = list(asked.results), [str(label) for label in asked.results.values()]
    if len(set(wanted)) < 2:
        nothing = np.zeros((0, len(labels.names)), np.float32)
        return _Fitted(sample, wanted, nothing, nothing, Threshold(2.0, 1.0, 0.0))
    vectors, numbers = embed(sample), numbers_of(labels.names, wanted)
    probabilities = cross_fitted(vectors, numbers, len(labels.names), cancelled=cancelled)
    return _Fitted(sample, wanted, vectors, probabilities, sure_threshold(probabilities, numbers, target=target))


def _infer(
    fitted: _Fitted, numbers: Sequence[int], labels: LabelSet, embed: Embed, cancelled: Callable[[], bool]
) -> Generator[Progress, None, dict[int, str]]:
    """The labels of those records that the classifier is sure of."""
    inferred: dict[int, str] = {}
    if fitted.threshold.confidence > 1:
        return inferred
    model = train(fitted.vectors, numbers_of(labels.names, fitted.wanted), len(labels.names), cancelled=cancelled)
    for at in unless_cancelled(range(0, len(numbers), _BLOCK), cancelled):
        block = numbers[at : at + _BLOCK]
        found = model.probabilities(embed(block))
        sure = found.max(axis=1) >= fitted.threshold.confidence
        inferred |= {
            number: labels.names[label]
            for number, label, is_sure in zip(block, found.argmax(axis=1), sure, strict=True)
            if is_sure
        }
        yield Progress("infer", at + len(block), len(numbers))
    return inferred


def _doubt(fitted: _Fitted, labels: LabelSet, copies: Counter[int], inferred: int) -> Doubt:
    if not inferred:
        return Doubt()
    sure = fitted.probabilities.max(axis=1) >= fitted.threshold.confidence
    said = fitted.probabilities[sure].argmax(axis=1)
    wanted = numbers_of(labels.names, fitted.wanted)[sure]
    weights = np.array([copies[number] for number in fitted.sample], np.float64)[sure]
    shift: dict[str, float] = {}
    half_width: dict[str, float] = {}
    for at, name in enumerate(labels.names):
        off = weights * ((wanted == at).astype(np.float64) - (said == at))
        shift[name] = inferred * float(off.mean())
        # One more disagreement than was seen: no sample proves that there is none.
        spread = max(float(off.var()), float(weights.mean()) ** 2 / (len(off) + 1))
        half_width[name] = error_of_total(spread, len(off), inferred)
    return Doubt(fitted.threshold.agreement, shift, half_width)
