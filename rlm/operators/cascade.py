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
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from rlm.cancelling import not_cancelled, unless_cancelled
from rlm.operators.classifier import (
    LogisticRegression,
    Matrix,
    Threshold,
    cross_fitted,
    error_of_total,
    numbers_of,
    sure_threshold,
    train,
)
from rlm.operators.inference import UNSURE, Inferences
from rlm.operators.judged import Doubt
from rlm.operators.labels import LabelSet
from rlm.operators.packing import Progress
from rlm.operators.reading import Read, Vectors

_BLOCK = 4096


@dataclass(frozen=True)
class CascadeLimits:
    """Up to `read_all` different records the model reads every one; over that, `sample` of them first, and twice as
    many again while the classifier is sure of less than `enough` of them. `target` is its agreement with the model.
    `read_all` of None is no limit: the model reads every record."""

    read_all: int | None = 800
    sample: int = 400
    enough: float = 0.5
    target: float = 0.9

    def covers(self, records: int) -> bool:
        """Whether the model reads so many different records one and all."""
        return self.read_all is None or records <= self.read_all


EVERY_RECORD = CascadeLimits(read_all=None)


@dataclass(frozen=True)
class Cascaded:
    """What was read, what the classifier said of the others by number, and how far off counts may be."""

    read: Read
    inferred: dict[int, str]
    doubt: Doubt


class Reader(Protocol):
    """Whoever judges records one by one: a model."""

    def carefully(self, numbers: Sequence[int]) -> Generator[Progress, None, Read]: ...


def cascade(
    reader: Reader,
    labels: LabelSet,
    records_of: Counter[int],
    vectors: Vectors | None,
    limits: CascadeLimits,
    *,
    digests: Sequence[bytes],
    inferences: Inferences,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Generator[Progress, None, Cascaded]:
    """Labels for the different records numbered 0 to n - 1, of which there are `records_of[number]` copies each.

    `digests` are the records' contents, by number. Raises `RunCancelledError`.
    """
    total = len(records_of)
    if vectors is None or limits.covers(total):
        read = yield from reader.carefully(range(total))
        return Cascaded(read, {}, Doubt(steadiness=_steadiness(read)))
    order = random.Random(total).sample(range(total), total)
    taken = limits.sample
    read = yield from reader.carefully(sorted(order[:taken]))
    fitted = _fit(read, labels, vectors, limits.target, cancelled)
    while fitted.threshold.share < limits.enough and taken < total // 2 and read.labels:
        more = min(total // 2, 2 * taken)
        read.add((yield from reader.carefully(sorted(order[taken:more]))))
        taken = more
        fitted = _fit(read, labels, vectors, limits.target, cancelled)
    inferred: dict[int, str] = {}
    unsure: list[int] = []
    for block in unless_cancelled(_blocks(sorted(order[taken:])), cancelled):
        said = fitted.labels_of([digests[number] for number in block], partial(vectors, block), inferences)
        for number, label in zip(block, said, strict=True):
            if label is None:
                unsure.append(number)
            else:
                inferred[number] = label
        yield Progress("infer", len(inferred) + len(unsure), total - taken)
    read.add((yield from reader.carefully(unsure)))
    return Cascaded(read, inferred, _doubt(read, fitted, inferred, labels, records_of))


@dataclass(frozen=True)
class _Fitted:
    """A classifier with the threshold from which on it is believed, and what it said of its sample, cross-fitted."""

    sample: Sequence[int]
    probabilities: Matrix
    threshold: Threshold
    vectors: Matrix
    wanted: Sequence[str]
    labels: LabelSet
    cancelled: Callable[[], bool]

    @cached_property
    def _model(self) -> LogisticRegression:
        names = self.labels.names
        return train(self.vectors, numbers_of(names, self.wanted), len(names), cancelled=self.cancelled)

    def labels_of(
        self, digests: Sequence[bytes], vectors: Callable[[], Matrix], inferences: Inferences
    ) -> Iterator[str | None]:
        """The label of each record it is sure of, None for the others."""
        if self.threshold.confidence > 1:
            return iter([None] * len(digests))
        found = inferences.labels(self._model, self.threshold.confidence, digests, vectors)
        return (None if at == UNSURE else self.labels.names[at] for at in found)


def _fit(read: Read, labels: LabelSet, vectors: Vectors, target: float, cancelled: Callable[[], bool]) -> _Fitted:
    sample, wanted = list(read.labels), list(read.labels.values())
    if len(set(wanted)) < 2:
        return _Fitted(
            sample,
            np.zeros((0, len(labels.names)), np.float32),
            Threshold(2.0, 1.0, 0.0),
            np.zeros((0, 0), np.float32),
            wanted,
            labels,
            cancelled,
        )
    embedded = vectors(sample)
    found = cross_fitted(embedded, numbers_of(labels.names, wanted), len(labels.names), cancelled=cancelled)
    threshold = sure_threshold(found, numbers_of(labels.names, wanted), target=target)
    return _Fitted(sample, found, threshold, embedded, wanted, labels, cancelled)


def _doubt(read: Read, fitted: _Fitted, inferred: dict[int, str], labels: LabelSet, records_of: Counter[int]) -> Doubt:
    if not inferred:
        return Doubt(steadiness=_steadiness(read))
    sure = fitted.probabilities.max(axis=1) >= fitted.threshold.confidence
    said = fitted.probabilities[sure].argmax(axis=1)
    wanted = numbers_of(labels.names, fitted.wanted)[sure]
    copies = np.array([records_of[number] for number in fitted.sample], np.float64)[sure]
    shift: dict[str, float] = {}
    half_width: dict[str, float] = {}
    for at, name in enumerate(labels.names):
        off = copies * ((wanted == at).astype(np.float64) - (said == at))
        shift[name] = len(inferred) * float(off.mean())
        # One more disagreement than was seen: no sample proves that there is none.
        spread = max(float(off.var()), float(copies.mean()) ** 2 / (len(off) + 1))
        half_width[name] = error_of_total(spread, len(off), len(inferred))
    return Doubt(fitted.threshold.agreement, _steadiness(read), shift, half_width)


def _steadiness(read: Read) -> float | None:
    return read.steady / read.read_twice if read.read_twice else None


def _blocks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[at : at + _BLOCK] for at in range(0, len(numbers), _BLOCK))
