"""Labels from several unsure witnesses: a model's readings of a record, how likely it finds each label, and how near
the record's embedding is to each label.

A small model contradicts itself when labels come in another order, and prefers some of them wherever they stand; a
bi-encoder is wrong about other records. So each witness is believed as far as the others bear it out:

* How often each is right follows from how often each two agree, if they err independently (three witnesses, three
  equations; after Platanios et al., UAI 2014).
* What a witness says of each label is measured against what it says of that label for the other records: likelihoods
  have their favourites (batch calibration: Zhou et al., ICLR 2024).
* Which label a model gives instead of which is learned together with the labels, by expectation and maximization
  (Dawid & Skene, 1979).
* A classifier that learned from the other records' labels is one more witness, believed the more the more there are.

Nothing here is tuned to a label set; what was measured is in `DECISIONS.md`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from rlm.operators.classifier import Matrix, Numbers, soft_cross_fitted
from rlm.strategies import never

# From this agreement of a model with itself on, its labels stand where it agrees; below, all witnesses are heard.
STEADY = 0.9
FEWEST_RECORDS = 30
# Where a witness is for records of other labels: the lower quartile is among theirs while a label has fewer than three
# of four records; the mean moves with how many it has.
_OTHERS = 0.25
# A classifier that learned from fewer records is believed less.
_RECORDS_TO_LEARN_FROM = 150
_ROUNDS = 20
_LEARNED_ROUNDS = 2
_SMOOTHING, _TRUST = 1.0, 3.0


def consensus(
    witnesses: Sequence[Matrix],
    readings: Sequence[Numbers],
    vectors: Matrix,
    *,
    cancelled: Callable[[], bool] = never,
) -> Numbers:
    """The most likely label of each record.

    Each of the `witnesses` has a number for each record (row) and each label (column), such as a cosine or a
    log-likelihood: more is likelier, and only a column's numbers are compared. `readings` are labels of each record by
    the model; with the witnesses there are three. `vectors` are the records' embeddings. Raises `RunCancelledError`.
    """
    labels = witnesses[0].shape[1]
    scores = [(each - np.quantile(each, _OTHERS, axis=0)) / (each.std(axis=0) + 1e-6) for each in witnesses]
    said = [*(each.argmax(axis=1) for each in scores), *readings]
    prior = np.zeros_like(scores[0])
    for place, each in enumerate(scores):
        others = [other for at, other in enumerate(said) if at != place]
        reliable = reliability(said[place], *others, labels=labels)
        prior += _log(_softmax(_log_odds(reliable, labels) * each)) / len(scores) ** 0.5
    found = _dawid_skene(prior, readings, labels)
    learned_weight = min(1.0, len(vectors) / _RECORDS_TO_LEARN_FROM)
    for _ in range(_LEARNED_ROUNDS):
        learned = soft_cross_fitted(vectors, found.astype(np.float32), cancelled=cancelled)
        found = _dawid_skene(prior + learned_weight * _log(learned), readings, labels)
    best: Numbers = found.argmax(axis=1)
    return best


def reliability(first: Numbers, second: Numbers, third: Numbers, *, labels: int) -> float:
    """How often `first` is right, from how often each two of the three agree."""
    one, other, rest = (
        max(1e-3, (labels * float((a == b).mean()) - 1) / (labels - 1))
        for a, b in ((first, second), (first, third), (second, third))
    )
    corrected = min(1.0, math.sqrt(one * other / rest))
    return min(0.98, (1 + (labels - 1) * corrected) / labels)


def _dawid_skene(prior: Matrix, readings: Sequence[Numbers], labels: int) -> Matrix:
    """Probabilities of each label for each record, and with them which label the model gives for which."""
    if not readings:
        return _softmax(prior)
    # Readings by one model err together: two of them count as 1.4 witnesses.
    weight = 1 / len(readings) ** 0.5
    eye = np.eye(labels)
    found = _softmax(prior + sum(weight * 1.5 * eye[reading] for reading in readings))
    for _ in range(_ROUNDS):
        scores = prior.copy()
        for reading in readings:
            given = np.stack([found[reading == label].sum(axis=0) for label in range(labels)], axis=1)
            given += _SMOOTHING + _TRUST * eye
            given /= given.sum(axis=1, keepdims=True)
            scores += weight * np.log(given[:, reading].T)
        found = _softmax(scores)
    return found


def _log_odds(share: float, labels: int) -> float:
    """Of being right, against one other label."""
    return max(0.2, float(np.log(share * (labels - 1) / (1 - share))))


def _log(probabilities: Matrix) -> Matrix:
    found: Matrix = np.log(probabilities + 1e-3)
    return found


def _softmax(scores: Matrix) -> Matrix:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return found
